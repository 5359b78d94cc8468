"""Routes of blobs: fetch, look, delete. A fetch is a sendfile of the stored file; ranges and conditions are HTTP's."""

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
        tag = f'"{digest}"'
        headers: "tuple[tuple[str, str], ...]" = (("Docker-Content-Digest", digest), ("ETag", tag), FOR_EVER)
        if tag in request.header("if-none-match") or request.header("if-none-match") == "*":
            return empty(304, *headers)
        headers = (*headers, ("Content-Type", "application/octet-stream"), ("Accept-Ranges", "bytes"))
        if request.method == "HEAD":
            return Response(200, headers, Empty(size))
        part = None
        if "range" in request.headers and request.header("if-range", tag) == tag:
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
