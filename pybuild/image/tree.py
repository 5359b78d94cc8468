"""`pybuild images --tree`: names, and below each that leads to an index the images that it lists. In: images of the store; out: lines.

What is said of an image: the room that its files and its blobs take here, and how large its blobs are. Of what an index lists and nobody has
fetched both are nothing.
"""

from pybuild.output.units import size
from store.oci import MANIFEST_LIMIT, Manifest, parse_manifest
from store.reference import parse_reference
from store.registry.fetching import is_attestation
from store.variants import index_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.digest import Digest
    from store.images import ImageRecord
    from store.oci import Descriptor
    from store.store import Store

    Line = tuple[str, str, str, str, str]

HEADINGS = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA")
_NUMBERS = (2, 3)                        # columns that are aligned to the right


def lines(store: "Store", pairs: "list[tuple[ImageRecord, str]]") -> "Iterator[str]":
    """pairs: (image, a name of it in full, "" for none)."""
    rows: "list[Line]" = [HEADINGS]
    for record, name in pairs:
        rows += _rows(store, record, name)
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        yield "   ".join(cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
                         for column, (cell, width) in enumerate(zip(row, widths))).rstrip()


def _rows(store: "Store", record: "ImageRecord", name: str) -> "Iterator[Line]":
    extra = "U" if store.images.users(record.id) else ""
    shown = parse_reference(name).familiar() if name else "<untagged>"
    index = index_of(store, name, record.id) if name else None
    listed = [] if index is None else [d for d in index.manifests if not is_attestation(d)]
    images = {image: sizes for d in listed for image, sizes in (_entry(store, d),)} or {record.id: _image(store, record.id)}
    yield shown, _short(record.id), size(sum(disk for disk, _ in images.values())), size(sum(content for _, content in images.values())), extra
    for number, descriptor in enumerate(listed):
        image, (disk, content) = _entry(store, descriptor)
        branch = "└─" if number == len(listed) - 1 else "├─"
        yield (f"{branch} {descriptor.platform or 'unknown/unknown'}", _short(image), size(disk), size(content),
               "U" if store.images.users(image) else "")


def _entry(store: "Store", descriptor: "Descriptor") -> "tuple[Digest, tuple[int, int]]":
    """(image, or the manifest where that is not here; (bytes on the disk, bytes of blobs)) of what an index lists."""
    if not store.blobs.has(descriptor.digest):
        return descriptor.digest, (0, 0)
    manifest = parse_manifest(store.blobs.read(descriptor.digest, MANIFEST_LIMIT), f"the manifest `{descriptor.digest}`")
    if not isinstance(manifest, Manifest):
        return descriptor.digest, (0, 0)
    image = manifest.config.digest
    if store.images.record(image) is not None:
        return image, _image(store, image)
    content = sum(each.size for each in {manifest.config, *manifest.layers} if store.blobs.has(each.digest))
    return image, (content, content)


def _image(store: "Store", image: "Digest") -> "tuple[int, int]":
    """(bytes on the disk, bytes of blobs) of an image of the store; a layer that it has twice counts once."""
    layers = set(store.images.layers(image))
    blobs = {blob.digest: blob.size for layer in layers for blob in store.layerblobs.of(layer.diff_id)}
    content = sum(blobs.values()) + len(store.images.config_bytes(image))
    return content + sum(layer.size for layer in layers if layer.snapshot), content


def _short(digest: "Digest") -> str:
    return digest.removeprefix("sha256:")[:12]
