"""Another OCI runtime in the place of ours: a unit whose command it starts.

What enters: a packed SandboxSpec with `runtime`, the path of crun or runc. What leaves: a Unit like any other. A keeper (sandbox.hosting), our
child and first process of a pid namespace, makes the root and runs the runtime; the command is the keeper's child, and ends with it.
"""

import os

from kernel.syscalls import clone3
from sandbox import wire
from sandbox.capabilities import ALL
from sandbox.errors import SandboxError
from sandbox.hosting import NESTED, VERDICT, live
from sandbox.namespaces import shape_of
from sandbox.process import Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from typing import Any

    from sandbox.machine import Machine
    from sandbox.process import Reaped
    from sandbox.spec import SandboxSpec

_SIGTERM, _SIGKILL = 15, 9


class Hosted(Unit):
    """pid, pidfd: of the keeper, from `hear`'s "born" on of the command."""

    __slots__ = ("_keeper", "_keeper_fd", "_nested", "_verdict")

    def __init__(self, pid: int, pidfd: int, control: "_socket.socket", verdict: int, *, nested: bool) -> None:
        super().__init__(pid, pidfd, control)
        self._keeper, self._keeper_fd, self._verdict, self._nested = pid, os.dup(pidfd), verdict, nested

    def kill(self, signal: int = _SIGKILL) -> None:
        """As Unit.kill; what has not been born is taken back by its keeper."""
        super().kill(signal if not self.unborn or self._nested else _SIGTERM)

    def hear(self) -> "tuple[tuple[Any, ...] | None, list[int]]":
        message, fds = super().hear()
        if message is None or message[0] != "running":
            return message, fds
        os.close(self.pidfd)
        self.pidfd, self.unborn = fds.pop(), ""
        with open(f"/proc/self/fdinfo/{self.pidfd}") as file:
            self.pid = next(int(line.split()[1]) for line in file if line.startswith("Pid:"))
        return ("born",), fds

    def _reap(self) -> "Reaped":
        _, status, usage = os.wait4(self._keeper, 0)
        os.close(self._keeper_fd)
        said = os.pread(self._verdict, VERDICT, 0)
        os.close(self._verdict)
        if len(said) == VERDICT:
            return int.from_bytes(said[:4], "little"), usage, bool(said[4])
        return status, usage, False


def begin(spec: "SandboxSpec", packed: "tuple[Any, ...]", fds: "Sequence[int]", machine: "Machine", cgroup: str) -> Hosted:
    """The unit in which `spec` is being started by its runtime. packed, fds: as Maker.start gets them; cgroup: path of the group that is made for
    it, from the top of the hierarchies, "" if there is none. Raises SandboxError."""
    if machine.single:
        raise SandboxError(f"use `{os.path.basename(spec.runtime)}`", reason="this user has one id only, and its owners are emulated",
                           help="give the user ids in /etc/subuid and /etc/subgid")
    if spec.user_namespace != "host":
        raise SandboxError(f"use `{os.path.basename(spec.runtime)}`", reason="a user namespace of its own cannot be had with another runtime")
    shape = shape_of(spec)._replace(bounding=ALL)         # the runtime itself drops what the command is not to have
    verdict = os.memfd_create("verdict")
    ours, theirs = wire.pair()
    pid, pidfd = clone3(shape.namespaces)
    if not pid:
        live(theirs, machine, shape)
    theirs.close()
    unit = Hosted(pid, pidfd, ours, verdict, nested=bool(shape.namespaces & NESTED))
    unit.name(spec.argv[0])
    try:
        wire.send(ours, (packed, cgroup), (*fds, verdict))
    except BrokenPipeError:
        pass                                              # it has said why: that is what is heard next
    except BaseException:
        unit.kill()
        unit.bury()
        raise
    return unit
