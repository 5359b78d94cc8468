"""What a container writes, kept as it came: records of (time, stream, bytes) in numbered files, written by its shim and read by anybody.

A record is what one read of a pipe gave: head, bytes, and at the end the record's whole length, so that a file can be walked backwards. Files
are called 1, 2, 3, ...; only the highest one grows, and the lowest are removed when there are too many. One writer, never two.
"""

import errno
import os
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STDOUT, STDERR = 1, 2
LOST = 3                                                  # a record that says how many bytes could not be written: 8 bytes, little endian

HEAD = Struct("<QIBBH")                                   # nanoseconds since the epoch, bytes, stream, 0, MAGIC
TAIL = Struct("<I")                                       # length of the record, this included
MAGIC = 0x4C50
FRAME = HEAD.size + TAIL.size
CHUNK = 1 << 16

_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


def generations(directory: str) -> list[int]:
    """Numbers of the files that are there, lowest first."""
    try:
        return sorted(int(name) for name in os.listdir(directory) if name.isdecimal())
    except FileNotFoundError:
        return []


class LogWriter:
    """Appends to the log in `directory` (made if missing). max_size 0: one file that grows; max_file: how many are kept otherwise.

    may_drop(generation): asked before a file is removed; while somebody still reads it the answer is no, and it is asked again later.
    """

    __slots__ = ("_directory", "_fd", "_max_file", "_max_size", "_may_drop", "_oldest", "generation", "lost", "size")

    def __init__(self, directory: str, max_size: int = 0, max_file: int = 1, may_drop: "Callable[[int], bool]" = lambda generation: True) -> None:
        os.makedirs(directory, 0o700, exist_ok=True)
        there = generations(directory) or [1]
        self._directory = directory
        self._max_size = max_size
        self._max_file = max(1, max_file)
        self._may_drop = may_drop
        self.lost = 0                                     # bytes that could not be written and that no record tells of yet
        self._oldest = there[0]
        self._open(there[-1])
        self._mend()

    def _open(self, generation: int) -> None:
        self._fd = os.open(f"{self._directory}/{generation}", _OPEN, 0o600)
        self.generation = generation
        self.size = os.fstat(self._fd).st_size

    def _mend(self) -> None:
        """Cut off a record that a power cut has torn."""
        if self.size and not _ends_whole(self._fd, self.size):
            self.size = _whole(self._fd, self.size)
            os.ftruncate(self._fd, self.size)

    def append(self, stream: int, data: bytes, now: int) -> None:
        """Write one record, or as many as there are files to be begun; if the disk is full the bytes are lost, and the next record that can be
        written says how many."""
        if self.lost and not self._tell_lost(now):
            self.lost += len(data)
            return
        fits = self._fitting(data)
        while True:
            if not self._write(stream, data[:fits], now):
                self.lost += len(data)
                return
            data = data[fits:]
            begun = self.rotate() if data or self.is_full else False
            if not data:
                return
            fits = self._fitting(data) if begun else len(data)       # a reader is behind: no file is begun before it has come along

    def _fitting(self, data: bytes) -> int:
        """How many of these bytes still go into the file: whole lines, at least one."""
        room = self._max_size - self.size - FRAME
        if not self._max_size or len(data) <= room:
            return len(data)
        return data.rfind(b"\n", 0, max(room, 0)) + 1 or data.find(b"\n") + 1 or len(data)

    def _tell_lost(self, now: int) -> bool:
        if self._write(LOST, self.lost.to_bytes(8, "little"), now):
            self.lost = 0
        return not self.lost

    def _write(self, stream: int, data: bytes, now: int) -> bool:
        length = len(data) + FRAME
        try:
            written = os.writev(self._fd, (HEAD.pack(now, len(data), stream, 0, MAGIC), data, TAIL.pack(length)))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
                raise
            return False
        if written < length:
            os.ftruncate(self._fd, self.size)
            return False
        self.size += length
        return True

    def rotate(self) -> bool:
        """Begin the next file and remove what is then too old; False, and nothing done, if that has to wait for a reader."""
        due = range(self._oldest, self.generation + 2 - self._max_file)
        if not all(self._may_drop(old) for old in due):
            return False
        os.close(self._fd)
        self._open(self.generation + 1)
        for old in due:
            self._unlink(old)
        self._oldest = max(self._oldest, due.stop)
        return True

    @property
    def is_full(self) -> bool:
        """Whether the file is at its limit, so that `rotate` is due."""
        return bool(self._max_size) and self.size >= self._max_size

    def _unlink(self, generation: int) -> None:
        try:
            os.unlink(f"{self._directory}/{generation}")
        except FileNotFoundError:
            pass

    def close(self) -> None:
        os.close(self._fd)


def _ends_whole(fd: int, size: int) -> bool:
    """Whether the file's last bytes are the end of a record whose head is where it says."""
    if size < FRAME:
        return False
    length, = TAIL.unpack(os.pread(fd, TAIL.size, size - TAIL.size))
    if not FRAME <= length <= size:
        return False
    _, count, _, _, magic = HEAD.unpack(os.pread(fd, HEAD.size, size - length))
    return bool(magic == MAGIC and count + FRAME == length)


def _whole(fd: int, size: int) -> int:
    """Length of the part of the file that is whole records."""
    at = 0
    while at + FRAME <= size:
        _, count, _, _, magic = HEAD.unpack(os.pread(fd, HEAD.size, at))
        end = at + count + FRAME
        if magic != MAGIC or end > size or TAIL.unpack(os.pread(fd, TAIL.size, end - TAIL.size))[0] != count + FRAME:
            break
        at = end
    return at
