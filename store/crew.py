"""A few threads for work on large buffers, where hashlib and the compressors let go of the interpreter lock. In: calls; out: their results.

Made of `_thread` and `_queue` alone: `concurrent.futures` would cost 25 ms of start-up, `threading` 4.
"""

from _queue import SimpleQueue
from _thread import allocate_lock, start_new_thread

from store.digest import Hasher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Any, Generic, TypeVar

    T = TypeVar("T")

    class Job(Generic[T]):
        """A call that was handed in; `result` waits for it, and raises what it raised."""

        def result(self) -> T: ...
else:
    class Job:
        __slots__ = ("_call", "_done", "_error", "_value")

        def __init__(self, call):
            self._call = call
            self._done = allocate_lock()
            self._done.acquire()
            self._error = self._value = None

        def run(self):
            try:
                self._value = self._call()
            except BaseException as error:
                self._error = error
            self._call = None
            self._done.release()

        def result(self):
            with self._done:
                if self._error is not None:
                    raise self._error
                return self._value


class Crew:
    """`count` threads that take calls in the order in which they are handed in. Use it in a `with`: leaving it waits for all of them."""

    def __init__(self, count: int) -> None:
        self._calls: "SimpleQueue[Any]" = SimpleQueue()
        self._gone = [allocate_lock() for _ in range(count)]
        for lock in self._gone:
            lock.acquire()
            start_new_thread(self._work, (lock.release,))

    def submit(self, call: "Callable[[], T]") -> "Job[T]":
        job: "Any" = Job(call)      # type: ignore[call-arg]  # to mypy a Job is what callers see of it
        self._calls.put(job)
        return job                  # type: ignore[no-any-return]

    def _work(self, leave: "Callable[[], None]") -> None:
        while (job := self._calls.get()) is not None:
            job.run()
        leave()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *what: object) -> None:
        for _ in self._gone:
            self._calls.put(None)
        for lock in self._gone:
            lock.acquire()


def ahead(chunks: "Iterable[bytes]", depth: int = 8) -> "Generator[bytes, None, None]":
    """The same chunks, made by a thread that is up to `depth` of them ahead. An error comes out where its chunk would have."""
    made: "SimpleQueue[tuple[bytes | None, BaseException | None]]" = SimpleQueue()
    room: "SimpleQueue[bool]" = SimpleQueue()
    for _ in range(depth):
        room.put(True)
    gone = allocate_lock()
    gone.acquire()

    def make() -> None:
        try:
            for chunk in chunks:
                made.put((chunk, None))
                if not room.get():
                    break
            made.put((None, None))
        except BaseException as error:
            made.put((None, error))
        finally:
            gone.release()

    start_new_thread(make, ())
    try:
        while True:
            chunk, error = made.get()
            if error is not None:
                raise error
            if chunk is None:
                return
            yield chunk
            room.put(True)
    finally:
        room.put(False)
        gone.acquire()


class HashingThread:
    """sha256 of what is given to `update`, computed beside the caller; the buffers given must not be changed afterwards."""

    def __init__(self, hasher: "Hasher | None" = None, depth: int = 8) -> None:
        self._hasher = hasher or Hasher()
        self._crew = Crew(1)
        self._waiting: "list[Job[None]]" = []
        self._depth = depth

    def update(self, data: "bytes | bytearray | memoryview") -> None:
        if len(self._waiting) >= self._depth:
            self._waiting.pop(0).result()
        self._waiting.append(self._crew.submit(lambda: self._hasher.update(data)))

    @property
    def size(self) -> int:
        """Bytes given so far; true once `finish` was called."""
        return self._hasher.size

    def finish(self) -> str:
        """The digest; the thread ends. Also to be called when nobody wants the digest."""
        self._crew.__exit__()
        for job in self._waiting:
            job.result()
        self._waiting.clear()
        return self._hasher.digest()
