"""Content-defined chunks: bytes -> pieces whose boundaries depend on the bytes around them, so that an insertion moves no later boundary.

Candidates are found at the speed of C: every byte is mapped to whether it belongs to one sixteenth of all values, and three in a row that do
are a candidate (one in about 5 KiB, in programs, texts and random data alike). Among the candidates of a window that begins MIN and ends MAX
bytes after the last boundary, the one whose surroundings have the lowest checksum is the next boundary: about 1 MiB on average, whatever the data.
Where a window has none (a small alphabet: digits, a few words over and over), other marks and shorter runs are looked for in it.
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
_TABLES = tuple(bytes(1 if (value * 13 + shift) & 255 < 16 else 0 for value in range(256)) for shift in (185, 201, 217, 233, 249, 9, 25, 41))
_RUNS = (b"\1\1\1", b"\1\1", b"\1")


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
    candidates = _candidates(data, MIN, len(data), _TABLES[0], _RUNS[0])
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
        if best == 1 << 32:
            at = _elsewhere(data, low, at)
        if ended and len(data) - start <= MAX // 2:      # the rest is one chunk rather than two small ones
            break
        found.append(at)
        start = at
    if ended and start < len(data):
        found.append(len(data))
    return found


def _candidates(data: bytes, low: int, high: int, table: bytes, run: bytes) -> "list[tuple[int, int]]":
    """(position, checksum) of each candidate from `low` to `high`, in order."""
    marks = data[low:high].translate(table)
    find, found = marks.find, []
    at = find(run)
    while at >= 0:
        at += len(run)
        found.append((low + at, crc32(data[low + at - _LOOK:low + at])))
        at = find(run, at)
    return found


def _elsewhere(data: bytes, low: int, high: int) -> int:
    """A boundary for a window without candidates, by whatever marks there are; its end if there are none (all of its bytes are the same)."""
    if data.count(data[low:low + 1], low, high) < high - low:
        for run in _RUNS:
            for table in _TABLES:
                found = _candidates(data, low, high, table, run)
                if found:
                    return min(found, key=lambda candidate: candidate[1])[0]
    return high
