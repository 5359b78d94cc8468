"""A unit of the sandbox under the shim's loop: its owner is told when the command runs, when it cannot be run, and when it has ended."""

import os

from sandbox.process import Ended, Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from runner.agent.loop import Loop

    class Owner(Protocol):
        """terminal: it has one, and `fd` is the outer end, the owner's to close. Then either `started` and, some day, `ended`; or `failed`.

        streams: what is written to its /dev/stdout and /dev/stderr is to be read there (only where these are no links to its streams).

        failure: ("failed", class, step, errno, path, reason, help) of a SandboxError.
        """

        def terminal(self, fd: int) -> None: ...
        def streams(self, fds: "list[int]") -> None: ...
        def started(self, child: "Child") -> None: ...
        def failed(self, failure: "tuple[Any, ...]") -> None: ...
        def ended(self, ended: Ended) -> None: ...

_KILLED = ("failed", "SandboxError", "start the command", 0, "", "it was killed before", "")


class Child:
    """runs: it has started before, and its owner knows."""

    __slots__ = ("_failure", "_heard", "_loop", "_owner", "unit")

    def __init__(self, loop: "Loop", unit: Unit, owner: "Owner", *, runs: bool = False) -> None:
        self.unit = unit
        self._loop = loop
        self._owner = owner
        self._failure: tuple[Any, ...] = ()
        self._heard = runs                                # it has said all that it will
        if not runs:
            loop.watch(unit.control.fileno(), self._on_word)
        if unit.supervisor:
            loop.watch(unit.supervisor.pidfd, lambda _: unit.kill())       # nothing of it works any more
        if not unit.unborn:
            loop.watch(unit.pidfd, self._on_end)

    @property
    def pid(self) -> int:
        return self.unit.pid

    def kill(self, signal: int = 9) -> None:
        self.unit.kill(signal)

    def _on_word(self, _: int) -> None:
        message, fds = self.unit.hear()
        if message is None:
            self._loop.forget(self.unit.control.fileno())
            self._heard = True
            if self.unit.unborn:                          # what was to start it is gone, and has said why if it could
                self._failure = self._failure or _KILLED
                self._loop.watch(self.unit.pidfd, self._on_end)
            if not self._failure:
                self._owner.started(self)
        elif message[0] == "born":
            self._loop.watch(self.unit.pidfd, self._on_end)
        elif message[0] == "failed":
            self._failure = message
        elif message[0] == "terminal":
            self._owner.terminal(fds.pop(0))
        elif message[0] == "streams":
            self._owner.streams([fds.pop(0), fds.pop(0)])
        for fd in fds:
            os.close(fd)

    def _on_end(self, _: int) -> None:
        while not self._heard:                            # what it said before it ended comes first
            self._on_word(0)
        self._loop.forget(self.unit.pidfd)
        if self.unit.supervisor:
            self._loop.forget(self.unit.supervisor.pidfd)
        if self._failure:
            self.unit.bury()
            self._owner.failed(self._failure)
        else:
            self._owner.ended(self.unit.bury())
