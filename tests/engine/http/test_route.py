"""Routes: patterns, order, HEAD, unknown methods."""

from hypothesis import given, strategies

from engine.http.body import Body
from engine.http.message import Peer, Request, Response
from engine.http.route import Route, Router
from engine.http.stream import Stream


def asked(method: str, path: str) -> Request:
    stream = Stream.__new__(Stream)
    return Request(method, path, {}, Body(), Peer("test"), stream)


def answer(name: str) -> Route:
    method, pattern = name.split()
    return Route(method, pattern, lambda request: Response(200, (), name.encode()))


ROUTES = Router((answer("GET /v2/"), answer("POST /v2/{name...}/uploads/"), answer("GET /v2/{name...}/blobs/{digest}"), answer("HEAD /only"),
                 answer("DELETE /v2/{name...}/blobs/{digest}"), answer("GET /{id}/json")))


def found(method: str, path: str) -> tuple[str, dict[str, str]]:
    request = asked(method, path)
    handler = ROUTES.find(request)
    return (request.route, request.parameters) if handler else ("", {})


def test_parts_and_rests_of_paths() -> None:
    assert found("GET", "/v2/a/b/blobs/x") == ("/v2/{name...}/blobs/{digest}", {"name": "a/b", "digest": "x"})
    assert found("GET", "/abc/json") == ("/{id}/json", {"id": "abc"})
    assert found("GET", "/a/b/json") == ("", {})
    assert found("GET", "/v2/blobs/x") == ("", {})


def test_name_that_looks_like_the_rest() -> None:
    assert found("GET", "/v2/a/blobs/b/blobs/c") == ("/v2/{name...}/blobs/{digest}", {"name": "a/blobs/b", "digest": "c"})


def test_head_is_answered_by_get() -> None:
    assert found("HEAD", "/v2/") == ("/v2/", {})
    assert found("HEAD", "/only") == ("/only", {})
    assert found("GET", "/only") == ("", {})


def test_allowed_methods() -> None:
    assert ROUTES.allowed("/v2/a/blobs/x") == ("DELETE", "GET", "HEAD")
    assert ROUTES.allowed("/nowhere/at/all") == ()


def test_path_is_decoded_once() -> None:
    assert found("GET", "/v2/a%2Fb/blobs/%252e") == ("/v2/{name...}/blobs/{digest}", {"name": "a/b", "digest": "%2e"})


@given(strategies.text(max_size=30).filter(lambda text: "/" not in text and text), strategies.text(min_size=1, max_size=30))
def test_parameters_are_what_stands_there(digest: str, name: str) -> None:
    request = asked("GET", "/")
    request.path = f"/v2/{name}/blobs/{digest}"
    assert ROUTES.find(request) is not None
    assert f"/v2/{request.parameters['name']}/blobs/{request.parameters['digest']}" == request.path
