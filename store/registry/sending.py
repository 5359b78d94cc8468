"""Sending an image: layers, config and manifests -> a repository. In: an image of the store; out: the descriptor that its tag leads to now.

Nothing is sent twice: not what the repository has, nor what another one of the same registry can give it (mount). What was pulled or pushed before
keeps its bytes; a layer that has no blob yet is compressed once, into the store, and sent while that goes on. Layers go in parallel.
Read in this order: `Sending.run`, `_document` (what has a manifest), `_fresh` (what has none yet), `_deliver` (one blob).
"""

import os
import threading

from store.digest import Digest
from store.document import Packing, describe
from store.errors import BlobMissing
from store.layerblobs import LayerBlob
from store.oci import MANIFEST_LIMIT, Descriptor, Index, Manifest, compression_of, layer_media_type, parse_manifest
from store.origins import Origin
from store.reference import parse_reference
from store.registry.connection import Trouble
from store.registry.download import Download
from store.registry.errors import AccessDenied, NotInRegistry, RegistryError
from store.registry.progress import COMPRESSING, EXISTS, MOUNTED, PUSHED, UPLOADING, WAITING, Transfer
from store.registry.together import together
from store.registry.upload import Rejected, Uploads
from store.trail import Trail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.images import Layer
    from store.reference import Reference
    from store.registry.progress import OnProgress
    from store.registry.session import Session
    from store.store import Store

PARALLEL = 4
_MOUNTS = 3                              # repositories that are asked for one blob
_DEPTH = 4


class Sending:
    """One push. head: what the tag leads to in the registry now, "" if nothing; by_digest: no tag is to lead to it."""

    def __init__(self, store: "Store", session: "Session", reference: "Reference", packing: "Packing | None", on_progress: "OnProgress",
                 annotations: "dict[str, str] | None", head: str, by_digest: bool = False) -> None:
        self._store, self._session, self._reference, self._head, self._by_digest = store, session, reference, head, by_digest
        self._repository = session.repository(reference)
        self._packing, self._on_progress, self._annotations = packing or Packing(), on_progress, annotations
        self._uploads = Uploads(self._repository, on_progress)
        self._compressing = threading.Lock()             # one layer at a time: each is compressed by as many threads as there are processors

    def run(self, image: Digest, document: "Digest | None") -> Descriptor:
        wanted = [document] if document else [] if self._annotations or self._packing != Packing() else self._targets(image)
        for target in wanted:
            descriptor = self._known(target)
            if descriptor is not None and self._is_possible(descriptor, 0):
                if descriptor.digest != self._head:      # else everything is there
                    self._document(descriptor, self._under(descriptor), 0)
                return descriptor if document else self._named(image, descriptor)
        if document is not None:
            raise BlobMissing(document)
        return self._named(image, self._fresh(image))

    def _under(self, descriptor: Descriptor) -> str:
        return descriptor.digest if self._by_digest else self._reference.tag

    def _named(self, image: Digest, descriptor: Descriptor) -> Descriptor:
        images, name = self._store.images, str(self._reference)
        known = images.resolve(name)
        if known is not None and known.id == image:
            images.tag(image, name, descriptor.digest)
        return descriptor

    # ------------------------------------------------------------ with a manifest that is here
    def _targets(self, image: Digest) -> "list[str]":
        """Manifests that the image was pulled or pushed with: what this name itself leads to, then other names' manifests of the image alone.

        An index is pushed for its own name only: what else it lists is nothing that another name of the image stands for.
        """
        rows = self._store.index.query("SELECT name, target FROM reference WHERE image = ? AND target != ''", image)
        own = [row[1] for row in rows if row[0] == str(self._reference)]
        others = dict.fromkeys(row[1] for row in sorted(rows, key=lambda row: row[1] not in own))
        return [*own, *(part for target in others for part in self._parts(target, image) if part not in own)]

    def _parts(self, target: str, image: Digest) -> "list[str]":
        """The manifest, if it is this image's; of an index those that are, as far as they are here."""
        descriptor = self._known(target)
        document = self._parsed(descriptor) if descriptor is not None else None
        if isinstance(document, Manifest):
            return [target] if document.config.digest == image else []
        found: "list[str]" = []
        for each in document.manifests if isinstance(document, Index) else ():
            if self._store.blobs.has(each.digest):
                part = self._parsed(each)
                if isinstance(part, Manifest) and part.config.digest == image:
                    found.append(each.digest)
        return found

    def _known(self, digest: str) -> "Descriptor | None":
        """Descriptor of a manifest of the store."""
        blobs = self._store.blobs
        blobs.hold(Digest(digest))
        if not blobs.has(Digest(digest)):
            return None
        data = blobs.read(Digest(digest), MANIFEST_LIMIT)
        document = parse_manifest(data, f"the manifest `{digest}`")
        kind = document.media_type or ("application/vnd.oci.image.index.v1+json" if isinstance(document, Index) else
                                       "application/vnd.oci.image.manifest.v1+json")
        return Descriptor(kind, Digest(digest), len(data))

    def _parsed(self, descriptor: Descriptor) -> "Manifest | Index":
        data = self._store.blobs.read(descriptor.digest, MANIFEST_LIMIT)
        return parse_manifest(data, f"the manifest `{descriptor.digest}`", descriptor.media_type)

    def _is_possible(self, descriptor: Descriptor, depth: int) -> bool:
        """Whether everything that the document names is here, can be fetched, or is there."""
        store = self._store
        if depth > _DEPTH:
            return False
        if not store.blobs.has(descriptor.digest):
            try:
                return self._repository.home_head(descriptor.digest) is not None
            except (NotInRegistry, AccessDenied):
                return False
        document = self._parsed(descriptor)
        if isinstance(document, Index):
            return all(self._is_possible(each, depth + 1) for each in document.manifests)
        store.blobs.hold(document.config.digest, *(layer.digest for layer in document.layers))
        return store.blobs.has(document.config.digest) and all(
            store.blobs.has(layer.digest) or store.origins.of_digest(layer.digest) for layer in document.layers)

    def _document(self, descriptor: Descriptor, reference: str, depth: int) -> None:
        """Push a manifest or index with everything that it names."""
        document = self._parsed(descriptor)
        if isinstance(document, Index):
            for each in document.manifests:
                if self._store.blobs.has(each.digest):
                    self._document(each, each.digest, depth + 1)
        else:
            # artifacts have other things than layers in that place: they are blobs all the same
            for each in document.layers:
                self._on_progress(Transfer(each.digest, WAITING, 0, each.size))
            once = {each.digest: each for each in document.layers}
            together([lambda each=each: self._whole(each) for each in once.values()], PARALLEL, self._uploads.cancel)    # type: ignore[misc]  # a default binds
            self._whole(document.config, shown=False)
        data = self._store.blobs.read(descriptor.digest, MANIFEST_LIMIT)
        self._repository.put_manifest(reference, data, descriptor.media_type)

    def _whole(self, descriptor: Descriptor, shown: bool = True) -> None:
        """Bring exactly this blob into the repository, wherever it has to come from."""
        if not self._deliver(descriptor, descriptor.digest if shown else "", fetch=True):
            raise BlobMissing(descriptor.digest)

    # ------------------------------------------------------------ without
    def _fresh(self, image: Digest) -> Descriptor:
        """Push an image that has no manifest yet: the layers first, whose blobs the manifest then names."""
        layers = self._store.images.layers(image)
        for layer in layers:
            self._on_progress(Transfer(layer.diff_id, WAITING, 0, layer.size))
        once = {layer.diff_id: layer for layer in layers}
        blobs = dict(zip(once, together([lambda layer=layer: self._layer(layer, image) for layer in once.values()],    # type: ignore[misc]  # as above
                                        PARALLEL, self._uploads.cancel)))
        document = describe(self._store, image, self._packing, self._annotations, [blobs[layer.diff_id] for layer in layers])
        if not self._deliver(Descriptor("", image, len(document.config)), "", fetch=False):
            raise BlobMissing(image)
        self._repository.put_manifest(self._under(document.descriptor), document.manifest, document.descriptor.media_type)
        self._store.blobs.put(document.manifest)
        return document.descriptor

    def _layer(self, layer: "Layer", image: Digest) -> LayerBlob:
        """Bring a layer into the repository, in whatever blob of it is the cheapest."""
        store, wanted = self._store, self._packing.compression
        if not self._packing.forced:
            for blob in store.layerblobs.of(layer.diff_id):
                if blob.compression == wanted or (not wanted and blob.compression != "uncompressed"):
                    self._deliver(Descriptor(layer_media_type(blob.compression), blob.digest, blob.size), layer.diff_id, fetch=False)
                    self._note(blob)
                    return blob
            for origin in store.origins.of(layer.diff_id):
                compression = compression_of(origin.media_type)
                if compression and (compression == wanted or not wanted):
                    descriptor = Descriptor(origin.media_type, origin.digest, origin.size)
                    if self._deliver(descriptor, layer.diff_id, fetch=not layer.snapshot):
                        return LayerBlob(origin.digest, layer.diff_id, compression, origin.size, 0)
        if not layer.snapshot and not store.layerblobs.of(layer.diff_id):
            with self._compressing:
                layer = next(each for each in store.images.complete(image) if each.diff_id == layer.diff_id)
        return self._make(layer)

    def _make(self, layer: "Layer") -> LayerBlob:
        """Compress the layer into the store, and send it while it is made."""
        with self._compressing:
            trail = Trail()
            self._on_progress(Transfer(layer.diff_id, COMPRESSING))
            sending = _Stream(self._uploads, trail, layer.diff_id)
            try:
                blob = self._store.layerblobs.ensure(layer, self._packing.compression or "gzip", self._packing.level, forced=self._packing.forced,
                                                     trail=trail)
            except BaseException:
                self._uploads.cancel()
                sending.location()
                raise
        location = sending.location()
        trail.close()
        try:
            if not location:
                raise Rejected
            self._uploads.close(location, blob.digest)
            self._on_progress(Transfer(layer.diff_id, PUSHED, blob.size, blob.size))
        except (Rejected, Trouble):                      # then from the store, at the registry's pace
            self._deliver(Descriptor(layer_media_type(blob.compression), blob.digest, blob.size), layer.diff_id, fetch=False)
        self._note(blob)
        return blob

    def _note(self, blob: LayerBlob) -> None:
        self._store.origins.note([Origin(blob.digest, self._repository.name, blob.diff_id, layer_media_type(blob.compression), blob.size)])

    # ------------------------------------------------------------ one blob
    def _deliver(self, descriptor: Descriptor, shown: str, fetch: bool) -> bool:
        """Bring a blob into the repository: it is there, another repository gives it, or it is sent. fetch: also from where it was pulled.

        False if it cannot be had.
        """
        digest, size = descriptor.digest, descriptor.size
        if self._repository.has_blob(digest):
            self._say(shown, EXISTS, size)
            return True
        location = ""
        for path in self._mountable(digest):
            try:
                location = self._uploads.mount(digest, path)
            except AccessDenied:                         # to the other one
                continue
            if not location:
                self._say(shown, MOUNTED, size, path)
                return True
        if not self._store.blobs.has(digest) and not (fetch and self._fetch(descriptor)):
            if location:
                self._uploads.abandon(location)
            return False
        self._say(shown, UPLOADING, size)
        fd = self._store.blobs.open(digest)
        try:
            self._uploads.put(digest, size, fd, shown, location)
        finally:
            os.close(fd)
        self._say(shown, PUSHED, size)
        return True

    def _say(self, shown: str, state: str, size: int, detail: str = "") -> None:
        if shown:
            self._on_progress(Transfer(shown, state, 0 if state == UPLOADING else size, size, detail))

    def _mountable(self, digest: Digest) -> "list[str]":
        """Other repositories of the same registry that had the blob."""
        repositories = [parse_reference(origin.repository) for origin in self._store.origins.of_digest(digest)]
        return [r.path for r in repositories if r.domain == self._reference.domain and r.path != self._reference.path][:_MOUNTS]

    def _fetch(self, descriptor: Descriptor) -> bool:
        """Fetch a blob from where it was pulled; False if nobody has it any more."""
        for origin in self._store.origins.of_digest(descriptor.digest):
            download = Download(self._store, self._session.repository(parse_reference(origin.repository)), descriptor, lambda progress: None)
            try:
                download.run()
                download.finish()
                return True
            except RegistryError:
                self._store.origins.forget(descriptor.digest, origin.repository)
            finally:
                download.close()
        return False


class _Stream:
    """A stream upload in a thread of its own."""

    def __init__(self, uploads: Uploads, trail: Trail, shown: str) -> None:
        self._uploads, self._trail, self._shown = uploads, trail, shown
        self._location = ""
        self._error: "BaseException | None" = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._location = self._uploads.stream(self._trail, self._shown)
        except (Rejected, Trouble):
            pass                                         # the blob is sent from the store
        except BaseException as error:
            self._error = error

    def location(self) -> str:
        """Where the session is to be closed; "" if the registry did not take the stream. Raises what went wrong for good."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._location
