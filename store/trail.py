"""Reading behind a writer: a file that one thread writes, and others read as far as it has come. In: news of the writer; out: chunks.

No byte is copied for it, and a reader that is slow, or begins again from the start, holds nothing up.
"""

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20


class Trail:
    """The writer calls `begin`, `advance` and `end`; readers `chunks` and `wait`; `close` when all are done."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._fd = -1
        self._written = 0
        self._ended = False
        self._error: "BaseException | None" = None

    # ------------------------------------------------------------ the writer
    def begin(self, fd: int) -> None:
        """fd: of the file; a copy of it is kept. A second begin is of another file, which readers of the first never see."""
        copy = os.dup(fd)
        with self._changed:
            self._shut()
            self._fd, self._written = copy, 0

    def advance(self, written: int) -> None:
        """written: bytes of the file that may be read."""
        with self._changed:
            self._written = written
            self._changed.notify_all()

    def end(self, error: "BaseException | None" = None) -> None:
        """Nothing more comes. error: what every reader is to raise. The first end counts."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
                self._changed.notify_all()

    # ------------------------------------------------------------ readers
    def chunks(self, start: int = 0) -> "Iterator[bytes]":
        """The bytes as they come, from byte `start` on, up to the end. Raises what `end` was given."""
        at = start
        while True:
            with self._changed:
                while not self._ended and self._written <= at:
                    self._changed.wait()
                if self._error is not None:
                    raise self._error
                ready, ended = self._written, self._ended
            while at < ready:
                data = os.pread(self._fd, min(_CHUNK, ready - at), at)
                at += len(data)
                yield data
            if ended:
                return

    def wait(self) -> int:
        """Wait for the end; bytes written. Raises what `end` was given."""
        with self._changed:
            while not self._ended:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            return self._written

    def close(self) -> None:
        with self._changed:
            self._shut()

    def _shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
