"""A cache in a directory: an OCI image layout, as BuildKit's local caches are, so that CI systems can keep it between jobs.

What no entry of the index leads to any more is removed when a new cache is written: such a directory does not grow for ever.
"""

import os
import time

import msgspec

from builder.cache.depot import file_chunks
from builder.cache.errors import BlobGone, CacheError
from store.digest import Digest, digest_of, hex_of, is_digest
from store.errors import StoreError
from store.layout import Layout
from store.oci import MANIFEST_LIMIT, OCI_MANIFEST, Descriptor, Index, Manifest, parse_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.cache.depot import Depot

_NAME = "org.opencontainers.image.ref.name"
_SETTLED_S = 3600                        # a blob younger than this may belong to a cache that somebody is just writing


class LocalDepot:
    def __init__(self, path: str, tag: str, digest: str = "") -> None:
        self.title = path
        self._tag, self._digest = tag, digest
        self._layout: "Layout | None" = None

    def _opened(self, create: bool) -> Layout:
        if self._layout is None:
            try:
                self._layout = Layout(self.title, create=create)
            except StoreError as error:
                raise CacheError(self.title, "cannot be opened", str(error)) from error
        return self._layout

    def load(self) -> "bytes | None":
        if not os.path.exists(f"{self.title}/index.json"):
            return None
        try:
            layout = self._opened(create=False)
            entry = _entry(layout.index(), self._tag, self._digest)
            return layout.read(entry, MANIFEST_LIMIT) if entry is not None else None
        except StoreError as error:
            raise CacheError(self.title, f"cannot be read: {error}") from error

    def keep(self, manifest: bytes) -> None:
        entry = Descriptor(OCI_MANIFEST, digest_of(manifest), len(manifest), annotations={_NAME: self._tag})
        try:
            layout = self._opened(create=True)
            layout.put(manifest)
            index = layout.change_index(lambda old: msgspec.structs.replace(
                old, manifests=(*(d for d in old.manifests if (d.annotations or {}).get(_NAME) != self._tag), entry)))
            _clean(layout, index)
        except (StoreError, OSError) as error:
            raise CacheError(self.title, f"cannot be written: {error}") from error

    def has(self, blob: Descriptor) -> bool:
        return os.path.isdir(self.title) and self._opened(create=True).has(blob.digest, blob.size)

    def put(self, blob: Descriptor, fd: int) -> None:
        def give(write: "object") -> None:
            for chunk in file_chunks(fd, blob.size):
                write(chunk)             # type: ignore[operator]  # a Sink of the layout

        try:
            self._opened(create=True).put_stream(blob.digest, blob.size, give)
        except (StoreError, OSError) as error:
            raise CacheError(self.title, f"cannot be written: {error}") from error

    def take(self, blob: Descriptor, other: "Depot") -> bool:
        return False

    def chunks(self, blob: Descriptor) -> "Iterator[bytes]":
        try:
            yield from self._opened(create=False).chunks(blob)
        except (StoreError, OSError) as error:
            raise BlobGone(self.title, blob.digest, "is not there any more, or is damaged") from error

    def close(self) -> None:
        if self._layout is not None:
            self._layout.close()
            self._layout = None


def _entry(index: Index, tag: str, digest: str) -> "Descriptor | None":
    if digest:
        return next((d for d in index.manifests if d.digest == digest), None)
    return next((d for d in index.manifests if (d.annotations or {}).get(_NAME) == tag), None)


def _clean(layout: Layout, index: Index) -> None:
    """Remove blobs that no manifest of the index names. With anything in it that is not understood, everything stays."""
    named: set[str] = set()
    for entry in index.manifests:
        try:
            document = parse_manifest(layout.read(entry, MANIFEST_LIMIT), "a manifest")
        except StoreError:
            return
        if not isinstance(document, Manifest):
            return
        named |= {entry.digest, document.config.digest, *(blob.digest for blob in document.layers)}
    directory, before = f"{layout.path}/blobs/sha256", time.time() - _SETTLED_S
    for name in os.listdir(directory):
        digest = f"sha256:{name}"
        if is_digest(digest) and digest not in named and os.stat(f"{directory}/{name}", follow_symlinks=False).st_mtime < before:
            os.unlink(f"{directory}/{hex_of(Digest(digest))}")
