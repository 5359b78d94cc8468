"""A project in a registry: one compose file and the env files that its services name, as an artifact that docker compose writes and reads too."""

from store.digest import Digest, digest_of
from store.errors import InvalidImage
from store.oci import Descriptor, Index, Manifest, parse_manifest, to_json
from store.registry.upload import Uploads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.registry.repository import Repository

FILE_NAME = "compose.yaml"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_PROJECT = "application/vnd.docker.compose.project"
_FILE = "application/vnd.docker.compose.file+yaml"
_ENV_FILE = "application/vnd.docker.compose.envfile"
_EMPTY = {"1.1": "application/vnd.oci.empty.v1+json", "1.0": "application/vnd.docker.compose.config.empty.v1+json"}
_FILE_KEY, _ENV_FILE_KEY = "com.docker.compose.file", "com.docker.compose.envfile"
VERSIONS = tuple(_EMPTY)
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_MOST = 10 << 20                                          # bytes of one file


def put(repository: "Repository", tag: str, text: bytes, env_files: "Mapping[str, bytes]", created: str, version: str = "1.1") -> Descriptor:
    """Upload it; what the tag leads to now. version: of the OCI image specification. Raises RegistryError."""
    uploads = Uploads(repository, lambda transfer: None)

    def blob(data: bytes, media_type: str, annotations: "dict[str, str] | None" = None) -> Descriptor:
        if not repository.has_blob(digest_of(data)):
            uploads.put_bytes(data)
        return Descriptor(media_type, digest_of(data), len(data), annotations=annotations)

    layers = (blob(text, _FILE, {_FILE_KEY: FILE_NAME}), *(blob(data, _ENV_FILE, {_ENV_FILE_KEY: name}) for name, data in env_files.items()))
    document = to_json(Manifest(schema_version=2, media_type=_MANIFEST, artifact_type=_PROJECT if version == "1.1" else "",
                                config=blob(b"{}", _EMPTY[version]), layers=layers, annotations={"org.opencontainers.image.created": created}))
    repository.put_manifest(tag, document, _MANIFEST)
    return Descriptor(_MANIFEST, digest_of(document), len(document))


def put_images(repository: "Repository", project: Descriptor, images: "tuple[Descriptor, ...]") -> Digest:
    """Say which images of the repository go with a project that was `put`: an index that refers to it. Raises RegistryError."""
    document = to_json(Index(schema_version=2, media_type=_INDEX, artifact_type=_PROJECT, manifests=images, subject=project))
    repository.put_manifest(digest_of(document), document, _INDEX)
    return digest_of(document)


def get(repository: "Repository", reference: str) -> "tuple[Digest, dict[str, bytes]]":
    """(digest of the manifest, name -> bytes). Several compose files become documents of one. Raises RegistryError, StoreError."""
    found = repository.manifest(reference)
    what = f"`{repository.name}`"
    manifest = parse_manifest(found.data, what, found.media_type)
    if not isinstance(manifest, Manifest) or not (
            manifest.artifact_type == _PROJECT or (not manifest.artifact_type and manifest.config.media_type == _EMPTY["1.0"])):
        raise InvalidImage(what, "it is no compose project")
    files: dict[str, bytes] = {}
    for layer in manifest.layers:
        notes = layer.annotations or {}
        if layer.media_type == _FILE:
            name = notes.get(_FILE_KEY, FILE_NAME) if "com.docker.compose.extends" in notes else FILE_NAME
        elif layer.media_type == _ENV_FILE:
            name = notes.get(_ENV_FILE_KEY, "")
        else:
            continue
        if not _NAME.issuperset(name) or name in ("", ".", ".."):
            raise InvalidImage(what, f"it has a file called `{name[:80]}`")
        data = repository.blob(layer, _MOST)
        files[name] = files[name] + b"\n---\n" + data if name in files else data
    if FILE_NAME not in files:
        raise InvalidImage(what, "it has no compose file")
    return found.digest, files
