"""Checking and mending: whatever is damaged is found, what can be had again is had, and the rest goes."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from store.cache import CacheRecord
from store.digest import Digest, digest_of
from store.document import describe
from store.errors import IndexDamaged
from store.fsck import Report, check
from store.gc import sweep
from store.images import Layer
from store.registry.lazy import fetcher
from store.registry.mending import blob_fetcher
from store.registry.pull import pull
from store.registry.push import push
from store.registry.session import Session
from store.root import open_root
from store.salvage import salvage
from store.snapshots import SnapshotId
from store.store import Store
from tests.store.making import config_of, image_of, layer_of, member, tar_of
from tests.store.registry.conftest import registry, session, sessions, waits  # noqa: F401  # fixtures
from tests.store.registry.fake import FakeRegistry
from tests.store.registry.fake import digest_of as digest_text

TAR = tar_of(member("etc/hostname", content=b"box"), member("etc/motd", content=b"x" * 5000))


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(finding.kind, finding.done) for finding in report.findings]


def spoil(path: str) -> None:
    """Change one byte."""
    mode = os.stat(path).st_mode
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    os.chmod(path, mode)


def again(store: Store) -> Store:
    store.close()
    return Store(open_root(store.root.path, store.root.run))


def test_good_store_has_nothing_to_find(store: Store, session: Session, registry: FakeRegistry) -> None:      # noqa: F811
    registry.image("app", "1", TAR)
    pull(store, session, f"{registry.host}/app:1")
    image = image_of(store, {"a": b"1" * 10_000, "d/b": b""}, {"c": b"2"}, names=("x",))
    describe(store, image)
    for repair in (False, True):
        report = check(store, repair=repair)
        assert report.findings == () and report.is_whole
    assert (report.blobs, report.layers, report.images) == (len(store.blobs.all()), 3, 2)
    assert report.blob_bytes == sum(store.blobs.size(each) or 0 for each in store.blobs.all()) and report.files >= 6


# ---------------------------------------------------------------- blobs
def test_every_damaged_blob_is_found(store: Store) -> None:
    for number in range(30):
        store.blobs.put(random.Random(number).randbytes(100 + number * 3000))
    damaged = random.Random(1).sample(store.blobs.all(), 12)
    for each in damaged:
        spoil(store.blobs.path(each))
    report = check(store)
    assert sorted(finding.what for finding in report.findings) == sorted(damaged) and not report.is_whole
    assert len(store.blobs.all()) == 30                  # nothing is touched without being asked


def test_blob_of_a_pulled_layer_is_fetched_again(store: Store, session: Session, registry: FakeRegistry) -> None:      # noqa: F811
    digest = registry.image("app", "1", TAR)
    image = pull(store, session, f"{registry.host}/app:1").image
    for each in (digest_text(TAR), digest, image):
        spoil(store.blobs.path(Digest(each)))
    report = check(store, repair=True, fetch=blob_fetcher(store, lambda: session))
    assert kinds(report) == [("blob", "fetched again")] * 3 and report.is_whole
    assert check(store).findings == ()


def test_blob_that_was_made_here_is_made_again(store: Store) -> None:
    image = image_of(store, {"a": b"1" * 10_000})
    blob = describe(store, image).layers[0][1]
    spoil(store.blobs.path(blob.digest))
    assert kinds(check(store, repair=True)) == [("blob", "made again")]
    assert store.blobs.size(blob.digest) == blob.size and check(store).findings == ()


def test_blob_that_nobody_has_is_dropped(store: Store) -> None:
    store.blobs.put(b"something")
    spoil(store.blobs.path(digest_of(b"something")))
    assert kinds(check(store, repair=True)) == [("blob", "dropped")]
    assert store.blobs.all() == []


def test_config_that_nobody_has_takes_its_image_along(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x",))
    spoil(store.blobs.path(image))
    report = check(store, repair=True)
    assert kinds(report) == [("blob", "dropped"), ("image", "dropped")]
    assert "docker.io/library/x:latest" in report.findings[1].what
    assert store.images.list() == () and check(store).findings == ()


def test_missing_manifest_of_a_name_is_fetched_or_forgotten(store: Store, session: Session, registry: FakeRegistry) -> None:      # noqa: F811
    digest = Digest(registry.image("app", "1", TAR))
    pull(store, session, f"{registry.host}/app:1")
    store.blobs.delete(digest)
    assert kinds(check(store, repair=True, fetch=blob_fetcher(store, lambda: session))) == [("name", "fetched again")]
    store.blobs.delete(digest)
    assert kinds(check(store, repair=True)) == [("name", "forgotten")]
    assert store.images.target(f"{registry.host}/app:1") is None and check(store).findings == ()


def test_strange_file_among_the_blobs_is_debris(store: Store) -> None:
    Path(f"{store.blobs.directory}/sha256/readme").write_text("x")
    assert kinds(check(store)) == [("debris", "")]
    assert kinds(check(store, repair=True)) == [("debris", "removed")]


# ---------------------------------------------------------------- layers
DAMAGE: dict[str, Callable[[str], object]] = {
    "content": lambda path: spoil(f"{path}/d/file"), "mode": lambda path: os.chmod(f"{path}/d/file", 0o666),
    "gone": lambda path: os.unlink(f"{path}/d/file"), "more": lambda path: Path(f"{path}/d/new").write_text("x"),
    "longer": lambda path: Path(f"{path}/d/file").write_bytes(b"x" * 7000)}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_changed_file_of_a_built_layer_is_found_and_costs_the_image(store: Store, damage: str) -> None:
    image = image_of(store, {"d/file": b"1" * 5000}, names=("x",))
    store = again(store)
    DAMAGE[damage](store.snapshots.path(store.images.layers(image)[0].snapshot))
    report = check(store)
    assert kinds(report) == [("layer", "")] and "/d/" in report.findings[0].problem
    assert kinds(check(store, repair=True)) == [("image", "dropped"), ("layer", "dropped")]
    assert check(store).findings == () and store.images.list() == ()


def test_changed_file_of_a_layer_with_a_blob_is_brought_again(store: Store) -> None:
    image = image_of(store, {"d/file": b"1" * 5000}, names=("x",))
    describe(store, image)
    spoil(store.snapshots.path(store.images.layers(image)[0].snapshot) + "/d/file")
    assert kinds(check(store, repair=True)) == [("layer", "brought again")]
    with store.view(store.images.layers(image)) as view:
        assert view.read("d/file", 9999) == b"1" * 5000
    assert check(store).findings == ()


def test_changed_file_of_a_pulled_layer_is_found_by_its_blob(store: Store, session: Session, registry: FakeRegistry) -> None:      # noqa: F811
    registry.image("app", "1", TAR)
    image = pull(store, session, f"{registry.host}/app:1").image
    store = again(store)
    spoil(store.snapshots.path(store.images.layers(image)[0].snapshot) + "/etc/hostname")
    assert kinds(check(store, repair=True)) == [("layer", "brought again")]
    with store.view(store.images.layers(image)) as view:
        assert view.read("etc/hostname", 10) == b"box"


def test_layer_whose_only_blob_is_damaged_cannot_be_checked(store: Store, session: Session, registry: FakeRegistry) -> None:      # noqa: F811
    registry.image("app", "1", TAR)
    layer = store.images.layers(pull(store, session, f"{registry.host}/app:1").image)[0]
    os.unlink(f"{store.snapshots.path(layer.snapshot)}/etc/hostname")
    spoil(store.blobs.path(store.layerblobs.of(layer.diff_id)[0].digest))
    assert sorted((finding.kind, finding.problem) for finding in check(store).findings) == [
        ("blob", "has other bytes than its name says"), ("layer", "cannot be checked, because its blob is damaged")]
    assert check(store, repair=True, fetch=blob_fetcher(store, lambda: session)).is_whole
    with store.view(store.images.layers(store.images.require(f"{registry.host}/app:1").id)) as view:
        assert view.read("etc/hostname", 10) == b"box"


def test_lost_layer_is_fetched_from_where_it_was_pushed(store: Store, session: Session, registry: FakeRegistry) -> None:      # noqa: F811
    image = image_of(store, {"d/file": b"1" * 5000}, names=(f"{registry.host}/app:1",))
    push(store, session, f"{registry.host}/app:1")
    layer = store.images.layers(image)[0]
    for blob in store.layerblobs.of(layer.diff_id):
        store.blobs.delete(blob.digest)
    shutil.rmtree(store.snapshots.holder(layer.snapshot))
    store = again(store)
    store.fetch = fetcher(lambda: session)
    report = check(store, repair=True)
    assert kinds(report) == [("layer", "brought again")]
    with store.view(store.images.layers(image)) as view:
        assert view.read("d/file", 9999) == b"1" * 5000
    assert check(store).findings == ()


def test_record_of_a_lost_layer_goes(store: Store) -> None:
    layer = layer_of(store, {"a": b"1"})
    store.cache.put(CacheRecord(digest_of(b"k"), digest_of(b"op"), digest_of(b"r"), layer.tree, layer.snapshot, "", layer.size))
    shutil.rmtree(store.snapshots.holder(layer.snapshot))
    assert kinds(check(store)) == [("record", "")]
    assert kinds(check(store, repair=True)) == [("record", "dropped")]
    assert store.cache.get(digest_of(b"k")) is None


def test_layer_that_lies_on_a_damaged_one_is_damaged(store: Store) -> None:
    below = layer_of(store, {"a": b"1"})
    draft = store.snapshots.begin()
    Path(draft.directory, "b").write_bytes(b"2")
    from store.tree import scan

    above = store.snapshots.commit(draft, below=(below.snapshot,), tree=scan(draft.directory))
    store = again(store)
    spoil(f"{store.snapshots.path(below.snapshot)}/a")
    found = {finding.what: finding.problem for finding in check(store).findings}
    assert set(found) == {below.snapshot, above} and "lies on" in found[above]


def test_name_without_an_image_goes(store: Store) -> None:
    store.index.run("INSERT INTO reference VALUES ('docker.io/library/x:1', 'sha256:0', '', 0)")
    assert kinds(check(store, repair=True)) == [("name", "dropped")]


def test_debris_of_killed_processes_is_removed(store: Store) -> None:
    Path(f"{store.root.path}/tmp/dead-1").write_text("x")
    assert kinds(check(store, repair=True)) == [("debris", "removed")]
    assert os.listdir(f"{store.root.path}/tmp") == []


# ---------------------------------------------------------------- the index
def filled(store: Store) -> tuple[Digest, Digest]:
    built = image_of(store, {"d/file": b"1" * 5000}, {"e": b"2"}, names=("built:1", "also:2"))
    describe(store, built)
    layer = layer_of(store, {"only": b"here"})
    loose = store.images.add(config_of((layer,)), (layer,), ("loose:1",))
    store.images.hold(built, "container abc")
    return built, loose


@pytest.mark.parametrize("how", ["gone", "garbage", "cut"])
def test_index_is_made_anew_of_what_is_stored(store: Store, how: str) -> None:
    built, loose = filled(store)
    store.close()
    for ending in ("-wal", "-shm"):
        if os.path.exists(store.index.path + ending):
            os.unlink(store.index.path + ending)
    if how == "gone":
        os.unlink(store.index.path)
    elif how == "garbage":
        Path(store.index.path).write_bytes(b"no database" * 1000)
    else:
        with open(store.index.path, "r+b") as file:
            file.truncate(os.path.getsize(store.index.path) // 2)
    store = Store(open_root(store.root.path, store.root.run))
    if how == "garbage":
        with pytest.raises(IndexDamaged):
            check(store)
    salvage(store)
    report = check(store, repair=True)
    assert report.is_whole
    assert {name for record in store.images.list() for name in record.names} == {
        "docker.io/library/built:1", "docker.io/library/also:2", "docker.io/library/loose:1"}
    for image, path, content in ((built, "d/file", b"1" * 5000), (loose, "only", b"here")):
        with store.view(store.images.complete(image)) as view:
            assert view.read(path, 9999) == content
    sweep(store)
    assert check(store).findings == ()


def test_image_has_a_size_before_its_layers_are_unpacked_again(store: Store) -> None:
    config = config_of([Layer(store.blobs.put(TAR), "", SnapshotId(""), 0)])
    store.blobs.put(config)
    salvage(store)
    record, = store.images.list()
    assert (record.id, record.size) == (digest_of(config), len(TAR))


def test_rows_that_can_be_read_are_kept(store: Store) -> None:
    built, _ = filled(store)
    store.cache.put_build(built, b"value")
    salvage(store)
    assert store.images.users(built) == ("container abc",) and store.cache.get_build(built) == b"value"
    assert check(store).findings == ()
