"""Answers that several routes give: JSON documents, errors, pages."""

import msgspec

from engine.http.message import Request, Response
from engine.registry.errors import RegistryError, refusal

VERSION_HEADER = ("Docker-Distribution-Api-Version", "registry/2.0")
ALWAYS = (VERSION_HEADER, ("X-Content-Type-Options", "nosniff"))
JSON = ("Content-Type", "application/json")
FOR_EVER = ("Cache-Control", "max-age=31536000")       # what a digest names never changes


def document(value: object, *headers: "tuple[str, str]", status: int = 200) -> Response:
    return Response(status, (JSON, *headers), msgspec.json.encode(value))


def empty(status: int, *headers: "tuple[str, str]") -> Response:
    return Response(status, headers)


def error_answer(request: "Request | None", error: Exception) -> Response:
    """What the client is told of an exception, as the distribution spec's JSON."""
    known = refusal(error)
    return document({"errors": [_fault(*fault) for fault in known.faults()]}, *ALWAYS, *known.headers, status=known.status)


def _fault(code: str, message: str, detail: str) -> "dict[str, str]":
    return {"code": code, "message": message, **({"detail": detail} if detail else {})}


def next_page(path: str, last: str, n: "int | None", more: "dict[str, str] | None" = None) -> "tuple[str, str]":
    """The Link header that leads to the next page."""
    from urllib.parse import urlencode

    query = {**({"n": str(n)} if n is not None else {}), "last": last, **(more or {})}
    return "Link", f'<{path}?{urlencode(query)}>; rel="next"'


def unknown_path() -> RegistryError:
    return RegistryError("UNSUPPORTED", "there is nothing at this path", status=404)
