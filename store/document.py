"""Manifests of images as they are given away. In: an image and how its layers are to be packed; out: a manifest, and every blob it names.

The same image packed in the same way has the same manifest. A layer that nobody needs compressed is not made a blob: its tar is written when asked.
"""

from kernel.value import Value
from store.digest import Digest, digest_of
from store.layerblobs import LayerBlob
from store.oci import DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest, Platform, layer_media_type, to_json
from store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.images import Layer


class Packing(Value):
    """compression: "" takes what is here (else gzip), "uncompressed", "gzip", "zstd"; level: None is the default of each."""

    compression: str = ""
    level: "int | None" = None
    forced: bool = False                 # pack anew what is here as something else
    docker: bool = False                 # docker's media types instead of OCI's


class Document(Value):
    """A manifest with what it names. layers: bottom first, with the layer that each blob is of."""

    manifest: bytes
    descriptor: Descriptor
    image: Digest                        # of the config
    config: bytes
    layers: "tuple[tuple[Layer, LayerBlob], ...]"


def describe(store: Store, image: Digest, packing: "Packing | None" = None, annotations: "dict[str, str] | None" = None,
             blobs: "Sequence[LayerBlob] | None" = None) -> Document:
    """Make the manifest; compressed layers are made and stored if they are not here yet. blobs: of the layers, where they are chosen already."""
    packing = packing or Packing()
    config = store.images.config_bytes(image)
    platform = store.images.config(image).platform
    layers = tuple(zip(store.images.layers(image), blobs) if blobs is not None else
                   ((layer, _blob(store, layer, packing)) for layer in store.images.complete(image)))
    manifest = to_json(Manifest(
        schema_version=2, media_type=DOCKER_MANIFEST if packing.docker else OCI_MANIFEST,
        config=Descriptor(DOCKER_CONFIG if packing.docker else OCI_CONFIG, image, len(config)),
        layers=tuple(Descriptor(layer_media_type(blob.compression, packing.docker), blob.digest, blob.size) for _, blob in layers),
        annotations=annotations or None))
    descriptor = Descriptor(DOCKER_MANIFEST if packing.docker else OCI_MANIFEST, digest_of(manifest), len(manifest),
                            platform=Platform(platform.architecture, platform.os, platform.os_version, platform.os_features, platform.variant))
    return Document(manifest, descriptor, image, config, layers)


def _blob(store: Store, layer: "Layer", packing: Packing) -> LayerBlob:
    if packing.compression == "uncompressed":
        size = store.layerblobs.tar_size(layer)
        return LayerBlob(layer.diff_id, layer.diff_id, "uncompressed", size, size)      # a tar's digest is its diff ID
    return store.layerblobs.ensure(layer, packing.compression, packing.level, forced=packing.forced)
