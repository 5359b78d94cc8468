"""The whole cache of this machine at once: written elsewhere, or taken from there. The same documents as a build's own export and import."""

import os

from builder.cache.bring import bring
from builder.cache.document import Record
from builder.cache.errors import CacheError
from builder.cache.exporter import Exporter
from builder.cache.history import History, pack
from builder.cache.imported import Imported
from builder.cache.records import Exported
from builder.cache.restore import restore_mount
from builder.errors import LayersLost
from builder.solver import BuiltLayer
from kernel.locks import Lock
from kernel.paths import DIRECTORY, remove_tree
from kernel.value import Value
from store.digest import Digest, is_digest
from store.errors import StoreError
from store.pack import diff_id as diff_id_of
from store.snapshots import SnapshotId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.cache.depot import Sessions
    from builder.cache.exporter import Report
    from builder.request import CacheAddress
    from store.store import Store

    Say = Callable[[str], None]


# fetched sources have their key as op: they are asked for at every build, and not exported
_STEPS = "SELECT key, op, result, tree, snapshot, diff_id, size, created FROM record WHERE op != key ORDER BY used DESC, rowid"
_MEMOS = "SELECT key, value FROM build WHERE length(value) = 71"          # bytes of a digest: what else is kept there is longer


class Taken(Value):
    """What an import brought: steps, bytes of their files, cache mounts, and how many layers could not be had."""

    steps: int
    size: int
    mounts: int
    lost: int


def export_all(store: "Store", addresses: "tuple[CacheAddress, ...]", sessions: "Sessions") -> "tuple[Report, ...]":
    """Every step whose layer is here, and the mounts that an address names. Raises as an Exporter does."""
    exporter = Exporter(store, addresses, None, sessions, frozenset((0,)))
    try:
        records = []
        for key, op, result, tree, snapshot, diff_id, size, created in store.index.query(_STEPS):
            if store.snapshots.hold(SnapshotId(snapshot)):
                diff_id = diff_id or _diff_id(store, key, SnapshotId(snapshot))
                records.append(Record(key, op, result, tree, diff_id, size, created))
                exporter.on_layer(0, BuiltLayer(result, tree, snapshot, diff_id, created, key, size))
        memos = tuple((Digest(key), Digest(value.decode())) for key, value in store.index.query(_MEMOS) if is_digest(value.decode(errors="replace")))
        final = frozenset(str(record.diff_id) for record in records)
        return exporter.finish(Exported(tuple(records), memos, final), pack(_history(store, records)))
    finally:
        exporter.stop()


def _diff_id(store: "Store", key: Digest, snapshot: SnapshotId) -> Digest:
    """That of a layer whose build ended before it was known."""
    found = diff_id_of(store.snapshots.tree(snapshot), store.snapshots.directories(snapshot))
    store.cache.set_diff_id(key, found)
    return found


def _history(store: "Store", records: "list[Record]") -> History:
    from marshal import loads

    from store.digest import from_raw

    parts = {record.key: data for record in records if (data := store.cache.parts(record.key))}
    kept: dict[Digest, bytes] = {}
    for data in parts.values():
        for counted in loads(data)[2]:
            top = store.cache.kept(Digest(counted)) if counted and counted not in kept else None
            if top is not None:
                try:
                    rows = {from_raw(raw): store.cache.kept(from_raw(raw)) for _, directories in loads(top) for _, raw in directories}
                except (ValueError, TypeError):
                    continue             # another thing that is kept under this digest
                kept[Digest(counted)] = top
                kept.update((name, row) for name, row in rows.items() if row is not None)
    return History(parts, kept)


def import_all(store: "Store", address: "CacheAddress", sessions: "Sessions", say: "Say") -> Taken:
    """Everything that is there and not here: layers, what keys were made of, cache mounts. Raises CacheError if there is no cache, NoRoom."""
    warnings: list[str] = []
    imported = Imported((address,), sessions, warnings.append)
    try:
        records = imported.records()
        if warnings:
            raise CacheError(imported.title(0), f"has nothing to import: {warnings[0]}")
        wanted = tuple(BuiltLayer(r.result, r.tree, "", r.diff_id, r.created, r.key, r.size) for r in records if imported.origin(r.diff_id))
        lost: set[str] = set()
        try:
            bring(store, wanted, imported, say)
        except LayersLost as error:
            lost = set(error.keys)
        history = imported.history()
        brought = [layer for layer in wanted if layer.key not in lost]
        with store.index:
            for layer in brought:
                record = store.cache.get(Digest(layer.key))
                if record is not None and layer.key in history.parts:
                    store.cache.put(record._replace(parts=history.parts[Digest(layer.key)]))
            store.cache.keep(history.kept)
            for name, content in imported.contents(0).config.memos.items():
                store.cache.put_build(name, content.encode())
        mounts = sum(_mount(store, imported, entry.name, entry.id, say) for _, entry in imported.mounts())
        return Taken(len(brought), sum(layer.size for layer in brought), mounts, len(lost))
    finally:
        imported.close()


def _mount(store: "Store", imported: Imported, name: str, id: str, say: "Say") -> bool:
    """Whether the mount was restored: not if there is one here already."""
    holder = f"{store.root.path}/cachemounts/{name}"
    os.makedirs(holder, 0o700, exist_ok=True)
    with Lock(f"{holder}/making"):
        if os.path.isdir(f"{holder}/data"):
            return False
        new = f"{holder}/data.{os.getpid()}"
        os.mkdir(new, 0o755)
        try:
            restore_mount(store, imported, name, new)
        except (CacheError, StoreError, OSError) as error:
            say(f"the cache mount `{id}` is not restored: {error}")
            fd = os.open(holder, DIRECTORY)
            try:
                remove_tree(fd, os.path.basename(new))
            finally:
                os.close(fd)
            return False
        with open(f"{holder}/id", "w") as file:
            file.write(id)
        os.rename(new, f"{holder}/data")
    return True
