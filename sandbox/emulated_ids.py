"""The calls about user and group ids, answered as a kernel with many ids would. See sandbox.emulation.

The methods are called do_NAME after the calls, take (pid, arguments) and return the call's value, or None for the kernel to go on.
"""

import _socket
import struct
import sys
from errno import EFAULT, EINVAL, EPERM

from kernel.notify import process_vm_readv, process_vm_writev
from kernel.syscalls import pidfd_getfd, pidfd_open
from sandbox import ids
from sandbox.callers import Callers, Refused, int32
from sandbox.ids import KEEP, Credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.callers import Arguments

_GROUPS_MAX = 65536
_SO_PEERCRED = 17


class EmulatedIds:
    __slots__ = ("_callers",)

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def _changed(self, pid: int, change: "Callable[..., Credentials]", *arguments: object) -> int:
        try:
            return self._callers.become(pid, change(self._callers.who(pid), *arguments))
        except PermissionError as error:
            raise Refused(EPERM, "") from error

    def do_setuid(self, pid: int, a: "Arguments") -> int:
        return self._changed(pid, ids.set_one, "uids", a[0] & KEEP)

    def do_setgid(self, pid: int, a: "Arguments") -> int:
        return self._changed(pid, ids.set_one, "gids", a[0] & KEEP)

    def do_setreuid(self, pid: int, a: "Arguments") -> int:
        return self._changed(pid, ids.set_two, "uids", a[0] & KEEP, a[1] & KEEP)

    def do_setregid(self, pid: int, a: "Arguments") -> int:
        return self._changed(pid, ids.set_two, "gids", a[0] & KEEP, a[1] & KEEP)

    def do_setresuid(self, pid: int, a: "Arguments") -> int:
        return self._changed(pid, ids.set_three, "uids", tuple(one & KEEP for one in a[:3]))

    def do_setresgid(self, pid: int, a: "Arguments") -> int:
        return self._changed(pid, ids.set_three, "gids", tuple(one & KEEP for one in a[:3]))

    def do_setfsuid(self, pid: int, a: "Arguments") -> int:
        return self._callers.who(pid).uids[1]                     # it says what was, and cannot fail

    def do_setfsgid(self, pid: int, a: "Arguments") -> int:
        return self._callers.who(pid).gids[1]

    def do_setgroups(self, pid: int, a: "Arguments") -> int:
        count = int32(a[0])
        if not 0 <= count <= _GROUPS_MAX:
            raise Refused(EINVAL, "")
        data = b""
        while len(data) < 4 * count:
            part = process_vm_readv(pid, a[1] + len(data), min(4 * count - len(data), 4096))
            if not part:
                raise Refused(EFAULT, "")
            data += part
        return self._changed(pid, ids.set_groups, struct.unpack(f"={count}I", data[:4 * count]))

    def do_getuid(self, pid: int, a: "Arguments") -> int:
        return self._callers.who(pid).uids[0]

    def do_geteuid(self, pid: int, a: "Arguments") -> int:
        return self._callers.who(pid).uids[1]

    def do_getgid(self, pid: int, a: "Arguments") -> int:
        return self._callers.who(pid).gids[0]

    def do_getegid(self, pid: int, a: "Arguments") -> int:
        return self._callers.who(pid).gids[1]

    def do_getresuid(self, pid: int, a: "Arguments") -> int:
        return _write_three(pid, a, self._callers.who(pid).uids)

    def do_getresgid(self, pid: int, a: "Arguments") -> int:
        return _write_three(pid, a, self._callers.who(pid).gids)

    def do_getgroups(self, pid: int, a: "Arguments") -> int:
        groups, room = self._callers.who(pid).groups, int32(a[0])
        if room:
            if room < len(groups):
                raise Refused(EINVAL, "")
            for at in range(0, len(groups), 1024):
                process_vm_writev(pid, a[1] + 4 * at, struct.pack(f"={len(groups[at:at + 1024])}I", *groups[at:at + 1024]))
        return len(groups)

    def do_prctl(self, pid: int, a: "Arguments") -> None:
        """PR_SET_KEEPCAPS: ids may then be changed after the user id was."""
        self._callers.become(pid, self._callers.who(pid)._replace(keeps=bool(a[1])))

    def do_prlimit64(self, pid: int, a: "Arguments") -> int:
        """Of RLIMIT_RTTIME, our hiding place: it looks untouched, and stays."""
        if a[3]:
            process_vm_writev(pid, a[3], b"\xff" * 16)
        return 0

    def do_getrlimit(self, pid: int, a: "Arguments") -> int:
        return self.do_prlimit64(pid, (0, 0, 0, a[1]))

    def do_setrlimit(self, pid: int, a: "Arguments") -> int:
        return 0

    def do_chroot(self, pid: int, a: "Arguments") -> None:
        self._callers.chrooted = True

    def do_getsockopt(self, pid: int, a: "Arguments") -> "int | None":
        """SO_PEERCRED: who the process at the other end believes to be."""
        pidfd = self._callers.hold(pidfd_open(pid))
        sock = _socket.socket(fileno=self._callers.hold(pidfd_getfd(pidfd, int32(a[0]))))      # fails for what is no socket
        try:
            peer, uid, gid = struct.unpack("=3i", sock.getsockopt(_socket.SOL_SOCKET, _SO_PEERCRED, 12))
        finally:
            sock.detach()
        who = self._callers.peer(peer) if peer and not uid and not gid else ids.ROOT
        if who == ids.ROOT:
            return None
        with open(f"{peer}/status") as file:              # its number inside
            inner = next(line for line in file if line.startswith("NSpid:")).split()[-1]
        process_vm_writev(pid, a[3], struct.pack("=3i", int(inner), who.uids[1], who.gids[1]))
        process_vm_writev(pid, a[4], struct.pack("=I", 12))
        return 0


def _write_three(pid: int, addresses: "Arguments", values: tuple[int, int, int]) -> int:
    for address, value in zip(addresses, values):
        process_vm_writev(pid, address, value.to_bytes(4, sys.byteorder))
    return 0
