"""Layers from a registry, several at once: downloads run ahead in threads, and each layer is unpacked behind its download, the lowest first.

In: an image's layers, and where the absent ones can be had; out: the same layers, all in the store. What fails stops all the others.
"""

import threading

from kernel.value import Value
from store.errors import BlobMissing, DigestMismatch, InvalidLayer, SizeMismatch
from store.images import Layer
from store.ingest import known_layer, unpack
from store.layerblobs import LayerBlob
from store.oci import Descriptor, compression_of
from store.presence import LayerAbsent, from_blob
from store.registry.download import Download
from store.registry.progress import EXISTS, PULLED, Transfer
from store.registry.repository import Repository
from store.room import reserve
from store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from store.digest import Digest
    from store.registry.progress import OnProgress

PARALLEL = 4
_UNPACKED = 3                            # a compressed layer is about a third of its files: only a guess, for making room


class Source(Value):
    """Where a layer's blob can be had."""

    repository: Repository
    descriptor: Descriptor


def fetch_layers(store: Store, layers: "Sequence[Layer]", sources: "Mapping[Digest, Source]", on_progress: "OnProgress",
                 parallel: int = PARALLEL) -> "tuple[Layer, ...]":
    """sources: of absent layers, by diff ID. Raises LayerAbsent, RegistryError, InvalidLayer, DigestMismatch, NoRoom."""
    wanted = {s.descriptor.digest: s for layer in layers if not layer.snapshot and (s := sources.get(layer.diff_id)) and not _here(store, layer, s)}
    size = sum(source.descriptor.size for source in wanted.values())
    if size:
        reserve(store, size, size * (1 + _UNPACKED))
    with _Downloads(store, tuple(wanted.values()), on_progress, parallel) as downloads:
        done: "tuple[Layer, ...]" = ()
        for layer in layers:
            done += (_bring(store, layer, done, sources.get(layer.diff_id), downloads, on_progress),)
    return done


def _here(store: Store, layer: Layer, source: "Source | None") -> "LayerBlob | None":
    """The layer's blob, if it is in the store: known as such, or of a pull that was killed before it had unpacked it."""
    known = store.layerblobs.of(layer.diff_id)
    if known:
        return known[0]
    if source is not None:
        digest, size = source.descriptor.digest, source.descriptor.size
        store.blobs.hold(digest)
        if store.blobs.size(digest) == size:
            return LayerBlob(digest, layer.diff_id, compression_of(source.descriptor.media_type), size, 0)
    return None


def _bring(store: Store, layer: Layer, below: "tuple[Layer, ...]", source: "Source | None", downloads: "_Downloads",
           on_progress: "OnProgress") -> Layer:
    known = layer if layer.snapshot else known_layer(store, layer.diff_id, below)
    shown = source.descriptor.digest if source else layer.diff_id
    if known is not None:
        on_progress(Transfer(shown, EXISTS))
        return known
    download = downloads.get(source.descriptor.digest) if source else None
    if download is not None and source is not None:
        unpacked = _behind(store, layer, below, source, download, on_progress)
    else:
        unpacked = _unpacked(store, layer, below, source, on_progress)
    on_progress(Transfer(shown, PULLED, unpacked.size, unpacked.size))
    return unpacked


def _unpacked(store: Store, layer: Layer, below: "tuple[Layer, ...]", source: "Source | None", on_progress: "OnProgress") -> Layer:
    """From the blob that is here; fetched after all if a collection was faster, or if the disk has changed it."""
    here = _here(store, layer, source)
    if here is not None:
        try:
            return from_blob(store, here, below)
        except (BlobMissing, DigestMismatch, InvalidLayer):
            if source is None:
                raise
    if source is None:
        raise LayerAbsent(layer.diff_id)
    return _alone(store, layer, below, source, on_progress)


def _behind(store: Store, layer: Layer, below: "tuple[Layer, ...]", source: Source, download: Download, on_progress: "OnProgress") -> Layer:
    """Unpack behind the download; what a damaged beginning or a mirror had spoilt is fetched once more, from zero or from the registry itself."""
    repository = source.repository
    try:
        return unpack(store, download.chunks(), layer.diff_id, below, download.finish)
    except (DigestMismatch, SizeMismatch, InvalidLayer):
        if not (download.begun or len(repository.connections) > 1) or not download.is_spoilt():
            raise
        if not download.begun:
            repository = Repository(repository.domain, repository.path, repository.connections[-1:])
        return _alone(store, layer, below, source._replace(repository=repository), on_progress)


def _alone(store: Store, layer: Layer, below: "tuple[Layer, ...]", source: Source, on_progress: "OnProgress") -> Layer:
    with _Downloads(store, (source,), on_progress, 1) as downloads:
        download = downloads.get(source.descriptor.digest)
        assert download is not None, "it was asked for"
        return unpack(store, download.chunks(), layer.diff_id, below, download.finish)


class _Downloads:
    """Downloads in threads, `parallel` at once, in the order given. Leaving the `with` stops what still runs."""

    def __init__(self, store: Store, sources: "tuple[Source, ...]", on_progress: "OnProgress", parallel: int) -> None:
        self._all = {s.descriptor.digest: Download(store, s.repository, s.descriptor, on_progress, resume=True) for s in sources}
        self._waiting = list(self._all.values())[::-1]
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(min(parallel, len(sources)))]

    def get(self, digest: "Digest") -> "Download | None":
        """None for what was not asked for."""
        return self._all.get(digest)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                download = self._waiting.pop()
            download.run()

    def __enter__(self) -> "_Downloads":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            with self._lock:
                self._waiting.clear()
            for download in self._all.values():
                download.cancel()
        for thread in self._threads:
            thread.join()
        for download in self._all.values():
            download.close()
