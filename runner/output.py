"""What a container writes, on its way from its pipes or its terminal into the log. Belongs to the shim."""

import os
import time

from runner.log import CHUNK, STDOUT, LogWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.agent.loop import Loop


class Output:
    """Pumps every stream that it is given, whole, until the stream ends. When the log is full and may not drop anything yet, it waits."""

    __slots__ = ("_log", "_loop", "_on_data", "is_waiting", "streams")

    def __init__(self, loop: "Loop", log: LogWriter, on_data: "Callable[[], None]") -> None:
        self._loop = loop
        self._log = log
        self._on_data = on_data
        self.streams: dict[int, int] = {}                 # fd -> STDOUT or STDERR
        self.is_waiting = False                           # for room in the log

    def add(self, fd: int, stream: int = STDOUT) -> None:
        """fd is closed at its end."""
        os.set_blocking(fd, False)
        self.streams[fd] = stream
        if not self.is_waiting:
            self._watch(fd)

    def _watch(self, fd: int) -> None:
        self._loop.watch(fd, lambda _: self._move(fd))

    def _move(self, fd: int) -> None:
        self._pump(fd)

    def _pump(self, fd: int) -> bool:
        """Move one chunk; False if there is nothing (now, or any more)."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:                                   # EIO: nobody has the terminal open
            data = b""
        if not data:
            self._end(fd)
            return False
        self._log.append(self.streams[fd], data, time.time_ns())
        if self._log.is_full and not self.is_waiting:
            self.is_waiting = True
            for other in self.streams:
                self._loop.forget(other)
        self._on_data()
        return True

    def _end(self, fd: int) -> None:
        self._loop.forget(fd)
        del self.streams[fd]
        os.close(fd)

    def resume(self) -> None:
        """A reader has gone on, or away: perhaps there is room now."""
        if self.is_waiting and (not self._log.is_full or self._log.rotate()):
            self.is_waiting = False
            for fd in self.streams:
                self._watch(fd)

    def drain(self) -> None:
        """The container is gone: take what is left in its streams, waiting for nobody."""
        for fd in list(self.streams):
            while self._pump(fd):
                pass
            if fd in self.streams:
                self._end(fd)
        self.is_waiting = False
