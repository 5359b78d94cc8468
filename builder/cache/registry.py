"""A cache in a registry: a manifest under a tag, its blobs beside those of images. An image with an inline cache is read in the same way."""

from builder.cache.errors import BlobGone, CacheError
from builder.errors import BuildError
from store.errors import InvalidReference, StoreError
from store.oci import INDEXES, OCI_MANIFEST, Descriptor, Index, parse_manifest
from store.platform import choose, local_platform
from store.reference import parse_reference
from store.registry.connection import Trouble
from store.registry.errors import NotInRegistry, RegistryBroken, RegistryError
from store.registry.progress import silent
from store.registry.repository import Repository
from store.registry.upload import Uploads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.cache.depot import Depot, Sessions
    from store.registry.connection import Connection
    from store.registry.session import Session


class RegistryDepot:
    def __init__(self, name: str, sessions: "Sessions") -> None:
        try:
            self._reference = parse_reference(name)
        except InvalidReference as error:
            raise BuildError(str(error)) from error
        self.title = self._reference.familiar()
        self._sessions = sessions
        self._session: "Session | None" = None
        self._opened: "Repository | None" = None
        self._writing: "Uploads | None" = None

    @property
    def repository(self) -> Repository:
        if self._opened is None:
            self._session = self._sessions()
            self._opened = self._session.repository(self._reference)
        return self._opened

    def load(self) -> "bytes | None":
        try:
            found = self.repository.manifest(self._reference.digest or self._reference.tag)
            if found.media_type in INDEXES:
                document = parse_manifest(found.data, f"`{self.title}`", found.media_type)
                chosen = choose(document.manifests, local_platform()) if isinstance(document, Index) else None
                if chosen is None:
                    return None
                found = self.repository.manifest(chosen.digest)
            return found.data
        except NotInRegistry:
            return None
        except StoreError as error:
            raise self._trouble(error) from error

    def keep(self, manifest: bytes) -> None:
        try:
            self.repository.put_manifest(self._reference.tag, manifest, OCI_MANIFEST)
        except StoreError as error:
            raise self._trouble(error) from error

    def has(self, blob: Descriptor) -> bool:
        try:
            return self.repository.has_blob(blob.digest)
        except StoreError as error:
            raise self._trouble(error) from error

    def put(self, blob: Descriptor, fd: int) -> None:
        try:
            self._uploads().put(blob.digest, blob.size, fd, blob.digest)
        except StoreError as error:
            raise self._trouble(error) from error

    def _uploads(self) -> Uploads:
        if self._writing is None:
            self._writing = Uploads(self.repository, silent)
        return self._writing

    def take(self, blob: Descriptor, other: "Depot") -> bool:
        """Mount it, if the other is a repository of the same registry."""
        if not isinstance(other, RegistryDepot) or other.repository.domain != self.repository.domain:
            return False
        try:
            location = self._uploads().mount(blob.digest, other.repository.path)
            if location:
                self._uploads().abandon(location)
            return not location
        except (RegistryError, Trouble):
            return False

    def chunks(self, blob: Descriptor) -> "Iterator[bytes]":
        """From whoever has it; what breaks off is taken up again where it ended."""
        done = 0
        trouble: "Exception | None" = None
        for connection in self.repository.readers("pull"):
            attempt = 0
            while attempt < connection.patience.attempts:
                attempt += 1
                try:
                    for chunk in self._stream(connection, blob, done):
                        done, attempt = done + len(chunk), 1
                        yield chunk
                    return
                except Trouble as error:
                    trouble = error.error
                    if attempt == connection.patience.attempts or error.wait > connection.patience.longest:
                        break
                    connection.pause(attempt, error)
                except RegistryError as error:
                    trouble = error
                    break
        if isinstance(trouble, NotInRegistry):
            raise BlobGone(self.title, blob.digest) from trouble
        raise self._trouble(trouble)

    def _stream(self, connection: "Connection", blob: Descriptor, start: int) -> "Iterator[bytes]":
        """The rest of the blob from byte `start` on, in one attempt."""
        if start == blob.size and start:
            return
        response, begin = self.repository.open_blob(connection, blob.digest, start)
        skip, at = start - begin, start
        try:
            for chunk in connection.chunks(response, blob.size - begin):
                skipped = min(skip, len(chunk))
                skip -= skipped
                if skipped < len(chunk):
                    at += len(chunk) - skipped
                    yield bytes(chunk[skipped:])
            if at < blob.size:
                raise Trouble(RegistryBroken(self.repository.domain, f"sends {at} bytes of a blob that has {blob.size}"))
        finally:
            response.close() if at < blob.size else response.release_conn()

    def _trouble(self, error: "Exception | None") -> CacheError:
        return CacheError(self.title, f"cannot be reached: {error}", getattr(error, "help", ""))

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._opened = self._writing = None
