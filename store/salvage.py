"""A new index for a store whose index cannot be read. In: what is left of the old one, blobs, layers, the event log; out: one that fsck can check.

Rows that can still be read are taken over. Images are found again by their configs among the blobs, their layers by recomputing what each
directory is; names by the rows, else by the log of what was tagged.
"""

import os
import time

from store.blobs import chunks_of
from store.compression import decompress, detect
from store.digest import Digest, Hasher
from store.errors import StoreError
from store.images import CONFIG_LIMIT, Layer
from store.layerblobs import LayerBlob
from store.oci import ImageConfig, Manifest, from_json, parse_manifest
from store.pack import diff_id
from store.snapshots import SnapshotId
from store.store import Store
from store.tree import digest, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TABLES = {"reference": 4, "hold": 2, "origin": 6, "layer": 7, "blob": 6, "image": 10, "record": 12, "parts": 2, "build": 3}       # and their columns
_SNIFFED = 64                            # bytes by which a blob is known as a document or an archive


def salvage(store: Store, say: "Callable[[str], None]" = lambda text: None) -> str:
    """Put a new index in the old one's place, which is kept beside it. Returns the path of the old one.

    Nobody else may be using the store: an index that another process has open is not seen to be replaced.
    """
    path = store.index.path
    store.index.close()
    kept = f"{os.path.dirname(path)}/logs/index.db.damaged-{int(time.time())}"
    for ending in ("", "-wal", "-shm"):
        if os.path.exists(path + ending):
            os.rename(path + ending, kept + ending)
    say("rows of the old index")
    with store.index as index:
        for table, columns in _TABLES.items():
            for row in _rows(kept, table, columns):
                index.run(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * columns)})", *row)
    say("blobs")
    configs, targets = _blobs(store)
    say("layers")
    _layers(store, {each for config in configs.values() for each in config.diff_ids})
    say("images")
    for image, config in configs.items():
        if store.images.record(image) is None:
            layers = tuple(_layer(store, each) for each in config.diff_ids)
            if all(layer.snapshot or store.layerblobs.of(layer.diff_id) or store.origins.of(layer.diff_id) for layer in layers):
                store.images.add(store.images.config_bytes(image), layers)
    _names(store, targets)
    return kept


def _rows(path: str, table: str, columns: int) -> "list[tuple[object, ...]]":
    """What can be read of a table: row by row, up to the first that cannot."""
    import sqlite3

    found: "list[tuple[object, ...]]" = []
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    except sqlite3.Error:
        return found
    try:
        for row in db.execute(f"SELECT * FROM {table}"):
            if len(row) == columns:
                found.append(row)
    except (sqlite3.Error, UnicodeDecodeError, OverflowError):
        pass
    finally:
        db.close()
    return found


def _blobs(store: Store) -> "tuple[dict[Digest, ImageConfig], dict[Digest, Digest]]":
    """(configs of images by digest; a manifest of each). Layers among the blobs are recorded, once it is known what they unpack to."""
    configs: "dict[Digest, ImageConfig]" = {}
    targets: "dict[Digest, Digest]" = {}
    for each in store.blobs.all():
        fd = store.blobs.open(each)
        try:
            head = os.pread(fd, _SNIFFED, 0)
            if head.lstrip()[:1] == b"{":
                _document(store, each, configs, targets)
            elif store.index.one("SELECT 1 FROM blob WHERE digest = ?", each) is None:
                _archive(store, each, fd, detect(head[:6]))
        except StoreError:
            continue                                     # damaged, or something else: fsck tells which
        finally:
            os.close(fd)
    return configs, targets


def _document(store: Store, each: Digest, configs: "dict[Digest, ImageConfig]", targets: "dict[Digest, Digest]") -> None:
    data = store.blobs.read(each, CONFIG_LIMIT)
    if b'"schemaVersion"' in data:
        manifest = parse_manifest(data, "a manifest")
        if isinstance(manifest, Manifest):
            targets[manifest.config.digest] = each
    else:
        config = from_json(ImageConfig, data, "a config")
        if config.os and b'"rootfs"' in data:
            configs[each] = config


def _archive(store: Store, each: Digest, fd: int, compression: str) -> None:
    hasher = Hasher()
    for chunk in decompress(chunks_of(fd), compression):
        hasher.update(chunk)
    store.layerblobs.record(LayerBlob(each, hasher.digest(), compression, store.blobs.size(each) or 0, hasher.size))


def _layers(store: Store, wanted: "set[Digest]") -> None:
    """Find out which layer each directory is that no row tells of: its tar is written again, and hashed."""
    told = {row[0] for row in store.index.query("SELECT snapshot FROM layer")}
    missing = {each for each in wanted if store.index.one("SELECT 1 FROM layer WHERE diff_id = ?", each) is None}
    for snapshot in store.snapshots.all() if missing else ():
        if snapshot in told or not store.snapshots.has(snapshot):
            continue
        try:
            tree = store.snapshots.tree(snapshot)
            found = diff_id(tree, store.snapshots.directories(snapshot))
        except (StoreError, OSError):
            continue
        if found in missing:
            store.index.run("INSERT OR IGNORE INTO layer VALUES (?, ?, ?, ?, ?, ?, 0)", found, found, digest(tree), snapshot, size_of(tree),
                            store.index.boot)


def _layer(store: Store, each: Digest) -> Layer:
    """The layer of a diff ID; absent if no directory is it."""
    row = store.index.one("SELECT diff_id, tree, snapshot, size FROM layer WHERE diff_id = ?", each)
    if row and store.snapshots.hold(row[2]):
        return Layer(*row)
    blobs = store.layerblobs.of(each)
    return Layer(each, "", SnapshotId(""), blobs[0].unpacked if blobs else 0)


def _names(store: Store, targets: "dict[Digest, Digest]") -> None:
    """Names that no row has any more: the log says what was tagged, and what was untagged after that."""
    import msgspec

    names: "dict[str, str]" = {}
    for line in store.events.lines():
        try:
            event = msgspec.json.decode(line)
            action, name, image = event["action"], event["attributes"]["name"], event["id"]
        except (msgspec.MsgspecError, KeyError, TypeError):
            continue
        if event["type"] == "image" and action == "tag":
            names[name] = image
        elif event["type"] == "image" and action in ("untag", "delete"):
            names.pop(name, None)
    for name, image in names.items():
        if store.images.record(Digest(image)) is not None and not store.index.one("SELECT 1 FROM reference WHERE name = ?", name):
            target = targets.get(Digest(image), "")
            store.index.run("INSERT OR IGNORE INTO reference VALUES (?, ?, ?, ?)", name, image, target, int(time.time()))
