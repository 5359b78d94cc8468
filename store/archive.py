"""Image archives read: docker's (save), OCI layouts and skopeo's `dir:`, as tar or directory, one image or several.

In: a file; out: images in the store.

Read in this order: `load`, `_docker` (manifest.json), `_oci` (index.json), `_legacy` (docker before 1.10). Layers keep the bytes they come in,
so that what is saved again has the same IDs.
"""

from kernel.value import Value
from store.digest import Digest, digest_of, hex_of
from store.errors import InvalidArchive, InvalidReference
from store.intake import add_image, read_blob
from store.oci import CONFIG_LIMIT, MANIFEST_LIMIT, Descriptor, Index, Manifest, compression_of, parse_manifest
from store.oci import plain as plain_json
from store.platform import choose, local_platform
from store.reference import parse_new_name
from store.source import open_source
from store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from store.oci import Platform
    from store.source import Source

_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_DEPTH = 4                               # indexes inside of indexes


class Loaded(Value):
    """One image that was in the archive; names: as the archive (or the caller) calls it, in full."""

    id: Digest
    names: "tuple[str, ...]"


def load(store: Store, path: str, fd: int, *, tag: str = "", platform: "Platform | None" = None,
         on_layer: "Callable[[Digest], None] | None" = None) -> "tuple[Loaded, ...]":
    """Take every image of the archive in. path: for messages; fd: of a file, pipe or directory, closed here.

    tag: the name of the only image, instead of the archive's. platform: which of several; this machine's if not said. on_layer: told of each layer.
    Raises InvalidReference, InvalidArchive, InvalidImage, InvalidLayer, DigestMismatch; images before the bad one stay.
    """
    source = open_source(path, fd, store.temporary)
    try:
        if tag:
            parse_new_name(tag)
        loader = _Loader(store, source, platform, on_layer or (lambda _: None))
        loaded = loader.load()
        if tag and len(loaded) != 1:
            raise InvalidArchive(f"`{path}` has {len(loaded)} images, so that one tag cannot name them")
        return tuple(loader.name(image, (tag,) if tag else image.names) for image in loaded)
    finally:
        source.close()


class _Image(Value):
    """An image that is in the store and has no name yet. target: its manifest, or the index that it was chosen from."""

    id: Digest
    names: "tuple[str, ...]"
    target: "Digest | str" = ""


class _Loader:
    def __init__(self, store: Store, source: "Source", platform: "Platform | None", on_layer: "Callable[[Digest], None]") -> None:
        self._store = store
        self._source = source
        self._platform = platform or local_platform()
        self._on_layer = on_layer
        self._is_flat = False

    def load(self) -> "list[_Image]":
        source = self._source
        if source.has("index.json") and source.has("oci-layout"):
            try:
                return self._oci()
            except InvalidArchive:
                if not source.has("manifest.json"):
                    raise                # else: docker's newer archives are both, and the OCI half may lack blobs
        if source.has("manifest.json"):
            return self._docker()
        if source.has("repositories"):
            return self._legacy()
        raise InvalidArchive(f"`{source.what}` has no `manifest.json` and no `index.json`, so it is none")

    def name(self, image: _Image, names: "tuple[str, ...]") -> Loaded:
        given = []
        for name in names:
            try:
                given.append(str(self._store.images.tag(image.id, name, image.target)))
            except InvalidReference as error:
                raise InvalidArchive(f"`{self._source.what}` gives an image a name that is none: {error}") from error
        return Loaded(image.id, tuple(given))

    def _image(self, config: bytes, files: "list[tuple[str, Digest | None, int | None]]") -> Digest:
        return add_image(self._store, self._source, config, files, self._on_layer)

    # ------------------------------------------------------------ docker's form
    def _docker(self) -> "list[_Image]":
        data = self._source.read("manifest.json", MANIFEST_LIMIT)
        document = plain_json(data, "`manifest.json` of the archive")
        if isinstance(document, dict) and "schemaVersion" in document:
            return self._flat(data)
        if not isinstance(document, list) or not document:
            raise InvalidArchive(f"`{self._source.what}` has a `manifest.json` without images")
        images = []
        for item in document:
            config = _field(item, "Config", str, self._source)
            layers = _field(item, "Layers", list, self._source, [])
            names = tuple(str(name) for name in _field(item, "RepoTags", list, self._source, []))
            image = self._image(self._source.read(config, CONFIG_LIMIT), [(str(name), None, None) for name in layers])
            images.append(_Image(image, names))
        return images

    def _flat(self, data: bytes) -> "list[_Image]":
        """containers/image's `dir:`: manifest.json is the very manifest, and blobs lie beside it under their hex digits."""
        self._is_flat = True
        image = self._from_data(data, "", 0)
        if image is None:
            raise InvalidArchive(f"`{self._source.what}` has no image for {self._platform}")
        return [_Image(image, (), digest_of(data))]

    def _legacy(self) -> "list[_Image]":
        """docker before 1.10: `repositories` leads to layers, each with a `json` that names its parent; a config is made of the last one."""
        from store.legacy import config_of

        repositories = plain_json(self._source.read("repositories", MANIFEST_LIMIT), "`repositories` of the archive")
        if not isinstance(repositories, dict):
            raise InvalidArchive(f"`{self._source.what}` has a `repositories` that is no object")
        tags: "dict[str, list[str]]" = {}
        for repository, versions in repositories.items():
            for version, top in (versions.items() if isinstance(versions, dict) else ()):
                tags.setdefault(str(top), []).append(f"{repository}:{version}")
        images = []
        for top, names in tags.items():
            config, layers = config_of(self._source, top)
            images.append(_Image(self._image(config, [(name, None, None) for name in layers]), tuple(names)))
        return images

    # ------------------------------------------------------------ OCI's form
    def _oci(self) -> "list[_Image]":
        index = parse_manifest(self._source.read("index.json", MANIFEST_LIMIT), "`index.json` of the archive")
        if not isinstance(index, Index):
            raise InvalidArchive(f"`{self._source.what}` has an `index.json` that is no index")
        images: "dict[Digest, _Image]" = {}
        top = [d for d in index.manifests if not _is_attestation(d)]
        if len(top) > 1 and not any(_names(d) for d in top) and any(d.platform for d in top):
            chosen = choose(top, self._platform)         # one image for several machines, without an index of its own
            top = [chosen] if chosen else top[:1]
        for descriptor in top:
            image = self._from_descriptor(descriptor, 0)
            if image is None:
                continue
            known = images.get(image)
            names = (known.names if known else ()) + _names(descriptor)
            images[image] = _Image(image, tuple(dict.fromkeys(names)), descriptor.digest)
        if not images:
            raise InvalidArchive(f"`{self._source.what}` has no image for {self._platform}")
        return list(images.values())

    def _from_descriptor(self, descriptor: Descriptor, depth: int) -> "Digest | None":
        """The image that a manifest describes, or that an index has for the platform; None if it is no image."""
        if depth > _DEPTH:
            raise InvalidArchive(f"`{self._source.what}` has indexes nested more than {_DEPTH} deep")
        return self._from_data(self._blob(descriptor, MANIFEST_LIMIT), descriptor.media_type, depth)

    def _from_data(self, data: bytes, media_type: str, depth: int) -> "Digest | None":
        manifest = parse_manifest(data, f"the manifest `{digest_of(data)}`", media_type)
        if isinstance(manifest, Index):
            usable = [d for d in manifest.manifests if not _is_attestation(d) and self._source.has(self._path(d.digest))]
            chosen = choose(usable, self._platform) or (usable[0] if len(usable) == 1 else None)
            image = self._from_descriptor(chosen, depth + 1) if chosen else None
        else:
            image = self._from_manifest(manifest)
        if image:
            self._store.blobs.put(data)
        return image

    def _from_manifest(self, manifest: Manifest) -> "Digest | None":
        if not all(compression_of(layer.media_type) for layer in manifest.layers):
            return None                                  # an artifact, an attestation
        config = self._blob(manifest.config, CONFIG_LIMIT)
        return self._image(config, [(self._path(layer.digest), layer.digest, layer.size) for layer in manifest.layers])

    def _blob(self, descriptor: Descriptor, limit: int) -> bytes:
        return read_blob(self._source, self._path(descriptor.digest), descriptor, limit)

    def _path(self, digest: Digest) -> str:
        """Where a blob lies in the archive."""
        if not self._is_flat:
            return f"blobs/sha256/{hex_of(digest)}"
        manifest = f"{hex_of(digest)}.manifest.json"
        return manifest if self._source.has(manifest) else hex_of(digest)


def _is_attestation(descriptor: Descriptor) -> bool:
    return (descriptor.annotations or {}).get("vnd.docker.reference.type") == "attestation-manifest"


def _names(descriptor: Descriptor) -> "tuple[str, ...]":
    """What an index's entry is called. A bare tag, as skopeo and buildx write beside the name or instead of it, names nothing by itself."""
    annotations = descriptor.annotations or {}
    if _NAME in annotations:
        return (annotations[_NAME],)
    name = annotations.get(_REF_NAME, "")
    return (name,) if "/" in name or ":" in name else ()


def _field(item: "Any", name: str, kind: "type[Any]", source: "Source", default: "Any" = None) -> "Any":
    value = item.get(name) if isinstance(item, dict) else None
    if value is None:
        value = default
    if not isinstance(value, kind):
        raise InvalidArchive(f"`{source.what}` has a `manifest.json` whose `{name}` is missing or of the wrong type")
    return value
