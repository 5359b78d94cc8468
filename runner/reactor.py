"""Waiting for many things at once, in one thread: descriptors, times, and new lines in the event log. Nothing is polled."""

import select

from runner.timers import Timers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.timers import Timer
    from store.events import Events, Follower


class Reactor:
    """What a handler raises comes out of `turn`. Close it at the end."""

    def __init__(self, events: "Events") -> None:
        self._events = events
        self._follower: "Follower | None" = None
        self._listeners: "list[Callable[[bytes], None]]" = []
        self._epoll = select.epoll()
        self._handlers: "dict[int, Callable[[], None]]" = {}
        self._timers = Timers()

    # ---------------------------------------------------------------- what is waited for
    def watch(self, fd: int, handler: "Callable[[], None]") -> None:
        """Call it whenever `fd` is readable."""
        if fd in self._handlers:
            self._handlers[fd] = handler
            return
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def forget(self, fd: int) -> None:
        """Before it is closed. Fine if it is not watched."""
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def after(self, seconds: float, call: "Callable[[], None]") -> "Timer":
        return self._timers.after(seconds, call)

    def follow(self) -> None:
        """From now on no line of the event log is missed by those who `listen` later, before the next `turn`."""
        if self._follower is None:
            from store.events import Follower

            self._follower = Follower(self._events)
            self.watch(self._follower.fileno(), self._on_events)

    def listen(self, listener: "Callable[[bytes], None]") -> None:
        """Call it with every line that comes to the event log from now on."""
        self.follow()
        self._listeners.append(listener)

    def unlisten(self, listener: "Callable[[bytes], None]") -> None:
        self._listeners.remove(listener)

    def _on_events(self) -> None:
        assert self._follower
        for line in self._follower.read():
            for listener in tuple(self._listeners):
                listener(line)

    def catch_up(self) -> None:
        """Tell the listeners of all that is in the event log by now."""
        if self._follower is not None:
            self._on_events()

    # ---------------------------------------------------------------- waiting
    @property
    def idle(self) -> bool:
        """Whether there is nothing that could still happen, but for events."""
        return self._timers.idle() and len(self._handlers) == (1 if self._follower else 0)

    def turn(self) -> None:
        """Wait until something happens, and call who waits for that."""
        for fd, _ in self._epoll.poll(self._timers.patience()):
            handler = self._handlers.get(fd)              # an earlier one of this round may have forgotten it
            if handler:
                handler()
        while call := self._timers.due():
            call()

    def close(self) -> None:
        if self._follower:
            self._follower.close()
            self._follower = None
        self._epoll.close()

    def __enter__(self) -> "Reactor":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()
