"""Documents of the OCI image spec 1.1 and of docker's schema 2: manifest, index, config. In: JSON bytes; out: frozen values, and back.

Names are the spec's, in snake_case; `to_json` and `from_json` are the only edge. An image's ID is the digest of its config's exact bytes, so
foreign configs are kept as bytes and never written anew. `null`, which Go writes for what is empty, is read as empty.
"""

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from store.digest import Digest, is_digest
from store.errors import InvalidImage

# these names are this module's too: who needs the documents needs them as well
from store.mediatype import CONFIG_LIMIT as CONFIG_LIMIT
from store.mediatype import DOCKER_CONFIG as DOCKER_CONFIG
from store.mediatype import DOCKER_INDEX as DOCKER_INDEX
from store.mediatype import DOCKER_LAYER as DOCKER_LAYER
from store.mediatype import DOCKER_MANIFEST as DOCKER_MANIFEST
from store.mediatype import INDEXES as INDEXES
from store.mediatype import MANIFEST_LIMIT as MANIFEST_LIMIT
from store.mediatype import MANIFESTS as MANIFESTS
from store.mediatype import OCI_CONFIG as OCI_CONFIG
from store.mediatype import OCI_EMPTY as OCI_EMPTY
from store.mediatype import OCI_INDEX as OCI_INDEX
from store.mediatype import OCI_LAYER as OCI_LAYER
from store.mediatype import OCI_MANIFEST as OCI_MANIFEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T", bound="Struct")

_SUFFIX = {"uncompressed": "", "gzip": "+gzip", "zstd": "+zstd"}


def layer_media_type(compression: str, docker: bool = False) -> str:
    """compression: "uncompressed", "gzip" or "zstd" (which docker's schema has no name for)."""
    if docker and compression != "zstd":
        return DOCKER_LAYER + (".gzip" if compression == "gzip" else "")
    return OCI_LAYER + _SUFFIX[compression]


def compression_of(media_type: str) -> str:
    """What a layer's media type says of its compression; "" if it is no layer that can be unpacked."""
    for name, suffix in _SUFFIX.items():
        if media_type in (OCI_LAYER + suffix, f"application/vnd.oci.image.layer.nondistributable.v1.tar{suffix}"):
            return name
    return {DOCKER_LAYER: "uncompressed", DOCKER_LAYER + ".gzip": "gzip", DOCKER_LAYER + ".zstd": "zstd",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "gzip"}.get(media_type, "")


# ---------------------------------------------------------------- shared
class Platform(Struct, frozen=True, omit_defaults=True):
    architecture: str
    os: str
    os_version: str = field(default="", name="os.version")
    os_features: "tuple[str, ...] | None" = field(default=None, name="os.features")
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


class Descriptor(Struct, frozen=True, omit_defaults=True, rename="camel"):
    media_type: str
    digest: Digest
    size: int                            # bytes
    urls: "tuple[str, ...] | None" = None
    annotations: "dict[str, str] | None" = None
    data: "str | None" = None            # base64
    platform: "Platform | None" = None
    artifact_type: str = ""

    def __post_init__(self) -> None:
        if not is_digest(self.digest):
            raise ValueError(f"`{self.digest[:80]}` is no sha256 digest")
        if self.size < 0:
            raise ValueError(f"the size of `{self.digest}` is negative")


class Manifest(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    artifact_type: str = ""
    config: Descriptor
    layers: "tuple[Descriptor, ...]"
    subject: "Descriptor | None" = None
    annotations: "dict[str, str] | None" = None


class Index(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    artifact_type: str = ""
    manifests: "tuple[Descriptor, ...]"
    subject: "Descriptor | None" = None
    annotations: "dict[str, str] | None" = None


# ---------------------------------------------------------------- image config
class Healthcheck(Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """Times in nanoseconds; 0 means the default."""

    test: "tuple[str, ...] | None" = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """The `config` part: what a container of the image begins with. None is "not said", and is not written."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    exposed_ports: "dict[str, dict[str, str] | None] | None" = None
    env: "tuple[str, ...] | None" = None
    cmd: "tuple[str, ...] | None" = None
    healthcheck: "Healthcheck | None" = None
    args_escaped: bool = False
    image: str = ""
    volumes: "dict[str, dict[str, str] | None] | None" = None
    working_dir: str = ""
    entrypoint: "tuple[str, ...] | None" = None
    on_build: "tuple[str, ...] | None" = None
    labels: "dict[str, str] | None" = None
    stop_signal: str = ""
    stop_timeout: "int | None" = None    # seconds
    shell: "tuple[str, ...] | None" = None


class RootFS(Struct, frozen=True):
    diff_ids: "tuple[Digest, ...] | None" = ()
    type: str = "layers"


class HistoryEntry(Struct, frozen=True, omit_defaults=True):
    created: "str | None" = None         # RFC 3339
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(Struct, frozen=True, omit_defaults=True):
    architecture: str = ""
    os: str = ""
    os_version: str = field(default="", name="os.version")
    os_features: "tuple[str, ...] | None" = field(default=None, name="os.features")
    variant: str = ""
    author: str = ""
    created: "str | None" = None         # RFC 3339
    config: "ContainerConfig | None" = None
    history: "tuple[HistoryEntry, ...] | None" = None
    rootfs: RootFS = field(default_factory=RootFS)

    @property
    def platform(self) -> Platform:
        return Platform(self.architecture, self.os, self.os_version, self.os_features, self.variant)

    @property
    def diff_ids(self) -> "tuple[Digest, ...]":
        return self.rootfs.diff_ids or ()


# ---------------------------------------------------------------- the edge
def to_json(value: Struct) -> bytes:
    """Compact, keys in the order of the spec's examples, the same bytes for the same value."""
    return msgspec.json.encode(value)


def from_json(kind: "type[T]", data: bytes, what: str) -> "T":
    """Raises InvalidImage; what: how the document is called in the message."""
    limit = CONFIG_LIMIT if kind is ImageConfig else MANIFEST_LIMIT
    if len(data) > limit:
        raise InvalidImage(what, f"it has {len(data)} bytes, more than {limit}")
    try:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError:
            return msgspec.convert(_without_nulls(msgspec.json.decode(data)), type=kind)    # else the error is the same again
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidImage(what, str(error)) from error


def _without_nulls(value: "Any") -> "Any":
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


class _Head(Struct, frozen=True, rename="camel"):
    """What tells documents apart."""

    schema_version: int = 0
    media_type: str = ""
    config: "msgspec.Raw | UnsetType" = UNSET
    layers: "msgspec.Raw | UnsetType" = UNSET
    manifests: "msgspec.Raw | UnsetType" = UNSET
    fs_layers: "msgspec.Raw | UnsetType" = UNSET


def parse_manifest(data: bytes, what: str, media_type: str = "") -> "Manifest | Index":
    """A manifest or an index, whichever it is. media_type: what the transport said, "" if nothing.

    Raises InvalidImage for a document that can be read as both (CVE-2021-41190), or as another than it was announced as.
    """
    head = from_json(_Head, data, what)
    if head.layers is not UNSET and head.manifests is not UNSET:
        raise InvalidImage(what, "it has `layers` and `manifests`, so that it could be taken for either")
    if media_type and head.media_type and media_type != head.media_type:
        raise InvalidImage(what, f"it says that it is `{head.media_type}` and was sent as `{media_type}`")
    if head.fs_layers is not UNSET or head.schema_version == 1:
        raise InvalidImage(what, "it is of docker's schema 1, which no registry has made since 2017")
    if head.schema_version != 2:
        raise InvalidImage(what, f"`schemaVersion` is {head.schema_version}, not 2")
    kind = media_type or head.media_type
    is_index = head.manifests is not UNSET
    if (kind in INDEXES and not is_index) or (kind in MANIFESTS and is_index):
        raise InvalidImage(what, f"its content is not what `{kind}` has")
    return from_json(Index, data, what) if is_index else from_json(Manifest, data, what)


def plain(data: bytes, what: str) -> "Any":
    """JSON as dicts and lists, for `inspect` and other places that show what is there."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidImage(what, str(error)) from error
