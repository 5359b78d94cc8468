"""Image archives written. In: images of the store; out: one tar that docker, podman and skopeo read, the same bytes for the same images.

The docker form is also an OCI layout, as docker has written it since 25: blobs/sha256/.., index.json, and manifest.json with names and files.
"""

import msgspec

from kernel.value import Value
from store.digest import Digest, hex_of
from store.document import Document, Packing, describe
from store.oci import OCI_INDEX, Descriptor, Index, to_json
from store.reference import parse_reference
from store.store import Store
from store.tarheader import END, padding, plain_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from store.images import Layer
    from store.oci import Platform

    Sink = Callable[[bytes | bytearray | memoryview], object]

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
NAME, REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"


class Chosen(Value):
    """An image to save, and the names that are saved with it (in full). annotations: of its manifest; described: of the index's entries for it."""

    image: Digest
    names: "tuple[str, ...]"
    annotations: "tuple[tuple[str, str], ...]" = ()
    described: "tuple[tuple[str, str], ...]" = ()


class _ManifestItem(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    repo_tags: "tuple[str, ...] | None"
    layers: "tuple[str, ...]"


def choose_images(store: Store, names: "tuple[str, ...]", platform: "Platform | None" = None) -> "tuple[Chosen, ...]":
    """What `save NAME..` means: a name saves itself, a repository all its tags, an ID the image without a name; no image is saved twice.

    platform: of a name that leads to an index, which image of it. Raises ReferenceMissing.
    """
    chosen: "dict[Digest, dict[str, None]]" = {}
    for name in names:
        repository = _repository(name)
        tags = [(r.id, n) for r in store.images.list() for n in r.names if n.startswith(f"{repository}:")] if repository else []
        if tags:
            for image, tag in sorted(tags, key=lambda item: item[1]):
                chosen.setdefault(_for(store, tag, image, platform), {})[tag] = None
            continue
        record = store.images.require(name)
        image = _for(store, name, record.id, platform)
        store.images.keep(image)
        kept = chosen.setdefault(image, {})
        if not _is_id(name) and (full := str(parse_reference(name))) in record.names:
            kept[full] = None
    return tuple(Chosen(image, tuple(kept)) for image, kept in chosen.items())


def _for(store: Store, name: str, image: Digest, platform: "Platform | None") -> Digest:
    if platform is None:
        return image
    from store.variants import bring

    return bring(store, name, platform)


def _is_id(name: str) -> bool:
    return name.startswith("sha256:") or (len(name) == 64 and not name.strip("0123456789abcdef"))


def _repository(name: str) -> str:
    """The repository in full, if the name is one without tag and digest; else ""."""
    if _is_id(name):
        return ""
    reference = parse_reference(name, default_tag="")
    return "" if reference.tag or reference.digest else reference.name


def save(store: Store, names: "tuple[str, ...]", write: "Sink", form: str = "docker", packing: "Packing | None" = None,
         platform: "Platform | None" = None) -> None:
    """Write the images to one archive. form: "docker" (layers uncompressed unless said otherwise) or "oci" (as they are here, else gzip).

    platform: as choose_images takes it.
    """
    write_archive(store, choose_images(store, names, platform), write, form, packing)


def write_archive(store: Store, images: "tuple[Chosen, ...]", write: "Sink", form: str = "docker", packing: "Packing | None" = None) -> None:
    """As save, of images that were chosen otherwise: the builder's, with the names that they are to have elsewhere."""
    packing = packing or Packing("uncompressed" if form == "docker" else "")
    documents = [describe(store, chosen.image, packing, dict(chosen.annotations)) for chosen in images]
    tar = _Tar(write)
    tar.file("oci-layout", LAYOUT)
    if form == "docker":
        tar.file("manifest.json", msgspec.json.encode([_item(d, c) for d, c in zip(documents, images)]))
    tar.file("index.json", to_json(index_of(documents, images)))
    tar.directory("blobs")
    tar.directory("blobs/sha256")
    done: "set[Digest]" = set()
    for document in documents:
        for digest, data in ((document.descriptor.digest, document.manifest), (document.image, document.config)):
            if digest not in done:
                tar.file(blob_path(digest), data)
                done.add(digest)
    for document in documents:
        for layer, blob in document.layers:
            if blob.digest not in done:
                tar.layer(store, layer, blob.digest, blob.size, blob.compression == "uncompressed")
                done.add(blob.digest)
    write(END)


def index_of(documents: "list[Document]", images: "tuple[Chosen, ...]") -> Index:
    """An entry for each name, or one without for an image that has none."""
    manifests: "list[Descriptor]" = []
    for document, chosen in zip(documents, images):
        for name in chosen.names or ("",):
            tag = parse_reference(name).tag if name else ""
            annotations = {**dict(chosen.described), **({NAME: name, REF_NAME: tag} if name else {})}
            manifests.append(msgspec.structs.replace(document.descriptor, annotations=annotations or None))
    return Index(schema_version=2, media_type=OCI_INDEX, manifests=tuple(manifests))


def blob_path(digest: Digest) -> str:
    return f"blobs/sha256/{hex_of(digest)}"


def _item(document: Document, chosen: Chosen) -> _ManifestItem:
    tags = tuple(parse_reference(name).familiar() for name in chosen.names)
    return _ManifestItem(blob_path(document.image), tags or None, tuple(blob_path(blob.digest) for _, blob in document.layers))


class _Tar:
    def __init__(self, write: "Sink") -> None:
        self._write = write

    def directory(self, name: str) -> None:
        self._write(plain_header(f"{name}/", 0, 0o755, b"5"))

    def file(self, name: str, data: bytes) -> None:
        self._write(plain_header(name, len(data)))
        self._write(data + bytes(padding(len(data))))

    def layer(self, store: Store, layer: "Layer", digest: Digest, size: int, uncompressed: bool) -> None:
        self._write(plain_header(blob_path(digest), size))
        if uncompressed:
            store.layerblobs.write_tar(layer, self._write)
        else:
            store.blobs.copy(digest, self._write)
        self._write(bytes(padding(size)))
