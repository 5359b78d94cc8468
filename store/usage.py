"""What the store holds, by kind. In: a store; out: lines of numbers, from the index and file sizes; no file is read."""

import marshal

from kernel.value import Value
from store.gc import cached
from store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Usage(Value):
    """kind: a word for people; total, active: how many, and how many of them are in use; size, reclaimable: bytes."""

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int


class Entry(Value):
    """One layer that the cache keeps. shared: whether an image has it too; used: seconds since the epoch."""

    id: str
    size: int
    used: int
    shared: bool


def usage_of(store: Store) -> "tuple[Usage, ...]":
    """Images (each layer once), blobs, and what only the cache keeps."""
    return _images(store), _blobs(store), _cache(store)


def _images(store: Store) -> Usage:
    held = {row[0] for row in store.index.query("SELECT DISTINCT image FROM hold")}
    rows = store.index.query("SELECT id, layers FROM image")
    sizes = {item[2]: item[3] for _, layers in rows for item in marshal.loads(layers) if item[2]}
    needed = {item[2] for image, layers in rows if image in held for item in marshal.loads(layers)}
    return Usage("Images", len(rows), sum(1 for row in rows if row[0] in held), sum(sizes.values()), _sum(sizes, set(sizes) - needed))


def _blobs(store: Store) -> Usage:
    sizes = {digest: store.blobs.size(digest) or 0 for digest in store.blobs.all()}
    return Usage("Blobs", len(sizes), len(sizes), sum(sizes.values()), 0)


def _cache(store: Store) -> Usage:
    total = store.index.one("SELECT COUNT(*) FROM record")[0]
    only = cached(store)
    size = sum(size for _, size in only)
    return Usage("Build cache", total, total - len(only), size, size)


def _sum(sizes: "dict[str, int]", keys: "Iterable[str]") -> int:
    return sum(sizes[key] for key in keys)


def entries(store: Store) -> "tuple[Entry, ...]":
    """Every layer that a cache record leads to, the largest first."""
    images = {item[2] for row in store.index.query("SELECT layers FROM image") for item in marshal.loads(row[0])}
    rows = store.index.query("SELECT snapshot, MAX(size), MAX(used) FROM record WHERE snapshot != '' GROUP BY snapshot")
    return tuple(Entry(snapshot, size, used, snapshot in images) for snapshot, size, used in sorted(rows, key=lambda row: -row[1]))
