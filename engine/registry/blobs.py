"""Routes of blobs: fetch, look, delete. A fetch is the stored file, sent by the kernel; ranges and conditions are HTTP's."""

from engine.http.message import Empty, File, Request, Response
from engine.http.route import Route
from engine.registry.answers import FOR_EVER, empty
from engine.registry.errors import RegistryError
from engine.registry.ledger import Ledger
from engine.registry.names import Unsatisfiable, check_digest, check_name, parse_range
from store.blobs import Blobs
from store.digest import Digest
from store.errors import BlobMissing


class BlobRoutes:
    def __init__(self, ledger: Ledger, blobs: Blobs) -> None:
        self._ledger, self._blobs = ledger, blobs

    def routes(self) -> "tuple[Route, ...]":
        path = "/v2/{name...}/blobs/{digest}"
        return Route("GET", path, self.fetch, "blob"), Route("DELETE", path, self.delete, "blob")

    def fetch(self, request: Request) -> Response:
        name, digest = check_name(request.parameters["name"]), check_digest(request.parameters["digest"])
        size = self._ledger.blob(name, digest)
        if size is None:
            raise RegistryError("BLOB_UNKNOWN", "the repository has no such blob", digest)
        return self.answer(request, digest, size)

    def answer(self, request: Request, digest: Digest, size: int) -> Response:
        """The blob, or what was asked for of it."""
        if client_has(request, digest):
            return empty(304, *headers_of(digest))
        headers = headers_of(digest)
        if request.method == "HEAD":
            return Response(200, headers, Empty(size))
        part = None
        if "range" in request.headers and request.header("if-range", f'"{digest}"') == f'"{digest}"':
            try:
                part = parse_range(request.headers["range"], size)
            except Unsatisfiable:
                raise RegistryError("RANGE_INVALID", f"the blob has {size} bytes", digest, headers=(("Content-Range", f"bytes */{size}"),)) from None
        try:
            fd = self._blobs.open(digest)
        except BlobMissing:
            raise RegistryError("BLOB_UNKNOWN", "the blob was here, and is not any more", digest) from None
        if part is None:
            return Response(200, headers, File(fd, 0, size))
        first, count = part
        return Response(206, (*headers, ("Content-Range", f"bytes {first}-{first + count - 1}/{size}")), File(fd, first, count))

    def delete(self, request: Request) -> Response:
        name, digest = check_name(request.parameters["name"]), check_digest(request.parameters["digest"])
        if not self._ledger.delete_blob(name, digest):
            raise RegistryError("BLOB_UNKNOWN", "the repository has no such blob", digest)
        return empty(202)


def headers_of(digest: Digest) -> "tuple[tuple[str, str], ...]":
    return (("Docker-Content-Digest", digest), ("ETag", f'"{digest}"'), FOR_EVER, ("Content-Type", "application/octet-stream"),
            ("Accept-Ranges", "bytes"))


def client_has(request: Request, digest: Digest) -> bool:
    """Whether the client says that it has the blob, and would be content to hear that it is still the same, which it always is."""
    known = request.header("if-none-match")
    return f'"{digest}"' in known or known == "*"
