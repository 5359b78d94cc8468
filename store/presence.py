"""Layers that are not here yet: an image whose config alone was fetched. In: an image's layers; out: the same with every snapshot there.

A layer whose `snapshot` is "" is absent. It becomes present from what was unpacked before, from a blob that is here, or from what `fetch` brings
(store.registry.lazy, given to the store by whoever may use the network). Two processes that need the same layers bring them once.
"""

import os

from store.blobs import chunks_of
from store.digest import digest_of
from store.errors import StoreError
from store.images import Layer
from store.ingest import known_layer, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.digest import Digest
    from store.layerblobs import LayerBlob
    from store.store import Store

    Fetch = Callable[[Store, tuple[Layer, ...]], tuple[Layer, ...]]


class LayerAbsent(StoreError):
    """A layer was never fetched, and there is nobody to ask."""

    help = "`pybuild pull` fetches the whole image"

    def __init__(self, diff_id: str) -> None:
        super().__init__(diff_id)
        self.diff_id = diff_id

    def __str__(self) -> str:
        return f"the layer `{self.diff_id[:19]}` of the image is not in the store"


def present(store: "Store", layers: "Sequence[Layer]", fetch: "Fetch | None") -> "tuple[Layer, ...]":
    """layers: all of an image's, bottom first. Raises LayerAbsent, and what `fetch` raises."""
    lock = store.cache.lock(digest_of(" ".join(layer.diff_id for layer in layers).encode()))
    lock.take()
    try:
        found = tuple(with_known(store, layers))
        missing = next((layer for layer in found if not layer.snapshot and not store.layerblobs.of(layer.diff_id)), None)
        if missing is None:
            return from_blobs(store, found)
        if fetch is None:
            raise LayerAbsent(missing.diff_id)
        return fetch(store, found)
    finally:
        lock.release(remove=True)


def with_known(store: "Store", layers: "Sequence[Layer]") -> "list[Layer]":
    """The same, with those filled in that were unpacked before."""
    layers = tuple(layers)
    return [layer if layer.snapshot else known_layer(store, layer.diff_id, layers[:number]) or layer for number, layer in enumerate(layers)]


def from_blobs(store: "Store", layers: "Sequence[Layer]") -> "tuple[Layer, ...]":
    """The same, with absent ones unpacked from their blobs, all of which are here."""
    done: "tuple[Layer, ...]" = ()
    for layer in layers:
        done += (layer if layer.snapshot else from_blob(store, store.layerblobs.of(layer.diff_id)[0], done),)
    return done


def from_blob(store: "Store", blob: "LayerBlob", below: "tuple[Layer, ...]", *, remember: bool = True) -> Layer:
    """Unpack a layer from a blob of the store. remember: False for a copy that is only looked at.

    Raises DigestMismatch where the disk has changed it.
    """
    fd = store.blobs.open(blob.digest)
    try:
        return unpack(store, chunks_of(fd), blob.diff_id, below, lambda diff_id: (blob.digest, blob.size), remember=remember)
    finally:
        os.close(fd)


def absent(diff_ids: "Sequence[Digest]", sizes: "Sequence[int]") -> "tuple[Layer, ...]":
    """Layers of an image that was only heard of. sizes: bytes, as far as they are known."""
    from store.snapshots import SnapshotId

    return tuple(Layer(diff_id, "", SnapshotId(""), size) for diff_id, size in zip(diff_ids, sizes))
