"""Indexes made of images from here and elsewhere."""

import io
import json
import tarfile
from typing import Any

import pytest
from msgspec.structs import replace

from store.archivewriter import save
from store.errors import DigestMismatch, InvalidImage, ReferenceMissing
from store.gc import sweep
from store.oci import DOCKER_MANIFEST, OCI_INDEX, Descriptor, Platform
from store.platform import parse_platform
from store.registry.errors import NotInRegistry
from store.registry.manifestlist import annotate, create, document, remove
from store.registry.pull import Options, pull
from store.registry.push import push
from store.registry.session import Session
from store.root import open_root
from store.store import Store
from store.variants import bring, part, variant
from tests.store.making import image_of, member, tar_of
from tests.store.registry.fake import FakeRegistry, digest_of

ARM, AMD = tar_of(member("arm", content=b"1")), tar_of(member("amd", content=b"2"))


def platforms(data: bytes) -> list[str]:
    return [d["platform"]["architecture"] for d in json.loads(data)["manifests"]]


def both(registry: FakeRegistry) -> tuple[str, str]:
    return registry.image("app", "arm", ARM, architecture="arm64"), registry.image("app", "amd", AMD)


def test_images_of_a_registry_become_an_index(store: Store, session: Session, registry: FakeRegistry) -> None:
    both(registry)
    name = f"{registry.host}/app:1"
    digest = create(store, session, name, [f"{registry.host}/app:arm", f"{registry.host}/app:amd"])
    assert platforms(document(store, session, name)) == ["arm64", "amd64"]
    assert not any(digest_of(layer) in a.path for layer in (ARM, AMD) for a in registry.log)
    assert push(store, session, name).digest == digest
    assert registry.manifests["app"]["1"][0] == OCI_INDEX
    for platform in ("linux/arm64", "linux/amd64"):
        assert store.images.config(pull(store, session, name, Options(parse_platform(platform))).image).architecture == platform[6:]


def test_index_is_pushed_elsewhere_with_all_that_it_lists(store: Store, session: Session, registry: FakeRegistry) -> None:
    both(registry)
    create(store, session, "multi", [f"{registry.host}/app:arm", f"{registry.host}/app:amd"])
    store.close()
    with Store(open_root(store.root.path, store.root.run)) as again:     # what was only heard of survives a collection
        sweep(again)
        with FakeRegistry() as elsewhere:
            push(again, session, f"{elsewhere.host}/to:1", image=again.images.require("multi").id, document=again.images.target("multi"))
            assert set(elsewhere.blobs["to"]) == set(registry.blobs["app"])
            assert len(json.loads(elsewhere.manifests["to"]["1"][1])["manifests"]) == 2


def test_image_of_the_store_is_a_member(store: Store, session: Session, registry: FakeRegistry) -> None:
    image_of(store, {"a": b"1"}, names=(f"{registry.host}/app:here",))
    registry.image("app", "arm", ARM, architecture="arm64")
    name = f"{registry.host}/app:1"
    create(store, session, name, [f"{registry.host}/app:here", f"{registry.host}/app:arm"])
    push(store, session, name)
    assert platforms(registry.manifests["app"]["1"][1]) == ["amd64", "arm64"]


def test_members_of_an_index_are_taken_one_by_one(store: Store, session: Session, registry: FakeRegistry) -> None:
    arm, amd = both(registry)
    registry.index("app", "old", {"linux/arm64": arm, "linux/amd64": amd})
    registry.image("app", "s390", tar_of(member("s", content=b"3")), architecture="s390x")
    create(store, session, "new", [f"{registry.host}/app:old", f"{registry.host}/app:s390"])
    assert platforms(document(store, session, "new")) == ["arm64", "amd64", "s390x"]


def test_amend_adds_and_without_it_the_index_is_made_anew(store: Store, session: Session, registry: FakeRegistry) -> None:
    both(registry)
    create(store, session, "multi", [f"{registry.host}/app:arm"])
    create(store, session, "multi", [f"{registry.host}/app:amd", f"{registry.host}/app:arm"], amend=True, annotations={"k": "v"})
    found = json.loads(document(store, session, "multi"))
    assert [d["platform"]["architecture"] for d in found["manifests"]] == ["arm64", "amd64"] and found["annotations"] == {"k": "v"}
    create(store, session, "multi", [f"{registry.host}/app:amd"])
    assert platforms(document(store, session, "multi")) == ["amd64"]


def test_document_is_the_stores_or_the_registrys(store: Store, session: Session, registry: FakeRegistry) -> None:
    digest = registry.image("app", "1", AMD)
    name = f"{registry.host}/app:1"
    pull(store, session, name)
    registry.image("app", "1", ARM)
    assert digest_of(document(store, session, name)) == digest
    assert document(store, session, name, remote=True) == registry.manifests["app"]["1"][1]
    with pytest.raises(NotInRegistry):
        document(store, session, f"{registry.host}/app:2")


def test_docker_images_make_a_docker_list(store: Store, session: Session, registry: FakeRegistry) -> None:
    def docker(manifest: dict[str, Any]) -> None:
        manifest["mediaType"] = DOCKER_MANIFEST

    registry.image("app", "1", AMD, changes=docker)
    registry.put_manifest("app", "1", registry.manifests["app"]["1"][1], DOCKER_MANIFEST)
    create(store, session, "multi", [f"{registry.host}/app:1"])
    assert "docker" in json.loads(document(store, session, "multi"))["mediaType"]


def test_member_that_is_nowhere_is_an_error(store: Store, session: Session, registry: FakeRegistry) -> None:
    with pytest.raises(NotInRegistry):
        create(store, session, "multi", [f"{registry.host}/app:1"])
    assert store.images.resolve("multi") is None


def test_index_of_indexes_is_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    arm, _ = both(registry)
    inner = registry.index("app", "inner", {"linux/arm64": arm})
    entry = {"mediaType": OCI_INDEX, "digest": inner, "size": len(registry.manifests["app"][inner][1])}
    registry.put_manifest("app", "outer", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}, OCI_INDEX)
    with pytest.raises(InvalidImage, match="another index"):
        create(store, session, "multi", [f"{registry.host}/app:outer"])


def test_amending_one_image_is_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    both(registry)
    pull(store, session, f"{registry.host}/app:amd")
    with pytest.raises(InvalidImage, match="no index"):
        create(store, session, f"{registry.host}/app:amd", [f"{registry.host}/app:arm"], amend=True)


# ---------------------------------------------------------------- changed, taken away, given on in part
def two(store: Store, session: Session, registry: FakeRegistry) -> str:
    """An index of both images, of which only manifests and configs are here."""
    both(registry)
    create(store, session, "multi", [f"{registry.host}/app:arm", f"{registry.host}/app:amd"], annotations={"k": "v"})
    return "multi"


def as_riscv(descriptor: Descriptor) -> Descriptor:
    return replace(descriptor, platform=Platform("riscv64", "linux"), annotations={"a": "b"})


@pytest.mark.parametrize("by", ["digest", "name", "name@digest"])
def test_annotated_entry_keeps_its_place(store: Store, session: Session, registry: FakeRegistry, by: str) -> None:
    name = two(store, session, registry)
    before = json.loads(document(store, session, name))
    digest = before["manifests"][0]["digest"]
    member = {"digest": digest, "name": f"{registry.host}/app:arm", "name@digest": f"{registry.host}/app@{digest}"}[by]
    assert store.images.target(name) != annotate(store, session, name, member, as_riscv) == store.images.target(name)
    after = json.loads(document(store, session, name))
    assert after["manifests"][0] == {**before["manifests"][0], "platform": {"architecture": "riscv64", "os": "linux"}, "annotations": {"a": "b"}}
    assert after["manifests"][1:] == before["manifests"][1:] and after["annotations"] == {"k": "v"}


def test_what_an_index_does_not_list_is_not_annotated(store: Store, session: Session, registry: FakeRegistry) -> None:
    name = two(store, session, registry)
    with pytest.raises(InvalidImage, match="lists no"):
        annotate(store, session, name, "sha256:" + "0" * 64, as_riscv)


def test_image_is_no_index_to_annotate_or_to_remove(store: Store, session: Session) -> None:
    image_of(store, {"a": b"1"}, names=("one:1",))
    with pytest.raises(InvalidImage, match="no index"):
        annotate(store, session, "one:1", "one:1", as_riscv)
    with pytest.raises(InvalidImage, match="no index"):
        remove(store, "one:1")
    assert store.images.resolve("one:1") is not None


def test_removed_index_leaves_an_image_that_has_another_name(store: Store, session: Session) -> None:
    image = image_of(store, {"a": b"1"}, names=("one:1",))
    create(store, session, "multi", ["one:1"])
    assert [item.action for item in remove(store, "multi")] == ["untagged"]
    assert store.images.resolve("multi") is None and store.images.require("one:1").id == image


def test_one_platform_of_an_index_is_pushed_alone(store: Store, session: Session, registry: FakeRegistry) -> None:
    name = two(store, session, registry)
    target = store.images.target(name)
    entry = part(store, name, parse_platform("linux/arm64"))
    assert entry is not None
    with FakeRegistry() as elsewhere:
        pushed = push(store, session, f"{elsewhere.host}/to:1", image=store.images.require(name).id, document=entry.digest)
        assert pushed.digest == entry.digest and elsewhere.manifests["to"]["1"][1] == registry.manifests["app"]["arm"][1]
    assert store.images.target(name) == target


def test_platform_that_is_not_there_is_said_to_be_missing(store: Store, session: Session, registry: FakeRegistry) -> None:
    image_of(store, {"a": b"1"}, names=("one:1",))
    for name in (two(store, session, registry), "one:1"):
        for find in (part, bring, variant):
            with pytest.raises(ReferenceMissing, match="linux/s390x"):
                find(store, name, parse_platform("linux/s390x"))
    assert part(store, "one:1", parse_platform("linux/amd64")) is None


def test_other_platform_of_an_index_that_was_pulled_whole_is_saved(store: Store, session: Session, registry: FakeRegistry) -> None:
    arm, amd = both(registry)
    registry.index("app", "1", {"linux/arm64": arm, "linux/amd64": amd})
    name = f"{registry.host}/app:1"
    pull(store, session, name, Options(parse_platform("linux/amd64"), whole=True))
    out = io.BytesIO()
    registry.log.clear()
    save(store, (name,), out.write, platform=parse_platform("linux/arm64"))
    assert registry.log == []                            # everything was here
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        manifest = json.load(tar.extractfile("manifest.json") or out)
        assert manifest[0]["RepoTags"] == [name]
        assert json.load(tar.extractfile(manifest[0]["Config"]) or out)["architecture"] == "arm64"
        assert (tar.extractfile(manifest[0]["Layers"][0]) or out).read() == ARM


def test_blob_that_is_not_the_layer_of_its_config_is_not_taken_for_it(store: Store, session: Session, registry: FakeRegistry) -> None:
    """Nobody else's image suffers: what an index brought is believed when it was unpacked, not before."""
    amd = registry.image("app", "amd", AMD)
    forged = registry.image("app", "arm", ARM, raw=(tar_of(member("other")),), architecture="arm64")
    registry.index("app", "1", {"linux/arm64": forged, "linux/amd64": amd})
    name = f"{registry.host}/app:1"
    pull(store, session, name, Options(parse_platform("linux/amd64"), whole=True))
    with pytest.raises(DigestMismatch):
        save(store, (name,), lambda data: None, platform=parse_platform("linux/arm64"))
    with FakeRegistry() as honest:
        honest.image("app", "1", ARM)
        assert pull(store, session, f"{honest.host}/app:1").new
