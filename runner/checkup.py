"""The healthcheck of one run of a container: probes on time, each a process inside, and what they say into the state. Belongs to the shim."""

import os
import time

from kernel.value import plain
from runner.child import Child
from runner.health import OUTPUT_MAX, TIMED_OUT, judge, next_probe, plan_of
from runner.state import UNHEALTHY, Probe
from runner.upkeep import RUNNING, SECOND
from sandbox.errors import KINDS, SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.shim import Shim
    from runner.timers import Timer
    from runner.upkeep import Healthcheck
    from sandbox.process import Ended
    from sandbox.spec import ExecSpec

_SIGTERM = 15
_STOP_S = 10.0


class Checkup:
    """Ends with `stop`; a probe that still runs is then killed with the container."""

    __slots__ = ("_begun", "_child", "_count", "_limit", "_output", "_pipe", "_plan", "_shim", "_spec", "_started", "_stopped", "_timer", "_too_long")

    def __init__(self, shim: "Shim", check: "Healthcheck", spec: "ExecSpec", started: int,
                 position: "tuple[int, float]" = (0, 0.0)) -> None:
        """position: as that was, if it goes on after a rest."""
        self._shim = shim
        self._plan = plan_of(check)
        self._spec = plain(spec)
        self._started = started
        self._count, due = position
        self._stopped = self._too_long = False
        self._child: "Child | None" = None
        self._limit: "Timer | None" = None
        self._output = b""
        self._pipe = -1
        self._begun = 0
        self._timer = shim.loop.after(max(0.0, due - time.monotonic()) if due else 0, self._probe)

    @property
    def position(self) -> "tuple[int, float]":
        """(how many probes were made, when the next one is due by the monotonic clock)."""
        return self._count, self._timer.due

    def is_far(self, seconds: float) -> bool:
        """Whether no probe runs, and none will so soon."""
        return self._child is None and self._timer.due > time.monotonic() + seconds

    def stop(self) -> None:
        self._stopped = True
        self._timer.cancel()
        if self._limit:
            self._limit.cancel()
        self._close()

    def _probe(self) -> None:
        if self._shim.state.status != RUNNING:            # frozen: nothing can be asked of it
            self._later()
            return
        self._begun, self._output, self._too_long = time.time_ns(), b"", False
        self._pipe, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(write, True)
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        try:
            unit = self._shim.visit(self._spec, [null, write, write])
        except (SandboxError, OSError) as error:
            self._done(-1, str(error))
            return
        finally:
            os.close(null)
            os.close(write)
        self._shim.loop.watch(self._pipe, self._on_output)
        self._limit = self._shim.loop.after(self._plan.timeout / SECOND, self._on_limit)
        self._child = Child(self._shim.loop, unit, self)

    def _on_output(self, _: int) -> None:
        try:
            data = os.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._close()
        elif len(self._output) < OUTPUT_MAX:
            self._output = (self._output + data)[:OUTPUT_MAX]

    def _close(self) -> None:
        if self._pipe >= 0:
            self._shim.loop.forget(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def _on_limit(self) -> None:
        self._too_long = True
        if self._child:
            self._child.kill()

    # ---------------------------------------------------------------- what becomes of a probe
    def terminal(self, fd: int) -> None:
        os.close(fd)

    def streams(self, fds: list[int]) -> None:
        raise AssertionError("only a container's first process has these")

    def started(self, child: Child) -> None:
        pass

    def failed(self, failure: "tuple[Any, ...]") -> None:
        error = KINDS[failure[1]](*failure[2:])
        self._done(int(getattr(error, "exit_status", -1)), str(error))

    def ended(self, ended: "Ended") -> None:
        if self._pipe >= 0:
            self._on_output(0)
        if self._too_long:
            self._done(TIMED_OUT, f"health check took longer than {self._plan.timeout / SECOND:g}s")
        else:
            self._done(128 + ended.signal if ended.signal else ended.status, self._output.decode(errors="replace"))

    def _done(self, code: int, output: str) -> None:
        self._child = None
        if self._limit:
            self._limit.cancel()
        if self._stopped:
            return
        self._close()
        shim, now = self._shim, time.time_ns()
        before = shim.state.health
        assert before
        self._count += 1
        health = judge(self._plan, before, Probe(self._begun, now, code, output), now - self._started)
        shim.change(health=health)
        if health.status != before.status:
            shim.emit(f"health_status: {health.status}")
            if health.status == UNHEALTHY and shim.policy.unhealthy:
                shim.put_down(_SIGTERM, _STOP_S)
                return
        self._later()

    def _later(self) -> None:
        health = self._shim.state.health
        assert health
        delay = next_probe(self._plan, health, time.time_ns() - self._started, self._count)
        self._timer = self._shim.loop.after(delay / SECOND, self._probe)
        self._shim.settle()
