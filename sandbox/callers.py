"""Who waits for an answer: what the arguments of a call lead to, and whom its process believes to be.

We have the root directory of the sandbox and the /proc of outside as working directory: the kernel resolves `/x`, `PID/cwd/x` and `PID/fd/7`
for us as for the caller. The number of a process's credentials is kept in the soft limit of its RLIMIT_RTTIME, which fork and execve inherit:
nothing follows processes.
"""

import os
import resource
from errno import EAGAIN, EINVAL, ENOENT

from kernel.notify import Listener, read_string
from kernel.syscalls import RESOLVE_IN_ROOT, openat2
from sandbox import ids
from sandbox.emulation_rules import RLIMIT_RTTIME
from sandbox.ids import KEEP, Credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    Arguments = tuple[int, ...]
    Place = tuple[bytes, bool]                            # (path as we see it, whether to follow a symlink at its end)

CWD = -100
# RLIMIT_RTTIME: this, the number of the credentials in 14 bits, effective user and group id in 24 each, for others of us to read
_FIRST, _MOST, _SHORT = 1 << 62, 1 << 14, (1 << 24) - 1
_LINKS_MAX = 8
_OURS = {b"/proc/self/": b"%d/", b"/proc/thread-self/": b"%d/", b"/dev/fd/": b"%d/fd/"}      # magic that would lead to our own
_STREAMS = {b"/dev/stdin": 0, b"/dev/stdout": 1, b"/dev/stderr": 2}


class Refused(OSError):
    """The answer to the caller, where nothing was done; not for the kernel to try."""


def int32(value: int) -> int:
    value &= KEEP
    return value - (1 << 32) if value & 1 << 31 else value


class Callers:
    """current: the id of the call that is being answered."""

    __slots__ = ("_credentials", "_held", "_root", "chrooted", "current", "listener")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.current = 0
        self.chrooted = False                             # somebody may be
        self._credentials = [ids.ROOT]
        self._root = _same(b"/")
        self._held: list[int] = []                        # fds to close after a call

    def still_there(self) -> None:
        """Before anything is changed: else PID/... may be another process by now."""
        if not self.listener.is_valid(self.current):
            raise Refused(EINVAL, "")

    def hold(self, fd: int) -> int:
        """Have it closed when the call is answered."""
        self._held.append(fd)
        return fd

    def let_go(self) -> None:
        while self._held:
            os.close(self._held.pop())

    # ---------------------------------------------------------------- what a call is about
    def place(self, pid: int, dirfd: int, address: int, follow: bool = True, empty: bool = False) -> "Place":
        path = read_string(pid, address)
        dirfd = int32(dirfd)
        base = b"%d/cwd" % pid if dirfd == CWD else b"%d/fd/%d" % (pid, dirfd)
        if not path:
            if not empty:
                raise FileNotFoundError(ENOENT, "")
            return base, True
        if self.chrooted and _same(b"%d/root" % pid) != self._root:
            return self._in_chroot(pid, path, base, follow)
        return (self._as_seen(pid, path) if path[:1] == b"/" else b"%b/%b" % (base, path)), follow

    def _as_seen(self, pid: int, path: bytes) -> bytes:
        """An absolute path as it is for the caller. `..` after magic would walk through the /proc of outside."""
        for prefix, ours in _OURS.items():
            if path.startswith(prefix) and b".." not in path:
                return ours % pid + path[len(prefix):]
        return b"%d/fd/%d" % (pid, _STREAMS[path]) if path in _STREAMS else path

    def _in_chroot(self, pid: int, path: bytes, base: bytes, follow: bool) -> "Place":
        """Of a process that has another root than the sandbox: by descriptors, since symlinks lead elsewhere for it."""
        top = self.hold(os.open(b"%d/root" % pid, os.O_PATH | os.O_DIRECTORY))
        if path[:1] != b"/":
            path = os.readlink(base)[len(os.readlink(b"%d/root" % pid)):] + b"/" + path
        try:
            return b"self/fd/%d" % self.hold(openat2(top, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW), 0, RESOLVE_IN_ROOT)), True
        except FileNotFoundError:
            parent, _, name = path.rstrip(b"/").rpartition(b"/")
            return b"self/fd/%d/%b" % (self.hold(openat2(top, parent or b"/", os.O_PATH | os.O_DIRECTORY, 0, RESOLVE_IN_ROOT)), name), follow

    def open(self, pid: int, path: bytes, follow: bool) -> int:
        """An O_PATH descriptor; symlinks to /dev/stdout and the like lead to the caller's, not ours."""
        for _ in range(_LINKS_MAX):
            try:
                return os.open(path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
            except FileNotFoundError:
                if not follow:
                    raise
                try:
                    to = os.readlink(path)
                except OSError:
                    raise FileNotFoundError(ENOENT, "") from None
                path = self._as_seen(pid, to) if to[:1] == b"/" else os.path.dirname(path) + b"/" + to
        raise FileNotFoundError(ENOENT, "")

    # ---------------------------------------------------------------- ids
    def who(self, pid: int) -> Credentials:
        if len(self._credentials) == 1:
            return self._credentials[0]
        return self.peer(pid)

    def peer(self, pid: int) -> Credentials:
        """As `who`; of a process that another one of us looks after, the effective ids."""
        value: int = resource.prlimit(pid, RLIMIT_RTTIME)[0]
        if not _FIRST <= value < 2 * _FIRST:
            return ids.ROOT
        number, uid, gid = value - _FIRST >> 48, value >> 24 & _SHORT, value & _SHORT
        if number < len(self._credentials):
            known = self._credentials[number]
            if (known.uids[1] & _SHORT, known.gids[1] & _SHORT) == (uid, gid):
                return known
        return ids.of_user(uid, gid, ())

    def become(self, pid: int, who: Credentials) -> int:
        if who not in self._credentials:
            if len(self._credentials) == _MOST:
                raise Refused(EAGAIN, "")
            self._credentials.append(who)
        value = _FIRST | self._credentials.index(who) << 48 | (who.uids[1] & _SHORT) << 24 | who.gids[1] & _SHORT
        resource.prlimit(pid, RLIMIT_RTTIME, (value, resource.RLIM_INFINITY))
        return 0


def _same(path: bytes) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
