"""Collection: what nothing leads to is removed. In: a store, and a budget; out: what went, and how much it was.

Marked are: images (untagged ones too, unless asked), what they are made of, cache records, leases, what repositories of the registry server
hold. `sweep` removes what is not marked; `collect` first forgets the least recently used cache records until the rest fits the budget.
Deciding happens under the leases' gate: whoever takes a lease after that looks whether the thing is still there, and by then it is not.
Interrupted anywhere, the next one goes on.
"""

import marshal
import os
import time

from kernel.value import Value
from store.digest import Digest, is_digest
from store.errors import IndexDamaged, StoreError
from store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.snapshots import SnapshotId

_MANIFEST_LIMIT = 4 << 20
_DEPTH = 4


class Budget(Value):
    """What the cache may take. max_bytes: of files that only the cache keeps; None: no limit. older_than: forget what was not used for this long, s.

    untagged: also images without a name that nobody holds; unused: also images with names that nobody holds; only: no others than these images.
    records: False leaves all cache records alone; dangling: those whose layer is in no image go; everything: all of them go, whatever the budget.
    """

    max_bytes: "int | None" = None
    older_than: "int | None" = None
    untagged: bool = False
    unused: bool = False
    only: "frozenset[Digest] | None" = None
    records: bool = True
    dangling: bool = False
    everything: bool = False


class Collected(Value):
    """What went. bytes: space of files that is free again, as the file system counts it."""

    images: "tuple[Digest, ...]"
    records: int
    snapshots: "tuple[SnapshotId, ...]"
    blobs: "tuple[Digest, ...]"
    bytes: int


def sweep(store: Store) -> Collected:
    """Remove what nothing leads to; forget nothing."""
    return collect(store, Budget())


def collect(store: Store, budget: Budget) -> Collected:
    """Forget what the budget says, then remove what nothing leads to (any more)."""
    store.temporary.sweep()
    with store.leases.gate():
        leased = store.leases.held()
        with store.index as index:
            images = _forget_images(store, budget, leased)
            records = _forget_records(store, budget) if budget.records else 0
            live = _mark_snapshots(store, leased)
            snapshots = tuple(s for s in store.snapshots.all() if s not in live and not store.leases.is_alive(s.partition("-")[0]))
            blobs = _mark_blobs(store, leased)
            dead = tuple(d for d in store.blobs.all() if d not in blobs)
            for snapshot in snapshots:
                index.run("DELETE FROM layer WHERE snapshot = ?", snapshot)
            for digest in dead:
                index.run("DELETE FROM blob WHERE digest = ?", digest)
            _forget_origins(store, blobs)
        # gone from the index, so that whoever looks now finds nothing; out of sight before the gate opens, removed after it
        freed = sum(usage(store.snapshots.holder(s)) for s in snapshots) + sum(store.blobs.size(d) or 0 for d in dead)
        hidden = [store.snapshots.hide(s) for s in snapshots]
        for digest in dead:
            store.blobs.delete(digest)
    for name in hidden:
        store.temporary.remove(name)
    return Collected(images, records, snapshots, dead, freed)


# ---------------------------------------------------------------- forgetting
def _forget_images(store: Store, budget: Budget, leased: "set[tuple[str, str]]") -> "tuple[Digest, ...]":
    if not (budget.untagged or budget.unused):
        return ()
    rows = store.index.query(
        "SELECT id, added FROM image WHERE id NOT IN (SELECT image FROM hold) AND (? OR id NOT IN (SELECT image FROM reference))", budget.unused)
    limit = int(time.time()) - (budget.older_than or 0)
    gone = tuple(Digest(row[0]) for row in rows
                 if ("image", row[0]) not in leased and row[1] <= limit and (budget.only is None or row[0] in budget.only))
    for image in gone:
        store.images.delete(image)
    return gone


def _forget_records(store: Store, budget: Budget) -> int:
    """Least recently used first, until the snapshots that only records keep are within the budget."""
    index = store.index
    gone = 0
    if budget.everything:
        gone += index.run("DELETE FROM record WHERE used <= ?", int(time.time()) - (budget.older_than or 0))
        index.run("DELETE FROM build WHERE used <= ?", int(time.time()) - (budget.older_than or 0))
    elif budget.dangling:
        kept = _snapshots_of_images(store)
        limit = int(time.time()) - (budget.older_than or 0)
        rows = index.query("SELECT key, snapshot FROM record WHERE used <= ?", limit)
        for key, snapshot in rows:
            if snapshot not in kept:
                store.cache.delete(key)
                gone += 1
    elif budget.older_than is not None:
        limit = int(time.time()) - budget.older_than
        gone += index.run("DELETE FROM record WHERE used < ?", limit)
        index.run("DELETE FROM build WHERE used < ?", limit)
    if budget.max_bytes is not None:
        gone += _fit(store, budget.max_bytes)
    index.run("DELETE FROM parts WHERE key NOT IN (SELECT key FROM record)")
    return gone


def cached(store: Store) -> "list[tuple[int, int]]":
    """(seconds since the epoch when it was last used, bytes) of every layer that only the cache keeps."""
    kept = _snapshots_of_images(store)
    rows = store.index.query("SELECT snapshot, MAX(used), MAX(size) FROM record WHERE snapshot != '' GROUP BY snapshot")
    return [(used, size) for snapshot, used, size in rows if snapshot not in kept]


def cached_bytes(store: Store) -> int:
    """Bytes of files that only the cache keeps."""
    return sum(size for _, size in cached(store))


def _forget_origins(store: Store, wanted: "set[str]") -> None:
    """Where blobs are of layers that no image, record or manifest has any more: nobody will fetch or mount them. wanted: digests of blobs."""
    diff_ids = {item[0] for row in store.index.query("SELECT layers FROM image") for item in marshal.loads(row[0])}
    diff_ids |= {row[0] for row in store.index.query("SELECT DISTINCT diff_id FROM record")}
    for digest, diff_id in store.index.query("SELECT DISTINCT digest, diff_id FROM origin"):
        if diff_id not in diff_ids and digest not in wanted:
            store.index.run("DELETE FROM origin WHERE digest = ?", digest)


def _fit(store: Store, limit: int) -> int:
    """Forget records until what only they keep is at most `limit` bytes; how many went."""
    kept = _snapshots_of_images(store)
    rows = store.index.query("SELECT key, snapshot, size FROM record ORDER BY used DESC, rowid DESC")
    total, gone = 0, 0
    counted: "set[str]" = set()
    for key, snapshot, size in rows:
        if snapshot and snapshot not in kept and snapshot not in counted:
            if total + size > limit:
                store.cache.delete(key)
                gone += 1
                continue
            total += size
            counted.add(snapshot)
    return gone


# ---------------------------------------------------------------- marking
def _mark_snapshots(store: Store, leased: "set[tuple[str, str]]") -> "set[str]":
    tops = _snapshots_of_images(store)
    tops |= {row[0] for row in store.index.query("SELECT DISTINCT snapshot FROM record WHERE snapshot != ''")}
    tops |= {what for kind, what in leased if kind == "snapshot"}
    live = _with_parts(store, tops)
    for snapshot, parts in store.index.query("SELECT snapshot, diff_id FROM layer WHERE key LIKE 'merged %'"):
        if live.issuperset(parts.split()):               # a copy of a chain's lower part, as long as the chain is there
            live.add(snapshot)
    return live


def _snapshots_of_images(store: Store) -> "set[str]":
    found: "set[str]" = set()
    for row in store.index.query("SELECT layers FROM image"):
        found |= {item[2] for item in marshal.loads(row[0])}
    return _with_parts(store, found)


def _with_parts(store: Store, tops: "set[str]") -> "set[str]":
    found = set(tops)
    for top in tops:
        try:
            found |= set(store.snapshots.stack(top))     # type: ignore[arg-type]  # str from the index
        except StoreError:
            continue                                     # gone from the disk: fsck's affair
    return found


def _mark_blobs(store: Store, leased: "set[tuple[str, str]]") -> "set[str]":
    found = {what for kind, what in leased if kind == "blob"}
    diff_ids: "set[str]" = set()
    for image, layers in store.index.query("SELECT id, layers FROM image"):
        found.add(image)
        diff_ids |= {item[0] for item in marshal.loads(layers)}
    diff_ids |= {row[0] for row in store.index.query("SELECT DISTINCT diff_id FROM record WHERE diff_id != ''")}
    diff_ids |= {row[0] for row in store.index.query("SELECT diff_id FROM layer WHERE snapshot IN (SELECT snapshot FROM record)")}
    found |= {digest for digest, diff_id in store.index.query("SELECT digest, diff_id FROM blob") if diff_id in diff_ids}
    for row in store.index.query("SELECT DISTINCT target FROM reference WHERE target != ''"):
        _mark_document(store, row[0], found, 0)
    return found | _in_repositories(f"{store.root.path}/registry.db")


def _in_repositories(path: str) -> "set[str]":
    """Digests of all that the registry server's repositories hold, whether it runs or not: engine.registry.ledger keeps that file.

    Read after the leases: a server lets go of a blob's lease only when the blob is in there.
    """
    if not os.path.exists(path):
        return set()
    import sqlite3

    try:
        db = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                return set()                             # it is being made just now
            return {row[0] for row in db.execute("SELECT digest FROM blob UNION SELECT digest FROM manifest")}
        finally:
            db.close()
    except sqlite3.Error as error:
        raise IndexDamaged(path, str(error)) from error


def _mark_document(store: Store, digest: str, found: "set[str]", depth: int) -> None:
    """A manifest or an index, and what of it is here."""
    if depth > _DEPTH or not is_digest(digest) or not store.blobs.has(Digest(digest)):
        return
    from store.oci import Index, parse_manifest

    found.add(digest)
    try:
        document = parse_manifest(store.blobs.read(Digest(digest), _MANIFEST_LIMIT), f"the manifest `{digest}`")
    except StoreError:
        return
    if isinstance(document, Index):
        for descriptor in document.manifests:
            _mark_document(store, descriptor.digest, found, depth + 1)
    else:
        found |= {document.config.digest, *(layer.digest for layer in document.layers)}


def usage(path: str) -> int:
    """Bytes that a tree takes on the disk, each inode once; nothing is followed. 0 if it is missing."""
    total, seen = 0, set()
    todo = [path]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                        if status.st_ino in seen:
                            continue
                        seen.add(status.st_ino)
                    total += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
        except FileNotFoundError:
            continue
    return total
