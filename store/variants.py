"""Images of several platforms under one name. In: a name that leads to an index, and a platform; out: the ID of that image, if it is here."""

from store.errors import PlatformMissing
from store.oci import CONFIG_LIMIT, MANIFEST_LIMIT, Descriptor, ImageConfig, Index, Manifest, compression_of, from_json, parse_manifest
from store.platform import choose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.digest import Digest
    from store.images import Layer
    from store.oci import Platform
    from store.store import Store


def variant(store: "Store", name: str, platform: "Platform") -> "Digest":
    """Raises PlatformMissing where nothing for the platform is here."""
    entry = part(store, name, platform)
    if entry is None:
        return store.images.require(name).id
    manifest = _manifest(store, entry.digest)
    if manifest is None or store.images.record(manifest.config.digest) is None:
        raise PlatformMissing(name, str(platform))
    return manifest.config.digest


def bring(store: "Store", name: str, platform: "Platform") -> "Digest":
    """As variant, of an image too that only lies here as blobs, as all but one of an index do that was pulled whole: it is unpacked."""
    entry = part(store, name, platform)
    if entry is None:
        return store.images.require(name).id
    manifest = _manifest(store, entry.digest)
    if manifest is None or not store.blobs.has(manifest.config.digest):
        raise PlatformMissing(name, str(platform))
    image = manifest.config.digest
    if not store.images.keep(image):
        store.blobs.hold(image)
        config = store.blobs.read(image, CONFIG_LIMIT)
        diff_ids = from_json(ImageConfig, config, f"the config `{image}`").diff_ids
        layers: "tuple[Layer, ...]" = ()
        for diff_id, descriptor in zip(diff_ids, manifest.layers):
            layers += (_layer(store, diff_id, descriptor, layers),)
        store.images.add(config, layers)
    return image


def part(store: "Store", name: str, platform: "Platform") -> "Descriptor | None":
    """What the index that the name leads to lists for the platform; None where the name leads to one image, and that is for it.

    Raises PlatformMissing where there is nothing for the platform.
    """
    record = store.images.require(name)
    index = index_of(store, name, record.id)
    if index is None:
        if record.platform != str(platform):
            raise PlatformMissing(name, str(platform))
        return None
    chosen = choose([d for d in index.manifests if d.platform], platform)
    if chosen is None:
        raise PlatformMissing(name, str(platform))
    return chosen


def name_too(store: "Store", source: str, name: str) -> None:
    """Give what `source` (a name or ID) leads to a further name: the image, and the index that it is of, if it is of one.

    Raises ReferenceMissing, InvalidReference.
    """
    image = store.images.require(source).id
    target = store.images.target(source) if index_of(store, source, image) else None
    store.images.tag(image, name, target or "")


def index_of(store: "Store", name: str, image: "Digest") -> "Index | None":
    """The index that a name (or ID) of the image leads to; None where it leads to the image alone."""
    target = None if name.removeprefix("sha256:") == image.removeprefix("sha256:") else store.images.target(name)
    if target is None or not store.blobs.has(target):
        return None
    parsed = parse_manifest(store.blobs.read(target, MANIFEST_LIMIT), f"the manifest of `{name}`")
    return parsed if isinstance(parsed, Index) else None


def _layer(store: "Store", diff_id: "Digest", descriptor: Descriptor, below: "tuple[Layer, ...]") -> "Layer":
    """Unpacked from its blob; absent where that is not here, so that it is fetched when somebody must read it."""
    from store.ingest import known_layer
    from store.layerblobs import LayerBlob
    from store.presence import absent, from_blob

    known = known_layer(store, diff_id, below)
    if known is not None:
        return known
    store.blobs.hold(descriptor.digest)
    if not store.blobs.has(descriptor.digest):
        return absent([diff_id], [descriptor.size])[0]
    blob = LayerBlob(descriptor.digest, diff_id, compression_of(descriptor.media_type), descriptor.size, 0)
    return from_blob(store, blob, below)                 # which sees that the blob is what the config says


def _manifest(store: "Store", digest: "Digest") -> "Manifest | None":
    store.blobs.hold(digest)
    if not store.blobs.has(digest):
        return None
    parsed = parse_manifest(store.blobs.read(digest, MANIFEST_LIMIT), f"the manifest `{digest}`")
    return parsed if isinstance(parsed, Manifest) else None
