"""An image out of an opened archive or layout -> the store. In: a Source, and where in it things are; out: verified bytes, the image's ID.

What is here already is not unpacked again. Layers keep the bytes they come in, so that what is saved again has the same IDs.
"""

from store.digest import Digest, digest_of, parse_digest
from store.errors import DigestMismatch, InvalidArchive, InvalidImage, InvalidLayer, SizeMismatch
from store.images import Layer
from store.ingest import Promise, ingest, known_layer
from store.oci import Descriptor, ImageConfig, from_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.source import Source
    from store.store import Store

    File = tuple[str, Digest | None, int | None]


def read_blob(source: "Source", name: str, descriptor: Descriptor, limit: int) -> bytes:
    """A small blob, whole. Raises DigestMismatch, SizeMismatch, InvalidArchive."""
    data = source.read(name, limit)
    if digest_of(data) != descriptor.digest:
        raise DigestMismatch(descriptor.digest, digest_of(data))
    if len(data) != descriptor.size:
        raise SizeMismatch(descriptor.digest, descriptor.size, len(data))
    return data


def add_image(store: "Store", source: "Source", config: bytes, files: "Sequence[File]",
              on_layer: "Callable[[Digest], None]" = lambda diff_id: None) -> Digest:
    """files: of the layers, bottom first: (name in the source, digest and size that are promised, None for what nobody has promised).

    on_layer: told of each that is unpacked. Raises InvalidImage, InvalidArchive, DigestMismatch, SizeMismatch.
    """
    diff_ids = from_json(ImageConfig, config, f"the config of an image in `{source.what}`").diff_ids
    if len(diff_ids) != len(files):
        raise InvalidImage("the config of an image", f"it has {len(diff_ids)} diff IDs, and the archive {len(files)} layers")
    layers: "tuple[Layer, ...]" = ()
    for diff_id, (name, digest, size) in zip(diff_ids, files):
        parse_digest(diff_id)
        layer = known_layer(store, diff_id, layers)
        if layer is None or not (layer.tree or store.layerblobs.of(diff_id)):    # a built layer's tar can be made again
            on_layer(diff_id)
            try:
                layer = ingest(store, source.chunks(name), Promise(diff_id, digest, size), layers)
            except InvalidLayer as error:
                raise InvalidArchive(f"`{source.what}` has a bad layer, `{name}`: {error}") from error
        layers += (layer,)
    return store.images.add(config, layers)
