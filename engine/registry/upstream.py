"""The registry that a mirror stands before. In: names and digests; out: what it has, checked; or why not.

`Upstream` is what the mirror needs; `Client` is the real one, over the registry client of the store. Nothing here is kept.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from engine.errors import EngineError
from kernel.value import Value
from store.digest import Digest
from store.errors import StoreError
from store.oci import Descriptor
from store.reference import Reference
from store.registry.connection import Connection, Trouble
from store.registry.errors import NotInRegistry, RegistryBroken
from store.registry.repository import Repository
from store.registry.session import Session

T = TypeVar("T")
_HUB = "docker.io"


class NotUpstream(EngineError):
    """The upstream registry was asked, and has no such thing."""


class Unreachable(EngineError):
    """The upstream registry could not be asked, or does not answer as it should."""


class Document(Value):
    """A manifest or index, verified. media_type: "" if the registry does not say."""

    data: bytes
    media_type: str


class Upstream(Protocol):
    """Every method raises NotUpstream or Unreachable. Safe from several threads."""

    def head(self, name: str, reference: str) -> "Digest | None":
        """What a tag leads to now; None where the registry does not say without sending it."""

    def manifest(self, name: str, reference: str) -> Document: ...

    def size(self, name: str, digest: Digest) -> int:
        """Of a blob, bytes."""

    def blob(self, name: str, digest: Digest, offset: int) -> "tuple[int, Iterator[bytes]]":
        """(size of the whole blob, its bytes from `offset` on, not verified)."""

    def tags(self, name: str) -> "list[str]":
        """All of them, in no order."""

    def referrers(self, name: str, digest: Digest, artifact_type: str) -> "tuple[Descriptor, ...]":
        """What refers to a manifest; artifact_type: "" for all."""


class Client:
    """One registry by its domain, as images are named: "docker.io", "ghcr.io", "registry.example.com:5000"."""

    def __init__(self, session: Session, domain: str) -> None:
        self._session, self._domain = session, domain

    def head(self, name: str, reference: str) -> "Digest | None":
        try:
            head = self._repository(name).head(reference)
        except StoreError as error:
            raise _ours(error) from error
        return head.digest if head else None

    def manifest(self, name: str, reference: str) -> Document:
        try:
            found = self._repository(name).manifest(reference)
        except StoreError as error:
            raise _ours(error) from error
        return Document(found.data, found.media_type)

    def size(self, name: str, digest: Digest) -> int:
        repository = self._repository(name)

        def ask(connection: Connection) -> int:
            response = connection.request("HEAD", f"/{repository.path}/blobs/{digest}", scopes=_scopes(repository))
            if response.status != 200:
                raise repository.refused(connection, response)
            connection.drop(response)
            return _length(self._domain, response.headers.get("Content-Length"))

        return self._first(repository, ask)

    def blob(self, name: str, digest: Digest, offset: int) -> "tuple[int, Iterator[bytes]]":
        repository = self._repository(name)

        def ask(connection: Connection) -> "tuple[int, Iterator[bytes]]":
            response, begin = repository.open_blob(connection, digest, offset)
            length = _length(self._domain, response.headers.get("Content-Length"))
            return begin + length, _skipping(connection, response, length, offset - begin)

        return self._first(repository, ask)

    def tags(self, name: str) -> "list[str]":
        try:
            return list(self._repository(name).tags())
        except StoreError as error:
            raise _ours(error) from error

    def referrers(self, name: str, digest: Digest, artifact_type: str) -> "tuple[Descriptor, ...]":
        try:
            return self._repository(name).referrers(digest, artifact_type)
        except StoreError as error:
            raise _ours(error) from error

    # ------------------------------------------------------------ asking
    def _repository(self, name: str) -> Repository:
        path = f"library/{name}" if self._domain == _HUB and "/" not in name else name
        return self._session.repository(Reference(self._domain, path, "latest"))

    def _first(self, repository: Repository, ask: "Callable[[Connection], T]") -> "T":
        """The first good answer of those that may be asked: the upstream's own mirrors, then itself."""
        trouble: "Exception | None" = None
        for connection in repository.readers("pull"):
            try:
                return ask(connection)
            except Trouble as error:
                trouble = error.error
            except StoreError as error:
                trouble = error
        assert trouble is not None
        raise _ours(trouble) from trouble


def _scopes(repository: Repository) -> "tuple[str, ...]":
    return (f"repository:{repository.path}:pull",)


def _length(domain: str, header: "str | None") -> int:
    if not header or not header.isascii() or not header.isdecimal():
        raise RegistryBroken(domain, "does not say how long a blob is")
    return int(header)


def _skipping(connection: Connection, response: Any, length: int, skip: int) -> "Iterator[bytes]":
    """The bytes of urllib3's response without the first `skip`, which are sent again where no ranges are known. Raises Unreachable."""
    done = 0
    try:
        for chunk in connection.chunks(response, length):
            done += len(chunk)
            if skip:
                chunk, skip = chunk[skip:], max(skip - len(chunk), 0)
            if chunk:
                yield chunk
    except Trouble as error:
        raise Unreachable(str(error.error)) from error
    except StoreError as error:
        raise _ours(error) from error
    finally:
        response.release_conn() if done == length else response.close()


def _ours(error: Exception) -> EngineError:
    return NotUpstream(str(error)) if isinstance(error, NotInRegistry) else Unreachable(str(error))
