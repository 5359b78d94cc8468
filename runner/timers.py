"""Calls at later times, for whoever waits in one thread: how long it may wait, and what is due then."""

import time
from heapq import heappop, heappush

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """A call that is to come. `cancel` it, or not."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: "Callable[[], None]") -> None:
        self.due = due
        self.call: "Callable[[], None] | None" = call

    def cancel(self) -> None:
        self.call = None

    def __lt__(self, other: "Timer") -> bool:
        return self.due < other.due


class Timers:
    """Times are those of the monotonic clock, in seconds."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: "list[Timer]" = []

    def after(self, seconds: float, call: "Callable[[], None]") -> Timer:
        timer = Timer(time.monotonic() + seconds, call)
        heappush(self._heap, timer)
        return timer

    def patience(self) -> "float | None":
        """Seconds until the first is due; None where there is none."""
        while self._heap and self._heap[0].call is None:
            heappop(self._heap)
        return max(0.0, self._heap[0].due - time.monotonic()) if self._heap else None

    def due(self) -> "Callable[[], None] | None":
        """The next call whose time has come, taken out. One that is made meanwhile counts too, and so does a cancellation."""
        while self._heap and self._heap[0].due <= time.monotonic():
            if call := heappop(self._heap).call:
                return call
        return None

    def idle(self) -> bool:
        """Nothing is to come."""
        return not any(timer.call for timer in self._heap)
