"""Calls that only wait for the disk, made by a few threads beside everything else. Not `threading`: that costs a millisecond of start-up."""

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_THREADS = 8


class Sweeper:
    """`submit` calls, then `join`: what the first of those raised that went wrong comes out of that."""

    __slots__ = ("_calls", "_ended", "_errors", "_lock", "_running")

    def __init__(self) -> None:
        self._calls: "list[Callable[[], object]]" = []
        self._errors: list[BaseException] = []
        self._lock = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()             # held as long as a thread runs
        self._running = 0

    def submit(self, call: "Callable[[], object]") -> None:
        with self._lock:
            self._calls.append(call)
            if self._running == _THREADS:
                return
            if not self._running:
                self._ended.acquire()
            self._running += 1
        _thread.start_new_thread(self._work, ())

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._calls:
                    self._running -= 1
                    if not self._running:
                        self._ended.release()
                    return
                call = self._calls.pop(0)
            try:
                call()
            except BaseException as error:
                self._errors.append(error)

    def join(self) -> None:
        with self._ended:
            pass
        errors, self._errors = self._errors, []
        if errors:
            raise errors[0]
