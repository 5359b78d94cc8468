"""The log of a container, read: as raw output, or as lines with a time each, from any point, backwards from the end, and as it grows.

The files are what runner.log writes. A place in the log is (generation, offset); a reader that is slower than the log is rotated goes on with
the oldest file that is left.
"""

import os

from kernel.value import Value
from runner.log import CHUNK, FRAME, HEAD, LOST, MAGIC, STDERR, TAIL, generations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LINE_MAX = 1 << 20                                        # bytes; nobody is to hold in memory what a container does not end
_BLOCK = CHUNK + FRAME


class Record(Value):
    """time: nanoseconds since the epoch; stream: 1 or 2."""

    time: int
    stream: int
    data: bytes


class Line(Value):
    """text: with its newline, unless the output ended without one, or it is a piece of a line longer than LINE_MAX. time: when its end came."""

    time: int
    stream: int
    text: bytes


class LogReader:
    """Reads from (generation, offset) on; generation 0: from the oldest file that is there. Close it."""

    __slots__ = ("_directory", "_fd", "generation", "offset")

    def __init__(self, directory: str, generation: int = 0, offset: int = 0) -> None:
        self._directory = directory
        self._fd = -1
        self.generation = generation
        self.offset = offset

    def read(self) -> "Iterator[Record]":
        """Records up to what is the end now; call it again when there may be more."""
        while self._fd >= 0 or self._open():
            size = os.fstat(self._fd).st_size
            yield from self._until(size)
            if not self._has_next():
                return
            yield from self._until(os.fstat(self._fd).st_size)       # what was written between looking at the one and at the other
            self._close()
            self.generation += 1
            self.offset = 0

    def _until(self, size: int) -> "Iterator[Record]":
        while self.offset < size:
            block = os.pread(self._fd, max(_BLOCK, 1 << 18), self.offset)
            at = 0
            while at + HEAD.size <= len(block):
                time, count, stream, _, magic = HEAD.unpack_from(block, at)
                end = at + HEAD.size + count
                if magic != MAGIC or self.offset + end - at + TAIL.size > size:
                    return                                # torn, and not yet mended
                if end + TAIL.size > len(block):
                    break
                self.offset += end - at + TAIL.size
                yield Record(time, *_content(stream, block[end - count:end]))
                at = end + TAIL.size
            if not at:
                return

    def _open(self) -> bool:
        there = generations(self._directory)
        if not there:
            return False
        if self.generation < there[0]:
            self.generation, self.offset = there[0], 0
        try:
            self._fd = os.open(f"{self._directory}/{self.generation}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        return True

    def _has_next(self) -> bool:
        there = generations(self._directory)
        return bool(there) and there[-1] > self.generation

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        self._close()


def _content(stream: int, data: bytes) -> tuple[int, bytes]:
    if stream == LOST:
        return STDERR, b"[%d bytes of output were lost: no space on the disk]\n" % int.from_bytes(data, "little")
    return stream, data


def end_of(directory: str) -> tuple[int, int]:
    """(generation, offset) of the log's end."""
    there = generations(directory)
    if not there:
        return 0, 0
    return there[-1], os.stat(f"{directory}/{there[-1]}").st_size


class Lines:
    """Cuts records into lines, each stream for itself."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest: dict[int, tuple[int, bytes]] = {}     # stream -> (time, beginning of a line that has no end yet)

    def cut(self, record: Record) -> "Iterator[Line]":
        """Whole lines that this record completes."""
        rest = self._rest.pop(record.stream, None)
        data = rest[1] + record.data if rest else record.data
        *whole, beginning = data.split(b"\n")
        for text in whole:
            yield Line(record.time, record.stream, text + b"\n")
        if len(beginning) > LINE_MAX:
            yield Line(record.time, record.stream, beginning)
        elif beginning:
            self._rest[record.stream] = (record.time, beginning)

    @property
    def unfinished(self) -> "tuple[int, ...]":
        """Streams whose last line has no end yet."""
        return tuple(self._rest)

    def rest(self) -> "Iterator[Line]":
        """What has no newline behind it: once, when the output has ended."""
        for stream, (time, text) in self._rest.items():
            yield Line(time, stream, text)
        self._rest = {}


def tail(directory: str, count: int) -> "tuple[list[Line], LogReader, Lines]":
    """The last `count` lines; and what reads on after them: lines without an end yet are in the cutter, and are counted too."""
    start, whole = _start_of(directory, count)
    reader, cutter = LogReader(directory, *start), Lines()
    found: list[Line] = []
    begun: set[int] = set()
    for record in reader.read():
        for line in cutter.cut(record):
            if whole or line.stream in begun:
                found.append(line)
            begun.add(line.stream)                        # the first one of a stream may have begun before `start`
        if len(found) > 2 * count:
            del found[:-count]
    wanted = max(0, count - len(cutter.unfinished))
    return (found[-wanted:] if wanted else []), reader, cutter


def _start_of(directory: str, count: int) -> "tuple[tuple[int, int], bool]":
    """(a place at or before the beginning of the last `count` lines, whether that is the beginning of all)."""
    start = end_of(directory)
    newlines: dict[int, int] = {}
    if not count:
        return start, False
    for place, stream, data in _backwards(directory, start):
        if sum(found - 1 for found in newlines.values() if found) > count:
            return start, False
        start = place
        newlines[stream] = newlines.get(stream, 0) + data.count(b"\n")
    return start, True


def _backwards(directory: str, end: "tuple[int, int]") -> "Iterator[tuple[tuple[int, int], int, bytes]]":
    """(place, stream, bytes) of records, the last one first."""
    for generation in reversed(generations(directory)):
        if generation > end[0]:
            continue
        try:
            fd = os.open(f"{directory}/{generation}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            at = end[1] if generation == end[0] else os.fstat(fd).st_size
            while at >= FRAME:
                length, = TAIL.unpack(os.pread(fd, TAIL.size, at - TAIL.size))
                if not FRAME <= length <= at:
                    break
                record = os.pread(fd, length, at - length)
                _, count, stream, _, magic = HEAD.unpack_from(record)
                if magic != MAGIC or count + FRAME != length:
                    break
                at -= length
                yield (generation, at), *_content(stream, record[HEAD.size:HEAD.size + count])
        finally:
            os.close(fd)
