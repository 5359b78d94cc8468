"""Content-defined chunks: bytes -> pieces whose boundaries depend on the bytes around them, so that an insertion moves no later boundary.

Candidates are found at the speed of C: every byte is mapped to whether it belongs to one sixteenth of all values, and three in a row that do
are a candidate (one in about 5 KiB, in programs, texts and random data alike). Among the candidates of a window that begins MIN and ends MAX
bytes after the last boundary, the one whose surroundings have the lowest checksum is the next boundary: about 1 MiB on average, whatever the data.
"""

from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIN, MAX = 64 << 10, 2 << 20             # bytes of a chunk; the last one of a stream may have less
WHOLE = 128 << 10                        # a stream of up to so many bytes is one chunk
_BLOCK = 16 << 20
_LOOK = 48                               # bytes before a boundary that the checksum is of
# which values are marked decides how often candidates come: these multipliers give the same rate in text as in programs (bench/cache.py)
_MARKS = bytes(1 if (value * 13 + 185) & 255 < 16 else 0 for value in range(256))
_RUN = b"\1\1\1"


def chunks(read: "Callable[[int], bytes]") -> "Iterator[bytes]":
    """read: gives up to that many further bytes of a stream, b"" at its end. Law: together the chunks are the stream."""
    data = read(_BLOCK)
    if len(data) <= WHOLE:
        more = read(_BLOCK)
        data += more
        if len(data) <= WHOLE:
            if data:
                yield data
            return
    ended = False
    while not ended:
        more = read(_BLOCK)
        data += more
        ended = not more
        start = 0
        for end in boundaries(data, ended):
            yield data[start:end]
            start = end
        data = data[start:]


def boundaries(data: bytes, ended: bool) -> "list[int]":
    """Ends of the chunks in `data`, which begins at a boundary. ended: nothing comes after it; else the last MAX bytes are not decided yet."""
    found: list[int] = []
    if len(data) <= MIN:
        return [len(data)] if ended and data else []
    candidates = _candidates(data)
    start, first = 0, 0
    while len(data) - start > (MIN if ended else MAX):
        low, high = start + MIN, start + MAX
        while first < len(candidates) and candidates[first][0] < low:
            first += 1
        best, at, index = 1 << 32, min(high, len(data)), first
        while index < len(candidates) and candidates[index][0] <= high:
            if candidates[index][1] < best:
                at, best = candidates[index]
            index += 1
        if ended and len(data) - start <= MAX // 2:      # the rest is one chunk rather than two small ones
            break
        found.append(at)
        start = at
    if ended and start < len(data):
        found.append(len(data))
    return found


def _candidates(data: bytes) -> "list[tuple[int, int]]":
    """(position, checksum) of each candidate, in order."""
    marks = data.translate(_MARKS)
    find, found = marks.find, []
    at = find(_RUN, MIN)
    while at >= 0:
        position = at + 3
        found.append((position, crc32(data[position - _LOOK:position])))
        at = find(_RUN, position)
    return found
