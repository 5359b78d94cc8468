"""A depot in memory: what was asked of it is counted, and it can be made to fail."""

import os
from collections import Counter
from collections.abc import Iterator

from builder.cache.errors import BlobGone, CacheError
from store.digest import digest_of
from store.oci import Descriptor


class MemoryDepot:
    """asked: how often each method was called; broken: methods that fail."""

    def __init__(self, title: str = "memory") -> None:
        self.title = title
        self.blobs: dict[str, bytes] = {}
        self.manifest: bytes | None = None
        self.asked: Counter[str] = Counter()
        self.broken: set[str] = set()
        self.sent = 0                    # bytes of blobs that came

    def _count(self, name: str) -> None:
        self.asked[name] += 1
        if name in self.broken:
            raise CacheError(self.title, f"cannot {name}")

    def load(self) -> bytes | None:
        self._count("load")
        return self.manifest

    def keep(self, manifest: bytes) -> None:
        self._count("keep")
        self.manifest = manifest

    def has(self, blob: Descriptor) -> bool:
        self._count("has")
        return blob.digest in self.blobs

    def put(self, blob: Descriptor, fd: int) -> None:
        self._count("put")
        data = os.pread(fd, blob.size, 0)
        assert digest_of(data) == blob.digest
        self.blobs[blob.digest] = data
        self.sent += len(data)

    def take(self, blob: Descriptor, other: object) -> bool:
        return False

    def chunks(self, blob: Descriptor) -> Iterator[bytes]:
        self._count("chunks")
        if blob.digest not in self.blobs:
            raise BlobGone(self.title, blob.digest)
        yield self.blobs[blob.digest]

    def close(self) -> None:
        self._count("close")
