"""The network namespace that all containers of an ordinary user share as their "machine": bridges are in it, and a helper program leads out of it.

It outlives the agent: the outpost and the helper hold it. Which one it is lies in a file; a later agent finds it by that.
"""

import os

from kernel.syscalls import CLONE_NEWNET, CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, PR_SET_DUMPABLE, mount, prctl, setns, unshare
from kernel.value import Value
from runner.agent import namespace, netlink, process
from runner.agent.members import boot_id
from runner.agent.netlink import Netlink
from runner.agent.outside import NAME, Outpost, post
from runner.agent.uplink import choose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.agent.uplink import Uplink

_LOOPBACK = 1
_RELAY_MTU = 65520


class _State(Value):
    """inode, cookie: of the namespace; outpost, helper: process IDs; program: the helper's name."""

    boot: str
    inode: int
    cookie: int
    outpost: int
    helper: int
    program: str


class Shared:
    """We are in the shared namespace once this is made. relay: the helper is none, so the forwarder has to carry what goes out."""

    def __init__(self, run_directory: str, say: "Callable[[str], None]", helper: "Uplink | None" = None) -> None:
        prctl(PR_SET_DUMPABLE, 1)                         # entering the user namespace made our /proc entry the host root's
        unshare(CLONE_NEWNS)
        mount(None, b"/", None, MS_REC | MS_PRIVATE)
        self._path = f"{run_directory}/shared"
        self.outpost: Outpost = post()
        state = self._read()
        fd = _enter(state) if state else -1
        if state and fd >= 0:
            process.end(state.outpost, NAME)
            self._state = state._replace(outpost=self.outpost.pid)
        else:
            if state:
                process.end(state.outpost, NAME)
                process.end(state.helper, state.program)
            fd, self._state = self._make(run_directory, helper or choose(say))
        self.outpost.hold(fd)
        os.close(fd)
        self._write(self._state)
        self.relay = not self._state.program
        if self.relay:
            self.outpost.mtu = _RELAY_MTU
        if not self._state.program.startswith(("pasta", "passt")):      # there the machine's addresses are the namespace's own
            self.outpost.gateway = self.outpost.address()

    def _make(self, run_directory: str, helper: "Uplink") -> tuple[int, _State]:
        unshare(CLONE_NEWNET)
        fd = namespace.own()
        home = Netlink()
        home.do(netlink.up(_LOOPBACK))
        home.close()
        namespace.write_sysctl("net/ipv4/ip_forward", "1")
        namespace.write_sysctl("net/ipv6/conf/all/forwarding", "1")
        for family in ("ip", "ip6"):                      # what a rule has caught on a bridge port would be let go of again, and it costs time
            namespace.write_sysctl(f"net/bridge/bridge-nf-call-{family}tables", "0")
        path = f"{run_directory}/netns"
        with open(path, "a"):
            pass
        mount(f"/proc/self/fd/{fd}".encode(), path.encode(), None, MS_BIND)      # seen by us and the helper alone
        pid = helper.start(self.outpost, path, fd, run_directory)
        return fd, _State(boot_id(), os.fstat(fd).st_ino, namespace.cookie(), self.outpost.pid, pid, process.name_of(pid) if pid else "")

    def dissolve(self) -> None:
        """Nothing is left of it."""
        process.end(self._state.helper, self._state.program)
        self.outpost.dismiss()
        for path in (self._path, self._path.removesuffix("shared") + "netns"):
            try:
                os.unlink(path)
            except OSError:
                pass

    def _read(self) -> _State | None:
        try:
            with open(self._path) as file:
                boot, inode, cookie, outpost, helper, program = file.read().split(" ")
        except (OSError, ValueError):
            return None
        return _State(boot, int(inode), int(cookie), int(outpost), int(helper), program) if boot == boot_id() else None

    def _write(self, state: _State) -> None:
        with open(f"{self._path}.new", "w") as file:
            file.write(" ".join(str(word) for word in state))
        os.rename(f"{self._path}.new", self._path)


def _enter(state: _State) -> int:
    """Be in the namespace; an fd of it, -1 if it is gone. There is no way back to the machine's network from there."""
    fd = namespace.find({state.inode}).get(state.inode, -1)
    if fd >= 0:
        setns(fd, CLONE_NEWNET)
        if namespace.cookie() != state.cookie:            # another one has got its number; a new one is made from there just as well
            os.close(fd)
            return -1
    return fd


def is_ours() -> bool:
    """Whether the network namespace that we are in belongs to the user namespace that we are in, so that we may make interfaces in it."""
    import fcntl

    fd = namespace.own()
    try:
        owner = fcntl.ioctl(fd, 0xB701)                   # NS_GET_USERNS
    except OSError:
        return False                                      # an outer one's
    finally:
        os.close(fd)
    try:
        return os.fstat(owner).st_ino == os.stat("/proc/self/ns/user").st_ino
    finally:
        os.close(owner)
