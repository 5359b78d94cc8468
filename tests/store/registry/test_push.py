"""Pushing: what is sent and what is not, bytes that stay the same, and trouble on the way."""

import gzip
import json
import os
import random
from typing import Any

import pytest

from store.digest import Digest
from store.document import Packing
from store.errors import InvalidReference, ReferenceMissing
from store.oci import DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER
from store.platform import parse_platform
from store.registry.errors import AccessDenied, RegistryRefused, RegistryUnreachable
from store.registry.manifestlist import create
from store.registry.progress import EXISTS, MOUNTED, PUSHED, Transfer
from store.registry.pull import Options, pull
from store.registry.push import push
from store.registry.session import Session
from store.store import Store
from store.variants import name_too
from tests.store.making import image_of, member, tar_of
from tests.store.registry.conftest import Sessions
from tests.store.registry.fake import FakeRegistry, digest_of

NOISE = random.Random(7).randbytes(3_000_000)


def built(store: Store, name: str) -> Digest:
    return image_of(store, {"a": NOISE, "d/b": b"1"}, {"c": b"2"}, names=(name,))


def states(events: list[Any]) -> set[str]:
    return {e.state for e in events if isinstance(e, Transfer)}


def test_pushed_image_is_the_one_that_is_pulled(store: Store, other: Store, session: Session, registry: FakeRegistry) -> None:
    name = f"{registry.host}/team/app:1"
    image = built(store, name)
    pushed = push(store, session, name)
    pulled = pull(other, session, name)
    assert (pulled.image, pulled.digest) == (image, pushed.digest)
    with store.view(store.images.layers(image)) as mine, other.view(other.images.layers(image)) as theirs:
        assert {rel: [(r[0], r[4]) for r in rows] for rel, rows in mine.walk().items()} == {
            rel: [(r[0], r[4]) for r in rows] for rel, rows in theirs.walk().items()}


def test_pushed_digest_is_kept_and_names_the_image(store: Store, session: Session, registry: FakeRegistry) -> None:
    name = f"{registry.host}/app:1"
    image = built(store, name)
    digest = push(store, session, name).digest
    assert store.images.target(name) == digest
    assert store.images.require(f"{registry.host}/app@{digest}").id == image


def test_layers_with_annotations_are_pushed_as_they_were_pulled(store: Store, session: Session, registry: FakeRegistry) -> None:
    def annotated(manifest: dict[str, Any]) -> None:
        manifest["annotations"] = {"org.example": "1"}
        for layer in manifest["layers"]:
            layer["annotations"] = {"containerd.io/snapshot/stargz/toc.digest": digest_of(b"toc")}

    tar = tar_of(member("a", content=b"1"))
    digest = registry.image("app", "1", tar, tar, changes=annotated)
    pull(store, session, f"{registry.host}/app:1")
    name_too(store, f"{registry.host}/app:1", f"{registry.host}/copy:1")
    assert push(store, session, f"{registry.host}/copy:1").digest == digest


def test_second_push_asks_once_and_sends_nothing(store: Store, session: Session, registry: FakeRegistry) -> None:
    name = f"{registry.host}/app:1"
    built(store, name)
    first = push(store, session, name)
    registry.log.clear()
    assert push(store, session, name).digest == first.digest
    assert [repr(a) for a in registry.log] == ["HEAD /v2/app/manifests/1"]


def test_another_tag_sends_the_manifest_only(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = built(store, f"{registry.host}/app:1")
    push(store, session, f"{registry.host}/app:1")
    store.images.tag(image, f"{registry.host}/app:2")
    registry.log.clear()
    events: list[Any] = []
    push(store, session, f"{registry.host}/app:2", on_progress=events.append)
    assert [a.method for a in registry.log if a.method not in ("HEAD", "GET")] == ["PUT"]
    assert EXISTS in states(events) and PUSHED not in states(events)


def test_other_repository_of_the_registry_gives_its_blobs(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = built(store, f"{registry.host}/one:1")
    push(store, session, f"{registry.host}/one:1")
    store.images.tag(image, f"{registry.host}/two:1")
    registry.log.clear()
    events: list[Any] = []
    push(store, session, f"{registry.host}/two:1", on_progress=events.append)
    assert len(registry.asked("POST", "mount=")) == 2 and registry.asked("PATCH") == []
    assert MOUNTED in states(events) and PUSHED not in states(events)


def test_repository_that_gives_nothing_costs_an_upload(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = built(store, f"{registry.host}/one:1")
    push(store, session, f"{registry.host}/one:1")
    registry.private.add("one")
    store.images.tag(image, f"{registry.host}/two:1")
    push(store, session, f"{registry.host}/two:1")
    assert set(registry.blobs["two"]) == set(registry.blobs["one"])


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_pulled_image_is_pushed_with_the_bytes_it_came_in(store: Store, session: Session, registry: FakeRegistry, pack: Any) -> None:
    layer = tar_of(member("a", content=b"1" * 9999))
    digest = registry.image("from", "1", layer, raw=(pack(layer),), kind=OCI_LAYER + ("+gzip" if pack is gzip.compress else ""))
    image = pull(store, session, f"{registry.host}/from:1").image
    with FakeRegistry() as elsewhere:
        store.images.tag(image, f"{elsewhere.host}/to:1")
        assert push(store, session, f"{elsewhere.host}/to:1").digest == digest
        assert elsewhere.manifests["to"]["1"] == registry.manifests["from"]["1"]


def test_index_is_pushed_whole(store: Store, session: Session, registry: FakeRegistry) -> None:
    arm = registry.image("from", "a", tar_of(member("a", content=b"1")), architecture="arm64")
    amd = registry.image("from", "b", tar_of(member("b", content=b"2")))
    index = registry.index("from", "1", {"linux/arm64": arm, "linux/amd64": amd})
    image = pull(store, session, f"{registry.host}/from:1", Options(parse_platform("linux/amd64"), whole=True)).image
    with FakeRegistry() as elsewhere:
        name_too(store, f"{registry.host}/from:1", f"{elsewhere.host}/to:1")
        assert store.images.require(f"{elsewhere.host}/to:1").id == image
        assert push(store, session, f"{elsewhere.host}/to:1").digest == index
        assert elsewhere.manifests["to"]["1"][0] == OCI_INDEX
        assert set(elsewhere.blobs["to"]) == set(registry.blobs["from"])


def test_index_of_another_name_is_not_pushed_for_the_image(store: Store, session: Session, registry: FakeRegistry) -> None:
    """A list that somebody made of this image and others is no more than a list that has it."""
    for name, content in (("mine", b"1"), ("other", b"2")):
        registry.image(name, "1", tar_of(member("a", content=content)))
        pull(store, session, f"{registry.host}/{name}:1")
    mine = registry.manifests["mine"]["1"]
    listed = create(store, session, f"{registry.host}/list:1", (f"{registry.host}/mine:1", f"{registry.host}/other:1"))
    image = store.images.require(f"{registry.host}/mine:1").id
    assert store.images.require(f"{registry.host}/list:1").id == image and store.images.target(f"{registry.host}/list:1") == listed
    store.images.untag(f"{registry.host}/mine:1")
    with FakeRegistry() as elsewhere:
        name_too(store, image, f"{elsewhere.host}/to:1")
        push(store, session, f"{elsewhere.host}/to:1")
        assert elsewhere.manifests["to"]["1"] == mine


def test_index_that_is_here_in_part_is_pushed_as_its_image(store: Store, session: Session, registry: FakeRegistry) -> None:
    arm = registry.image("from", "a", tar_of(member("a", content=b"1")), architecture="arm64")
    amd = registry.image("from", "b", tar_of(member("b", content=b"2")))
    registry.index("from", "1", {"linux/arm64": arm, "linux/amd64": amd})
    image = pull(store, session, f"{registry.host}/from:1", Options(parse_platform("linux/amd64"))).image
    with FakeRegistry() as elsewhere:
        store.images.tag(image, f"{elsewhere.host}/to:1")
        push(store, session, f"{elsewhere.host}/to:1")
        assert elsewhere.manifests["to"]["1"] == registry.manifests["from"][amd]


def test_packing_is_as_wished(store: Store, session: Session, registry: FakeRegistry) -> None:
    name = f"{registry.host}/app:1"
    built(store, name)
    push(store, session, name, Packing("zstd"))
    assert {layer["mediaType"] for layer in json.loads(registry.manifests["app"]["1"][1])["layers"]} == {OCI_LAYER + "+zstd"}
    push(store, session, name, Packing("gzip", 9, forced=True, docker=True))
    kind, data = registry.manifests["app"]["1"]
    assert kind == DOCKER_MANIFEST and json.loads(data)["layers"][0]["mediaType"].endswith("diff.tar.gzip")


def test_loaded_tar_is_compressed_for_its_way(store: Store, session: Session, registry: FakeRegistry) -> None:
    """A layer that is here uncompressed only, as `load` leaves it, is not pushed as it is."""
    image = built(store, f"{registry.host}/app:1")
    for layer in store.images.layers(image):
        store.layerblobs.ensure(layer, "uncompressed")
    push(store, session, f"{registry.host}/app:1")
    assert all(layer["mediaType"].endswith("+gzip") for layer in json.loads(registry.manifests["app"]["1"][1])["layers"])


def test_blob_of_a_layer_is_not_made_again_where_the_registry_has_it(store: Store, session: Session, registry: FakeRegistry) -> None:
    """A layer whose blob was collected, but was pushed before."""
    image = built(store, f"{registry.host}/app:1")
    push(store, session, f"{registry.host}/app:1")
    for layer in store.images.layers(image):
        for blob in store.layerblobs.of(layer.diff_id):
            store.blobs.delete(blob.digest)
    store.images.tag(image, f"{registry.host}/other:1")
    events: list[Any] = []
    push(store, session, f"{registry.host}/other:1", on_progress=events.append)
    assert states(events) & {"compressing", "uploading"} == set()


# ---------------------------------------------------------------- trouble
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "HEAD"])
@pytest.mark.parametrize("how", ["drops", "says"])
def test_trouble_that_passes_is_waited_for(store: Store, session: Session, registry: FakeRegistry, method: str, how: str) -> None:
    name = f"{registry.host}/app:1"
    built(store, name)
    for part in ("/blobs/", "/manifests/"):
        if how == "drops":
            registry.drops(method, part, times=2)
        else:
            registry.says(method, part, 503, times=2, headers={"Connection": "close"})
    push(store, session, name)
    assert len(registry.blobs["app"]) == 3 and "1" in registry.manifests["app"]


def test_upload_goes_on_where_the_registry_says_it_ended(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = built(store, f"{registry.host}/app:1")
    blob = store.layerblobs.ensure(store.images.layers(image)[0], "gzip")

    def break_off(handler: Any) -> bool:
        """The first million bytes arrive, then the connection is gone."""
        name = handler.path.split("?")[0].rsplit("/", 1)[1]
        if int(handler.headers.get("Content-Length") or 0) < 2_000_000:
            return False
        registry.uploads[name] += handler.rfile.read(1_000_000)
        handler.drop()
        return True

    registry.fault("PUT", "/uploads/", break_off)
    push(store, session, f"{registry.host}/app:1")
    resumed = [a for a in registry.asked("PATCH") if a.headers.get("Content-Range", "").startswith("1000000-")]
    assert len(resumed) == 1
    assert digest_of(registry.blobs["app"][blob.digest]) == blob.digest


def test_upload_whose_session_is_gone_begins_anew(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = built(store, f"{registry.host}/app:1")
    store.layerblobs.ensure(store.images.layers(image)[0], "gzip")

    def forget(handler: Any) -> bool:
        registry.uploads.clear()
        handler.drop()
        return True

    registry.fault("PUT", "/uploads/", forget, times=2)
    push(store, session, f"{registry.host}/app:1")
    assert len(registry.blobs["app"]) == 3


def test_registry_that_takes_no_streams_gets_files(store: Store, session: Session, registry: FakeRegistry) -> None:
    built(store, f"{registry.host}/app:1")

    def refuse(handler: Any) -> None:
        handler.body()
        handler.reply(411)

    registry.fault("PATCH", "/uploads/", refuse, times=9)
    push(store, session, f"{registry.host}/app:1")
    assert len(registry.blobs["app"]) == 3 and registry.uploads == {}


def test_registry_that_takes_no_large_requests_gets_pieces(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = built(store, f"{registry.host}/app:1")
    store.layerblobs.ensure(store.images.layers(image)[0], "gzip")

    def too_large(handler: Any) -> bool:
        if int(handler.headers.get("Content-Length") or 0) < 2_000_000:
            return False
        handler.body()
        handler.reply(413)
        return True

    registry.fault("PUT", "/uploads/", too_large, times=99)
    push(store, session, f"{registry.host}/app:1")
    assert len(registry.blobs["app"]) == 3
    assert any(a.headers.get("Content-Range") for a in registry.asked("PATCH"))


def test_registry_that_stays_away_is_one_error(store: Store, session: Session, registry: FakeRegistry) -> None:
    built(store, f"{registry.host}/app:1")
    registry.says("POST", "/uploads/", 503, times=999)
    with pytest.raises(RegistryUnreachable, match="503"):
        push(store, session, f"{registry.host}/app:1")
    assert "app" not in registry.manifests and os.listdir(store.temporary.directory) == []


def test_refusal_is_one_clear_error(store: Store, session: Session, registry: FakeRegistry) -> None:
    built(store, f"{registry.host}/app:1")
    registry.says("PUT", "/manifests/", 400, body=b'{"errors":[{"code":"MANIFEST_INVALID","message":"no"}]}')
    with pytest.raises(RegistryRefused) as caught:
        push(store, session, f"{registry.host}/app:1")
    assert str(caught.value) == f"the registry `{registry.host}` says 400 MANIFEST_INVALID: no"


def test_repository_that_is_not_ours_denies_access(store: Store, session: Session, registry: FakeRegistry) -> None:
    built(store, f"{registry.host}/app:1")
    registry.says("POST", "/uploads/", 403, times=9, body=b'{"errors":[{"code":"DENIED","message":"read only"}]}')
    with pytest.raises(AccessDenied, match="read only"):
        push(store, session, f"{registry.host}/app:1")


def test_name_with_a_digest_cannot_be_pushed(store: Store, session: Session, registry: FakeRegistry) -> None:
    with pytest.raises(InvalidReference):
        push(store, session, f"{registry.host}/app@{digest_of(b'')}")


def test_unknown_name_cannot_be_pushed(store: Store, session: Session, registry: FakeRegistry) -> None:
    with pytest.raises(ReferenceMissing):
        push(store, session, f"{registry.host}/app:1")


def test_token_is_asked_for_both_repositories_of_a_mount(store: Store, sessions: Sessions) -> None:
    from store.registry.credential import Credential

    with FakeRegistry(auth="token") as registry:
        session = sessions(credential=Credential("me", "secret"))
        image = built(store, f"{registry.host}/one:1")
        push(store, session, f"{registry.host}/one:1")
        store.images.tag(image, f"{registry.host}/two:1")
        push(store, session, f"{registry.host}/two:1")
        assert "repository:two:pull,push repository:one:pull" in registry.tokens.values()
