"""A cache mount as documents. Read in this order: Entry (a file), `write_listing` (entries -> chunks), tables (what a pack holds), MountIndex.

The contents of files and the listing itself are chunks, named by sha256. Chunks lie in packs; a table says which ones, in order, and a table
that is known need not be fetched to know what is there. Everything here may have been written by anybody when it is read.
"""

from zlib import crc32

import msgspec
from msgspec import Struct

from builder.cache.errors import InvalidCache
from kernel.value import Value
from store.digest import sha256
from store.oci import Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ID = 32                                  # bytes of a chunk's name
INDEX_LIMIT, TABLE_LIMIT = 8 << 20, 8 << 20
PACK_BYTES = 24 << 20                    # of chunks in a pack, before compression
PACK_LIMIT = 64 << 20                    # of a pack that is read
_ROW = ID + 4
_ENTRIES = 5_000_000
_PACKS = 20_000
_CUT_MIN, _CUT_MAX = 16 << 10, 256 << 10
_HEADER = 4
FILE, DIRECTORY, SYMLINK, HARDLINK = "f", "d", "l", "h"


class Entry(Struct, frozen=True, array_like=True):
    """One name. link: target of a symlink; path of the first name of a hard link; chunks: names of a file's chunks, one after the other."""

    name: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    link: bytes = b""
    chunks: bytes = b""

    def __post_init__(self) -> None:
        if self.name in (b"", b".", b"..") or len(self.name) > 255 or b"/" in self.name or b"\0" in self.name or b"\0" in self.link:
            raise ValueError("a name that no file can have")
        if self.kind not in (FILE, DIRECTORY, SYMLINK, HARDLINK) or len(self.chunks) % ID or not 0 <= self.mode <= 0o7777:
            raise ValueError("an entry that is none")
        if not (0 <= self.uid < 1 << 32 and 0 <= self.gid < 1 << 32 and abs(self.mtime_ns) < 1 << 62):
            raise ValueError("a number that is too large")


class _Run(Struct, frozen=True, array_like=True):
    """Entries that follow each other in one directory ("" or "a/b")."""

    directory: bytes
    entries: tuple[Entry, ...]


class PackRef(Struct, frozen=True):
    pack: Descriptor
    table: Descriptor


class MountIndex(Struct, frozen=True):
    """The whole of a cache mount. listing: names of the chunks that are the listing, in hexadecimal; mode, uid, gid: of the directory itself."""

    packs: tuple[PackRef, ...]
    listing: tuple[str, ...]
    files: int = 0
    size: int = 0                        # bytes of all files
    mode: int = 0o755
    uid: int = 0
    gid: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.mode <= 0o7777 and 0 <= self.uid < 1 << 32 and 0 <= self.gid < 1 << 32):
            raise ValueError("a number that is too large")
        if len(self.packs) > _PACKS or any(len(name) != 2 * ID or name.strip("0123456789abcdef") for name in self.listing):
            raise ValueError("a cache mount that is none")


class Chunk(Value):
    name: bytes
    size: int


# ---------------------------------------------------------------- listing
def write_listing(directories: "Iterable[tuple[bytes, list[Entry]]]") -> "Iterator[bytes]":
    """The listing's chunks, cut where names say so: a change in one directory leaves most of them as they were."""
    chunk, weight = b"", 0
    for directory, entries in directories:
        run: list[Entry] = []
        for entry in entries:
            run.append(entry)
            weight += 60 + len(entry.name) + len(entry.chunks)
            if weight >= _CUT_MAX or (weight >= _CUT_MIN and crc32(directory + b"/" + entry.name) & 31 == 0):
                yield chunk + _encoded(directory, run)
                chunk, weight, run = b"", 0, []
        if run:
            chunk += _encoded(directory, run)
    if chunk:
        yield chunk


def _encoded(directory: bytes, run: "list[Entry]") -> bytes:
    body = msgspec.msgpack.encode(_Run(directory, tuple(run)))
    return len(body).to_bytes(_HEADER, "little") + body


def read_listing(chunks: "Iterable[bytes]", what: str) -> "Iterator[tuple[bytes, Entry]]":
    """(directory, entry) of everything, directories before what is in them. Raises InvalidCache."""
    decoder = msgspec.msgpack.Decoder(_Run)
    known, total = {b""}, 0
    try:
        for chunk in chunks:
            at = 0
            while at < len(chunk):
                size = int.from_bytes(chunk[at:at + _HEADER], "little")
                run = decoder.decode(chunk[at + _HEADER:at + _HEADER + size])
                at += _HEADER + size
                if run.directory not in known:
                    raise ValueError("a directory that comes from nowhere")
                for entry in run.entries:
                    total += 1
                    if total > _ENTRIES:
                        raise ValueError(f"more than {_ENTRIES} files")
                    if entry.kind == DIRECTORY:
                        known.add(join(run.directory, entry.name))
                    yield run.directory, entry
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidCache(what, f"a cache mount has {error}") from error


def join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


# ---------------------------------------------------------------- tables
def write_table(chunks: "Iterable[Chunk]") -> bytes:
    return b"".join(chunk.name + chunk.size.to_bytes(4, "little") for chunk in chunks)


def read_table(data: bytes, what: str) -> "tuple[Chunk, ...]":
    """Raises InvalidCache."""
    if len(data) % _ROW or len(data) > TABLE_LIMIT:
        raise InvalidCache(what, "a table of a cache mount is damaged")
    found = tuple(Chunk(data[at:at + ID], int.from_bytes(data[at + ID:at + _ROW], "little")) for at in range(0, len(data), _ROW))
    if sum(chunk.size for chunk in found) > PACK_LIMIT:
        raise InvalidCache(what, "a pack of a cache mount is too large")
    return found


def name_of(data: "bytes | memoryview") -> bytes:
    return sha256(data).digest()


def parse_index(data: bytes, what: str) -> MountIndex:
    """Raises InvalidCache."""
    try:
        return msgspec.json.decode(data, type=MountIndex)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCache(what, f"a cache mount's index: {error}") from error
