"""A container where no namespace can be made: a unit whose command runs in a plain tree, confined, and everything of it is gone when that ends.

What enters: a SandboxSpec with `tree`, the directory of its tree, and the container's mark (sandbox.marks). What leaves: a Unit like any other. Two
processes stand between us and the command: a keeper (sandbox.enclosure), our child, which furnishes the tree and cleans up, and below it a warden,
which is confined like the container and the parent of all in it, also of what is executed there later. If both are killed, `recover` does their work.
"""

import os
import select

from kernel.paths import DIRECTORY, remove_tree
from kernel.syscalls import clone, pidfd_open
from kernel.value import plain
from sandbox import marks, wire
from sandbox.enclosure import JOURNAL, live
from sandbox.errors import SandboxError
from sandbox.process import Unit
from sandbox.standin import StandIns
from sandbox.terminal import resize

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from typing import Any

    from sandbox.machine import Machine
    from sandbox.process import Reaped
    from sandbox.spec import ExecSpec, SandboxSpec

_SIGKILL = 9
_MOMENT_MS = 5000


class Visitor(Unit):
    """A further process in one. It is the warden's child, who says on `verdict` how it ended."""

    __slots__ = ("_verdict",)

    def __init__(self, pid: int, pidfd: int, control: "_socket.socket", verdict: "_socket.socket") -> None:
        super().__init__(pid, pidfd, control)
        self._verdict = verdict

    def kill(self, signal: int = _SIGKILL) -> None:
        if self.unborn:
            self._doomed = self._doomed or signal == _SIGKILL
        else:
            super().kill(signal)

    def hear(self) -> "tuple[tuple[Any, ...] | None, list[int]]":
        message, fds = super().hear()
        if message is None or message[0] != "running":
            return message, fds
        os.close(self.pidfd)
        self.pid, self.pidfd, self.unborn = message[1], fds.pop(), ""
        if self._doomed:
            self.kill()
        return ("born",), fds

    def _will_say(self) -> bool:
        """The warden does at once, unless somebody in the container has stopped it."""
        poll = select.poll()
        poll.register(self._verdict.fileno(), select.POLLIN)
        return bool(poll.poll(_MOMENT_MS))

    def _reap(self) -> "Reaped":
        from resource import struct_rusage

        message = None
        if self._will_say():
            message, _ = wire.receive(self._verdict)
        self._verdict.close()
        status, user_s, system_s, peak = message[1:] if message else (_SIGKILL, 0.0, 0.0, 0)
        return status, struct_rusage((user_s, system_s, peak, *(0,) * 13)), False


class Enclosed(Visitor):
    """The container's first process. `visit` starts further ones."""

    __slots__ = ("_channel", "_keeper", "_mark", "_tree")

    def __init__(self, pid: int, control: "_socket.socket", verdict: "_socket.socket", channel: "_socket.socket", tree: str, mark: int) -> None:
        super().__init__(pid, pidfd_open(pid), control, verdict)
        self._keeper, self._channel, self._tree, self._mark = pid, channel, tree, mark

    def kill(self, signal: int = _SIGKILL) -> None:
        if not self.unborn:
            super().kill(signal)
        elif signal == _SIGKILL:
            os.kill(self._keeper, signal)                 # which `_reap` makes good

    def visit(self, spec: "ExecSpec", streams: "Sequence[int]") -> Visitor:
        """The unit in which it is being started. Raises SandboxError, OSError."""
        if spec.privileged:                               # it would have those of this machine, and no filter
            raise SandboxError("execute with more privileges", reason="a container without namespaces cannot have any")
        spec = spec.check()._replace(rlimits=marks.limits_with(self._mark, spec.rlimits))
        control, theirs = wire.pair()
        verdict, its_verdict = wire.pair()
        opened: list[int] = []
        try:
            if spec.terminal:
                opened = open_terminal(theirs, *spec.terminal)
                streams = [opened[1]] * 3
            wire.send(self._channel, (plain(spec),), (*streams[:3], theirs.fileno(), its_verdict.fileno()))
        except OSError as error:
            raise SandboxError("enter the sandbox", error.errno or 0, reason="it is about to end") from error
        finally:
            theirs.close()
            its_verdict.close()
            for fd in opened:
                os.close(fd)
        unit = Visitor(0, os.dup(verdict.fileno()), control, verdict)      # until it is born, its end is that of who would say so
        unit.name(spec.argv[0])
        return unit

    def _will_say(self) -> bool:
        return True                                       # the keeper is out of reach for those in the container

    def _reap(self) -> "Reaped":
        said = super()._reap()
        self._channel.close()
        os.waitpid(self._keeper, 0)
        recover(self._tree, self._mark)                   # nothing, unless the keeper was killed
        return said


def begin(spec: "SandboxSpec", mark: int, streams: "Sequence[int]", machine: "Machine", kept: "Sequence[int]") -> Enclosed:
    """The unit in which `spec` is being started. kept: fds that the keeper is to have open until all is over. Raises OSError."""
    spec = spec._replace(rlimits=marks.limits_with(mark, spec.rlimits))
    ours, theirs = zip(*(wire.pair() for _ in range(3)))  # control, verdict, channel
    opened: list[int] = []
    try:
        if spec.terminal:
            opened = open_terminal(theirs[0], *spec.terminal)
            streams = [opened[1]] * 3
        pid = clone(0)
        if not pid:
            live(spec, mark, list(streams[:3]), machine, theirs, list(kept))
    finally:
        for one in theirs:
            one.close()
        for fd in opened:
            os.close(fd)
    unit = Enclosed(pid, ours[0], ours[1], ours[2], spec.tree, mark)
    unit.name(spec.argv[0])
    return unit


def open_terminal(control: "_socket.socket", rows: int, columns: int) -> "list[int]":
    """[outer end, inner end] of a new one, the former also sent to whoever hears on the other end of `control`."""
    ends = list(os.openpty())
    resize(ends[0], rows, columns)
    wire.send(control, ("terminal",), (ends[0],))
    return ends


def is_occupied(tree: str) -> bool:
    """Whether a container runs in the tree, or its keeper was killed."""
    return os.path.exists(f"{tree}/{JOURNAL}") or os.path.exists(f"{tree}.new")


def recover(tree: str, mark: int) -> None:
    """Of a container that nobody keeps any more: end what still runs, and bring home what is not its own. Idempotent.

    Raises SandboxError, OSError."""
    if not is_occupied(tree):
        return
    marks.stop(mark)
    if os.path.exists(f"{tree}/{JOURNAL}"):
        root_fd = os.open(f"{tree}/root", DIRECTORY)
        try:
            stand_ins = StandIns(root_fd, f"{tree}/aside", f"{tree}/{JOURNAL}")
            try:
                stand_ins.resume()
                stand_ins.take_out({})
            finally:
                stand_ins.close()
        finally:
            os.close(root_fd)
    parent, _, name = tree.rpartition("/")
    fd = os.open(parent, DIRECTORY)
    try:
        remove_tree(fd, f"{name}.new")
    finally:
        os.close(fd)
