"""Indexes made of images: one name for several platforms. In: names of images, here or in registries; out: an index in the store, under its name.

Of images in registries only manifests and configs are fetched; a push of the index mounts or copies their layers, as they are.
"""

import msgspec

from store.digest import Digest, digest_of, is_digest
from store.document import describe
from store.errors import InvalidImage
from store.oci import (
    CONFIG_LIMIT,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    MANIFEST_LIMIT,
    OCI_INDEX,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    compression_of,
    from_json,
    parse_manifest,
    to_json,
)
from store.origins import Origin
from store.platform import choose, local_platform
from store.presence import absent, with_known
from store.reference import parse_reference
from store.registry.repository import Found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.images import Removed
    from store.registry.repository import Repository
    from store.registry.session import Session
    from store.store import Store


def create(store: "Store", session: "Session", name: str, members: "Sequence[str]", *, amend: bool = False,
           annotations: "dict[str, str] | None" = None) -> Digest:
    """Make the index and let `name` lead to it. amend: add to the one that the name leads to. Returns its digest.

    Raises InvalidReference, NotInRegistry, RegistryError, InvalidImage.
    """
    known = _index(store, name) if amend else None
    entries = {d.digest: d for d in (known.manifests if known else ())}
    for member in members:
        for descriptor in _entries(store, session, member):
            entries[descriptor.digest] = descriptor
    return _keep(store, name, tuple(entries.values()), {**((known.annotations if known else None) or {}), **(annotations or {})})


def annotate(store: "Store", session: "Session", name: str, member: str, change: "Callable[[Descriptor], Descriptor]") -> Digest:
    """Change how the index describes one of its images. member: a digest in it, or a name that leads to one. Returns the index's new digest.

    Raises InvalidImage where the name leads to no index, or the index does not list the member.
    """
    known = _require(store, name)
    wanted = _listed(store, session, known, name, member)
    return _keep(store, name, tuple(change(d) if d.digest == wanted else d for d in known.manifests), known.annotations)


def remove(store: "Store", name: str) -> "tuple[Removed, ...]":
    """Take away a name that leads to an index. Raises ReferenceMissing, InvalidImage where it leads to an image."""
    store.images.require(name)
    _require(store, name)
    return store.images.remove(name)


def _require(store: "Store", name: str) -> Index:
    store.images.require(name)
    found = _index(store, name)
    if found is None:
        raise InvalidImage(f"the manifest of `{name}`", "it is of one image, and no index")
    return found


def _listed(store: "Store", session: "Session", known: Index, name: str, member: str) -> Digest:
    digests = {d.digest for d in known.manifests}
    said = member if is_digest(member) else parse_reference(member).digest
    found = digests & ({Digest(said)} if said else {d.digest for d in _entries(store, session, member)})
    if len(found) != 1:
        raise InvalidImage(f"the index `{name}`", f"it lists {'several images of' if found else 'no'} `{member}`")
    return found.pop()


def _keep(store: "Store", name: str, manifests: "tuple[Descriptor, ...]", annotations: "dict[str, str] | None") -> Digest:
    kinds = {d.media_type.startswith("application/vnd.docker.") for d in manifests}
    kind = DOCKER_INDEX if kinds == {True} and not annotations else OCI_INDEX
    data = to_json(Index(schema_version=2, media_type=kind, manifests=manifests, annotations=annotations or None))
    chosen = choose(manifests, local_platform()) or (manifests[0] if manifests else None)
    if chosen is None:
        raise InvalidImage(f"the index `{name}`", "it would have no images")
    image = _image(store, chosen)
    digest = store.blobs.put(data)
    store.images.tag(image, name, digest)
    return digest


def document(store: "Store", session: "Session", name: str, *, remote: bool = False) -> bytes:
    """The manifest or index that a name leads to, as bytes: what is here, else (or with `remote`) what its registry has."""
    reference = parse_reference(name)
    if not remote and store.images.resolve(name) is not None:
        target = store.images.target(name) or (Digest(reference.digest) if reference.digest else None)
        if target is not None and store.blobs.has(target):
            return store.blobs.read(target, MANIFEST_LIMIT)
    return session.repository(reference).manifest(reference.digest or reference.tag).data


def details(store: "Store", session: "Session", name: str, *, remote: bool = False) -> bytes:
    """As document, as JSON of another form, docker's: the manifest, or each one of the index, with what describes it."""
    is_index = isinstance(parse_manifest(document(store, session, name, remote=remote), f"the manifest of `{name}`"), Index)
    found = []
    for each in _entries(store, session, name, remote=remote):
        data = store.blobs.read(each.digest, MANIFEST_LIMIT)
        key = "SchemaV2Manifest" if each.media_type == DOCKER_MANIFEST else "OCIManifest"
        reference = f"{parse_reference(name)}@{each.digest}" if is_index else str(parse_reference(name))
        found.append({"Ref": reference, "Descriptor": each, "Raw": data, key: msgspec.Raw(data)})
    return msgspec.json.encode(found if is_index else found[0])


def _index(store: "Store", name: str) -> "Index | None":
    target = store.images.target(name)
    if target is None or not store.blobs.has(target):
        return None
    found = parse_manifest(store.blobs.read(target, MANIFEST_LIMIT), f"the manifest of `{name}`")
    if not isinstance(found, Index):
        raise InvalidImage(f"the manifest of `{name}`", "it is of one image, and no index to add to")
    return found


# ---------------------------------------------------------------- members
def _entries(store: "Store", session: "Session", member: str, *, remote: bool = False) -> "list[Descriptor]":
    """What a member brings: its manifest, or all that its index lists. remote: what the registry has, whatever is here."""
    record = None if remote else store.images.resolve(member)
    if record is not None:
        target = store.images.target(member) if member in record.names or not member.startswith("sha256:") else None
        if target is None or not store.blobs.has(target):
            made = describe(store, record.id)
            store.blobs.put(made.manifest)
            return [made.descriptor]
    reference = parse_reference(member)
    repository = session.repository(reference)
    if record is not None and target is not None:
        found = Found(target, "", store.blobs.read(target, MANIFEST_LIMIT))
    else:
        found = repository.manifest(reference.digest or reference.tag)
    parsed = _parsed(found, member)
    if isinstance(parsed, Index):
        return [_fetched(store, repository, _by_digest(store, repository, d.digest), member, d) for d in parsed.manifests]
    return [_fetched(store, repository, found, member, None)]


def _parsed(found: Found, member: str) -> "Manifest | Index":
    return parse_manifest(found.data, f"the manifest of `{member}`", found.media_type)


def _by_digest(store: "Store", repository: "Repository", digest: Digest) -> Found:
    store.blobs.hold(digest)
    if store.blobs.has(digest):
        return Found(digest, "", store.blobs.read(digest, MANIFEST_LIMIT))
    return repository.manifest(digest)


def _fetched(store: "Store", repository: "Repository", found: Found, member: str, entry: "Descriptor | None") -> Descriptor:
    """Keep a manifest with its config, and note where its layers are. entry: how an index described it."""
    manifest = _parsed(found, member)
    if isinstance(manifest, Index):
        raise InvalidImage(f"the index of `{member}`", "it lists another index")
    store.blobs.put(found.data)
    store.blobs.hold(manifest.config.digest)
    if store.blobs.has(manifest.config.digest):
        config = store.blobs.read(manifest.config.digest, CONFIG_LIMIT)
    else:
        config = repository.blob(manifest.config, CONFIG_LIMIT)
        store.blobs.put(config)
    is_image = all(compression_of(layer.media_type) for layer in manifest.layers)
    parsed = from_json(ImageConfig, config, f"the config of `{member}`") if is_image else ImageConfig()
    diff_ids = parsed.diff_ids if len(parsed.diff_ids) == len(manifest.layers) else tuple(layer.digest for layer in manifest.layers)
    store.origins.note(Origin(d.digest, repository.name, diff_id, d.media_type, d.size) for d, diff_id in zip(manifest.layers, diff_ids))
    if entry is not None:
        return entry
    kind = found.media_type or manifest.media_type
    platform = Platform(parsed.architecture, parsed.os, parsed.os_version, parsed.os_features, parsed.variant) if parsed.os else None
    return Descriptor(kind or "application/vnd.oci.image.manifest.v1+json", digest_of(found.data), len(found.data), platform=platform)


def _image(store: "Store", descriptor: Descriptor) -> Digest:
    """The image of one entry, known to the store: with absent layers, if it was only heard of."""
    manifest = parse_manifest(store.blobs.read(descriptor.digest, MANIFEST_LIMIT), f"the manifest `{descriptor.digest}`", descriptor.media_type)
    assert isinstance(manifest, Manifest)
    image = manifest.config.digest
    if store.images.record(image) is None:
        config = store.blobs.read(image, CONFIG_LIMIT)
        parsed = from_json(ImageConfig, config, f"the config `{image}`")
        store.images.add(config, tuple(with_known(store, absent(parsed.diff_ids, [layer.size for layer in manifest.layers]))))
    return image


def pretty(data: bytes) -> bytes:
    """A document for people."""
    return msgspec.json.format(data, indent=3)
