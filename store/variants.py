"""Images of other platforms under one name. In: a name that leads to an index, and a platform; out: the ID of that image, if it is here."""

from store.errors import ReferenceMissing
from store.oci import MANIFEST_LIMIT, Index, Manifest, parse_manifest
from store.platform import choose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.digest import Digest
    from store.oci import Platform
    from store.store import Store


def variant(store: "Store", name: str, platform: "Platform") -> "Digest":
    """Raises ReferenceMissing where nothing for the platform is here."""
    record = store.images.require(name)
    target = None if name.removeprefix("sha256:") == record.id.removeprefix("sha256:") else store.images.target(name)
    if target is not None and store.blobs.has(target):
        parsed = parse_manifest(store.blobs.read(target, MANIFEST_LIMIT), f"the manifest of `{name}`")
        if isinstance(parsed, Index):
            chosen = choose([d for d in parsed.manifests if d.platform], platform)
            image = _config(store, chosen.digest) if chosen else None
            if image is not None and store.images.record(image) is not None:
                return image
            raise ReferenceMissing(f"{name} for {platform}")
    if record.platform != str(platform):
        raise ReferenceMissing(f"{name} for {platform}")
    return record.id


def _config(store: "Store", manifest: "Digest") -> "Digest | None":
    if not store.blobs.has(manifest):
        return None
    parsed = parse_manifest(store.blobs.read(manifest, MANIFEST_LIMIT), f"the manifest `{manifest}`")
    return parsed.config.digest if isinstance(parsed, Manifest) else None
