"""Who may do what: users, anonymous reading by tokens, read-only, guessing."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.registry.access import Access, Throttle
from engine.registry.errors import RegistryError
from engine.registry.htpasswd import Users
from engine.registry.token import Tokens
from tests.engine.registry.hub import Hub, codes
from tests.engine.serving import request

# "secret", at the least cost that bcrypt has
HASH = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def users(tmp_path: Path) -> Users:
    (tmp_path / "users").write_text(f"alice:{HASH}\n")
    return Users(str(tmp_path / "users"))


@pytest.fixture
def closed(tmp_path: Path, users: Users) -> Iterator[Hub]:
    with Hub(tmp_path / "root", Access(users, realm='the "realm"')) as made:
        yield made


@pytest.fixture
def readable(tmp_path: Path, users: Users) -> Iterator[Hub]:
    with Hub(tmp_path / "root", Access(users, anonymous_read=True)) as made:
        yield made


# ---------------------------------------------------------------- users
@pytest.mark.parametrize("path", ["/v2/", "/v2/a/tags/list", "/metrics", "/v2/nothing/at/all"])
def test_everything_asks_who_it_is(closed: Hub, path: str) -> None:
    found = closed.get(path)
    assert (found.status, codes(found), found.headers["www-authenticate"]) == (401, ["UNAUTHORIZED"], "Basic realm=\"the 'realm'\"")
    assert found.headers["docker-distribution-api-version"] == "registry/2.0"


def test_user_may(closed: Hub) -> None:
    assert closed.get("/v2/", authorization=basic("alice", "secret")).status == 200
    assert closed.ask("POST", "/v2/a/blobs/uploads/", authorization=basic("alice", "secret")).status == 202
    assert closed.serving.wait_done(2)[-1].request.user == "alice"


@pytest.mark.parametrize("value", [
    basic("alice", "wrong"), basic("alice", ""), basic("bob", "secret"), basic("", ""), "Basic ???", "Basic", "Bearer x", "Basic " + b64encode(b"alice").decode(),
    basic("alice", "secret\0"), "Basic " + b64encode(b"alice:\xff\xfe").decode(), "Digest x"])
def test_who_is_no_user_may_not(closed: Hub, value: str) -> None:
    found = closed.get("/v2/", authorization=value)
    assert (found.status, codes(found)) == (401, ["UNAUTHORIZED"])


def test_upload_without_a_user_is_refused_before_its_body(closed: Hub) -> None:
    with closed.connect() as client:
        client.send(request("PUT /v2/a/blobs/uploads/x?digest=y\nContent-Length: 100000000"))
        assert client.answer().status == 401


def test_guessing_is_stopped(closed: Hub) -> None:
    for _ in range(20):
        closed.get("/v2/", authorization=basic("alice", "guess"))
    found = closed.get("/v2/", authorization=basic("alice", "secret"))
    assert (found.status, codes(found)) == (429, ["TOOMANYREQUESTS"]) and int(found.headers["retry-after"]) <= 61


def test_throttle_forgets() -> None:
    throttle = Throttle(limit=2, window_s=0.0)
    for _ in range(5):
        throttle.note("a")
        throttle.check("a")
    strict = Throttle(limit=2)
    for _ in range(2):
        strict.note("a")
    strict.check("b")
    with pytest.raises(RegistryError):
        strict.check("a")


# ---------------------------------------------------------------- anonymous reading
def token_of(hub: Hub, **headers: str) -> str:
    found = hub.get("/token?service=x&scope=repository:a/b:pull,push&account=alice", **headers)
    assert found.status == 200
    document = json.loads(found.body)
    assert document["token"] == document["access_token"] and document["expires_in"] > 0
    return f"Bearer {document['token']}"


def test_base_asks_for_a_token(readable: Hub) -> None:
    """Docker would never send a password to a registry that lets it in without one."""
    found = readable.get("/v2/")
    assert found.status == 401
    assert found.headers["www-authenticate"] == 'Bearer realm="http://test/token",service="pybuild registry"'


def test_nobody_reads_with_and_without_a_token(readable: Hub) -> None:
    nobody = token_of(readable)
    assert readable.get("/v2/", authorization=nobody).status == 200
    assert readable.get("/v2/_catalog", authorization=nobody).status == 200
    assert readable.get("/v2/_catalog").status == 200


def test_nobody_may_not_write(readable: Hub) -> None:
    for headers in ({}, {"authorization": token_of(readable)}):
        found = readable.ask("POST", "/v2/a/b/blobs/uploads/", b"", **headers)
        assert found.status == 401
        assert 'scope="repository:a/b:pull,push"' in found.headers["www-authenticate"]
        assert ("insufficient_scope" in found.headers["www-authenticate"]) == bool(headers)


def test_user_writes_with_a_token_and_without(readable: Hub) -> None:
    for value in (token_of(readable, authorization=basic("alice", "secret")), basic("alice", "secret")):
        assert readable.ask("POST", "/v2/a/b/blobs/uploads/", authorization=value).status == 202


def test_wrong_password_gets_no_token(readable: Hub) -> None:
    found = readable.get("/token", authorization=basic("alice", "wrong"))
    assert found.status == 401 and found.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("value", ["Bearer x", "Bearer a.b", "Bearer .", "Bearer \xe4.\xe4"])
def test_token_that_is_none(readable: Hub, value: str) -> None:
    found = readable.get("/v2/_catalog", authorization=value)
    assert found.status == 401 and 'error="invalid_token"' in found.headers["www-authenticate"]


def test_realm_is_not_taken_from_a_forged_host(readable: Hub) -> None:
    with readable.connect() as client:
        client.send(b'GET /v2/ HTTP/1.1\r\nHost: evil",x="\r\n\r\n')
        assert 'realm="http://localhost/token"' in client.answer().headers["www-authenticate"]


def test_realm_is_the_url_that_was_named(tmp_path: Path, users: Users) -> None:
    with Hub(tmp_path / "root", Access(users, anonymous_read=True, url="https://registry.example.com/")) as hub:
        assert 'realm="https://registry.example.com/token"' in hub.get("/v2/").headers["www-authenticate"]


def test_tokens_end_and_cannot_be_forged() -> None:
    tokens = Tokens()
    token = tokens.make("ali ce", now=1000.0)
    assert tokens.read(token, now=1100.0) == "ali ce"
    assert tokens.read(token, now=1301.0) is None
    assert Tokens().read(token, now=1100.0) is None
    said, _, signature = token.partition(".")
    assert tokens.read(f"{said[:-4]}AAAA.{signature}", now=1100.0) is None
    assert tokens.read(tokens.make("", now=1000.0), now=1100.0) == ""


# ---------------------------------------------------------------- read-only
def test_read_only_refuses_every_change(tmp_path: Path) -> None:
    with Hub(tmp_path / "root") as hub:
        digest = hub.push_image()
    with Hub(tmp_path / "root", Access(read_only=True)) as hub:
        assert hub.get("/v2/a/b/manifests/latest").headers["docker-content-digest"] == digest
        for method, path in (("POST", "/v2/a/b/blobs/uploads/"), ("PUT", "/v2/a/b/manifests/x"), ("DELETE", f"/v2/a/b/manifests/{digest}"),
                             ("DELETE", f"/v2/a/b/blobs/{digest}")):
            found = hub.ask(method, path)
            assert (found.status, codes(found), found.headers["allow"]) == (405, ["UNSUPPORTED"], "GET, HEAD")
