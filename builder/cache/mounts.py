"""Cache mounts on their way out: directories of `RUN --mount=type=cache` become chunks in packs, of which only unknown ones are sent.

In: the mounts that an address names; out: their entries for the cache's config, and the blobs that belong to them. A mount that is not here, or
that another build holds at the moment, stays as the cache has it already.
"""

import os

from builder.cache.chunker import chunks as chunks_of
from builder.cache.depot import blob
from builder.cache.document import MOUNT, MountEntry
from builder.cache.errors import CacheError
from builder.cache.memo import Memo
from builder.cache.mountindex import (
    DIRECTORY,
    FILE,
    HARDLINK,
    INDEX_LIMIT,
    SYMLINK,
    TABLE_LIMIT,
    Chunk,
    Entry,
    MountIndex,
    PackRef,
    parse_index,
    read_table,
    write_listing,
)
from builder.cache.packs import Packer
from builder.cachemount import CacheDirectories
from kernel.locks import Lock
from kernel.value import Value
from store.oci import Descriptor, to_json
from store.tree import DIRECTORY as IS_DIRECTORY
from store.tree import FORMAT, GID, INODE, LINKS, MODE, MTIME, OPEN_FILE, REGULAR, SIZE, UID, open_below, scan
from store.tree import SYMLINK as IS_SYMLINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.cache.depot import Depot
    from builder.cache.imported import Imported
    from builder.cache.sending import Target
    from builder.cachemount import CacheDirectory
    from store.store import Store
    from store.tree import Row, Stat, Tree

_SMALL, _SMALL_PACKS = 1 << 20, 16       # packs of less than so many bytes are joined when there are so many of them
_WASTE = 2                               # a pack of which less than half is used is written anew


class Base(Value):
    """A mount as a cache has it. tables: of its packs, as far as they could be read."""

    listing: tuple[str, ...]
    tables: "tuple[tuple[PackRef, tuple[Chunk, ...], bytes], ...]"
    depot: "Depot"


def save_mounts(store: "Store", target: "Target", imported: "Imported | None", blobs: "dict[str, Descriptor]") -> tuple[MountEntry, ...]:
    """Entries of every mount that the target wants; their blobs are put into `blobs`, by digest. Raises CacheError, StoreError."""
    here = {d.name: d for d in CacheDirectories(f"{store.root.path}/cachemounts").list() if d.id in target.how.mounts and len(d.name) == 40}
    there = _entries(target, imported)
    found = []
    for name in sorted(here.keys() | there.keys()):
        entry = _saved(store, target, here[name], there.get(name), blobs) if name in here else None
        if entry is None and name in there:
            entry = _carried(store, target, *there[name], blobs)
        if entry is not None:
            found.append(entry)
    return tuple(found)


def _entries(target: "Target", imported: "Imported | None") -> "dict[str, tuple[MountEntry, Depot]]":
    """What caches have of the mounts that are wanted, by name: the target itself before the ones that the build took from."""
    found: dict[str, tuple[MountEntry, Depot]] = {}
    if imported is not None:
        found = {entry.name: (entry, imported.depot(number)) for number, entry in imported.mounts()}
    found.update({entry.name: (entry, target.depot) for entry in target.before().config.mounts})
    return {name: pair for name, pair in found.items() if pair[0].id in target.how.mounts}


def _carried(store: "Store", target: "Target", entry: MountEntry, depot: "Depot", blobs: "dict[str, Descriptor]") -> "MountEntry | None":
    """A mount as it is elsewhere; None if it cannot be had."""
    from builder.cache.sending import copy_blob

    try:
        index = parse_index(blob(depot, entry.index, INDEX_LIMIT), depot.title)
        needed = (entry.index, *(d for ref in index.packs for d in (ref.pack, ref.table)))
        if depot is not target.depot:
            for descriptor in needed:
                copy_blob(store, target, depot, descriptor)
        elif not all(target.depot.has(descriptor) for descriptor in needed):
            return None
    except CacheError:
        return None
    blobs.update((descriptor.digest, descriptor) for descriptor in needed)
    return entry


def _saved(store: "Store", target: "Target", directory: "CacheDirectory", known: "tuple[MountEntry, Depot] | None",
           blobs: "dict[str, Descriptor]") -> "MountEntry | None":
    holder = os.path.dirname(directory.path)
    lock = Lock(f"{holder}/lock", shared=True)
    if not os.path.isdir(directory.path) or not lock.take(wait=False):
        return None
    try:
        memo = Memo(f"{holder}/memo")
        base = _base(target, memo, *known) if known is not None else None
        index = _save(store, target, directory.path, memo, base)
    finally:
        lock.release()
    described = target.put_bytes(MOUNT, to_json(index))
    for descriptor in (described, *(d for ref in index.packs for d in (ref.pack, ref.table))):
        blobs[descriptor.digest] = descriptor
    return MountEntry(directory.name, directory.id, described)


def _base(target: "Target", memo: Memo, entry: MountEntry, depot: "Depot") -> "Base | None":
    """What is there already; packs that cannot be vouched for are left out."""
    try:
        index = parse_index(blob(depot, entry.index, INDEX_LIMIT), depot.title)
        tables = []
        for ref in index.packs:
            data = memo.tables.get(ref.table.digest) or blob(depot, ref.table, TABLE_LIMIT)
            if depot is not target.depot or (depot.has(ref.pack) and depot.has(ref.table)):
                tables.append((ref, read_table(data, depot.title), data))
        return Base(index.listing, tuple(tables), depot)
    except CacheError:
        return None


def _save(store: "Store", target: "Target", path: str, memo: Memo, base: "Base | None") -> MountIndex:
    from builder.cache.sending import copy_blob

    tree = scan(path, owners=store.root.owners, hashed=False)
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    look = os.fstat(root)
    kept = _worth_keeping(base, tree, memo)
    known = {chunk.name for _, chunks, _ in kept for chunk in chunks}
    try:
        with Packer(known, target.put_bytes) as packer:
            reading = _Reading(root, memo, packer)
            directories = [(os.fsencode(rel).rstrip(b"/"), reading.entries(rel, tree[rel])) for rel in _parents_first(tree)]
            listing = tuple(packer.add(chunk).name.hex() for chunk in write_listing(directories))
            made = packer.finish()
    finally:
        os.close(root)
    if base is not None and base.depot is not target.depot:
        for ref, _, _ in kept:
            copy_blob(store, target, base.depot, ref.pack)
            copy_blob(store, target, base.depot, ref.table)
    memo.replace(reading.read, {str(ref.table.digest): data for ref, data in (*((ref, data) for ref, _, data in kept), *made)})
    packs = (*(ref for ref, _, _ in kept), *(ref for ref, _ in made))
    return MountIndex(packs, listing, reading.files, reading.size, look.st_mode & 0o7777, look.st_uid, look.st_gid)


def _parents_first(tree: "Tree") -> "list[str]":
    """Directories ("" or "a/b/") so that each comes after the one that it is in."""
    return sorted(tree, key=lambda rel: [os.fsencode(part) for part in rel.split("/")])


def _worth_keeping(base: "Base | None", tree: "Tree", memo: Memo) -> "list[tuple[PackRef, tuple[Chunk, ...], bytes]]":
    """The packs that stay: not those that are mostly waste by now, nor a crowd of small ones."""
    if base is None:
        return []
    used = {bytes.fromhex(name) for name in base.listing}
    unknown = 0                                              # bytes of which nobody knows yet whether a pack has them
    for rel, rows in tree.items():
        for row in rows:
            if row[1][MODE] & FORMAT == REGULAR:
                chunks = memo.chunks(rel + row[0], row[1])
                used |= {chunk.name for chunk in chunks or ()}
                unknown += row[1][SIZE] if chunks is None else 0
    kept: list[tuple[PackRef, tuple[Chunk, ...], bytes]] = []
    small: list[tuple[PackRef, tuple[Chunk, ...], bytes]] = []
    for item in base.tables:
        size, live = sum(chunk.size for chunk in item[1]), sum(chunk.size for chunk in item[1] if chunk.name in used)
        if (live + unknown) * _WASTE < size:
            continue
        (small if size < _SMALL else kept).append(item)
    return kept if len(small) > _SMALL_PACKS else kept + small


class _Reading:
    """Rows of a directory -> entries of the listing; contents go to the packer, as far as nobody has them."""

    def __init__(self, root: int, memo: Memo, packer: Packer) -> None:
        self._root, self._memo, self._packer = root, memo, packer
        self._first: dict[int, bytes] = {}               # inode -> the first path that has it
        self.read: "dict[str, tuple[Stat, tuple[Chunk, ...]]]" = {}
        self.files = self.size = 0

    def entries(self, rel: str, rows: "list[Row]") -> "list[Entry]":
        found = []
        fd = -1
        try:
            for name, stat, link, _, _ in rows:
                kind = stat[MODE] & FORMAT
                facts = stat[MODE] & 0o7777, stat[UID], stat[GID], stat[MTIME]
                raw = os.fsencode(name)
                if kind == IS_DIRECTORY:
                    found.append(Entry(raw, DIRECTORY, *facts))
                elif kind == IS_SYMLINK:
                    found.append(Entry(raw, SYMLINK, *facts, os.fsencode(link)))
                elif kind == REGULAR:
                    path = os.fsencode(rel + name)
                    first = self._first.setdefault(stat[INODE], path) if stat[LINKS] > 1 else path
                    if first != path:
                        found.append(Entry(raw, HARDLINK, *facts, first))
                        continue
                    if fd < 0:
                        fd = open_below(self._root, rel)
                    chunks = self._file(fd, rel + name, name, stat)
                    if chunks is not None:
                        found.append(Entry(raw, FILE, *facts, b"", b"".join(chunk.name for chunk in chunks)))
        finally:
            if fd >= 0:
                os.close(fd)
        return found

    def _file(self, directory: int, path: str, name: str, stat: "Stat") -> "tuple[Chunk, ...] | None":
        """Chunks of a file; None if it is gone meanwhile."""
        chunks = self._memo.chunks(path, stat)
        if chunks is None or not all(self._packer.has(chunk.name) for chunk in chunks):
            try:
                fd = os.open(name, OPEN_FILE, dir_fd=directory)
            except FileNotFoundError:
                return None
            with open(fd, "rb", buffering=0) as file:
                chunks = tuple(self._packer.add(bytes(data)) for data in chunks_of(lambda size: file.read(size) or b""))
        self.read[path] = stat, chunks
        self.files += 1
        self.size += sum(chunk.size for chunk in chunks)
        return chunks
