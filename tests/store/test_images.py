"""Images: names, IDs, what rmi does, and what a container needs."""

import os
from pathlib import Path

import pytest

from store.digest import digest_of
from store.errors import ImageInUse, InvalidImage, InvalidReference, ReferenceAmbiguous, ReferenceMissing
from store.gc import Budget, collect
from store.images import Layer, Removed
from store.oci import ContainerConfig, Healthcheck, ImageConfig, RootFS, to_json
from store.snapshots import SnapshotId
from store.store import Store
from tests.store.making import config_of, image_of, layer_of, write_files


def test_resolve_by_every_name_and_id(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("busybox", "quay.io/me/app:1"))
    for name in ("busybox", "busybox:latest", "docker.io/library/busybox", "quay.io/me/app:1", image, image[7:], image[7:19], image[:15], image[7:8]):
        record = store.images.resolve(name)
        assert record is not None and record.id == image, name
        assert record.names == ("docker.io/library/busybox:latest", "quay.io/me/app:1")
        assert (record.platform, record.created, record.size) == ("linux/amd64", "2026-01-02T03:04:05Z", 1)


@pytest.mark.parametrize("name", ["nothing", "busybox:2", "quay.io/busybox", "sha256:" + "0" * 64, "0" * 64, f"busybox@sha256:{'0' * 64}"])
def test_resolve_of_what_is_not_there(store: Store, name: str) -> None:
    image_of(store, {"a": b"1"}, names=("busybox",))
    assert store.images.resolve(name) is None
    with pytest.raises(ReferenceMissing):
        store.images.require(name)


def test_resolve_of_no_name(store: Store) -> None:
    with pytest.raises(InvalidReference):
        store.images.resolve("No Name")


def test_resolve_of_a_beginning_that_several_have(store: Store) -> None:
    images = [image_of(store, {"a": b"%d" % n}) for n in range(17)]
    doubles = next(i[7] for i in images if sum(j[7] == i[7] for j in images) > 1)
    with pytest.raises(ReferenceAmbiguous):
        store.images.resolve(doubles)


def test_name_is_better_than_the_beginning_of_an_id(store: Store) -> None:
    other = image_of(store, {"a": b"1"})
    named = image_of(store, {"a": b"2"}, names=(other[7:17],))
    record = store.images.resolve(other[7:17])
    assert record is not None and record.id == named


def test_tag_moves(store: Store) -> None:
    one, two = image_of(store, {"a": b"1"}, names=("x",)), image_of(store, {"a": b"2"}, names=("x",))
    assert [(r.id, r.names) for r in store.images.list() if r.names] == [(two, ("docker.io/library/x:latest",))]
    assert store.images.resolve(one) is not None


def test_tag_of_a_missing_image(store: Store) -> None:
    with pytest.raises(ReferenceMissing):
        store.images.tag(digest_of(b""), "x")


def test_tag_with_a_digest_is_another_name(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x:1",))
    digest = digest_of(b"manifest")
    store.images.tag(image, f"x:1@{digest}", digest)
    record = store.images.resolve(f"x@{digest}")
    assert record is not None and record.names == ("docker.io/library/x:1", f"docker.io/library/x@{digest}")
    assert (store.images.target(f"x@{digest}"), store.images.target("x:1")) == (digest, None)


def test_add_twice_is_once(store: Store) -> None:
    layer = layer_of(store, {"a": b"1"})
    assert store.images.add(config_of((layer,)), (layer,)) == store.images.add(config_of((layer,)), (layer,))
    assert len(store.images.list()) == 1


def test_add_of_layers_that_the_config_does_not_name(store: Store) -> None:
    layer = layer_of(store, {"a": b"1"})
    with pytest.raises(InvalidImage, match="diff IDs"):
        store.images.add(config_of(()), (layer,))


@pytest.mark.parametrize("config", [b"", b"[]", b"{", b"\xff", b'{"config": 7}', b'{"a":' * 5000])
def test_add_of_a_config_that_is_none(store: Store, config: bytes) -> None:
    with pytest.raises(InvalidImage):
        store.images.add(config, ())


def test_config_bytes_are_kept_as_they_are(store: Store) -> None:
    layer = layer_of(store, {"a": b"1"})
    config = config_of((layer,))[:-1] + b', "unknown": {"kept": [1, 2]}  }\n'
    image = store.images.add(config, (layer,))
    assert (image, store.images.config_bytes(image)) == (digest_of(config), config)


def test_runtime_is_what_the_config_says(store: Store) -> None:
    layer = layer_of(store, {"a": b"1"})
    config = to_json(ImageConfig(architecture="arm64", os="linux", variant="v8", rootfs=RootFS((layer.diff_id,)), config=ContainerConfig(
        entrypoint=("/bin/e",), cmd=("c", "d"), env=("A=1",), user="u:g", working_dir="/w", volumes={"/v": {}, "/a": {}},
        exposed_ports={"80/tcp": {}}, stop_signal="SIGINT", stop_timeout=3, labels={"b": "2", "a": "1"},
        healthcheck=Healthcheck(("CMD", "x"), 1, 2, 3, 4, 5))))
    runtime = store.images.runtime(store.images.add(config, (layer,)))
    assert runtime[:-1] == (("/bin/e",), ("c", "d"), ("A=1",), "u:g", "/w", ("/a", "/v"), ("80/tcp",), "SIGINT", 3, (("CMD", "x"), 1, 2, 3, 4, 5),
                            (("a", "1"), ("b", "2")), "linux/arm64/v8")
    assert runtime.lowerdirs == (store.snapshots.path(layer.snapshot),)


def test_runtime_of_an_empty_config(store: Store) -> None:
    runtime = store.images.runtime(store.images.add(b'{"rootfs":{"type":"layers","diff_ids":[]}}', ()))
    assert runtime[:-2] == ((), (), (), "", "", (), (), "", -1, None, ())


def test_lowerdirs_are_topmost_first_with_the_parts_of_each_layer(store: Store) -> None:
    bottom = layer_of(store, {"a": b"1"})
    part = layer_of(store, {"b": b"1"})
    top = Layer(digest_of(b"t"), "", store.snapshots.commit(store.snapshots.begin(), below=(part.snapshot,)))
    image = store.images.add(config_of((bottom, top)), (bottom, top))
    expected = tuple(store.snapshots.path(s) for s in (top.snapshot, part.snapshot, bottom.snapshot))
    assert store.images.lowerdirs(image) == store.images.runtime(image).lowerdirs == expected


def test_layer_that_is_there_twice_is_mounted_once(store: Store) -> None:
    one, two = layer_of(store, {"a": b"1"}), layer_of(store, {"b": b"1"})
    image = store.images.add(config_of((one, two, one)), (one, two, one))
    assert store.images.lowerdirs(image) == (store.snapshots.path(one.snapshot), store.snapshots.path(two.snapshot))


def test_use_keeps_the_layers(store: Store) -> None:
    image = image_of(store, {"a": b"1"})
    assert store.images.use(image) == store.images.runtime(image)
    layer, = store.images.layers(image)
    assert ("snapshot", layer.snapshot) in store.leases.held()


def test_use_of_an_image_whose_layers_are_gone(store: Store) -> None:
    image = image_of(store, {"a": b"1"})
    store.snapshots.delete(store.images.layers(image)[0].snapshot)
    with pytest.raises(ReferenceMissing):
        store.images.use(image)


# ---------------------------------------------------------------- removing
def test_remove_of_the_only_name_deletes(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x",))
    assert store.images.remove("x") == (Removed("untagged", "docker.io/library/x:latest"), Removed("deleted", image))
    assert store.images.list() == ()


def test_what_is_noted_of_an_image_lives_as_long_as_it(store: Store) -> None:
    one, two = image_of(store, {"a": b"1"}, names=("x",)), image_of(store, {"a": b"2"}, names=("y",))
    for image in (one, two):
        store.images.note(image, "kind", b"old")
        store.images.note(image, "kind", image.encode())
    collect(store, Budget(everything=True))
    assert (store.images.noted(one, "kind"), store.images.noted(one, "other")) == (one.encode(), None)
    store.images.delete(one)
    store.images.note(one, "kind", b"late")
    assert (store.images.noted(one, "kind"), store.images.noted(two, "kind")) == (None, two.encode())


def test_remove_of_one_of_several_names_only_untags(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x", "y"))
    assert store.images.remove("x") == (Removed("untagged", "docker.io/library/x:latest"),)
    assert store.images.resolve("y") is not None and store.images.resolve(image) is not None


def test_remove_of_an_id_with_several_repositories_needs_force(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x", "y"))
    with pytest.raises(ImageInUse):
        store.images.remove(image[7:19])
    assert [r.action for r in store.images.remove(image[7:19], force=True)] == ["untagged", "untagged", "deleted"]


def test_remove_of_an_id_with_tags_of_one_repository(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x:1", "x:2"))
    assert [r.action for r in store.images.remove(image)] == ["untagged", "untagged", "deleted"]


def test_remove_of_the_last_tag_takes_the_digest_names_along(store: Store) -> None:
    digest = digest_of(b"m")
    image = image_of(store, {"a": b"1"}, names=("x:1",))
    store.images.tag(image, f"x@{digest}", digest)
    assert store.images.remove("x:1") == (Removed("untagged", "docker.io/library/x:1"), Removed("untagged", f"docker.io/library/x@{digest}"),
                                          Removed("deleted", image))


def test_remove_of_an_image_that_a_container_uses(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x", "y"))
    store.images.hold(image, "container web")
    store.images.remove("y")
    with pytest.raises(ImageInUse, match="container web"):
        store.images.remove("x")
    assert store.images.remove("x", force=True) == (Removed("untagged", "docker.io/library/x:latest"),)
    assert store.images.resolve(image) is not None
    store.images.let_go("container web")
    assert store.images.remove(image) == (Removed("deleted", image),)


def test_remove_of_nothing(store: Store) -> None:
    with pytest.raises(ReferenceMissing):
        store.images.remove("x")


def test_hold_of_a_missing_image(store: Store) -> None:
    with pytest.raises(ReferenceMissing):
        store.images.hold(digest_of(b""), "container x")


def test_untag(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x",))
    assert (store.images.untag("x"), store.images.untag("x")) == (image, None)
    assert store.images.resolve(image) is not None


def test_events_tell_what_happened_to_names(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x", "x"))
    store.images.remove("x")
    assert [line.split(b'"action":"')[1].split(b'"')[0] for line in store.events.lines()] == [b"tag", b"untag", b"delete"]
    assert all(image.encode() in line for line in store.events.lines())


def test_tag_is_durable_before_it_moves(store: Store) -> None:
    image = image_of(store, {"a": b"1"})
    assert store.index.one("SELECT synced FROM image") == (0,)
    store.images.tag(image, "x")
    assert store.index.one("SELECT synced FROM image") == (1,)


def test_view_of_an_image(store: Store) -> None:
    image = image_of(store, {"etc/passwd": b"old", "a": b""}, {"etc/passwd": b"root:x:0:0"})
    with store.view(store.images.layers(image)) as view:
        assert view.read("/etc/passwd", 100) == b"root:x:0:0"
        assert view.listdir("/") == ["a", "etc"]


def test_view_of_stacked_layers(store: Store) -> None:
    part = layer_of(store, {"a": b"old", "b": b"1"})
    draft = store.snapshots.begin()
    write_files(Path(draft.directory), {"a": b"new"})
    layer = Layer(digest_of(b"x"), "", store.snapshots.commit(draft, below=(part.snapshot,)))
    with store.view((layer,)) as view:
        assert (view.read("a", 10), view.read("b", 10)) == (b"new", b"1")


def test_missing_snapshot_is_no_path_to_elsewhere(store: Store) -> None:
    assert not store.snapshots.hold(SnapshotId("../../etc"))
    assert os.path.exists("/etc")
