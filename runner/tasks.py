"""Steps that depend on each other, done at the same time as far as they may be: each is a generator that says what it waits for.

One thread: between two waits a task has the machine to itself. One that fails keeps those from beginning that come after it, and no others.
"""

from collections import deque

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import TypeAlias

    from runner.action import Action, Step
    from runner.reactor import Reactor
    from runner.timers import Timer


class Readable(Value):
    """Until something is to be read from `fd`, or for so many seconds (negative: for ever). The task is sent whether it is readable."""

    fd: int
    seconds: float = -1.0


class News(Value):
    """Until there is news of these containers (IDs) in the event log, or something to be read from one of `fds`, or for so many seconds."""

    ids: "tuple[str, ...]"
    fds: "tuple[int, ...]" = ()
    seconds: float = -1.0


if TYPE_CHECKING:
    Task: TypeAlias = Generator["Readable | News", bool, None]


class Failure(Value):
    """A step that went wrong."""

    action: "Action"
    error: Exception


class Tasks:
    """limit: how many may be under way at once, 0: any number. perform: makes the task of an action."""

    def __init__(self, reactor: "Reactor", perform: "Callable[[Action], Task]", limit: int = 0) -> None:
        self._reactor = reactor
        self._perform = perform
        self._limit = limit
        self._ready: deque[Step] = deque()
        self._blocked: dict[int, tuple[Step, set[int]]] = {}
        self._running: dict[int, tuple[Step, Task]] = {}
        self._waiting: dict[int, tuple[tuple[str, ...], Callable[[], None]]] = {}
        self._watched: dict[int, tuple[tuple[int, ...], Timer | None]] = {}
        self._failures: list[Failure] = []

    def run(self, steps: "Iterable[Step]") -> "tuple[Failure, ...]":
        """Do them; what went wrong. An exception that is no Exception (the user's ^C) leaves everything as it is and comes through."""
        for step in steps:
            if step.after:
                self._blocked[step.number] = (step, set(step.after))
            else:
                self._ready.append(step)
        try:
            while self._ready or self._running:
                self._begin()
                if self._running:
                    self._reactor.turn()
        finally:
            for number, (_, task) in self._running.items():
                self._forget(number)                      # before the task closes what it waits for
                task.close()
            self._running.clear()
        return tuple(self._failures)

    def _begin(self) -> None:
        while self._ready and not (self._limit and len(self._running) >= self._limit):
            step = self._ready.popleft()
            self._running[step.number] = (step, self._perform(step.action))
            self._go_on(step.number, None)

    def _go_on(self, number: int, sent: "bool | None") -> None:
        step, task = self._running[number]
        try:
            wanted = next(task) if sent is None else task.send(sent)
        except StopIteration:
            del self._running[number]
            self._done(number)
        except Exception as error:
            del self._running[number]
            self._failures.append(Failure(step.action, error))
            self._drop(number)
        else:
            self._wait(number, wanted)

    def _wait(self, number: int, wanted: "Readable | News") -> None:
        reactor = self._reactor

        def over(happened: bool) -> None:
            self._forget(number)
            self._go_on(number, happened)

        fds = wanted.fds if isinstance(wanted, News) else (wanted.fd,)
        timer = reactor.after(wanted.seconds, lambda: over(False)) if wanted.seconds >= 0 else None
        self._watched[number] = (fds, timer)
        for fd in fds:
            reactor.watch(fd, lambda: over(True))
        if isinstance(wanted, News):
            if not self._waiting:
                reactor.listen(self._news)
            self._waiting[number] = (wanted.ids, lambda: over(True))

    def _forget(self, number: int) -> None:
        """What the task waits for is of no interest any more. Idempotent."""
        fds, timer = self._watched.pop(number, ((), None))
        if timer:
            timer.cancel()
        for fd in fds:
            self._reactor.forget(fd)
        if self._waiting.pop(number, None) and not self._waiting:
            self._reactor.unlisten(self._news)

    def _news(self, line: bytes) -> None:
        for ids, over in tuple(self._waiting.values()):
            if any(id.encode() in line for id in ids):
                over()

    def _done(self, number: int) -> None:
        for other, (step, missing) in tuple(self._blocked.items()):
            missing.discard(number)
            if not missing:
                del self._blocked[other]
                self._ready.append(step)

    def _drop(self, number: int) -> None:
        """What comes after a step that failed is not begun."""
        gone = {number}
        while more := {other for other, (step, _) in self._blocked.items() if gone & set(step.after)}:
            for other in more:
                del self._blocked[other]
            gone |= more
