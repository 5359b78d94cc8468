"""Digests: text that names bytes. In: bytes or text that claims to be a digest; out: `sha256:` and 64 lower-case hexadecimal digits."""

from _hashlib import openssl_sha256 as sha256  # hashlib itself costs 2 ms more at start

from store.errors import InvalidDigest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NewType

    Digest = NewType("Digest", str)
else:
    Digest = str

__all__ = ["Digest", "Hasher", "digest_of", "from_raw", "hex_of", "is_digest", "parse_digest", "sha256"]

PREFIX = "sha256:"


def is_digest(text: str) -> bool:
    return len(text) == 71 and text.startswith(PREFIX) and not text[7:].strip("0123456789abcdef")


def parse_digest(text: str) -> "Digest":
    """Raises InvalidDigest; nothing else may be joined to a path."""
    if not is_digest(text):
        raise InvalidDigest(text)
    return Digest(text)


def hex_of(digest: "Digest") -> str:
    """The 64 digits: the name of the file that holds the bytes."""
    return parse_digest(digest)[7:]


def from_raw(raw: bytes) -> "Digest":
    """raw: the 32 bytes that sha256's `digest()` gives."""
    return Digest(PREFIX + raw.hex())


def digest_of(data: "bytes | bytearray | memoryview") -> "Digest":
    return Digest(PREFIX + sha256(data).hexdigest())


class Hasher:
    """Digest and size of what was given to `update` so far."""

    __slots__ = ("_hash", "size")

    def __init__(self) -> None:
        self._hash = sha256()
        self.size = 0

    def update(self, data: "bytes | bytearray | memoryview") -> None:
        self._hash.update(data)
        self.size += len(data)

    def digest(self) -> "Digest":
        return Digest(PREFIX + self._hash.hexdigest())

    def copy(self) -> "Hasher":
        other = Hasher()
        other._hash, other.size = self._hash.copy(), self.size
        return other
