"""Where blobs are known to be: which repository of which registry has them. In: what pulls and pushes saw; out: where to fetch or mount from.

A hint, never a proof: a registry may have deleted what it had. Whoever fetches verifies, whoever mounts is told by the registry.
"""

import time

from kernel.value import Value
from store.digest import Digest
from store.index import Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Origin(Value):
    """A layer's blob in a repository ("docker.io/library/busybox"). size: bytes."""

    digest: Digest
    repository: str
    diff_id: Digest
    media_type: str
    size: int


class Origins:
    def __init__(self, index: Index) -> None:
        self._index = index

    def note(self, origins: "Iterable[Origin]") -> None:
        now = int(time.time())
        with self._index as index:
            for origin in origins:
                index.run("INSERT OR REPLACE INTO origin VALUES (?, ?, ?, ?, ?, ?)", *origin, now)

    def of(self, diff_id: Digest) -> "tuple[Origin, ...]":
        """Where blobs of this layer are, the latest news first."""
        return self._rows("diff_id = ?", diff_id)

    def of_digest(self, digest: Digest) -> "tuple[Origin, ...]":
        return self._rows("digest = ?", digest)

    def _rows(self, where: str, value: str) -> "tuple[Origin, ...]":
        rows = self._index.query(
            f"SELECT digest, repository, diff_id, media_type, size FROM origin WHERE {where} ORDER BY seen DESC, repository", value)
        return tuple(Origin(*row) for row in rows)

    def forget(self, digest: Digest, repository: str) -> None:
        self._index.run("DELETE FROM origin WHERE digest = ? AND repository = ?", digest, repository)
