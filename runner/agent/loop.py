"""The agent's event loop: handlers of descriptors, and calls at a later time. One thread; a handler that takes long keeps everybody waiting."""

import select
import sys

from runner.timers import Timers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.timers import Timer

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT
_BROKEN = select.EPOLLHUP | select.EPOLLERR


class Loop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: "dict[int, Callable[[int], None]]" = {}
        self._timers = Timers()
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

    def after(self, seconds: float, call: "Callable[[], None]") -> "Timer":
        return self._timers.after(seconds, call)

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Until `stop`."""
        while self._running:
            for fd, events in self._epoll.poll(self._timers.patience()):
                handler = self._handlers.get(fd)          # an earlier event of this round may have forgotten it
                if handler:
                    _guarded(handler, events)
            while call := self._timers.due():
                _guarded(call)


def _guarded(call: "Callable[..., None]", *events: int) -> None:
    """One faulty client or packet must not take the networks of the others away: what happened goes to the agent's log."""
    try:
        call(*events)
    except Exception:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
