"""An image in an OCI layout on this machine -> the store: no name is given to it, and what is here already is not unpacked again."""

import os
import time

from builder.remote.errors import BadLayout
from builder.remote.named import split_layout
from store.digest import Digest, digest_of, hex_of, is_digest
from store.errors import DigestMismatch, InvalidArchive
from store.intake import add_image, read_blob
from store.oci import CONFIG_LIMIT, MANIFEST_LIMIT, Descriptor, Index, Manifest, compression_of, parse_manifest
from store.platform import choose, local_platform, parse_platform
from store.source import DirectorySource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.signature import Signatures
    from lang.platform import Platform
    from store.store import Store

_REF_NAME = "org.opencontainers.image.ref.name"
_DEPTH = 4                                               # indexes in indexes
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def load_layout(store: "Store", value: str, platform: "Platform | None") -> Digest:
    """ID of the image that oci-layout://.. means, in the store from now on. Raises BadLayout, StoreError."""
    path, end = split_layout(value)
    try:
        fd = os.open(path, _OPEN)
    except OSError as error:
        raise BadLayout(path, f"is no directory that can be read ({(error.strerror or '').lower()})") from error
    source = DirectorySource(path, fd)
    try:
        return _Layout(store, source, path, platform).image(end)
    except InvalidArchive as error:
        raise BadLayout(path, f"cannot be read: {error}") from error
    finally:
        source.close()


class _Layout:
    def __init__(self, store: "Store", source: DirectorySource, path: str, platform: "Platform | None") -> None:
        self._store, self._source, self._path = store, source, path
        self._platform = parse_platform(str(platform)) if platform is not None else local_platform()

    def image(self, end: str) -> Digest:
        """end: ":TAG", "@DIGEST", or "" for the only image, or that called `latest`."""
        if end.startswith("@"):
            return self._from_digest(end[1:])
        if not self._source.has("index.json"):
            raise BadLayout(self._path, "has no index.json, so it is none")
        index = parse_manifest(self._source.read("index.json", MANIFEST_LIMIT), f"`index.json` of `{self._path}`")
        if not isinstance(index, Index):
            raise BadLayout(self._path, "has an index.json that is no index")
        return self._from_descriptor(self._tagged(index, end[1:]), 0)

    def _tagged(self, index: Index, tag: str) -> Descriptor:
        named = [(tag_of(d), d) for d in index.manifests if (d.annotations or {}).get("vnd.docker.reference.type") != "attestation-manifest"]
        found = [d for name, d in named if name == (tag or "latest")]
        if not found and not tag:
            found = [d for _, d in named]
        if len(found) > 1 and any(d.platform for d in found):
            chosen = choose(found, self._platform)
            found = [chosen] if chosen else []
        if len(found) == 1:
            return found[0]
        names = ", ".join(f"`{name}`" for name in sorted({name for name, _ in named if name})[:20])
        what = f"has no image `{tag}`" if tag else f"has {len(named)} images, and none is called `latest`"
        raise BadLayout(self._path, what, f"it has {names}" if names else "name one by its digest: oci-layout://PATH@sha256:..")

    def _from_digest(self, text: str) -> Digest:
        if not is_digest(text):
            raise BadLayout(self._path, f"is asked for `{text}`, which is no digest")
        digest = Digest(text)
        if not self._source.has(_blob(digest)):
            raise BadLayout(self._path, f"has no image `{digest}`")
        return self._from_manifest(digest, self._source.read(_blob(digest), MANIFEST_LIMIT), "", 0)

    def _from_descriptor(self, descriptor: Descriptor, depth: int) -> Digest:
        return self._from_manifest(descriptor.digest, self._read(descriptor, MANIFEST_LIMIT), descriptor.media_type, depth)

    def _from_manifest(self, digest: Digest, data: bytes, media_type: str, depth: int) -> Digest:
        if digest_of(data) != digest:
            raise DigestMismatch(digest, digest_of(data))
        manifest = parse_manifest(data, f"the manifest `{digest}`", media_type) if media_type else parse_manifest(data, f"the manifest `{digest}`")
        if isinstance(manifest, Manifest):
            return self._add(manifest)
        if depth > _DEPTH:
            raise BadLayout(self._path, f"has indexes nested more than {_DEPTH} deep")
        here = [d for d in manifest.manifests if self._source.has(_blob(d.digest))]
        chosen = choose([d for d in here if d.platform is None or d.platform.os != "unknown"], self._platform)
        if chosen is None:
            raise BadLayout(self._path, f"has no image for {self._platform}")
        return self._from_descriptor(chosen, depth + 1)

    def _add(self, manifest: Manifest) -> Digest:
        if not all(compression_of(layer.media_type) for layer in manifest.layers):
            raise BadLayout(self._path, "has something else than an image there")
        config = self._read(manifest.config, CONFIG_LIMIT)
        return add_image(self._store, self._source, config, [(_blob(layer.digest), layer.digest, layer.size) for layer in manifest.layers])

    def _read(self, descriptor: Descriptor, limit: int) -> bytes:
        return read_blob(self._source, _blob(descriptor.digest), descriptor, limit)


def _blob(digest: Digest) -> str:
    return f"blobs/sha256/{hex_of(digest)}"


def tag_of(descriptor: Descriptor) -> str:
    """Tag that an entry of index.json has, "" for none; some writers put a whole image name there."""
    name = (descriptor.annotations or {}).get(_REF_NAME, "")
    last = name.rpartition("/")[2]
    return last.rpartition(":")[2] if ":" in last else name


def signed(value: str) -> "tuple[str, Signatures]":
    """What of a layout a later build looks at, to see that it is as it was: its index.json. As builder.context keeps of a directory."""
    from builder.context import RACY_NS
    from builder.signature import list_directory, sign

    path = split_layout(value)[0]
    fd = os.open(path, _OPEN)
    try:
        raw = list_directory(fd)
    finally:
        os.close(fd)
    racy = any(stat[3] > time.time_ns() - RACY_NS for _, stat in raw)
    return path, {"": b"" if racy else sign(raw)}
