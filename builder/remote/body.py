"""The body of a download on its way into a file: written, counted and hashed as it comes."""

import os

from builder.errors import BuildError
from store.blobs import write_all
from store.digest import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Body:
    """A new file at `path`, mode 0600. algorithm: hash it by this too ("sha512"), beside sha256. `close` when done."""

    def __init__(self, path: str, algorithm: str = "sha256") -> None:
        try:
            self.fd = os.open(path, _MAKE, 0o600)
        except (OSError, ValueError) as error:           # the name is from an address: too long, or with a NUL in it
            what = (getattr(error, "strerror", "") or str(error)).lower()
            raise BuildError(f"a file cannot be called `{_shown(os.path.basename(path))}`: {what}") from error
        self._algorithm = algorithm
        self._hashes: list[Any] = []
        self._begin()

    def _begin(self) -> None:
        self.size = 0
        self._hashes = [sha256()]
        if self._algorithm != "sha256":
            import hashlib

            self._hashes.append(hashlib.new(self._algorithm))

    def write(self, data: bytes) -> None:
        for total in self._hashes:
            total.update(data)
        write_all(self.fd, data)
        self.size += len(data)

    def restart(self) -> None:
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        self._begin()

    @property
    def sha256(self) -> bytes:
        found: bytes = self._hashes[0].digest()
        return found

    @property
    def checksum(self) -> str:
        """As --checksum says it: "sha512:..." of what came."""
        return f"{self._algorithm}:{self._hashes[-1].hexdigest()}"

    def close(self) -> None:
        os.close(self.fd)


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in name[:100]) + ("..." if len(name) > 100 else "")
