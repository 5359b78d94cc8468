"""One repository of one registry, by the distribution spec: manifests, blobs, tags, referrers. In: digests and tags; out: bytes that were checked.

Reading asks the endpoints in their order (mirrors first) and goes on to the next where one has nothing or cannot be reached; writing asks the
registry itself. Uploads are in store.registry.upload.
"""

import json
from urllib.parse import urlencode

from kernel.value import Value
from store.digest import Digest, digest_of, is_digest
from store.errors import DigestMismatch, SizeMismatch
from store.mediatype import MANIFEST_LIMIT, OCI_INDEX
from store.registry.connection import Connection, Trouble
from store.registry.errors import AccessDenied, NotInRegistry, RegistryBroken, RegistryError, RegistryRefused
from store.registry.glance import ACCEPT, Head, media_type_of
from store.registry.refusal import parse_refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar

    from urllib3 import BaseHTTPResponse

    from store.oci import Descriptor

    T = TypeVar("T")

_PAGES = 10_000
_NO_ENTRY = ("NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN")


class Found(Value):
    """A manifest or index. media_type: as it was sent, "" if that says nothing."""

    digest: Digest
    media_type: str
    data: bytes


class Repository:
    """Safe from several threads. connections: in the order in which they are asked, the registry itself last."""

    def __init__(self, domain: str, path: str, connections: "tuple[Connection, ...]") -> None:
        self.domain, self.path = domain, path
        self.connections = connections
        self._pull = (f"repository:{path}:pull",)
        self._push = (f"repository:{path}:pull,push",)

    @property
    def name(self) -> str:
        return f"{self.domain}/{self.path}"

    @property
    def home(self) -> Connection:
        """The registry itself."""
        return self.connections[-1]

    def scopes(self, mount_from: str = "") -> "tuple[str, ...]":
        """What an upload needs to be allowed to do."""
        return (*self._push, f"repository:{mount_from}:pull") if mount_from else self._push

    # ------------------------------------------------------------ manifests
    def manifest(self, reference: str) -> Found:
        """The manifest or index of a tag or digest, verified. Raises NotInRegistry, RegistryError, DigestMismatch."""
        def ask(connection: Connection) -> Found:
            response = self._get(connection, f"/manifests/{reference}", {"Accept": ACCEPT})
            data = connection.read(response, MANIFEST_LIMIT)
            digest = digest_of(data)
            said = response.headers.get("Docker-Content-Digest") or ""
            for want in (reference, said):
                if is_digest(want) and want != digest:
                    raise DigestMismatch(want, digest)
            return Found(digest, _media_type(response), data)

        return self._read(ask, "pull" if is_digest(reference) else "resolve", f"{self.name}{'@' if is_digest(reference) else ':'}{reference}")

    def head(self, reference: str) -> "Head | None":
        """Digest of a tag's manifest; None where the registry does not say. Raises NotInRegistry, RegistryError."""
        return self._read(lambda connection: self._head(connection, reference), "resolve", f"{self.name}:{reference}")

    def home_head(self, reference: str) -> "Head | None":
        """As head, of the registry itself: whether it has what is about to be pushed."""
        return self._head(self.home, reference)

    def _head(self, connection: Connection, reference: str) -> "Head | None":
        response = self._get(connection, f"/manifests/{reference}", {"Accept": ACCEPT}, method="HEAD")
        connection.drop(response)
        digest, length = response.headers.get("Docker-Content-Digest") or "", response.headers.get("Content-Length") or ""
        return Head(Digest(digest), _media_type(response), int(length)) if is_digest(digest) and length.isdecimal() else None

    def put_manifest(self, reference: str, data: bytes, media_type: str) -> "Mapping[str, str]":
        """Put it under a tag or its digest; the headers of the answer. Raises RegistryError."""
        response = self.home.request("PUT", f"/{self.path}/manifests/{reference}", scopes=self._push, body=data, headers={"Content-Type": media_type})
        if response.status not in (201, 202, 200):
            raise self.refused(self.home, response)
        self.home.read(response, 1 << 20)
        said = response.headers.get("Docker-Content-Digest") or ""
        if is_digest(said) and said != digest_of(data):
            raise RegistryBroken(self.domain, f"says that it stored `{said}`, and was given `{digest_of(data)}`")
        return response.headers

    # ------------------------------------------------------------ blobs
    def has_blob(self, digest: Digest) -> bool:
        """Whether the registry itself has it: asked before something is sent there."""
        response = self.home.request("HEAD", f"/{self.path}/blobs/{digest}", scopes=self._push)
        self.home.drop(response)
        if response.status == 200:
            return True
        if response.status == 404:
            return False
        raise self.refused(self.home, response)

    def blob(self, descriptor: "Descriptor", limit: int) -> bytes:
        """A small blob, verified. Raises NotInRegistry, RegistryError, DigestMismatch, SizeMismatch."""
        if descriptor.size > limit:
            raise SizeMismatch(descriptor.digest, limit, descriptor.size)

        def ask(connection: Connection) -> bytes:
            response = self._get(connection, f"/blobs/{descriptor.digest}", {})
            data = connection.read(response, descriptor.size)
            if len(data) != descriptor.size:
                raise SizeMismatch(descriptor.digest, descriptor.size, len(data))
            if digest_of(data) != descriptor.digest:
                raise DigestMismatch(descriptor.digest, digest_of(data))
            return data

        return self._read(ask, "pull", f"{self.name}@{descriptor.digest}")

    def open_blob(self, connection: Connection, digest: Digest, offset: int) -> "tuple[BaseHTTPResponse, int]":
        """(the answer, body unread; the byte of the blob that it begins with: `offset`, or 0 from a registry that knows no ranges).

        One attempt. Raises Trouble, NotInRegistry, RegistryError.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = connection.request("GET", f"/{self.path}/blobs/{digest}", scopes=self._pull, headers=headers, patient=False)
        if response.status == 206 and offset:
            begin = response.headers.get("Content-Range", "").strip().removeprefix("bytes").strip().partition("-")[0]
            if begin == str(offset):
                return response, offset
            response.close()
            raise RegistryBroken(self.domain, "sends another part of a blob than the one that it was asked for")
        if response.status == 200:
            return response, 0
        raise self.refused(connection, response)

    # ------------------------------------------------------------ lists
    def tags(self) -> "Iterator[str]":
        """Names of all tags, page by page."""
        path = f"/{self.path}/tags/list?n=1000"
        for _ in range(_PAGES):
            response = self.home.request("GET", path, scopes=self._pull)
            if response.status != 200:
                raise self.refused(self.home, response)
            try:
                page = json.loads(self.home.read(response, MANIFEST_LIMIT))
                names = page.get("tags") or []
            except (ValueError, RecursionError, AttributeError) as error:
                raise RegistryBroken(self.domain, "answers with a list of tags that is none") from error
            yield from (name for name in names if isinstance(name, str))
            following = _next(response.headers.get("Link") or "")
            if not following:
                return
            path = self.home.location_of(following)

    def referrers(self, digest: Digest, artifact_type: str = "") -> "tuple[Descriptor, ...]":
        """Manifests that say of themselves that they are about `digest`; by the tag schema where the registry has no such question."""
        query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
        response = self.home.request("GET", f"/{self.path}/referrers/{digest}{query}", scopes=self._pull, headers={"Accept": OCI_INDEX})
        if response.status == 200 and _media_type(response) == OCI_INDEX:
            data = self.home.read(response, MANIFEST_LIMIT)
        else:
            response.close()
            try:
                data = self.manifest(referrers_tag(digest)).data
            except NotInRegistry:
                return ()
        from store.oci import Index, from_json

        found = from_json(Index, data, f"the list of what refers to `{digest}`").manifests
        return tuple(d for d in found if not artifact_type or d.artifact_type == artifact_type)

    # ------------------------------------------------------------ asking
    def _get(self, connection: Connection, path: str, headers: "dict[str, str]", method: str = "GET") -> "BaseHTTPResponse":
        """Raises Trouble, RegistryError for everything but 200."""
        response = connection.request(method, f"/{self.path}{path}", scopes=self._pull, headers=headers)
        if response.status == 200:
            return response
        raise self.refused(connection, response)

    def readers(self, purpose: str) -> "list[Connection]":
        """Connections that may be asked for it ("pull" or "resolve"), in order; the registry itself always."""
        return [c for c in self.connections[:-1] if purpose in c.endpoint.can] + [self.home]

    def _read(self, ask: "Callable[[Connection], T]", purpose: str, what: str) -> "T":
        """The first good answer. What a mirror cannot give, for whatever reason, the next one is asked for."""
        for connection in self.readers(purpose)[:-1]:
            try:
                return ask(connection)
            except (RegistryError, DigestMismatch, SizeMismatch, Trouble):
                continue
        attempt = 0
        while True:
            attempt += 1
            try:
                return ask(self.home)
            except Trouble as trouble:                   # a body that broke off
                if self.home.gives_up(attempt, trouble):
                    raise trouble.error from trouble.__cause__
                self.home.pause(attempt, trouble)
            except NotInRegistry as error:
                raise NotInRegistry(self.domain, what, error.help) from error

    def refused(self, connection: Connection, response: "BaseHTTPResponse") -> RegistryError:
        """An answer that says no, as an error."""
        try:
            data = connection.read(response, 1 << 20)
        except (Trouble, RegistryError):
            data = b""
        code, message = parse_refusal(data)
        if response.status == 404 or code in _NO_ENTRY:
            return NotInRegistry(self.domain, self.name)
        if response.status in (401, 403) or code == "DENIED":
            return AccessDenied(self.domain, self.name, message)
        if response.status in (301, 302, 303, 307, 308):
            return RegistryBroken(self.domain, f"redirects what cannot be redirected ({response.status})")
        return RegistryRefused(self.domain, response.status, code, message)


def referrers_tag(digest: Digest) -> str:
    """The tag of the index that stands in for the referrers API where there is none."""
    return digest.replace(":", "-")


def _media_type(response: "BaseHTTPResponse") -> str:
    return media_type_of(response.headers.get("Content-Type") or "")


def _next(link: str) -> str:
    """The URL of a Link header with rel=next; "" if there is none."""
    for part in link.split(","):
        url, _, parameters = part.strip().partition(">")
        if url.startswith("<") and 'rel="next"' in parameters.replace("'", '"').replace("rel=next", 'rel="next"'):
            return url[1:]
    return ""
