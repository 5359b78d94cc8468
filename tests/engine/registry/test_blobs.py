"""Pull of blobs: whole, in ranges, by conditions; what is not there; what is no digest."""

import os

import pytest

from store.digest import Digest, digest_of
from tests.engine.registry.hub import Hub, codes


def test_ping_says_what_it_is(hub: Hub) -> None:
    for path in ("/v2/", "/v2"):
        found = hub.get(path)
        assert (found.status, found.body, found.headers["docker-distribution-api-version"]) == (200, b"{}", "registry/2.0")


def test_blob_is_fetched_whole(hub: Hub) -> None:
    data = os.urandom(3_000_000)
    digest = hub.push_blob(data)
    found = hub.get(f"/v2/a/b/blobs/{digest}")
    assert (found.status, found.body == data, found.headers["docker-content-digest"], found.headers["content-type"]) == (
        200, True, digest, "application/octet-stream")


def test_blob_head(hub: Hub) -> None:
    digest = hub.push_blob(b"hello")
    found = hub.ask("HEAD", f"/v2/a/b/blobs/{digest}")
    assert (found.status, found.headers["content-length"], found.headers["docker-content-digest"], found.body) == (200, "5", digest, b"")


@pytest.mark.parametrize(("asked", "part", "which"), [
    ("bytes=0-0", b"0", "0-0"), ("bytes=2-4", b"234", "2-4"), ("bytes=7-", b"789", "7-9"), ("bytes=-2", b"89", "8-9"), ("bytes=5-100", b"56789", "5-9"),
    ("bytes=-100", b"0123456789", "0-9"), ("BYTES = 1-1", b"1", "1-1")])
def test_blob_range(hub: Hub, asked: str, part: bytes, which: str) -> None:
    digest = hub.push_blob(b"0123456789")
    found = hub.get(f"/v2/a/b/blobs/{digest}", range=asked)
    assert (found.status, found.body, found.headers["content-range"]) == (206, part, f"bytes {which}/10")


@pytest.mark.parametrize("asked", ["bytes=3-1", "bytes=a-b", "bytes=1-2,4-5", "lines=1-2", "bytes=", "bytes=-", "bytes=1", "1-2", "bytes=" + "9" * 40 + "-"])
def test_range_that_http_does_not_know_is_the_whole(hub: Hub, asked: str) -> None:
    found = hub.get(f"/v2/a/b/blobs/{hub.push_blob(b'0123456789')}", range=asked)
    assert (found.status, found.body) == (200, b"0123456789")


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_range_that_the_blob_does_not_have(hub: Hub, asked: str) -> None:
    found = hub.get(f"/v2/a/b/blobs/{hub.push_blob(b'0123456789')}", range=asked)
    assert (found.status, codes(found), found.headers["content-range"]) == (416, ["RANGE_INVALID"], "bytes */10")


def test_if_range_of_something_else_is_the_whole(hub: Hub) -> None:
    digest = hub.push_blob(b"0123456789")
    assert hub.get(f"/v2/a/b/blobs/{digest}", range="bytes=1-2", if_range='"other"').status == 200
    assert hub.get(f"/v2/a/b/blobs/{digest}", range="bytes=1-2", if_range=f'"{digest}"').body == b"12"


def test_blob_that_the_client_has(hub: Hub) -> None:
    digest = hub.push_blob(b"hello")
    etag = hub.get(f"/v2/a/b/blobs/{digest}").headers["etag"]
    found = hub.get(f"/v2/a/b/blobs/{digest}", if_none_match=etag)
    assert (found.status, found.body) == (304, b"")


def test_empty_blob(hub: Hub) -> None:
    assert hub.get(f"/v2/a/b/blobs/{hub.push_blob(b'')}").body == b""


def test_unknown_blob(hub: Hub) -> None:
    found = hub.get(f"/v2/a/b/blobs/{digest_of(b'nothing')}")
    assert (found.status, codes(found)) == (404, ["BLOB_UNKNOWN"])
    assert hub.ask("HEAD", f"/v2/a/b/blobs/{digest_of(b'nothing')}").status == 404


def test_blob_of_another_repository_is_unknown(hub: Hub) -> None:
    digest = hub.push_blob(b"secret", "mine")
    assert hub.get(f"/v2/yours/blobs/{digest}").status == 404


def test_blob_whose_file_is_gone_is_unknown(hub: Hub) -> None:
    digest = hub.push_blob(b"hello")
    hub.store.blobs.delete(Digest(digest))
    found = hub.get(f"/v2/a/b/blobs/{digest}")
    assert (found.status, codes(found)) == (404, ["BLOB_UNKNOWN"])


def test_delete_blob(hub: Hub) -> None:
    digest = hub.push_blob(b"hello")
    assert hub.ask("DELETE", f"/v2/a/b/blobs/{digest}").status == 202
    assert hub.get(f"/v2/a/b/blobs/{digest}").status == 404
    found = hub.ask("DELETE", f"/v2/a/b/blobs/{digest}")
    assert (found.status, codes(found)) == (404, ["BLOB_UNKNOWN"])


@pytest.mark.parametrize("digest", [
    "sha256:" + "g" * 64, "sha256:abc", "sha256:" + "A" * 64, "sha256", "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "sha256:..%2f..%2f" + "a" * 58,
    "sha256:" + "a" * 63 + "%00", "sha256:" + "a" * 65, "sha512:" + "a" * 128, "md5:" + "a" * 32, "%ff"])
def test_text_that_is_no_digest(hub: Hub, digest: str) -> None:
    found = hub.get(f"/v2/a/b/blobs/{digest}")
    assert found.status in (400, 404) and codes(found)[0] in ("DIGEST_INVALID", "UNSUPPORTED")


@pytest.mark.parametrize("name", [
    "A", "-a", "a-", "a//b", "a/-b", "a..b", "a___b", "a._b", "..", "a/../b", "%2e%2e", "a%00b", "a%0ab", "a" * 256, "a b", "a/b%2f", "ä", "a:b"])
def test_name_that_is_none(hub: Hub, name: str) -> None:
    found = hub.get(f"/v2/{name}/tags/list".replace(" ", "%20").encode().decode("latin-1"))
    assert found.status in (400, 404), found
    assert codes(found)[0] in ("NAME_INVALID", "UNSUPPORTED") or found.status == 400


@pytest.mark.parametrize("name", ["a", "a/b/c/d", "a.b", "a_b", "a__b", "a---b", "0", "a" * 255])
def test_name_that_is_one(hub: Hub, name: str) -> None:
    digest = hub.push_blob(b"x", name)
    assert hub.get(f"/v2/{name}/blobs/{digest}").body == b"x"


def test_name_that_looks_like_a_route(hub: Hub) -> None:
    name = "a/blobs/uploads/manifests/tags"
    digest = hub.push_image("latest", name)
    assert hub.get(f"/v2/{name}/manifests/latest").headers["docker-content-digest"] == digest
    assert hub.get(f"/v2/{name}/tags/list").status == 200


def test_unknown_path_and_method(hub: Hub) -> None:
    found = hub.get("/v2/a/b/nothing")
    assert (found.status, codes(found)) == (404, ["UNSUPPORTED"])
    found = hub.ask("PATCH", "/v2/a/b/manifests/x")
    assert (found.status, found.headers["allow"], codes(found)) == (405, "DELETE, GET, HEAD, PUT", ["UNSUPPORTED"])
