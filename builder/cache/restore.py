"""Cache mounts on their way in: restored when the first RUN mounts them, into a directory that is not there yet under its name.

In: what caches have of a mount, and a fresh empty directory; out: its files, dressed as they were. Everything is made by directory fd, nothing is
followed; chunks are verified before they are written. Packs are fetched, checked and decompressed in threads, and written by the caller's.
"""

import os

from builder.cache.depot import blob
from builder.cache.errors import InvalidCache
from builder.cache.memo import Memo
from builder.cache.mountindex import (
    DIRECTORY,
    FILE,
    HARDLINK,
    ID,
    INDEX_LIMIT,
    PACK_LIMIT,
    TABLE_LIMIT,
    Chunk,
    Entry,
    join,
    name_of,
    parse_index,
    read_listing,
    read_table,
)
from kernel.paths import DIRECTORY as OPEN_DIRECTORY
from kernel.paths import open_beneath
from kernel.value import Value
from store.compression import decompress
from store.crew import Crew
from store.errors import InvalidLayer
from store.room import reserve
from store.tree import stat_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.cache.depot import Depot
    from builder.cache.document import MountEntry
    from builder.cache.imported import Imported
    from builder.cache.mountindex import PackRef
    from store.crew import Job
    from store.store import Store
    from store.tree import Stat

    Found = list[tuple[Chunk, memoryview]]

_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_THREADS = 3
_AHEAD = 3                               # packs in memory
_PATH_LIMIT = 4096                       # bytes: no program could open more


class Restored(Value):
    id: str
    files: int
    size: int                            # bytes
    cache: str


def restore_mount(store: "Store", imported: "Imported", name: str, path: str) -> "Restored | None":
    """Fill the empty directory with the mount of this name; None if no cache has it.

    Raises CacheError, StoreError, OSError; the directory is then partly written: empty it.
    """
    for number, entry in imported.mounts():
        if entry.name == name:
            return _restore(store, imported.depot(number), entry, path)
    return None


def _restore(store: "Store", depot: "Depot", entry: "MountEntry", path: str) -> Restored:
    index = parse_index(blob(depot, entry.index, INDEX_LIMIT), depot.title)
    with Crew(_THREADS) as crew:
        jobs = [(ref, crew.submit(_blob_of(depot, ref))) for ref in index.packs]
        tables = [(ref, job.result()) for ref, job in jobs]
    where = {chunk.name: number for number, (_, data) in enumerate(tables) for chunk in read_table(data, depot.title)}
    sizes = {chunk.name: chunk.size for _, data in tables for chunk in read_table(data, depot.title)}
    parts = [bytes.fromhex(part) for part in index.listing]
    wanted, listing = set(parts), {}
    for number in sorted({_known(where, part, depot) for part in wanted}):
        for chunk, data in _pack(depot, tables[number][0], read_table(tables[number][1], depot.title)):
            if chunk.name in wanted:
                listing[chunk.name] = bytes(data)
    root = os.open(path, OPEN_DIRECTORY)
    try:
        writing = _Writing(root, sizes, depot.title)
        for directory, item in read_listing((listing[part] for part in parts), depot.title):
            writing.plan(directory, item)
        needed = sorted({_known(where, part, depot) for part in writing.chunks})
        reserve(store, writing.size)
        with Crew(_THREADS) as crew:
            _write_packs(crew, depot, [tables[number] for number in needed], writing)
        writing.finish()
        _dress(root, Entry(b"top", DIRECTORY, index.mode, index.uid, index.gid, os.fstat(root).st_mtime_ns))
    finally:
        os.close(root)
    Memo(f"{os.path.dirname(path)}/memo").replace(writing.done, {str(ref.table.digest): data for ref, data in tables})
    return Restored(entry.id, len(writing.done), writing.size, depot.title)


def _blob_of(depot: "Depot", ref: "PackRef") -> "Callable[[], bytes]":
    return lambda: blob(depot, ref.table, TABLE_LIMIT)


def _known(where: "dict[bytes, int]", name: bytes, depot: "Depot") -> int:
    number = where.get(name)
    if number is None:
        raise InvalidCache(depot.title, "a cache mount has files whose contents are in no pack")
    return number


def _pack(depot: "Depot", ref: "PackRef", chunks: "tuple[Chunk, ...]") -> "Found":
    """Everything in a pack, verified."""
    size = sum(chunk.size for chunk in chunks)
    data = bytearray()
    try:
        for piece in decompress([blob(depot, ref.pack, PACK_LIMIT)], "zstd"):
            data += piece
            if len(data) > size:
                break
    except InvalidLayer as error:
        raise InvalidCache(depot.title, f"a pack of a cache mount {error.reason}") from error
    found, at, view = [], 0, memoryview(data)
    for chunk in chunks:
        part = view[at:at + chunk.size]
        at += chunk.size
        if name_of(part) != chunk.name:
            raise InvalidCache(depot.title, "a pack of a cache mount is not what its table says")
        found.append((chunk, part))
    return found


def _write_packs(crew: Crew, depot: "Depot", tables: "list[tuple[PackRef, bytes]]", writing: "_Writing") -> None:
    waiting: list[Job[Found]] = []
    for ref, data in tables:
        waiting.append(crew.submit(_pack_of(depot, ref, read_table(data, depot.title))))
        if len(waiting) > _AHEAD:
            writing.write(waiting.pop(0).result())
    while waiting:
        writing.write(waiting.pop(0).result())


def _pack_of(depot: "Depot", ref: "PackRef", chunks: "tuple[Chunk, ...]") -> "Callable[[], Found]":
    return lambda: _pack(depot, ref, chunks)


class _File:
    """A file that is being written. left: chunks that are still to come."""

    __slots__ = ("chunks", "entry", "left", "path")

    def __init__(self, path: bytes, entry: Entry, chunks: "tuple[Chunk, ...]") -> None:
        self.path, self.entry, self.chunks, self.left = path, entry, chunks, len(chunks)


class _Writing:
    """Makes what the listing says: directories at once, files as their chunks come, links and the directories' looks in the end."""

    def __init__(self, root: int, sizes: "dict[bytes, int]", title: str) -> None:
        self._root, self._sizes, self._title = root, sizes, title
        self._files: "dict[bytes, list[tuple[_File, int]]]" = {}         # chunk -> who needs it, and where
        self._later: list[tuple[bytes, Entry]] = []
        self._directories: list[tuple[bytes, Entry]] = []
        self._open: tuple[bytes, int] = (b"", -1)
        self.size = 0
        self.done: "dict[str, tuple[Stat, tuple[Chunk, ...]]]" = {}

    @property
    def chunks(self) -> "set[bytes]":
        return set(self._files)

    def plan(self, directory: bytes, entry: Entry) -> None:
        path = join(directory, entry.name)
        if len(path) > _PATH_LIMIT:
            raise InvalidCache(self._title, "a cache mount has a path that is too long")
        if entry.kind == DIRECTORY:
            os.mkdir(entry.name, 0o700, dir_fd=self._enter(directory))
            self._directories.append((path, entry))
        elif entry.kind == FILE:
            names = [entry.chunks[at:at + ID] for at in range(0, len(entry.chunks), ID)]
            if not all(name in self._sizes for name in names):
                raise InvalidCache(self._title, "a cache mount has files whose contents are in no pack")
            file = _File(path, entry, tuple(Chunk(name, self._sizes[name]) for name in names))
            at = 0
            for chunk in file.chunks:
                self._files.setdefault(chunk.name, []).append((file, at))
                at += chunk.size
            self.size += at
            if not file.chunks:
                self._put(file, b"", 0)
        else:
            self._later.append((path, entry))

    def _enter(self, directory: bytes) -> int:
        if self._open[0] != directory or self._open[1] < 0:
            self._leave()
            self._open = (directory, self._opened(directory))
        return self._open[1]

    def _opened(self, directory: bytes) -> int:
        return open_beneath(self._root, os.fsdecode(directory), OPEN_DIRECTORY) if directory else os.dup(self._root)

    def _leave(self) -> None:
        if self._open[1] >= 0:
            os.close(self._open[1])
        self._open = (b"", -1)

    def write(self, found: "Found") -> None:
        """Put the chunks of a pack where they belong."""
        for chunk, data in found:
            for file, at in self._files.pop(chunk.name, ()):
                self._put(file, data, at)

    def _put(self, file: _File, data: "memoryview | bytes", at: int) -> None:
        directory, _, name = file.path.rpartition(b"/")
        begun = file.left < len(file.chunks)
        fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC if begun else _MAKE, 0o600, dir_fd=self._enter(directory))
        try:
            while data:
                done = os.pwrite(fd, data, at)
                data, at = data[done:], at + done
            file.left -= 1
            if file.left <= 0:
                _dress(fd, file.entry)
                self.done[os.fsdecode(file.path)] = stat_row(os.fstat(fd)), file.chunks
        finally:
            os.close(fd)

    def finish(self) -> None:
        if self._files:
            raise InvalidCache(self._title, "a cache mount has files whose contents did not come")
        for path, entry in self._later:
            directory, _, name = path.rpartition(b"/")
            fd = self._enter(directory)
            if entry.kind == HARDLINK:
                self._link(entry.link, name, fd)
            else:
                os.symlink(entry.link, name, dir_fd=fd)
                _own(name, entry, fd)
                os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=fd, follow_symlinks=False)
        self._leave()
        for path, entry in reversed(self._directories):
            fd = self._opened(path)
            try:
                _dress(fd, entry)
            finally:
                os.close(fd)
        # a hard link changes the inode's ctime: what is known of its file has to be seen afterwards
        for linked in {os.fsdecode(entry.link) for _, entry in self._later if entry.kind == HARDLINK}:
            fd = open_beneath(self._root, linked, os.O_PATH)
            self.done[linked] = stat_row(os.fstat(fd)), self.done[linked][1]
            os.close(fd)

    def _link(self, target: bytes, name: bytes, fd: int) -> None:
        """Another name of a file that was made here, and of nothing else."""
        if os.fsdecode(target) not in self.done:
            raise InvalidCache(self._title, "a cache mount has a hard link that leads nowhere")
        directory, _, base = target.rpartition(b"/")
        there = self._opened(directory)
        try:
            os.link(base, name, src_dir_fd=there, dst_dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(there)


def _dress(fd: int, entry: Entry) -> None:
    try:
        os.fchown(fd, entry.uid, entry.gid)
    except PermissionError:              # a user who has no other ids
        pass
    os.fchmod(fd, entry.mode)
    os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))


def _own(name: bytes, entry: Entry, fd: int) -> None:
    try:
        os.chown(name, entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
    except PermissionError:
        pass
