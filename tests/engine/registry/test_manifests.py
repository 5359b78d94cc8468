"""Manifests and tags: push, pull, conditions, deletes, what is refused."""

import json
from typing import Any

import pytest

from store.digest import digest_of
from tests.engine.registry.hub import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Hub, codes, index, manifest


def put(hub: Hub, document: Any, reference: str = "latest", content_type: str = OCI_MANIFEST) -> Any:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return hub.ask("PUT", f"/v2/a/b/manifests/{reference}", data, content_type=content_type)


@pytest.fixture
def parts(hub: Hub) -> tuple[bytes, bytes]:
    """A config and a layer that are in the repository."""
    for data in (b"{}", b"layer"):
        hub.push_blob(data)
    return b"{}", b"layer"


def test_push_by_tag_pull_by_tag_and_digest(hub: Hub, parts: tuple[bytes, bytes]) -> None:
    data = json.dumps(manifest(*parts), indent=3).encode()     # kept byte for byte
    found = put(hub, data, "v1.0")
    assert (found.status, found.headers["location"], found.headers["docker-content-digest"]) == (
        201, f"/v2/a/b/manifests/{digest_of(data)}", digest_of(data))
    for reference in ("v1.0", digest_of(data)):
        found = hub.get(f"/v2/a/b/manifests/{reference}")
        assert (found.status, found.body, found.headers["content-type"], found.headers["docker-content-digest"]) == (
            200, data, OCI_MANIFEST, digest_of(data))


def test_push_by_digest_makes_no_tag(hub: Hub, parts: tuple[bytes, bytes]) -> None:
    digest = hub.push_manifest(manifest(*parts))
    assert hub.get(f"/v2/a/b/manifests/{digest}").status == 200
    assert json.loads(hub.get("/v2/a/b/tags/list").body)["tags"] == []


def test_head(hub: Hub) -> None:
    digest = hub.push_image("latest")
    found = hub.ask("HEAD", "/v2/a/b/manifests/latest")
    assert (found.status, found.headers["docker-content-digest"], found.headers["content-type"], found.body) == (200, digest, OCI_MANIFEST, b"")
    assert int(found.headers["content-length"]) == len(hub.get("/v2/a/b/manifests/latest").body)


def test_if_none_match(hub: Hub) -> None:
    digest = hub.push_image("latest")
    assert hub.get("/v2/a/b/manifests/latest", if_none_match=f'"{digest}"').status == 304
    assert hub.get("/v2/a/b/manifests/latest", if_none_match='"sha256:other"').status == 200


def test_tag_may_be_cached_for_no_time_a_digest_for_long(hub: Hub) -> None:
    digest = hub.push_image("latest")
    assert hub.get("/v2/a/b/manifests/latest").headers["cache-control"] == "no-cache"
    assert "max-age" in hub.get(f"/v2/a/b/manifests/{digest}").headers["cache-control"]


def test_tag_moves(hub: Hub) -> None:
    first = hub.push_image("latest", layer=b"1")
    second = hub.push_image("latest", layer=b"2")
    assert hub.get("/v2/a/b/manifests/latest").headers["docker-content-digest"] == second != first
    assert hub.get(f"/v2/a/b/manifests/{first}").status == 200


def test_docker_types_are_kept(hub: Hub, parts: tuple[bytes, bytes]) -> None:
    hub.push_manifest(manifest(*parts, media_type=DOCKER_MANIFEST), "docker")
    assert hub.get("/v2/a/b/manifests/docker").headers["content-type"] == DOCKER_MANIFEST


def test_index_of_what_is_here(hub: Hub) -> None:
    child = hub.push_image("child")
    digest = hub.push_manifest(index(child), "many")
    found = hub.get("/v2/a/b/manifests/many")
    assert (found.headers["content-type"], found.headers["docker-content-digest"]) == (OCI_INDEX, digest)


def test_type_that_was_not_said_is_the_documents(hub: Hub, parts: tuple[bytes, bytes]) -> None:
    document = manifest(*parts)
    assert put(hub, document, "a", "application/json").status == 201
    del document["mediaType"]
    assert put(hub, document, "b", "").status == 201
    assert hub.get("/v2/a/b/manifests/b").headers["content-type"] == OCI_MANIFEST


def test_foreign_layer_need_not_be_here(hub: Hub) -> None:
    hub.push_blob(b"{}")
    document = manifest(b"{}", b"elsewhere")
    document["layers"][0] |= {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "urls": ["https://example.com/layer"]}
    assert put(hub, document).status == 201


# ---------------------------------------------------------------- what is refused
def test_unknown_parts_are_all_named(hub: Hub) -> None:
    hub.push_blob(b"{}")
    found = put(hub, manifest(b"{}", b"1", b"2"))
    assert (found.status, codes(found)) == (404, ["MANIFEST_BLOB_UNKNOWN"] * 2)
    assert [entry["detail"] for entry in json.loads(found.body)["errors"]] == [digest_of(b"1"), digest_of(b"2")]
    assert hub.get("/v2/a/b/manifests/latest").status == 404


def test_index_of_what_is_not_here(hub: Hub) -> None:
    found = put(hub, index(digest_of(b"nothing")), content_type=OCI_INDEX)
    assert (found.status, codes(found)) == (404, ["MANIFEST_BLOB_UNKNOWN"])


def test_digest_that_is_another(hub: Hub, parts: tuple[bytes, bytes]) -> None:
    found = put(hub, manifest(*parts), digest_of(b"other"))
    assert (found.status, codes(found)) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize("document", [
    b"", b"no json", b"[]", b"{}", b'{"schemaVersion": 1, "fsLayers": []}', b'{"schemaVersion": 2, "config": {}, "layers": []}', b"[" * 100_000,
    b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}', b"\xff\xfe",
    json.dumps({**index(), "layers": [], "mediaType": OCI_MANIFEST}).encode(),
    json.dumps({**manifest(b"{}"), "config": {"mediaType": "x", "digest": "../../etc/passwd", "size": 1}}).encode(),
    json.dumps({**manifest(b"{}"), "config": {"mediaType": "x", "digest": digest_of(b"{}"), "size": -1}}).encode()])
def test_document_that_is_no_manifest(hub: Hub, document: bytes) -> None:
    found = put(hub, document)
    assert (found.status, codes(found)) == (400, ["MANIFEST_INVALID"]), document[:80]


@pytest.mark.parametrize("kind", ["image/png", "application/vnd.docker.distribution.manifest.v1+prettyjws", OCI_INDEX])
def test_type_that_the_document_is_not(hub: Hub, parts: tuple[bytes, bytes], kind: str) -> None:
    found = put(hub, manifest(*parts), content_type=kind)
    assert (found.status, codes(found)) == (400, ["MANIFEST_INVALID"])


def test_manifest_of_more_than_4_mib(hub: Hub, parts: tuple[bytes, bytes]) -> None:
    found = put(hub, manifest(*parts, annotations={"a": "x" * (4 << 20)}))
    assert (found.status, codes(found)) == (413, ["SIZE_INVALID"])


@pytest.mark.parametrize("tag", ["-a", ".a", "a" * 129, "a%20b", "a%2fb", "ä%C3%A4".encode().decode("latin-1"), "a+b"])
def test_tag_that_is_none(hub: Hub, parts: tuple[bytes, bytes], tag: str) -> None:
    found = put(hub, manifest(*parts), tag)
    assert found.status in (400, 404) and codes(found)[0] in ("TAG_INVALID", "UNSUPPORTED")


def test_unknown_manifest_and_repository(hub: Hub) -> None:
    hub.push_image()
    for reference in ("other", digest_of(b"x"), ".INVALID"):
        found = hub.get(f"/v2/a/b/manifests/{reference}")
        assert (found.status, codes(found)) == (404, ["MANIFEST_UNKNOWN"])
    found = hub.get("/v2/nobody/manifests/latest")
    assert (found.status, codes(found)) == (404, ["NAME_UNKNOWN"])
    assert hub.get("/v2/a/b/manifests/sha256:short").status == 400


# ---------------------------------------------------------------- deletes
def test_delete_tag_leaves_the_manifest(hub: Hub) -> None:
    digest = hub.push_image("one")
    assert hub.ask("DELETE", "/v2/a/b/manifests/one").status == 202
    assert hub.get("/v2/a/b/manifests/one").status == 404
    assert hub.get(f"/v2/a/b/manifests/{digest}").status == 200
    assert hub.ask("DELETE", "/v2/a/b/manifests/one").status == 404


def test_delete_manifest_takes_its_tags(hub: Hub) -> None:
    digest = hub.push_image("one")
    hub.push_image("two")
    assert hub.ask("DELETE", f"/v2/a/b/manifests/{digest}").status == 202
    assert json.loads(hub.get("/v2/a/b/tags/list").body)["tags"] == []
    found = hub.ask("DELETE", f"/v2/a/b/manifests/{digest}")
    assert (found.status, codes(found)) == (404, ["MANIFEST_UNKNOWN"])


def test_delete_in_an_unknown_repository_makes_none(hub: Hub) -> None:
    assert hub.ask("DELETE", f"/v2/x/manifests/{digest_of(b'x')}").status == 404
    assert not hub.registry.ledger.has_repository("x")
