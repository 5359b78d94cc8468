"""Tree -> layer tar: its diff ID, its bytes, a compressed blob. In: rows and the directories that hold the files; out: digests and bytes.

Read in this order: `plan` (what the tar will hold, no file read), `_fill` (one piece's bytes), `write_blob`. One thread reads and lays out, one
hashes the tar, the others compress. A piece ends at an entry whose name's crc says so, so that a change in one file moves no other piece; pieces
that an earlier blob has (same headers, same contents) are copied from it. The bytes depend on the tree only, never on what was reused.
"""

import os
import zlib

from kernel.value import Value
from store.crew import Crew, HashingThread
from store.digest import Digest, Hasher, sha256
from store.errors import InvalidLayer, StoreError
from store.tarheader import END, LINK, header, padding
from store.tree import (
    CHARACTER,
    DEVICE,
    DIRECTORY,
    FORMAT,
    INODE,
    LINKS,
    MODE,
    OPAQUE,
    OPEN_DIRECTORY,
    OPEN_FILE,
    REGULAR,
    SIZE,
    open_below,
    sorted_names,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from store.crew import Job
    from store.tree import Row, Stat, Tree

    Sink = Callable[[bytes | bytearray | memoryview], object]
    Item = tuple[bytes, str, str, int, int, int]         # headers, directory, name, offset, length, padding

PIECE_MIN, PIECE_MAX = 512 << 10, 4 << 20                # bytes of tar in a piece
_INLINE = 1 << 20                                        # up to here a thread costs more than it brings
_GONE: "Stat" = (REGULAR, 0, 0, 0, 0, 0, 0, 1, 0)        # a whiteout in the tar: an empty file without a past


class Piece(Value):
    """A part of the tar. `key` names its bytes: of the headers and the digests of the contents."""

    key: bytes
    items: "tuple[Item, ...]"
    size: int


class Pieces(Value):
    """Where the pieces of a blob lie, so that a later one can take them over. table: key -> (offset, packed bytes, crc32, tar bytes)."""

    compression: str
    level: int
    table: "dict[bytes, tuple[int, int, int, int]]"


class Packed(Value):
    """A blob that was written. tar_size: bytes before compression."""

    diff_id: Digest
    tar_size: int
    digest: Digest
    size: int
    pieces: Pieces


# ---------------------------------------------------------------- what the tar holds
def plan(tree: "Tree") -> "tuple[Piece, ...]":
    """The tar's pieces in order. Directories before what is in them, names sorted; overlay's marks become whiteouts of the image spec.

    Raises InvalidLayer for a name that a layer cannot carry.
    """
    planner = _Planner()
    for rel in sorted_names(list(tree)):
        for row in tree[rel]:
            planner.add(rel, row)
    return planner.finish()


def tar_size(pieces: "tuple[Piece, ...]") -> int:
    """Bytes of the whole tar."""
    return sum(piece.size for piece in pieces)


class _Planner:
    def __init__(self) -> None:
        self._links: "dict[int, bytes]" = {}             # inode -> the first path that has it
        self._pieces: "list[Piece]" = []
        self._items: "list[Item]" = []
        self._size = 0
        self._key = sha256()

    def add(self, rel: str, row: "Row") -> None:
        name, stat, link, xattrs, content = row
        kind = stat[MODE] & FORMAT
        path = os.fsencode(rel + name)
        if name.startswith(".wh."):
            raise InvalidLayer("has a name that means a deletion in a layer (`.wh.`), so it cannot be part of an image", rel + name)
        head, body = b"", 0
        if kind == CHARACTER and stat[DEVICE] == 0:
            path = os.fsencode(f"{rel}.wh.{name}")
            head = header(path, _GONE)
        elif kind == DIRECTORY:
            path += b"/"
            carried = tuple(x for x in xattrs if x != OPAQUE)
            head = header(path, stat, xattrs=carried)
            if len(carried) < len(xattrs):
                head += header(path + b".wh..wh..opq", _GONE)
        elif stat[LINKS] > 1 and (first := self._links.setdefault(stat[INODE], path)) is not path:
            head = header(path, stat, first, LINK)
        else:
            head = header(path, stat, os.fsencode(link), b"", xattrs)
            body = stat[SIZE] if kind == REGULAR else 0
        self._put(rel, name, path, head, body, content)

    def _put(self, rel: str, name: str, path: bytes, head: bytes, body: int, content: bytes) -> None:
        self._key.update(head)
        self._key.update(content)
        at = 0
        while body - at > PIECE_MAX:                     # a large file is several pieces
            self._items.append((head, rel, name, at, PIECE_MAX, 0))
            self._size += len(head) + PIECE_MAX
            at += PIECE_MAX
            head = b""
            self._cut()
            self._key.update(b"%b %d" % (content, at))
        rest = body - at
        self._items.append((head, rel, name, at, rest, padding(rest)))
        self._size += len(head) + rest + padding(rest)
        if self._size >= PIECE_MAX or (self._size >= PIECE_MIN and zlib.crc32(path) & 15 == 0):
            self._cut()

    def _cut(self) -> None:
        self._pieces.append(Piece(self._key.digest(), tuple(self._items), self._size))
        self._items, self._size, self._key = [], 0, sha256()

    def finish(self) -> "tuple[Piece, ...]":
        self._key.update(b"end")
        self._items.append((END, "", "", 0, 0, 0))
        self._size += len(END)
        self._cut()
        return tuple(self._pieces)


# ---------------------------------------------------------------- its bytes
class _Source:
    """Reads files of a tree out of the directories it is spread over, the topmost that has a name first."""

    def __init__(self, directories: "Sequence[str]") -> None:
        self._roots: "list[int]" = []
        self._fds: "list[int]" = []
        self._rel: "str | None" = None
        try:
            for directory in directories:
                self._roots.append(os.open(directory, OPEN_DIRECTORY))
        except BaseException:
            self.close()
            raise

    def fill(self, piece: Piece) -> bytearray:
        """The bytes of one piece."""
        buffer = bytearray(piece.size)
        view, at = memoryview(buffer), 0
        for head, rel, name, offset, length, pad in piece.items:
            view[at:at + len(head)] = head
            at += len(head)
            if length:
                self._read(rel, name, view[at:at + length], offset)
            at += length + pad
        return buffer

    def _read(self, rel: str, name: str, view: memoryview, offset: int) -> None:
        if rel != self._rel:
            self._enter(rel)
        fd = self._open(name)
        try:
            done = 0
            while done < len(view):
                count = os.preadv(fd, [view[done:]], offset + done)
                if not count:
                    raise StoreError(f"`{rel}{name}` of a snapshot has become shorter: something wrote to the store")
                done += count
        finally:
            os.close(fd)

    def _open(self, name: str) -> int:
        for fd in self._fds:
            try:
                return os.open(name, OPEN_FILE, dir_fd=fd)
            except FileNotFoundError:
                continue
        raise StoreError(f"`{self._rel}{name}` of a snapshot is gone: something wrote to the store")

    def _enter(self, rel: str) -> None:
        self._leave()
        for root in self._roots:
            try:
                self._fds.append(open_below(root, rel))
            except OSError:                              # another kind of thing there, or nothing: not this layer's
                continue
        self._rel = rel

    def _leave(self) -> None:
        while self._fds:
            os.close(self._fds.pop())
        self._rel = None

    def close(self) -> None:
        self._leave()
        while self._roots:
            os.close(self._roots.pop())

    def __enter__(self) -> "_Source":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()


# ---------------------------------------------------------------- digests and blobs
def diff_id(tree: "Tree", directories: "Sequence[str]") -> Digest:
    """Digest of the layer's tar, which is made for this and not kept. directories: of the snapshot, topmost first."""
    return write_tar(tree, directories, None)[0]


def write_tar(tree: "Tree", directories: "Sequence[str]", write: "Sink | None") -> "tuple[Digest, int]":
    """Give the tar to `write`, piece by piece. Returns (diff ID, bytes)."""
    pieces = plan(tree)
    size = tar_size(pieces)
    with _Source(directories) as source:
        hasher = Hasher() if size <= _INLINE else HashingThread()
        try:
            for piece in pieces:
                data = source.fill(piece)
                hasher.update(data)
                if write:
                    write(data)
        finally:
            digest = Digest(hasher.finish() if isinstance(hasher, HashingThread) else hasher.digest())
    return digest, size


def write_blob(tree: "Tree", directories: "Sequence[str]", write: "Sink", compression: str = "gzip", level: "int | None" = None, *,
               earlier: "tuple[int, Pieces] | None" = None, threads: int = 0) -> Packed:
    """Give the compressed tar to `write`, in order. The same tree, compression and level give the same bytes.

    earlier: (fd of another blob, its pieces): what they share is copied from it. threads: 0 = as many as there are processors.
    """
    pieces = plan(tree)
    with _Source(directories) as source:
        return _pack(((piece.key, source.fill(piece)) for piece in pieces), write, compression, level, earlier, threads)


def repack(chunks: "Iterable[bytes]", write: "Sink", compression: str, level: "int | None" = None, threads: int = 0) -> Packed:
    """Compress a tar that is given as a stream, in pieces of 4 MiB."""
    return _pack(((b"%d" % number, data) for number, data in enumerate(_even(chunks))), write, compression, level, None, threads)


def _even(chunks: "Iterable[bytes]") -> "Iterator[bytearray]":
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= PIECE_MAX:
            yield buffer[:PIECE_MAX]
            buffer = buffer[PIECE_MAX:]
    yield buffer


def _pack(pieces: "Iterable[tuple[bytes, bytearray]]", write: "Sink", compression: str, level: "int | None",
          earlier: "tuple[int, Pieces] | None", threads: int) -> Packed:
    from store.compression import crc32_combine, default_level, head, tail

    level = default_level(compression) if level is None else level
    known = earlier[1].table if earlier and earlier[1][:2] == (compression, level) else {}
    out = _Out(write)
    out.put(head(compression))
    table: "dict[bytes, tuple[int, int, int, int]]" = {}
    crc = size = 0
    threads = threads or min(os.cpu_count() or 1, 8)
    waiting: "list[tuple[bytes, int, Job[tuple[bytes, int]]]]" = []

    def land() -> None:
        nonlocal crc
        key, length, job = waiting.pop(0)
        packed, piece_crc = job.result()
        table[key] = out.size, len(packed), piece_crc, length
        crc = crc32_combine(crc, piece_crc, length)
        out.put(packed)

    hashing = HashingThread()
    try:
        with Crew(threads) as crew:
            for key, data in pieces:
                hashing.update(data)
                size += len(data)
                at = known.get(key)
                call = _copier(earlier[0], at) if at and earlier else _packer(data, compression, level)
                waiting.append((key, len(data), crew.submit(call)))
                if len(waiting) > threads + 2:
                    land()
            while waiting:
                land()
    finally:
        tar_digest = Digest(hashing.finish())
    out.put(tail(compression, crc, size))
    return Packed(tar_digest, size, out.hasher.digest(), out.size, Pieces(compression, level, table))


class _Out:
    def __init__(self, write: "Sink") -> None:
        self._write = write
        self.hasher = Hasher()

    @property
    def size(self) -> int:
        return self.hasher.size

    def put(self, data: bytes) -> None:
        if data:
            self.hasher.update(data)
            self._write(data)


def _packer(data: bytearray, compression: str, level: int) -> "Callable[[], tuple[bytes, int]]":
    def pack() -> "tuple[bytes, int]":
        from store.compression import compress_piece, crc32

        return compress_piece(data, compression, level), crc32(data) if compression == "gzip" else 0
    return pack


def _copier(fd: int, at: "tuple[int, int, int, int]") -> "Callable[[], tuple[bytes, int]]":
    def copy() -> "tuple[bytes, int]":
        offset, length, crc, _ = at
        data = os.pread(fd, length, offset)
        if len(data) != length:
            raise StoreError("a blob of the store has become shorter")
        return data, crc
    return copy
