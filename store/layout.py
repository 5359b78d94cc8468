"""OCI image layouts as directories: for `-o type=oci` unpacked, and caches. In: blobs and index entries; out: a directory any OCI tool reads.

Everything is done relative to the directory's descriptor, following no link. Blobs are renamed into place when they are whole; the index is swapped
at once, under a lock, so that readers see the old or the new, and two writers lose nothing of each other.
"""

import fcntl
import os

import msgspec

from store.archivewriter import LAYOUT, NAME, Chosen, index_of
from store.blobs import chunks_of, write_all
from store.digest import Digest, Hasher, digest_of, hex_of
from store.document import Packing, describe
from store.errors import BlobMissing, DigestMismatch, InvalidArchive, InvalidImage, SizeMismatch
from store.oci import MANIFEST_LIMIT, OCI_INDEX, Descriptor, Index, parse_manifest, to_json
from store.store import Store
from store.tree import OPEN_DIRECTORY, OPEN_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from store.images import Layer
    from store.layerblobs import LayerBlob

    Sink = Callable[[bytes | bytearray | memoryview], object]

_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Layout:
    """An opened layout; use it in a `with`. create: make the directory, or turn an empty one into a layout."""

    def __init__(self, path: str, *, create: bool = False) -> None:
        self.path = path
        self._fds: "list[int]" = []
        try:
            if create:
                os.makedirs(path, exist_ok=True)
            self._fd = self._opened(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            self._blobs = self._directory(self._directory(self._fd, "blobs", create), "sha256", create)
            if create:
                self._put("oci-layout", LAYOUT, keep=True)
        except OSError as error:
            self.close()
            raise InvalidArchive(f"`{path}` cannot be used as an OCI layout: {(error.strerror or '').lower()}") from error

    def _opened(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _directory(self, above: int, name: str, create: bool) -> int:
        if create:
            try:
                os.mkdir(name, 0o755, dir_fd=above)
            except FileExistsError:
                pass
        return self._opened(os.open(name, OPEN_DIRECTORY, dir_fd=above))

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def __enter__(self) -> "Layout":
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        self.close()

    # ------------------------------------------------------------ blobs
    def has(self, digest: Digest, size: int) -> bool:
        try:
            status = os.stat(hex_of(digest), dir_fd=self._blobs, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return status.st_mode & 0o170000 == 0o100000 and status.st_size == size

    def put(self, data: bytes) -> Digest:
        digest = digest_of(data)
        self.put_stream(digest, len(data), lambda write: write(data))
        return digest

    def put_stream(self, digest: Digest, size: int, give: "Callable[[Sink], object]") -> None:
        """give: called with a function that takes the bytes, unless they are here. Raises DigestMismatch; then nothing is kept."""
        if self.has(digest, size):
            return
        hasher = Hasher()
        name = f".{hex_of(digest)[:16]}-{os.urandom(4).hex()}"
        fd = os.open(name, _MAKE, 0o644, dir_fd=self._blobs)
        try:
            def write(data: "bytes | bytearray | memoryview") -> None:
                hasher.update(data)
                write_all(fd, data)

            give(write)
            if hasher.digest() != digest:
                raise DigestMismatch(digest, hasher.digest())
            os.rename(name, hex_of(digest), src_dir_fd=self._blobs, dst_dir_fd=self._blobs)
        except BaseException:
            os.unlink(name, dir_fd=self._blobs)
            raise
        finally:
            os.close(fd)

    def chunks(self, descriptor: Descriptor) -> "Iterator[bytes]":
        """The bytes, verified by their end. Raises BlobMissing, DigestMismatch, SizeMismatch."""
        hasher = Hasher()
        fd = self._open_blob(descriptor.digest)
        try:
            for chunk in chunks_of(fd):
                hasher.update(chunk)
                if hasher.size > descriptor.size:
                    break
                yield chunk
        finally:
            os.close(fd)
        if hasher.size != descriptor.size:
            raise SizeMismatch(descriptor.digest, descriptor.size, hasher.size)
        if hasher.digest() != descriptor.digest:
            raise DigestMismatch(descriptor.digest, hasher.digest())

    def read(self, descriptor: Descriptor, limit: int) -> bytes:
        if descriptor.size > limit:
            raise InvalidImage(f"`{descriptor.digest}`", f"it has {descriptor.size} bytes, more than {limit}")
        return b"".join(self.chunks(descriptor))

    def _open_blob(self, digest: Digest) -> int:
        try:
            return os.open(hex_of(digest), OPEN_FILE, dir_fd=self._blobs)
        except OSError:
            raise BlobMissing(digest) from None

    # ------------------------------------------------------------ index
    def index(self) -> Index:
        """Empty if there is none yet."""
        try:
            fd = os.open("index.json", OPEN_FILE, dir_fd=self._fd)
        except FileNotFoundError:
            return Index(schema_version=2, media_type=OCI_INDEX, manifests=())
        with os.fdopen(fd, "rb") as file:
            data = file.read(MANIFEST_LIMIT + 1)
        index = parse_manifest(data, f"`index.json` of `{self.path}`")
        if not isinstance(index, Index):
            raise InvalidArchive(f"`{self.path}` has an `index.json` that is no index")
        return index

    def change_index(self, change: "Callable[[Index], Index]") -> Index:
        """Replace the index by what `change` makes of it; no other writer comes between."""
        lock = os.open(".", OPEN_DIRECTORY, dir_fd=self._fd)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            new = change(self.index())
            self._put("index.json", to_json(new))
            return new
        finally:
            os.close(lock)

    def _put(self, name: str, data: bytes, keep: bool = False) -> None:
        if keep:
            try:
                os.stat(name, dir_fd=self._fd, follow_symlinks=False)
                return
            except FileNotFoundError:
                pass
        temporary = f".{name}-{os.urandom(4).hex()}"
        fd = os.open(temporary, _MAKE, 0o644, dir_fd=self._fd)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)
        os.rename(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)


def write_layout(store: Store, images: "tuple[Chosen, ...]", path: str, packing: "Packing | None" = None) -> "tuple[Descriptor, ...]":
    """Put images into the layout at `path`, which is made if missing; entries of the same names are replaced. Returns their manifests."""
    documents = [describe(store, chosen.image, packing, dict(chosen.annotations)) for chosen in images]
    with Layout(path, create=True) as layout:
        for document in documents:
            for layer, blob in document.layers:
                layout.put_stream(blob.digest, blob.size, _giver(store, layer, blob))
            layout.put(document.config)
            layout.put(document.manifest)
        new = index_of(documents, images)
        layout.change_index(lambda old: _replaced(old, new))
    return tuple(document.descriptor for document in documents)


def _giver(store: Store, layer: "Layer", blob: "LayerBlob") -> "Callable[[Sink], None]":
    if blob.compression == "uncompressed":
        return lambda write: store.layerblobs.write_tar(layer, write)
    return lambda write: store.blobs.copy(blob.digest, write)


def _replaced(old: Index, new: Index) -> Index:
    names = {_name(d) for d in new.manifests}
    digests = {d.digest for d in new.manifests}
    kept = tuple(d for d in old.manifests if (_name(d) not in names if _name(d) else d.digest not in digests))
    return msgspec.structs.replace(old, manifests=(*kept, *new.manifests))


def _name(descriptor: Descriptor) -> "str | None":
    return (descriptor.annotations or {}).get(NAME)
