"""The agent's event loop: handlers of descriptors, and calls at a later time. One thread; a handler that takes long keeps everybody waiting."""

import select
import sys
import time
from heapq import heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT
_BROKEN = select.EPOLLHUP | select.EPOLLERR


class Timer:
    """A call that is to come. `cancel` it, or not."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: "Callable[[], None]") -> None:
        self.due = due
        self.call: "Callable[[], None] | None" = call

    def cancel(self) -> None:
        self.call = None

    def fire(self, _: int) -> None:
        if self.call:
            self.call()

    def __lt__(self, other: "Timer") -> bool:
        return self.due < other.due


class Loop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: "dict[int, Callable[[int], None]]" = {}
        self._timers: list[Timer] = []
        self._running = True

    def watch(self, fd: int, handler: "Callable[[int], None]", events: int = READABLE) -> None:
        """Call handler(events) whenever `fd` is ready; what it raises is logged, not passed on."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Before it is closed. Fine if it is not watched."""
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def after(self, seconds: float, call: "Callable[[], None]") -> Timer:
        timer = Timer(time.monotonic() + seconds, call)
        heappush(self._timers, timer)
        return timer

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Until `stop`."""
        while self._running:
            for fd, events in self._epoll.poll(self._patience()):
                handler = self._handlers.get(fd)          # an earlier event of this round may have forgotten it
                if handler:
                    _guarded(handler, events)
            while self._timers and self._timers[0].due <= time.monotonic():
                timer = heappop(self._timers)
                if timer.call:
                    _guarded(timer.fire, 0)

    def _patience(self) -> "float | None":
        while self._timers and self._timers[0].call is None:
            heappop(self._timers)
        return max(0.0, self._timers[0].due - time.monotonic()) if self._timers else None


def _guarded(call: "Callable[[int], None]", events: int) -> None:
    """One faulty client or packet must not take the networks of the others away: what happened goes to the agent's log."""
    try:
        call(events)
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
