"""Routes of uploads: begin (or mount, or all at once), append, ask, finish, cancel. Offsets are bytes; `Range: 0-N` names the last one that came."""

from engine.http.message import Request, Response
from engine.http.route import Route
from engine.registry.answers import empty
from engine.registry.errors import RegistryError
from engine.registry.ledger import Ledger
from engine.registry.names import check_digest, check_name, parse_content_range
from engine.registry.uploads import Turn, Upload, Uploads
from store.digest import Digest


class PushRoutes:
    def __init__(self, ledger: Ledger, uploads: Uploads) -> None:
        self._ledger, self._uploads = ledger, uploads

    def routes(self) -> "tuple[Route, ...]":
        begin, session = "/v2/{name...}/blobs/uploads/", "/v2/{name...}/blobs/uploads/{id}"
        return (Route("POST", begin, self.begin, "blob-upload"), Route("POST", begin.rstrip("/"), self.begin, "blob-upload"),
                Route("GET", session, self.status, "blob-upload-chunk"), Route("PATCH", session, self.append, "blob-upload-chunk"),
                Route("PUT", session, self.finish, "blob-upload-chunk"), Route("DELETE", session, self.cancel, "blob-upload-chunk"))

    def begin(self, request: Request) -> Response:
        name, query = check_name(request.parameters["name"]), request.query
        if "mount" in query:
            digest = check_digest(query["mount"])
            source = check_name(query["from"]) if query.get("from") else ""
            if self._ledger.mount(name, digest, source):
                return _created(name, digest)
        want = check_digest(query["digest"]) if "digest" in query else None
        upload = self._uploads.begin(name)
        if want is None:
            return _accepted(upload)
        return self._commit(upload, upload.take(), request, want)

    def status(self, request: Request) -> Response:
        return _accepted(self._session(request), status=204)

    def append(self, request: Request) -> Response:
        upload = self._session(request)
        turn = upload.take()
        _receive(request, upload, turn)
        return _accepted(upload)

    def finish(self, request: Request) -> Response:
        want = check_digest(request.query.get("digest", ""))
        upload = self._session(request)
        turn = upload.take()
        return self._commit(upload, turn, request, want)

    def cancel(self, request: Request) -> Response:
        self._uploads.forget(self._session(request))
        return empty(204)

    def _session(self, request: Request) -> Upload:
        return self._uploads.find(check_name(request.parameters["name"]), request.parameters["id"])

    def _commit(self, upload: Upload, turn: Turn, request: Request, want: Digest) -> Response:
        _receive(request, upload, turn)
        try:
            turn.commit(want, self._ledger)
        finally:
            self._uploads.forget(upload)
        return _created(upload.repository, want)


def _receive(request: Request, upload: Upload, turn: Turn) -> None:
    """The request's body into the session. What came before a client left stays, and counts."""
    promised = None
    if header := request.header("content-range"):
        first, promised = parse_content_range(header)
        if first != upload.offset:
            raise RegistryError("RANGE_INVALID", f"the upload has {upload.offset} bytes so far, and this would go on at {first}", upload.id,
                                headers=_where(upload))
        if request.body.length not in (None, promised):
            raise RegistryError("SIZE_INVALID", f"the content range has {promised} bytes and the body {request.body.length}", upload.id)
    for piece in request.body.pieces():
        if promised is not None and request.body.received > promised:
            raise RegistryError("SIZE_INVALID", f"the body has more than the {promised} bytes of its content range", upload.id)
        turn.write(piece)


def _where(upload: Upload) -> "tuple[tuple[str, str], ...]":
    return (("Location", f"/v2/{upload.repository}/blobs/uploads/{upload.id}"), ("Range", f"0-{max(upload.offset - 1, 0)}"),
            ("Docker-Upload-UUID", upload.id))


def _accepted(upload: Upload, status: int = 202) -> Response:
    return empty(status, *_where(upload))


def _created(name: str, digest: Digest) -> Response:
    return empty(201, ("Location", f"/v2/{name}/blobs/{digest}"), ("Docker-Content-Digest", digest))
