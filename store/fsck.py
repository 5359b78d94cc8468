"""Checking a store: every blob against its name, every layer against its rows, the index against both; and mending what can be mended.

In: a store, and how a lost blob may be fetched; out: findings. What is lost becomes absent where a blob or a registry has it, and is then brought
again; what cannot be had is dropped, with whatever needs it. Read in this order: `check`, `_Check.run`, `_blobs`, `_snapshots`, `_images`.
"""

import os
from functools import partial

from kernel.value import Value
from store.comparing import changes
from store.crew import Crew
from store.digest import Digest, Hasher, is_digest
from store.errors import DigestMismatch, IndexDamaged, StoreError
from store.images import CONFIG_LIMIT, Layer
from store.oci import MANIFEST_LIMIT, ImageConfig, from_json, parse_manifest
from store.snapshots import SnapshotId
from store.store import Store
from store.tree import FIFO, FORMAT, GID, MODE, SYMLINK, UID, digest, own, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from store.tree import Tree

    FetchBlob = Callable[[Digest], bool]


class Finding(Value):
    """kind: "index", "blob", "layer", "image", "name", "record" or "debris"; done: what became of it, "" if nothing was done."""

    kind: str
    what: str
    problem: str
    done: str = ""


class Report(Value):
    """blobs, blob_bytes, layers, files, images: how much was looked at."""

    blobs: int
    blob_bytes: int
    layers: int
    files: int
    images: int
    findings: "tuple[Finding, ...]"

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong any more."""
        return all(finding.done for finding in self.findings)


def check(store: Store, *, repair: bool = False, fetch: "FetchBlob | None" = None, say: "Callable[[str], None]" = lambda text: None) -> Report:
    """repair: mend what can be mended, and drop what cannot. fetch: brings a blob from a registry, True if it did. say: told what is looked at.

    Raises IndexDamaged where the index cannot even be read: store.salvage makes a new one.
    """
    return _Check(store, repair, fetch, say).run()


class _Check:
    def __init__(self, store: Store, repair: bool, fetch: "FetchBlob | None", say: "Callable[[str], None]") -> None:
        self._store, self._repair, self._fetch, self._say = store, repair, fetch, say
        self._findings: "list[Finding]" = []
        self._bytes = self._files = 0
        self._unknown: "set[SnapshotId]" = set()         # layers that can be compared with nothing

    def run(self) -> Report:
        store = self._store
        self._say("the index")
        self._index()
        self._say("blobs")
        blobs = self._blobs()
        self._say("layers")
        layers = self._snapshots()
        self._say("images")
        images = self._images()
        self._records()
        if self._repair:
            swept = store.temporary.sweep()
            if swept:
                self._found("debris", f"{swept} files", "were left by killed processes", "removed")
            store.index.sync()
        return Report(blobs, self._bytes, layers, self._files, images, tuple(self._findings))

    def _found(self, kind: str, what: str, problem: str, done: str = "") -> None:
        self._findings.append(Finding(kind, what, problem, done))

    def _index(self) -> None:
        rows = [row[0] for row in self._store.index.query("PRAGMA quick_check")]
        if rows != ["ok"]:
            raise IndexDamaged(self._store.index.path, str(rows[0]))

    # ------------------------------------------------------------ blobs
    def _blobs(self) -> int:
        blobs = self._store.blobs
        names = sorted(os.listdir(f"{blobs.directory}/sha256"))
        for name in names:
            if not is_digest(f"sha256:{name}"):
                self._found("debris", f"blobs/sha256/{name}", "is no blob", self._removed(f"{blobs.directory}/sha256/{name}"))
        every = blobs.all()
        with Crew(os.cpu_count() or 1) as crew:
            jobs = [(each, crew.submit(partial(self._hashed, each))) for each in every]
            bad = [each for each, job in jobs if not job.result()]
        for each in bad:
            self._found("blob", each, "has other bytes than its name says", self._mended_blob(each) if self._repair else "")
        return len(every)

    def _removed(self, path: str) -> str:
        if not self._repair:
            return ""
        try:
            os.unlink(path)
        except OSError:
            return ""
        return "removed"

    def _hashed(self, each: Digest) -> bool:
        hasher = Hasher()
        try:
            self._store.blobs.copy(each, hasher.update)
        except DigestMismatch:
            return False
        except (StoreError, OSError):
            return not os.path.lexists(self._store.blobs.path(each))     # collected meanwhile
        self._bytes += hasher.size
        return True

    def _mended_blob(self, each: Digest) -> str:
        """Replace a damaged blob; what was done."""
        store = self._store
        row = store.layerblobs.of_digest(each)
        store.blobs.delete(each)
        if self._fetched(each):
            return "fetched again"
        if row is not None:
            layer = next((Layer(*r) for r in store.index.query("SELECT diff_id, tree, snapshot, size FROM layer WHERE diff_id = ?", row.diff_id)
                          if r[1]), None)                # built here, so that its tar can be written again
            if layer is not None and self._remade(layer, row.compression, each):
                return "made again"
            store.index.run("DELETE FROM blob WHERE digest = ?", each)
        return "dropped"

    def _remade(self, layer: Layer, compression: str, want: Digest) -> bool:
        try:
            made = self._store.layerblobs.ensure(layer, compression, forced=True)
        except StoreError:
            return False
        return made.digest == want

    def _fetched(self, each: Digest) -> bool:
        try:
            return self._fetch is not None and self._fetch(each)
        except StoreError:
            return False

    # ------------------------------------------------------------ layers
    def _snapshots(self) -> int:
        every = self._store.snapshots.all()
        bad: "dict[SnapshotId, str]" = {}
        for snapshot in every:
            problem = self._part(snapshot)
            if problem:
                bad[snapshot] = problem
        for snapshot in every:                           # what is stacked on a bad part is bad too
            parts = self._parts(snapshot)
            if parts is None:
                bad.setdefault(snapshot, "lies on a layer that is gone")
            else:
                for part in parts:
                    if part in bad:
                        bad.setdefault(snapshot, f"lies on `{part}`, which is damaged")
        for snapshot, _, tree in self._store.index.query("SELECT snapshot, diff_id, tree FROM layer WHERE tree != ''"):
            if snapshot not in bad and snapshot in every and digest(self._store.snapshots.tree(snapshot)) != tree:
                bad[snapshot] = "has other files than its record says"
        for snapshot, problem in bad.items():
            self._found("layer", snapshot, problem, self._forgotten(snapshot) if self._repair else "")
        return len(every)

    def _parts(self, snapshot: SnapshotId) -> "tuple[SnapshotId, ...] | None":
        try:
            parts = self._store.snapshots.stack(snapshot)
        except StoreError:
            return None
        return parts if all(self._store.snapshots.has(part) for part in parts) else None

    def _part(self, snapshot: SnapshotId) -> str:
        """What is wrong with one part's own files; "" if nothing is."""
        store = self._store
        if not store.snapshots.has(snapshot):
            return "" if not os.path.lexists(store.snapshots.holder(snapshot)) else "has no files"
        kept = store.snapshots.own_tree(snapshot) if store.snapshots.has_tree(snapshot) else self._by_blob(snapshot)
        try:
            now = scan(store.snapshots.path(snapshot), owners=store.root.owners)
        except OSError as error:
            return f"cannot be read: {(error.strerror or '').lower()}"
        self._files += sum(len(rows) for rows in now.values())
        if kept is not None and store.root.owners == "xattr":
            now = _owned(now, kept)
        if kept is None:
            return "cannot be checked, because its blob is damaged" if snapshot in self._unknown and not self._repair else ""
        if digest(kept) == digest(now):
            return ""
        differing = [change.path for change in changes(kept, now)]
        return f"has changed files: {', '.join(differing[:3])}{f' and {len(differing) - 3} more' if len(differing) > 3 else ''}"

    def _by_blob(self, snapshot: SnapshotId) -> "Tree | None":
        """Rows of a foreign layer whose rows nobody kept: unpacked once more, if its bytes are here."""
        from store.presence import from_blob

        store = self._store
        row = store.index.one("SELECT key, diff_id FROM layer WHERE snapshot = ?", snapshot)
        here = store.layerblobs.of(row[1]) if row else ()
        if not here or " " in row[0]:                    # it depends on the layers below it
            return None
        try:
            layer = from_blob(store, here[0], (), remember=False)
            try:
                return store.snapshots.own_tree(layer.snapshot)
            finally:
                store.snapshots.delete(layer.snapshot)
        except StoreError:
            self._unknown.add(snapshot)
            return None

    def _forgotten(self, snapshot: SnapshotId) -> str:
        """Make the layer absent for every image that has it, and bring it again; records that lead to it go."""
        store = self._store
        store.index.run("DELETE FROM layer WHERE snapshot = ?", snapshot)
        gone = store.index.run("DELETE FROM record WHERE snapshot = ?", snapshot)
        images = store.images.without(snapshot)
        store.snapshots.delete(snapshot)
        lost = [image for image in images if not self._completed(image)]
        for image in lost:
            self._drop_image(image, "has a layer that cannot be had any more")
        return "brought again" if images and not lost else "dropped" + (f", with {gone} cache records" if gone else "")

    def _completed(self, image: Digest) -> bool:
        try:
            self._store.images.complete(image)
        except StoreError:
            return False
        return True

    def _drop_image(self, image: Digest, problem: str) -> None:
        record = self._store.images.record(image)
        names = f" ({', '.join(record.names)})" if record and record.names else ""
        if self._repair:
            self._store.images.delete(image)
        self._found("image", f"{image}{names}", problem, "dropped" if self._repair else "")

    # ------------------------------------------------------------ images, names, records
    def _images(self) -> int:
        store = self._store
        rows = store.index.query("SELECT id FROM image")
        for image, in rows:
            problem = self._image(Digest(image))
            if problem:
                self._drop_image(Digest(image), problem)
        for name, image, target in store.index.query("SELECT name, image, target FROM reference"):
            if not store.index.one("SELECT 1 FROM image WHERE id = ?", image):
                if self._repair:
                    store.index.run("DELETE FROM reference WHERE name = ?", name)
                self._found("name", name, "leads to an image that is not here", "dropped" if self._repair else "")
            elif target and not self._is_document(Digest(target)):
                mended = "fetched again" if self._repair and self._fetched(Digest(target)) else ""
                if self._repair and not mended:
                    store.index.run("UPDATE reference SET target = '' WHERE name = ?", name)
                    mended = "forgotten"
                self._found("name", name, f"was pulled or pushed as `{target}`, which is not here", mended)
        return len(rows)

    def _image(self, image: Digest) -> str:
        store = self._store
        if not store.blobs.has(image) and not (self._repair and self._fetched(image)):
            return "has no config"
        try:
            config = from_json(ImageConfig, store.blobs.read(image, CONFIG_LIMIT), "the config")
        except StoreError as error:
            return f"has a config that cannot be used ({error})"
        layers = store.images.layers(image)
        if config.diff_ids != tuple(layer.diff_id for layer in layers):
            return "has other layers than its config says"
        missing = [layer for layer in layers if layer.snapshot and not store.snapshots.has(layer.snapshot)]
        if not missing:
            return ""
        if self._repair:
            for layer in missing:
                store.images.without(layer.snapshot)
                store.index.run("DELETE FROM layer WHERE snapshot = ?", layer.snapshot)
            if self._completed(image):
                self._found("layer", missing[0].snapshot, "is gone", "brought again")
                return ""
        return "has layers that are gone"

    def _is_document(self, target: Digest) -> bool:
        try:
            parse_manifest(self._store.blobs.read(target, MANIFEST_LIMIT), "the manifest")
        except StoreError:
            return False
        return True

    def _records(self) -> None:
        store = self._store
        for key, snapshot in store.index.query("SELECT key, snapshot FROM record WHERE snapshot != ''"):
            if self._parts(SnapshotId(snapshot)) is None:
                if self._repair:
                    store.cache.delete(key)
                self._found("record", key, "leads to a layer that is gone", "dropped" if self._repair else "")


def _owned(now: "Tree", kept: "Tree") -> "Tree":
    """The rows of now with the owners that only the kept rows can tell: of links and fifos, where files have one owner."""
    return own(now, {rel + row[0]: (row[1][UID], row[1][GID])
                     for rel, rows in kept.items() for row in rows if row[1][MODE] & FORMAT in (SYMLINK, FIFO)})
