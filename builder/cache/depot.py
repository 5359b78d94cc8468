"""Where caches are kept: one place under one name, whatever it is made of. In: an address; out: a Depot, which moves blobs and manifests.

Bytes that come out of a depot are a stranger's until their digest was checked: `blob` does so for small ones, store.ingest for layers.
"""

import os

from builder.cache.errors import BlobGone, CacheError
from builder.errors import BuildError
from store.digest import Hasher, digest_of
from store.oci import Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from builder.request import CacheAddress
    from store.registry.session import Session

    class Depot(Protocol):
        """Safe from several threads, not to be used on both sides of a fork. What goes wrong is a CacheError."""

        title: str

        def load(self) -> bytes | None:
            """The manifest that the name leads to now; None if it leads nowhere yet."""

        def keep(self, manifest: bytes) -> None:
            """Let the name lead to this manifest, all of whose blobs are there."""

        def has(self, blob: Descriptor) -> bool:
            """Whether the blob is there."""

        def put(self, blob: Descriptor, fd: int) -> None:
            """Store the blob, whose bytes are the open file's, from its beginning. One that is there already is left alone."""

        def take(self, blob: Descriptor, other: "Depot") -> bool:
            """Get the blob from another depot without bringing it here; False where that is not possible."""

        def chunks(self, blob: Descriptor) -> Iterator[bytes]:
            """The bytes of a blob, unchecked, at most one more than it should have. Raises BlobGone."""

        def close(self) -> None:
            """Let go of connections."""

    Sessions = Callable[[], Session]


def open_depot(address: "CacheAddress", sessions: "Sessions", *, write: bool = False) -> "Depot":
    """Nothing is asked yet. sessions: makes a new registry session. Raises BuildError for an address that cannot be."""
    if address.kind == "local":
        from builder.cache.local import LocalDepot

        path = address.option("dest") if write else address.option("src")
        return LocalDepot(path, address.option("tag", "latest"), address.option("digest"))
    if address.kind == "registry":
        from builder.cache.registry import RegistryDepot

        return RegistryDepot(address.option("ref"), sessions)
    if address.kind == "s3":
        from builder.cache.s3 import open_s3

        return open_s3(address)
    if address.kind == "gha":
        from builder.cache.gha import open_gha

        return open_gha(address)
    raise BuildError(f"there is no cache of type `{address.kind}`")


def blob(depot: "Depot", descriptor: Descriptor, limit: int) -> bytes:
    """A whole blob, verified. Raises BlobGone, CacheError."""
    if descriptor.size > limit:
        raise CacheError(depot.title, f"has a blob of {descriptor.size} bytes where at most {limit} are taken")
    data = b"".join(verified(depot, descriptor))
    if len(data) != descriptor.size or digest_of(data) != descriptor.digest:
        raise BlobGone(depot.title, descriptor.digest, "is not what it was")
    return data


def verified(depot: "Depot", descriptor: Descriptor) -> "Iterator[bytes]":
    """The bytes of a blob; raises BlobGone in the end if they are not what was promised."""
    hasher = Hasher()
    for chunk in depot.chunks(descriptor):
        hasher.update(chunk)
        if hasher.size > descriptor.size:
            break
        yield chunk
    if hasher.size != descriptor.size or hasher.digest() != descriptor.digest:
        raise BlobGone(depot.title, descriptor.digest, "is not what it was")


def put_bytes(depot: "Depot", descriptor: Descriptor, data: "bytes | memoryview") -> None:
    """Store content that is in memory."""
    fd = os.memfd_create("pybuild-cache", os.MFD_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
        depot.put(descriptor, fd)
    finally:
        os.close(fd)


def file_chunks(fd: int, size: int, start: int = 0) -> "Iterator[bytes]":
    """`size` bytes of an open file from `start` on, wherever it stands."""
    at, end = start, start + size
    while at < end:
        data = os.pread(fd, min(1 << 20, end - at), at)
        if not data:
            raise BuildError("a file has become shorter while it was read")
        at += len(data)
        yield data
