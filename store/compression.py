"""Compression of layers: gzip, zstd, and reading of bzip2 and xz too. In: chunks; out: chunks. The only importer of isal and zstd.

A blob is written in independent pieces (raw deflate ended by a full flush, or one zstd frame each), so that pieces can be made in parallel, copied
from an earlier blob, and are the same bytes however many threads made them. isal is what makes gzip fast; without it zlib does the same work.
"""

import zlib

from store.errors import InvalidLayer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

_OUT = 1 << 20                           # bytes that one step of decompression gives at most
_WINDOW_LOG = 27                         # zstd: 128 MiB; what a hostile frame can make us allocate
_MAGIC = ((b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"))

GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"       # no name, no time: deterministic


def detect(head: bytes) -> str:
    """"gzip", "zstd", "bzip2", "xz", or "uncompressed" by the first six bytes of the data."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18":
        return "zstd"                    # a skippable frame comes first (zstd:chunked)
    return "uncompressed"


def peek(chunks: "Iterable[bytes]") -> "tuple[bytes, Iterator[bytes]]":
    """(the first six bytes, for `detect`; the same stream from its beginning)."""
    rest = iter(chunks)
    first = b""
    while len(first) < 6 and (chunk := next(rest, None)) is not None:
        first += chunk

    def stream() -> "Iterator[bytes]":
        if first:
            yield first
        yield from rest
    return first[:6], stream()


# ---------------------------------------------------------------- reading
def decompress(chunks: "Iterable[bytes]", kind: str) -> "Iterator[bytes]":
    """kind: as `detect` says. Pieces of at most 1 MiB; raises InvalidLayer for damaged or cut data."""
    if kind == "uncompressed":
        return iter(chunks)
    if kind == "gzip":
        return _gunzip(chunks)
    return _unpack(chunks, kind)


def _gunzip(chunks: "Iterable[bytes]") -> "Iterator[bytes]":
    make, failures = _inflater()
    stream: "Any" = make()
    begun, ended = False, False
    try:
        for chunk in chunks:
            while chunk:
                if ended:
                    if not chunk.strip(b"\0"):
                        break            # padding of the medium
                    stream, ended = make(), False
                begun = True
                data = stream.decompress(chunk, _OUT)
                if data:
                    yield data
                while len(data) == _OUT and not stream.eof and not stream.unconsumed_tail:
                    data = stream.decompress(b"", _OUT)        # what is left inside
                    if data:
                        yield data
                ended = stream.eof
                chunk = stream.unused_data if ended else stream.unconsumed_tail
    except failures as error:
        raise InvalidLayer(f"is damaged gzip data ({error})") from error
    if begun and not ended:
        raise InvalidLayer("ends in the middle of its gzip data")


def _unpack(chunks: "Iterable[bytes]", kind: str) -> "Iterator[bytes]":
    make, failures = _decompressor(kind)
    stream: "Any" = make()
    begun, ended = False, False
    try:
        for chunk in chunks:
            while chunk:
                if ended:
                    if not chunk.strip(b"\0"):
                        break
                    stream, ended = make(), False
                begun = True
                data = stream.decompress(chunk, _OUT)
                if data:
                    yield data
                while not stream.eof and not stream.needs_input:
                    data = stream.decompress(b"", _OUT)
                    if data:
                        yield data
                ended = stream.eof
                chunk = stream.unused_data if ended else b""
    except failures as error:
        raise InvalidLayer(f"is damaged {kind} data ({error})") from error
    if begun and not ended:
        raise InvalidLayer(f"ends in the middle of its {kind} data")


def _inflater() -> "tuple[Callable[[], Any], tuple[type[Exception], ...]]":
    try:
        from isal import isal_zlib
    except ImportError:
        return (lambda: zlib.decompressobj(31)), (zlib.error,)
    failure: "Any" = isal_zlib.error      # an exception class, whatever its stub says
    return (lambda: isal_zlib.decompressobj(31)), (failure, zlib.error)


def _decompressor(kind: str) -> "tuple[Callable[[], Any], tuple[type[Exception], ...]]":
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Decompressor, (OSError, ValueError)
    if kind == "xz":
        import lzma

        return (lambda: lzma.LZMADecompressor(memlimit=1 << 28)), (lzma.LZMAError,)
    zstd = _zstd()
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    return (lambda: zstd.ZstdDecompressor(options=options)), (zstd.ZstdError,)


def _zstd() -> "Any":
    try:
        from compression import zstd  # Python 3.14
    except ImportError:
        from backports import zstd
    return zstd


# ---------------------------------------------------------------- writing
def default_level(compression: str) -> int:
    return {"gzip": 1, "zstd": 3}.get(compression, 0)


def compress_piece(data: "bytes | bytearray | memoryview", compression: str, level: int) -> bytes:
    """One independent piece of a blob. gzip: levels up to 3 are isal's, above that zlib's."""
    if compression == "uncompressed":
        return bytes(data)
    if compression == "zstd":
        packed: bytes = _zstd().compress(data, level)
        return packed
    deflate: "Any" = None
    if level <= 3:
        try:
            from isal import isal_zlib

            deflate = isal_zlib.compressobj(max(level, 0), isal_zlib.DEFLATED, -15)
        except ImportError:
            pass
    if deflate is None:
        deflate = zlib.compressobj(max(level, 1), zlib.DEFLATED, -15)
    out: bytes = deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)
    return out


def crc32(data: "bytes | bytearray | memoryview") -> int:
    """Several times the speed of zlib's, where isal is there."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.crc32(data)
    value: int = isal_zlib.crc32(data)
    return value


def head(compression: str) -> bytes:
    """What comes before the first piece."""
    return GZIP_HEAD if compression == "gzip" else b""


def tail(compression: str, crc: int, size: int) -> bytes:
    """What comes after the last piece. crc, size: of the uncompressed bytes."""
    if compression != "gzip":
        return b""
    return b"\x03\0" + crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


# ---------------------------------------------------------------- crc of a concatenation
# The crc of "first, then second" is the crc of first pushed through as many zero bytes as second has, xor the crc of second. Pushing through
# one zero byte is a 32x32 matrix over GF(2); squaring it gives 2, 4, 8 .. bytes.
_powers: "list[list[int]]" = []


def crc32_combine(first: int, second: int, length: int) -> int:
    """crc32 of two byte strings one after the other; length: bytes of the second."""
    if not _powers:
        matrix = [0xEDB88320] + [1 << n for n in range(31)]                # one zero bit
        for _ in range(3):
            matrix = _square(matrix)
        for _ in range(48):
            _powers.append(matrix)
            matrix = _square(matrix)
    step = 0
    while length:
        if length & 1:
            first = _times(_powers[step], first)
        length >>= 1
        step += 1
    return first ^ second


def _times(matrix: "list[int]", vector: int) -> int:
    total = row = 0
    while vector:
        if vector & 1:
            total ^= matrix[row]
        vector >>= 1
        row += 1
    return total


def _square(matrix: "list[int]") -> "list[int]":
    return [_times(matrix, vector) for vector in matrix]
