"""Calls in a few threads at once. In: calls; out: their results in order, or the first error, after the others were told to stop."""

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    T = TypeVar("T")


def together(calls: "Sequence[Callable[[], T]]", parallel: int, stop: "Callable[[], None]") -> "list[T]":
    """stop: called once when a call has failed (or this one was interrupted), so that those that still run end soon; all are waited for.

    The error raised is the first one, in time: those after it may be its consequence.
    """
    results: "list[T | None]" = [None] * len(calls)
    errors: "list[BaseException]" = []
    waiting = list(range(len(calls)))[::-1]
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting or errors:
                    return
                number = waiting.pop()
            try:
                results[number] = calls[number]()
            except BaseException as error:
                with lock:
                    errors.append(error)
                stop()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(parallel, len(calls)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:                       # ^C in the thread that waits
        with lock:
            errors.insert(0, error)
        stop()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return results      # type: ignore[return-value]  # every call has put its own
