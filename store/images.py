"""Images: names and IDs -> configs and layers. In: config bytes with layers, names; out: records, and what starting a container needs.

An image's ID is the digest of its config. Names are kept in full ("docker.io/library/busybox:latest"). Going from a name to an ID, and to
what a container needs (`runtime`), reads two rows and imports no JSON.
"""

import marshal
import time

from kernel.value import Value
from store.digest import Digest, is_digest
from store.errors import ImageInUse, InvalidImage, InvalidReference, ReferenceAmbiguous, ReferenceMissing
from store.index import Index
from store.lease import Leases
from store.reference import Reference, parse_new_name, parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from store.blobs import Blobs
    from store.oci import ImageConfig
    from store.snapshots import SnapshotId, Snapshots

CONFIG_LIMIT = 8 << 20
_HEX = "0123456789abcdef"
SHORT_ID = 12                            # digits of an ID, as lists show it


class Layer(Value):
    """One layer of an image. `tree` is "" for a foreign one, whose content nobody has hashed; size: bytes of its files.

    A layer whose `snapshot` is "" is absent: it was never fetched, and its size is the blob's. `Images.present` fetches it.
    """

    diff_id: Digest
    tree: "Digest | str"
    snapshot: "SnapshotId"
    size: int = 0


class ImageRecord(Value):
    """What the index knows of an image. names: in full, sorted; created: RFC 3339 or ""; size: bytes of all files in all layers."""

    id: Digest
    names: "tuple[str, ...]"
    created: str
    size: int
    platform: str           # "linux/amd64", "linux/arm64/v8"


class Runtime(Value):
    """What a container of the image begins with. Empty tuples and "" are what the config does not say."""

    entrypoint: "tuple[str, ...]"
    cmd: "tuple[str, ...]"
    env: "tuple[str, ...]"                       # "NAME=value"
    user: str
    cwd: str
    volumes: "tuple[str, ...]"
    ports: "tuple[str, ...]"                     # "80/tcp"
    stop_signal: str
    stop_timeout: int                            # seconds, -1: not said
    healthcheck: "tuple[tuple[str, ...], int, int, int, int, int] | None"      # test; ns: interval, timeout, start period, start interval; retries
    labels: "tuple[tuple[str, str], ...]"
    platform: str
    lowerdirs: "tuple[str, ...]"                 # to mount, topmost first


class Removed(Value):
    """One line of what a removal did: an untagged name, or a deleted ID."""

    action: str             # "untagged" or "deleted"
    what: str


class Images:
    def __init__(self, index: Index, blobs: "Blobs", snapshots: "Snapshots", leases: Leases,
                 shorten: "Callable[[tuple[SnapshotId, ...]], tuple[SnapshotId, ...]]", emit: "Callable[[str, str, str], None]",
                 fetch: "Callable[[Sequence[Layer]], tuple[Layer, ...]]") -> None:
        self._index = index
        self._blobs = blobs
        self._snapshots = snapshots
        self._leases = leases
        self._shorten = shorten                  # a chain that is too long to be mounted becomes one that shows the same
        self._emit = emit                        # (action, id, name): into the event log
        self._fetch = fetch                      # all layers of an image -> the same, none of them absent

    # ------------------------------------------------------------ names
    def resolve(self, name: str, least: int = 1) -> "ImageRecord | None":
        """The image of this name, full ID, or beginning of an ID with at least so many digits; None if there is none.

        Raises InvalidReference for what can be neither, ReferenceAmbiguous for a beginning that several IDs have.
        """
        digest = self._find(name, least)
        return self.record(digest) if digest else None

    def require(self, name: str) -> ImageRecord:
        """As resolve; raises ReferenceMissing instead of returning None."""
        record = self.resolve(name)
        if record is None:
            raise ReferenceMissing(name)
        return record

    def _find(self, name: str, least: int = 1) -> "Digest | None":
        if len(name) == 64 and not name.strip(_HEX):
            name = "sha256:" + name
        if is_digest(name):
            row = self._index.one("SELECT id FROM image WHERE id = ?", name)
            return Digest(row[0]) if row else None
        invalid: "InvalidReference | None" = None
        try:
            reference = parse_reference(name)
            row = self._index.one("SELECT image FROM reference WHERE name = ?", stored_name(reference))
            if row is None and reference.digest:     # what a tag of the repository was pulled or pushed with
                row = self._index.one("SELECT image FROM reference WHERE name >= ? AND name < ? AND target = ?",
                                      f"{reference.name}:", f"{reference.name};", reference.digest)
            if row:
                return Digest(row[0])
        except InvalidReference as error:
            invalid = error
        start = name.removeprefix("sha256:")
        if len(start) >= least and not start.strip(_HEX):
            rows = self._index.query("SELECT id FROM image WHERE id >= ? AND id < ? LIMIT 9", f"sha256:{start}", f"sha256:{start}g")
            if len(rows) > 1:
                raise ReferenceAmbiguous(name, tuple(r[0] for r in rows))
            return Digest(rows[0][0]) if rows else None
        if invalid:
            raise invalid
        return None

    def record(self, image: Digest) -> "ImageRecord | None":
        """What the index knows of this ID."""
        row = self._index.one("SELECT created, size, platform, used FROM image WHERE id = ?", image)
        if row is None:
            return None
        self._index.touch("image", image, row[3])
        names = self._index.query("SELECT name FROM reference WHERE image = ? ORDER BY name", image)
        return ImageRecord(image, tuple(n[0] for n in names), row[0], row[1], row[2])

    def list(self) -> "tuple[ImageRecord, ...]":
        """All images, newest first."""
        names: "dict[str, list[str]]" = {}
        for name, image in self._index.query("SELECT name, image FROM reference ORDER BY name"):
            names.setdefault(image, []).append(name)
        rows = self._index.query("SELECT id, created, size, platform FROM image ORDER BY created DESC, added DESC")
        return tuple(ImageRecord(Digest(r[0]), tuple(names.get(r[0], ())), r[1], r[2], r[3]) for r in rows)

    def target(self, name: str) -> "Digest | None":
        """Digest of the manifest or index that the name was pulled, pushed or loaded with; None if it has none yet."""
        row = self._index.one("SELECT target FROM reference WHERE name = ?", stored_name(parse_reference(name)))
        return Digest(row[0]) if row and row[0] else None

    def looked_for(self, name: str) -> int:
        """When the name was last given to an image, or found to lead to the newest one: seconds since the epoch. 0 if it leads to none."""
        row = self._index.one("SELECT moved FROM reference WHERE name = ?", stored_name(parse_reference(name)))
        return int(row[0]) if row else 0

    # ------------------------------------------------------------ content
    def config_bytes(self, image: Digest) -> bytes:
        return self._blobs.read(image, CONFIG_LIMIT)

    def config(self, image: Digest) -> "ImageConfig":
        from store.oci import ImageConfig, from_json

        return from_json(ImageConfig, self.config_bytes(image), f"the config of image `{image}`")

    def layers(self, image: Digest) -> "tuple[Layer, ...]":
        """Bottom first, as in the config."""
        row = self._index.one("SELECT layers FROM image WHERE id = ?", image)
        if row is None:
            raise ReferenceMissing(image)
        return tuple(Layer(*item) for item in marshal.loads(row[0]))

    def lowerdirs(self, image: Digest) -> "tuple[str, ...]":
        """Directories to mount, topmost first."""
        return self.directories(self.layers(image))

    def directories(self, layers: "Sequence[Layer]") -> "tuple[str, ...]":
        """What to mount for these layers (bottom first), topmost first; of a very long chain the lower part is copied into one directory.

        Layers that are absent are fetched, here and in `parts`.
        """
        return tuple(self._snapshots.path(part) for part in self.parts(layers))

    def parts(self, layers: "Sequence[Layer]") -> "tuple[SnapshotId, ...]":
        """The snapshots whose directories those are. One that is in two layers is there once, where it is on top."""
        layers = self.present(layers)
        return self._shorten(tuple(dict.fromkeys(part for layer in reversed(layers) for part in self._snapshots.stack(layer.snapshot))))

    def present(self, layers: "Sequence[Layer]") -> "Sequence[Layer]":
        """The same layers (all of an image's, bottom first), with the absent ones fetched."""
        return layers if all(layer.snapshot for layer in layers) else self._fetch(layers)

    def is_complete(self, image: Digest) -> bool:
        """Whether no layer of the image is absent."""
        return all(layer.snapshot for layer in self.layers(image))

    def complete(self, image: Digest) -> "tuple[Layer, ...]":
        """The image's layers, none of them absent any more."""
        layers = self.layers(image)
        if all(layer.snapshot for layer in layers):
            return layers
        layers = tuple(self._fetch(layers))
        self._index.sync()                       # the row is kept over a power cut, so what it leads to has to be
        with self._index as index:
            row = index.one("SELECT runtime FROM image WHERE id = ?", image)
            if row is None:
                raise ReferenceMissing(image)
            *fields, _ = marshal.loads(row[0])
            index.run("UPDATE image SET layers = ?, runtime = ?, size = ? WHERE id = ?", marshal.dumps([tuple(layer) for layer in layers], 2),
                      marshal.dumps((*fields, self.parts(layers)), 2), sum(layer.size for layer in layers), image)
        return layers

    def runtime(self, image: Digest) -> Runtime:
        """What starting a container needs, without parsing the config; absent layers are fetched. Raises ReferenceMissing."""
        row = self._index.one("SELECT runtime, platform, used FROM image WHERE id = ?", image)
        if row is None:
            raise ReferenceMissing(image)
        self._index.touch("image", image, row[2])
        *fields, parts = marshal.loads(row[0])
        if parts is None:                        # it has absent layers
            self.complete(image)
            *fields, parts = marshal.loads(self._index.one("SELECT runtime FROM image WHERE id = ?", image)[0])
        return Runtime(*(*fields, row[1], tuple(self._snapshots.path(part) for part in parts)))

    def use(self, image: Digest) -> Runtime:
        """As runtime, and keeps the layers as long as this process lives (or whoever inherits its lease), whatever happens to the image."""
        runtime = self.runtime(image)
        parts = tuple(directory.rsplit("/", 2)[1] for directory in runtime.lowerdirs)
        if not self._snapshots.hold(*parts):     # type: ignore[arg-type]  # the names of their directories are their IDs
            raise ReferenceMissing(image)
        return runtime

    def keep(self, image: Digest) -> bool:
        """Keep the image and what it is made of as long as this process lives, named or not. False if it is not there (any more)."""
        self._leases.current().hold("image", image)
        return self._index.one("SELECT 1 FROM image WHERE id = ?", image) is not None

    def without(self, snapshot: "SnapshotId") -> "tuple[Digest, ...]":
        """Make a layer absent in every image that has it: its files are lost. Returns those images."""
        changed = []
        with self._index as index:
            for image, packed, runtime in index.query("SELECT id, layers, runtime FROM image"):
                layers = [Layer(*item) for item in marshal.loads(packed)]
                if any(layer.snapshot == snapshot for layer in layers):
                    layers = [layer._replace(snapshot=type(snapshot)("")) if layer.snapshot == snapshot else layer for layer in layers]
                    *fields, _ = marshal.loads(runtime)
                    index.run("UPDATE image SET layers = ?, runtime = ? WHERE id = ?", marshal.dumps([tuple(layer) for layer in layers], 2),
                              marshal.dumps((*fields, None), 2), image)
                    changed.append(Digest(image))
        return tuple(changed)

    # ------------------------------------------------------------ changes
    def add(self, config: bytes, layers: "tuple[Layer, ...]", names: "tuple[str, ...]" = ()) -> Digest:
        """Make the image known; `names` then lead to it. Idempotent. layers: bottom first, as the config's diff IDs.

        Without a name it is kept as long as this process lives, or until it gets one.

        Raises InvalidImage where config and layers disagree.
        """
        from store.oci import ImageConfig, from_json

        image = self._blobs.put(config)
        parsed = from_json(ImageConfig, config, f"the config of image `{image}`")
        if parsed.diff_ids != tuple(layer.diff_id for layer in layers):
            raise InvalidImage(f"the config of image `{image}`", f"its {len(parsed.diff_ids)} diff IDs are not those of the {len(layers)} layers")
        flat = self.parts(layers) if all(layer.snapshot for layer in layers) else None
        size = sum(layer.size for layer in layers)
        self._leases.current().hold("image", image)      # before it is known: a prune may be going on
        now = int(time.time())
        with self._index as index:
            index.query("SELECT 1")              # opens it, so that `boot` is known
            index.run(
                "INSERT OR REPLACE INTO image VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", image, parsed.created or "", size, str(parsed.platform),
                marshal.dumps([tuple(layer) for layer in layers], 2), marshal.dumps((*_runtime(parsed), flat), 2), now, now, index.boot)
            for layer in layers:
                if layer.tree and layer.snapshot:        # built here: an archive that brings it again need not be unpacked
                    index.run("INSERT OR IGNORE INTO layer VALUES (?, ?, ?, ?, ?, ?, 0)", layer.diff_id, *layer, index.boot)
        for name in names:
            self.tag(image, name)
        return image

    def tag(self, image: Digest, name: str, target: "Digest | str" = "") -> Reference:
        """Let `name` lead to the image, wherever it led before. What it leads to is flushed to the disk first.

        target: manifest or index that it stands for. Raises ReferenceMissing, InvalidReference.
        """
        reference = parse_new_name(name, target)
        stored = stored_name(reference)
        self._index.sync()
        with self._index as index:
            if not index.one("SELECT 1 FROM image WHERE id = ?", image):
                raise ReferenceMissing(image)
            row = index.one("SELECT image, target FROM reference WHERE name = ?", stored)
            if row and row[0] == image and (not target or row[1] == target):
                if target:                                # whoever has looked for a newer one has found it to be the newest
                    index.run("UPDATE reference SET moved = ? WHERE name = ?", int(time.time()), stored)
                return reference
            index.run("INSERT OR REPLACE INTO reference VALUES (?, ?, ?, ?)", stored, image, target, int(time.time()))
        self._emit("tag", image, stored)
        return reference

    def untag(self, name: str) -> "Digest | None":
        """Take the name away; the image stays. Returns what it led to."""
        stored = stored_name(parse_reference(name))
        with self._index as index:
            row = index.one("SELECT image FROM reference WHERE name = ?", stored)
            if row is None:
                return None
            index.run("DELETE FROM reference WHERE name = ?", stored)
        self._emit("untag", row[0], stored)
        return Digest(row[0])

    def remove(self, name: str, force: bool = False) -> "tuple[Removed, ...]":
        """`rmi`: of a name, take it away, and delete the image with its last one; of an ID, delete the image with its only name.

        Raises ReferenceMissing; ImageInUse if an ID has several names, or a container uses the image (force: names go, what a container uses
        stays without a name). What only the image needed is freed by the next collection.
        """
        image = self._find(name)
        if image is None:
            raise ReferenceMissing(name)
        done: "tuple[Removed, ...]" = ()
        with self._index as index:
            names = tuple(r[0] for r in index.query("SELECT name FROM reference WHERE image = ? ORDER BY name", image))
            users = self.users(image)
            going = self._going(name, image, names)
            if not going and len({parse_reference(n).name for n in names}) > 1 and not force:
                raise ImageInUse(name, names, "remove the names one by one, or use --force")
            going = going or names
            last = len(going) == len(names)
            if last and users and not force:
                raise ImageInUse(name, users, "remove the container first, or use --force")
            for stored in going:
                index.run("DELETE FROM reference WHERE name = ?", stored)
                done += (Removed("untagged", stored),)
            if last and not users:
                self.delete(image)
                done += (Removed("deleted", image),)
        for item in done:
            self._emit("untag" if item.action == "untagged" else "delete", image, item.what)
        return done

    def _going(self, name: str, image: Digest, names: "tuple[str, ...]") -> "tuple[str, ...]":
        """Names that go when the user says `name`; none if it is an ID. With the last tag of a repository its digest names go too."""
        try:
            reference = parse_reference(name)
        except InvalidReference:
            return ()
        stored = stored_name(reference)
        if stored not in names:
            return ()
        siblings = tuple(n for n in names if n != stored and n.startswith((reference.name + ":", reference.name + "@")))
        if not reference.digest and all("@" in n for n in siblings):
            return (stored, *siblings)
        return (stored,)

    def delete(self, image: Digest) -> None:
        """Forget the image and every name of it, whoever uses it."""
        with self._index as index:
            index.run("DELETE FROM reference WHERE image = ?", image)
            index.run("DELETE FROM image WHERE id = ?", image)
            index.run("DELETE FROM meta WHERE key >= ? AND key < ?", f"{image} ", f"{image}!")

    # ------------------------------------------------------------ what else is known of it
    def note(self, image: Digest, kind: str, value: bytes) -> None:
        """Keep something about the image as long as the image is there; nothing is kept of one that is not."""
        with self._index as index:
            if index.one("SELECT 1 FROM image WHERE id = ?", image):
                index.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", f"{image} {kind}", value)

    def noted(self, image: Digest, kind: str) -> "bytes | None":
        row = self._index.one("SELECT value FROM meta WHERE key = ?", f"{image} {kind}")
        return bytes(row[0]) if row else None

    # ------------------------------------------------------------ who uses it
    def hold(self, image: Digest, owner: str) -> None:
        """Keep the image for `owner` ("container ID"), across processes and restarts, until `let_go`. Raises ReferenceMissing."""
        with self._index as index:
            if not index.one("SELECT 1 FROM image WHERE id = ?", image):
                raise ReferenceMissing(image)
            index.run("INSERT OR IGNORE INTO hold VALUES (?, ?)", owner, image)

    def let_go(self, owner: str) -> None:
        self._index.run("DELETE FROM hold WHERE owner = ?", owner)

    def users(self, image: Digest) -> "tuple[str, ...]":
        """Owners that hold it, sorted."""
        return tuple(r[0] for r in self._index.query("SELECT owner FROM hold WHERE image = ? ORDER BY owner", image))


def stored_name(reference: Reference) -> str:
    """The key under which a name is kept: a digest stands for itself, whatever the tag beside it."""
    return f"{reference.name}@{reference.digest}" if reference.digest else str(reference)


def _runtime(config: "ImageConfig") -> "tuple[Any, ...]":
    """The fields of `Runtime` up to the labels."""
    c = config.config
    if c is None:
        return (), (), (), "", "", (), (), "", -1, None, ()
    h = c.healthcheck
    check = (h.test or (), h.interval, h.timeout, h.start_period, h.start_interval, h.retries) if h else None
    return (c.entrypoint or (), c.cmd or (), c.env or (), c.user, c.working_dir, tuple(sorted(c.volumes or ())), tuple(sorted(c.exposed_ports or ())),
            c.stop_signal, -1 if c.stop_timeout is None else c.stop_timeout, check, tuple(sorted((c.labels or {}).items())))
