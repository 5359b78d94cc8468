"""The sending side of an export: a process that takes layers as they come, packs what no cache there has, sends it, and writes the documents.

In: messages of an Exporter; out: for each cache a report. A cache that fails fails alone; what was sent to it already is simply not led to.
"""

import os
from functools import partial
from marshal import loads
from threading import Lock

import msgspec

from builder.cache.address import how_of, title
from builder.cache.depot import open_depot, put_bytes, verified
from builder.cache.document import CONFIG, EMPTY, HISTORY, Config, MountEntry, Record, layer_descriptor, write
from builder.cache.errors import CacheError
from builder.cache.reading import read_cache
from builder.errors import BuildError
from builder.solver import BuiltLayer
from store.crew import Crew
from store.digest import Digest, digest_of
from store.errors import StoreError
from store.images import Layer
from store.oci import Descriptor, layer_media_type
from store.snapshots import SnapshotId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from builder.cache.depot import Depot, Sessions
    from builder.cache.document import Contents
    from builder.cache.imported import Imported
    from builder.request import CacheAddress
    from store.crew import Job
    from store.store import Store

_HEADER = 4
_PARALLEL = 3
_NICENESS = 5                            # the build's own steps come first


def send_all(store: "Store", addresses: "tuple[CacheAddress, ...]", imported: "Imported | None", sessions: "Sessions", read: int,
             write_end: int) -> "list[tuple[Any, ...]]":
    """Serve one Exporter to its end; reports as tuples. write_end: the parent's end of the pipe, which is of no use here."""
    os.close(write_end)
    os.nice(_NICENESS)
    targets = [Target(address, sessions) for address in addresses]
    sending = _Sending(store, targets, imported)
    try:
        with Crew(_PARALLEL) as crew:
            jobs: list[Job[None]] = []
            while True:
                message = _next(read)
                if message[0] == "end":
                    break
                _, final, again, layer = message
                jobs.append(crew.submit(partial(sending.layer, BuiltLayer(*layer), final, again)))
            for job in jobs:
                job.result()
        for target in targets:
            target.guarded(partial(sending.finish, target, message))
        return [target.report() for target in targets]
    finally:
        for target in targets:
            target.depot.close()
        store.index.close()
        store.leases.release()


def _next(fd: int) -> "Any":
    return loads(_exactly(fd, int.from_bytes(_exactly(fd, _HEADER), "little")))


def _exactly(fd: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(fd, count - len(data))
        if not more:
            os._exit(1)                  # the build is gone, and nobody wants to know more
        data += more
    return data


class Target:
    """One cache that is written, and how far that is."""

    def __init__(self, address: "CacheAddress", sessions: "Sessions") -> None:
        self.title, self.how = title(address), how_of(address)
        self.depot: Depot = open_depot(address, sessions, write=True)
        self.layers: dict[str, Descriptor] = {}          # by diff ID
        self.error = ""
        self.size = 0                    # bytes of everything the new document names
        self._new: dict[str, int] = {}   # digest -> bytes, of what was not there before
        self._before: "Contents | None" = None
        self._lock = Lock()

    def before(self) -> "Contents":
        """What the name leads to until now; nothing, if that cannot be read."""
        with self._lock:
            if self._before is None:
                try:
                    self._before = read_cache(self.depot) or EMPTY
                except CacheError:
                    self._before = EMPTY
            return self._before

    def guarded(self, call: "Any") -> None:
        """Do it, unless this cache has failed already; remember if it fails."""
        if not self.error:
            try:
                call()
            except (BuildError, StoreError, OSError) as error:
                self.error = str(error)

    def sent(self, blob: "Descriptor") -> None:
        with self._lock:
            self._new[blob.digest] = blob.size

    def put_bytes(self, media_type: str, data: bytes) -> "Descriptor":
        blob = Descriptor(media_type, digest_of(data), len(data))
        if not self.depot.has(blob):
            put_bytes(self.depot, blob, data)
            self.sent(blob)
        return blob

    def report(self) -> "tuple[Any, ...]":
        return self.title, self.error, self.how.ignore_error, len(self._new), sum(self._new.values()), self.size


class _Sending:
    def __init__(self, store: "Store", targets: "list[Target]", imported: "Imported | None") -> None:
        self._store, self._targets, self._imported = store, targets, imported

    # ------------------------------------------------------------ layers
    def layer(self, layer: BuiltLayer, final: bool, again: bool) -> None:
        """again: it was told before as one that the image does not have, so only the caches in mode=min are without it."""
        for target in self._targets:
            if (final or target.how.maximal) and not (again and target.how.maximal):
                target.guarded(partial(self._layer, target, layer))

    def _layer(self, target: Target, layer: BuiltLayer) -> None:
        blob = self._there(target, layer)
        if blob is None and layer.snapshot:
            blob = self._from_here(target, layer)
        if blob is None:
            blob = self._from_elsewhere(target, layer)
        if blob is not None:
            target.layers[str(layer.diff_id)] = blob

    def _there(self, target: Target, layer: BuiltLayer) -> "Descriptor | None":
        """The blob that the cache has of it."""
        blob = target.before().layers.get(Digest(layer.diff_id))
        wanted = layer_media_type(target.how.compression) if target.how.forced and target.how.compression else ""
        return blob if blob is not None and (not wanted or blob.media_type == wanted) and target.depot.has(blob) else None

    def _from_here(self, target: Target, layer: BuiltLayer) -> "Descriptor":
        store, how = self._store, target.how
        diff_id = Digest(layer.diff_id)
        made = store.layerblobs.ensure(Layer(diff_id, layer.tree, SnapshotId(layer.snapshot), layer.size), how.compression, how.level,
                                       forced=how.forced)
        blob = layer_descriptor(layer_media_type(made.compression), made.digest, made.size, diff_id)
        if not target.depot.has(blob):
            fd = store.blobs.open(made.digest)
            try:
                target.depot.put(blob, fd)
            finally:
                os.close(fd)
            target.sent(blob)
        return blob

    def _from_elsewhere(self, target: Target, layer: BuiltLayer) -> "Descriptor | None":
        """A layer that another cache has, and that was not needed here."""
        origin = self._imported.origin(layer.diff_id) if self._imported is not None else None
        if origin is None or self._imported is None:
            return None                  # a record alone
        blob = layer_descriptor(origin.blob.media_type, origin.blob.digest, origin.blob.size, Digest(layer.diff_id))
        copy_blob(self._store, target, self._imported.depot(origin.number), blob)
        return blob

    # ------------------------------------------------------------ the documents
    def finish(self, target: Target, message: "Any") -> None:
        _, encoded, memos, final, history = message
        records = tuple(msgspec.json.decode(data, type=Record) for data in encoded)
        blobs: dict[str, Descriptor] = {}
        for record in records:
            blob = target.layers.get(record.diff_id)
            if blob is not None and (target.how.maximal or record.diff_id in final):
                blobs[blob.digest] = blob
        if target.how.maximal and history:
            blob = target.put_bytes(HISTORY, history)
            blobs[blob.digest] = blob
        mounts = self._mounts(target, blobs)
        manifest, config = write(Config(records, memos=dict(memos), mounts=mounts), tuple(blobs.values()))
        target.size = sum(blob.size for blob in blobs.values()) + len(config)
        target.put_bytes(CONFIG, config)
        if target.depot.load() != manifest:
            target.depot.keep(manifest)

    def _mounts(self, target: Target, blobs: "dict[str, Descriptor]") -> tuple[MountEntry, ...]:
        if not target.how.mounts:
            return ()
        from builder.cache.mounts import save_mounts

        return save_mounts(self._store, target, self._imported, blobs)


def copy_blob(store: "Store", target: Target, source: "Depot", blob: "Descriptor") -> None:
    """See to it that the target has a blob of another cache: moved there without coming here, if that can be."""
    if target.depot.has(blob):
        return
    if not target.depot.take(blob, source):
        with store.blobs.writer(blob.digest, blob.size) as writer:
            for chunk in verified(source, blob):
                writer.write(chunk)
            target.depot.put(blob, writer.fd)
        target.sent(blob)
