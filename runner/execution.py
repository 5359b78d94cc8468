"""A further process in a container (exec): started and watched by the shim, its streams given by the caller, its end told to the caller.

It outlives its caller, as in docker, but not the container.
"""

import os

from runner.child import Child
from sandbox.errors import KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.calls import Caller
    from runner.shim import Shim
    from sandbox.process import Ended

_CANNOT_START = 126


class Execution:
    """pid: while it runs, else 0."""

    __slots__ = ("_argv", "_caller", "_child", "_shim", "exit_code", "id", "pid", "running")

    def __init__(self, shim: "Shim", caller: "Caller | None", id: str, argv: "tuple[str, ...]", exit_code: int = 0) -> None:
        self._shim = shim
        self._caller = caller
        self._child: "Child | None" = None
        self._argv = argv
        self.id = id
        self.pid = 0
        self.exit_code = exit_code
        self.running = False

    def start(self, packed: "Any", streams: list[int]) -> None:
        """Raises SandboxError, OSError."""
        unit = self._shim.visit(packed, streams[:3])
        self.running = True
        self._child = Child(self._shim.loop, unit, self)

    def kill(self, signal: int) -> None:
        if self._child:
            self._child.kill(signal)

    def _say(self, *message: "Any", fds: "tuple[int, ...]" = ()) -> None:
        if self._caller and self._caller.socket.fileno() >= 0:
            self._caller.say(*message, fds=fds)

    def terminal(self, fd: int) -> None:
        self._say("terminal", fds=(fd,))
        os.close(fd)

    def streams(self, fds: list[int]) -> None:
        raise AssertionError("only a container's first process has these")

    def started(self, child: Child) -> None:
        self.pid = child.pid
        self._shim.emit(f"exec_start: {' '.join(self._argv)}", execID=self.id)
        self._say("started", child.pid)

    def failed(self, failure: "tuple[Any, ...]") -> None:
        self._end(int(getattr(KINDS[failure[1]], "exit_status", _CANNOT_START)))
        self._say(*failure)
        self._caller = None

    def ended(self, ended: "Ended") -> None:
        self._end(128 + ended.signal if ended.signal else ended.status)
        self._say("exit", self.exit_code)
        self._caller = None

    def _end(self, code: int) -> None:
        self._child, self.running, self.pid, self.exit_code = None, False, 0, code
        self._shim.emit("exec_die", execID=self.id, exitCode=str(code))
        self._shim.settle()
