"""Lists: catalog, tags, referrers; pages and their links."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from store.digest import digest_of
from tests.engine.registry.hub import OCI_INDEX, Hub, codes, index, referrer
from tests.engine.serving import Answer


def tags(hub: Hub, query: str = "") -> tuple[list[str], Answer]:
    found = hub.get(f"/v2/a/b/tags/list{query}")
    assert found.status == 200
    return json.loads(found.body)["tags"], found


def follow(found: Answer) -> str:
    """The path of the next page."""
    target, _, relation = found.headers["link"].partition(">; ")
    assert relation == 'rel="next"'
    return target.removeprefix("<")


# ---------------------------------------------------------------- tags
def test_tags_are_in_lexical_order_whatever_their_case(hub: Hub) -> None:
    for tag in ("b", "A", "a", "C", "1.0", "_x"):
        hub.push_image(tag)
    assert tags(hub)[0] == ["1.0", "_x", "A", "a", "b", "C"]


def test_pages_of_tags_lead_through_all_of_them(hub: Hub) -> None:
    names = [f"t{n:02d}" for n in range(7)] + ["T03"]
    for name in names:
        hub.push_image(name)
    seen, path = [], "/v2/a/b/tags/list?n=3"
    while True:
        found = hub.get(path)
        page = json.loads(found.body)["tags"]
        assert len(page) <= 3
        seen += page
        if "link" not in found.headers:
            break
        path = follow(found)
        assert parse_qs(urlsplit(path).query) == {"n": ["3"], "last": [page[-1]]}
    assert seen == sorted(names, key=lambda name: (name.lower(), name))


def test_last_without_n_and_after_what_is_not_there(hub: Hub) -> None:
    for tag in ("a", "c", "e"):
        hub.push_image(tag)
    assert tags(hub, "?last=a")[0] == ["c", "e"]
    assert tags(hub, "?last=d")[0] == ["e"]
    assert tags(hub, "?n=1&last=e")[0] == []


def test_page_of_none(hub: Hub) -> None:
    hub.push_image("a")
    found, answer = tags(hub, "?n=0")
    assert found == [] and "link" not in answer.headers


@pytest.mark.parametrize("n", ["-1", "x", "1.5", "", "٣"])
def test_page_size_that_is_none(hub: Hub, n: str) -> None:
    hub.push_image("a")
    found = hub.get(f"/v2/a/b/tags/list?n={n}".encode().decode("latin-1"))
    assert found.status == 400


def test_tags_of_an_unknown_repository(hub: Hub) -> None:
    found = hub.get("/v2/nobody/tags/list")
    assert (found.status, codes(found)) == (404, ["NAME_UNKNOWN"])


# ---------------------------------------------------------------- catalog
def test_catalog_and_its_pages(hub: Hub) -> None:
    assert json.loads(hub.get("/v2/_catalog").body) == {"repositories": []}
    for name in ("b", "a/x", "c"):
        hub.push_image(name=name)
    hub.push_blob(b"only a blob", "without-manifest")
    assert json.loads(hub.get("/v2/_catalog").body) == {"repositories": ["a/x", "b", "c"]}
    found = hub.get("/v2/_catalog?n=2")
    assert json.loads(found.body) == {"repositories": ["a/x", "b"]}
    assert json.loads(hub.get(follow(found)).body) == {"repositories": ["c"]}


# ---------------------------------------------------------------- referrers
def entries(hub: Hub, subject: str, query: str = "") -> tuple[list[dict[str, object]], Answer]:
    found = hub.get(f"/v2/a/b/referrers/{subject}{query}")
    assert found.status == 200 and found.headers["content-type"] == OCI_INDEX
    document = json.loads(found.body)
    assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_INDEX)
    return document["manifests"], found


def test_referrers_are_listed_with_type_and_annotations(hub: Hub) -> None:
    hub.push_blob(b"{}")
    subject = hub.push_image()
    document = referrer(subject, "application/sbom", annotations={"a": "b"})
    digest = hub.push_manifest(document)
    assert entries(hub, subject)[0] == [{
        "mediaType": document["mediaType"], "digest": digest, "size": len(json.dumps(document)), "artifactType": "application/sbom",
        "annotations": {"a": "b"}}]


def test_push_with_subject_says_so(hub: Hub) -> None:
    hub.push_blob(b"{}")
    subject = digest_of(b"not here")                   # need not be
    found = hub.ask("PUT", "/v2/a/b/manifests/x", json.dumps(referrer(subject, "k")).encode(), content_type=referrer(subject, "k")["mediaType"])
    assert (found.status, found.headers["oci-subject"]) == (201, subject)
    assert len(entries(hub, subject)[0]) == 1


def test_referrers_by_type(hub: Hub) -> None:
    hub.push_blob(b"{}")
    subject = hub.push_image()
    for kind in ("sbom", "signature", "sbom/2"):
        hub.push_manifest(referrer(subject, kind))
    found, answer = entries(hub, subject, "?artifactType=sbom%2F2")
    assert [entry["artifactType"] for entry in found] == ["sbom/2"] and answer.headers["oci-filters-applied"] == "artifactType"
    found, answer = entries(hub, subject)
    assert len(found) == 3 and "oci-filters-applied" not in answer.headers


def test_artifact_type_is_else_the_configs(hub: Hub) -> None:
    subject = hub.push_image()
    hub.push_image("", subject={"mediaType": "x", "digest": subject, "size": 1})
    assert entries(hub, subject)[0][0]["artifactType"] == "application/vnd.oci.image.config.v1+json"


def test_index_may_refer_too(hub: Hub) -> None:
    subject = hub.push_image()
    digest = hub.push_manifest(index(subject, artifactType="k", subject={"mediaType": "x", "digest": subject, "size": 1}))
    assert [(entry["digest"], entry["artifactType"]) for entry in entries(hub, subject)[0]] == [(digest, "k")]


def test_nothing_refers_is_an_empty_index(hub: Hub) -> None:
    assert entries(hub, digest_of(b"nothing"))[0] == []
    assert hub.get("/v2/a/b/referrers/sha256:short").status == 400


def test_referrer_that_is_deleted_is_not_listed(hub: Hub) -> None:
    hub.push_blob(b"{}")
    subject = hub.push_image()
    digest = hub.push_manifest(referrer(subject, "k"))
    hub.ask("DELETE", f"/v2/a/b/manifests/{digest}")
    assert entries(hub, subject)[0] == []


def test_pages_of_referrers(hub: Hub) -> None:
    hub.push_blob(b"{}")
    subject = hub.push_image()
    pushed = {hub.push_manifest(referrer(subject, "k", annotations={"n": str(n)})) for n in range(5)}
    seen, path = [], f"/v2/a/b/referrers/{subject}?n=2&artifactType=k"
    while path:
        found = hub.get(path)
        seen += [entry["digest"] for entry in json.loads(found.body)["manifests"]]
        path = follow(found) if "link" in found.headers else ""
    assert len(seen) == 5 and set(seen) == pushed


def test_fallback_tag_is_listed_too(hub: Hub) -> None:
    """An image copied from a registry without this route comes with the tag that clients keep there."""
    hub.push_blob(b"{}")
    subject = hub.push_image()
    known = hub.push_manifest(referrer(subject, "k"))
    copied = hub.push_image("", layer=b"signature")    # an old one: it does not say its subject
    hub.push_manifest(index(known, copied), subject.replace(":", "-"))
    assert sorted(str(entry["digest"]) for entry in entries(hub, subject)[0]) == sorted((known, copied))
    assert [entry["digest"] for entry in entries(hub, subject, "?artifactType=k")[0]] == [known]
