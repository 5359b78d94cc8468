"""The content store: digest -> bytes. In: streams that claim a digest; out: files under blobs/sha256 whose bytes have their name's digest.

`put` is idempotent: the content is there afterwards, because of this call or of an earlier one. It hashes while it writes and renames
last, so that no process ever sees half a blob, and a kill leaves debris in tmp/ only.
"""

import os

from store.digest import PREFIX, Digest, Hasher, digest_of, hex_of
from store.errors import BlobMissing, DigestMismatch, DiskFull, SizeMismatch
from store.temporary import Temporary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

_CHUNK = 1 << 20


class Blobs:
    def __init__(self, directory: str, temporary: Temporary) -> None:
        self.directory = directory
        self._temporary = temporary

    def path(self, digest: Digest) -> str:
        """Where the bytes lie, or would."""
        return f"{self.directory}/sha256/{hex_of(digest)}"

    def size(self, digest: Digest) -> "int | None":
        """Bytes; None if it is not there."""
        try:
            return os.stat(self.path(digest), follow_symlinks=False).st_size
        except FileNotFoundError:
            return None

    def has(self, digest: Digest) -> bool:
        return self.size(digest) is not None

    def open(self, digest: Digest) -> int:
        """A file descriptor to read from; the caller closes it. Raises BlobMissing."""
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise BlobMissing(digest) from None

    def read(self, digest: Digest, limit: int) -> bytes:
        """All bytes, verified; raises SizeMismatch above `limit`, DigestMismatch where the disk has changed them."""
        with os.fdopen(self.open(digest), "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise SizeMismatch(digest, limit, len(data))
        if digest_of(data) != digest:
            raise DigestMismatch(digest, digest_of(data))
        return data

    def copy(self, digest: Digest, write: "Callable[[bytes], object]") -> None:
        """Give all bytes to `write`. Raises BlobMissing; DigestMismatch afterwards if they are not what the digest says."""
        hasher = Hasher()
        fd = self.open(digest)
        try:
            for chunk in chunks_of(fd):
                hasher.update(chunk)
                write(chunk)
        finally:
            os.close(fd)
        if hasher.digest() != digest:
            raise DigestMismatch(digest, hasher.digest())

    def put(self, data: bytes) -> Digest:
        digest = digest_of(data)
        self.hold(digest)
        if self.size(digest) != len(data):
            with self.writer() as writer:
                writer.write(data)
                writer.commit(digest)
        return digest

    def put_stream(self, chunks: "Iterable[bytes]", want: "Digest | None" = None, size: "int | None" = None) -> "tuple[Digest, int]":
        """Store what `chunks` gives, to its end. Returns (digest, bytes). Raises DigestMismatch, SizeMismatch; then nothing is kept."""
        with self.writer(want, size) as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit(want), writer.size

    def writer(self, want: "Digest | None" = None, size: "int | None" = None, *, hashed: bool = True) -> "BlobWriter":
        """For those who have the bytes bit by bit; `with` it, and `commit`. hashed: False for those who hash themselves, and `adopt`."""
        return BlobWriter(self, self._temporary, want, size, hashed)

    def resumed(self, want: Digest, size: int) -> "BlobWriter":
        """As writer; what somebody had of it when it was broken off is written already, and what breaks off now is left for the next."""
        from store.partial import claim

        return BlobWriter(self, self._temporary, want, size, True, claim(self._temporary, want), leaving=True)

    def hold(self, *digests: Digest) -> None:
        """Keep them as long as this process lives; ask afterwards whether they are there."""
        if digests:
            self._temporary.leases.current().hold("blob", *digests)

    def delete(self, digest: Digest) -> None:
        try:
            os.unlink(self.path(digest))
        except FileNotFoundError:
            pass

    def all(self) -> "list[Digest]":
        return [Digest(PREFIX + name) for name in sorted(os.listdir(f"{self.directory}/sha256")) if len(name) == 64]


class BlobWriter:
    """A blob that is being written. Leaving the `with` without a commit throws it away."""

    def __init__(self, blobs: Blobs, temporary: Temporary, want: "Digest | None", size: "int | None", hashed: bool, begun: str = "", *,
                 leaving: bool = False) -> None:
        """begun: name of a beginning that is ours (store.partial); leaving: leave what is not finished to others."""
        self._blobs = blobs
        self._temporary = temporary
        self._want, self._size, self._leaving = want, size, leaving
        self._hasher = Hasher() if hashed else None
        self.size = 0                                  # bytes written
        self._name = begun or temporary.name()
        if leaving and not begun and want:
            from store.partial import name_of

            self._name = name_of(self._name, want)
        self.path = temporary.path(self._name)
        self.fd = os.open(self.path, os.O_RDWR | (0 if begun else os.O_CREAT | os.O_EXCL) | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if begun:
            self._go_on()

    def _go_on(self) -> None:
        """Hash what is there, and write on behind it."""
        assert self._hasher is not None
        if self._size is not None and os.fstat(self.fd).st_size > self._size:
            os.ftruncate(self.fd, 0)                   # of a blob that was promised to be another one
        for chunk in chunks_of(self.fd):
            self._hasher.update(chunk)
            self.size += len(chunk)

    def write(self, data: "bytes | bytearray | memoryview") -> None:
        """Raises SizeMismatch as soon as more comes than was promised."""
        self.size += len(data)
        if self._size is not None and self.size > self._size:
            raise SizeMismatch(self._want or "the content", self._size, self.size)
        if self._hasher:
            self._hasher.update(data)
        write_all(self.fd, data)

    def commit(self, want: "Digest | None" = None) -> Digest:
        """Check against what was promised and give the file its name."""
        assert self._hasher is not None
        return self.adopt(self._hasher.digest(), self.size, want)

    def adopt(self, digest: Digest, size: int, want: "Digest | None" = None) -> Digest:
        """As commit, of bytes whose digest and number the caller has worked out itself while it wrote them."""
        want = want or self._want
        if self._size is not None and size != self._size:
            raise SizeMismatch(want or digest, self._size, size)
        if want and want != digest:
            raise DigestMismatch(want, digest)
        self._blobs.hold(digest)                       # before it has its name: no collection may come between
        os.fchmod(self.fd, 0o400)
        os.rename(self.path, self._blobs.path(digest))
        self._name = ""
        return digest

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        os.close(self.fd)
        if not self._name:
            return
        if self._leaving and not isinstance(error, (DigestMismatch, SizeMismatch, DiskFull)):
            from store.partial import LEAST, leave

            if self.size >= LEAST:
                leave(self._temporary, self._name)
                return
        self._temporary.remove(self._name)


def write_all(fd: int, data: "bytes | bytearray | memoryview") -> None:
    """write(2) until everything is written; a full disk is a StoreError."""
    try:
        done = os.write(fd, data)
        if done < len(data):
            view = memoryview(data)
            while done < len(data):
                done += os.write(fd, view[done:])
    except OSError as error:
        raise DiskFull((error.strerror or "").lower()) from error


def chunks_of(fd: int, size: int = _CHUNK) -> "Iterator[bytes]":
    """What is left to read in `fd`, in pieces."""
    while data := os.read(fd, size):
        yield data
