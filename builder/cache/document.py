"""A cache as a document: an OCI manifest whose config lists what the steps of a build made, and whose layers are their blobs.

In: records and descriptors; out: bytes, and back from bytes that anybody may have written: every digest, number and text is checked here, and
nothing that is read leads to a path. Read in this order: Record, Contents, `write`, `read`. The same build makes the same document.
"""

import msgspec
from msgspec import Struct

from builder.cache.errors import InvalidCache
from kernel.value import Value
from store.cache import CacheRecord
from store.digest import Digest, digest_of, is_digest
from store.errors import StoreError
from store.oci import OCI_MANIFEST, Descriptor, Manifest, compression_of, from_json, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ARTIFACT = "application/vnd.pybuild.cache.v1"
CONFIG = "application/vnd.pybuild.cache.config.v1+json"
HISTORY = "application/vnd.pybuild.cache.history.v1+zstd"
MOUNT = "application/vnd.pybuild.cache.mount.v1+json"
PACK = "application/vnd.pybuild.cache.pack.v1+zstd"
TABLE = "application/vnd.pybuild.cache.table.v1"
DIFF_ID = "io.pybuild.cache.diff-id"
CONFIG_LIMIT = 16 << 20                  # bytes
VERSION = 1
_RECORDS, _MEMOS, _MOUNTS, _BLOBS = 50_000, 200_000, 1_000, 100_000
_TEXT = 300                              # characters of what is only shown
_CREATED = "0123456789-:T.Z+"
_LARGEST = 1 << 40                       # bytes of a layer


class Record(Struct, frozen=True, omit_defaults=True):
    """What a step made. A record whose diff ID has no blob still says what the step yields: later steps are found by it, and nothing is read.

    stage, position: where in its Dockerfile the step stood; label: how it was shown.
    """

    key: Digest
    op: Digest
    result: Digest
    tree: Digest
    diff_id: Digest
    size: int = 0                        # bytes of its files
    created: str = ""                    # RFC 3339
    stage: int = -1
    position: int = 0
    label: str = ""

    def __post_init__(self) -> None:
        if not all(is_digest(d) for d in (self.key, self.op, self.result, self.tree, self.diff_id)):
            raise ValueError("a record has what is no digest")
        if not 0 <= self.size < _LARGEST or len(self.label) > _TEXT or len(self.created) > 40 or self.created.strip(_CREATED):
            raise ValueError(f"the record `{self.key}` is not well formed")

    def as_cached(self) -> CacheRecord:
        """As the store has records; its layer is not here."""
        return CacheRecord(self.key, self.op, self.result, self.tree, "", self.diff_id, self.size, self.created)


class MountEntry(Struct, frozen=True):
    """A cache mount. name: what its directory is called (of its identity); id: what the Dockerfile calls it; index: its document."""

    name: str
    id: str
    index: Descriptor

    def __post_init__(self) -> None:
        if len(self.name) != 40 or self.name.strip("0123456789abcdef") or len(self.id) > 4096:
            raise ValueError("a cache mount is not well formed")


class Config(Struct, frozen=True, omit_defaults=True):
    """What stands in the config. memos: of what selections of files in results have as content digest (builder.build), by a digest of both."""

    records: tuple[Record, ...]
    version: int = VERSION
    memos: dict[Digest, Digest] = {}
    mounts: tuple[MountEntry, ...] = ()

    def __post_init__(self) -> None:
        if len(self.records) > _RECORDS or len(self.memos) > _MEMOS or len(self.mounts) > _MOUNTS:
            raise ValueError("it has more entries than a build can have")
        if not all(is_digest(k) and is_digest(v) for k, v in self.memos.items()):
            raise ValueError("it has what is no digest")


class Contents(Value):
    """A cache that was read. layers: where a layer's blob is, by diff ID; blobs: everything that the manifest names, by digest."""

    config: Config
    layers: "Mapping[Digest, Descriptor]"
    blobs: "Mapping[Digest, Descriptor]"
    history: "Descriptor | None" = None


EMPTY = Contents(Config(()), {}, {})


def layer_descriptor(media_type: str, digest: Digest, size: int, diff_id: Digest) -> Descriptor:
    return Descriptor(media_type, digest, size, annotations={DIFF_ID: diff_id})


def write(config: Config, blobs: "tuple[Descriptor, ...]") -> "tuple[bytes, bytes]":
    """(manifest, config) of a cache; `blobs` are all the blobs that it needs."""
    data = to_json(config)
    manifest = Manifest(schema_version=2, media_type=OCI_MANIFEST, artifact_type=ARTIFACT, config=Descriptor(CONFIG, digest_of(data), len(data)),
                        layers=blobs)
    return to_json(manifest), data


def read(manifest: Manifest, load: "Callable[[Descriptor, int], bytes]", what: str) -> Contents:
    """load: (descriptor, limit in bytes) -> a blob, verified; what: how the cache is called in messages. Raises InvalidCache, and as `load`."""
    if manifest.config.media_type != CONFIG:
        raise InvalidCache(what, f"it is no cache of pybuild (`{manifest.config.media_type[:100]}`)")
    if len(manifest.layers) > _BLOBS:
        raise InvalidCache(what, f"it names {len(manifest.layers)} blobs")
    config = parse_config(load(manifest.config, CONFIG_LIMIT), what)
    layers: dict[Digest, Descriptor] = {}
    history = None
    for blob in manifest.layers:
        diff_id = (blob.annotations or {}).get(DIFF_ID, "")
        if is_digest(diff_id) and compression_of(blob.media_type) and blob.size < _LARGEST:
            layers[Digest(diff_id)] = blob
        elif blob.media_type == HISTORY:
            history = blob
    return Contents(config, layers, {blob.digest: blob for blob in manifest.layers}, history)


def parse_config(data: bytes, what: str) -> Config:
    """Raises InvalidCache."""
    if len(data) > CONFIG_LIMIT:
        raise InvalidCache(what, f"it has {len(data)} bytes, more than {CONFIG_LIMIT}")
    try:
        config = msgspec.json.decode(data, type=Config)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCache(what, str(error)[:_TEXT]) from error
    if config.version != VERSION:
        raise InvalidCache(what, f"it has version {config.version}, and this program knows {VERSION}")
    return config


def parse_document(data: bytes, what: str) -> Manifest:
    """The manifest of a cache that is no index. Raises InvalidCache."""
    try:
        return from_json(Manifest, data, what)
    except StoreError as error:
        raise InvalidCache(what, str(error)) from error
