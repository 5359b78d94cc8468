"""Pulling: what is fetched and what is not, what a registry may do wrong, and what a hostile one gets."""

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from store.compression import compress_piece
from store.config import Config, RegistryConfig
from store.digest import Digest
from store.errors import DigestMismatch, InvalidImage, InvalidLayer, SizeMismatch, StoreError
from store.gc import sweep
from store.oci import OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from store.platform import parse_platform
from store.registry.errors import NoPlatform, NotInRegistry, RegistryBroken, RegistryRefused, RegistryUnreachable
from store.registry.progress import EXISTS, PULLED, Transfer, Word
from store.registry.pull import Options, pull
from store.registry.session import Session
from store.root import open_root
from store.store import Store
from tests.store.making import member, tar_of
from tests.store.registry.conftest import Sessions
from tests.store.registry.fake import FakeRegistry, digest_of

ONE = tar_of(member("etc/hostname", content=b"box"))
TWO = tar_of(member("etc/motd", content=b"x" * 3_000_000))


def names(store: Store) -> list[str]:
    return [name for record in store.images.list() for name in record.names]


def partials(store: Store) -> list[str]:
    """Beginnings of downloads: what is left of one that was stopped depends on how far it was."""
    return [name for name in os.listdir(store.temporary.directory) if name.startswith("left-")]


def test_pulled_image_is_there_under_its_name(store: Store, session: Session, registry: FakeRegistry) -> None:
    digest = registry.image("team/app", "1", ONE, TWO)
    pulled = pull(store, session, f"{registry.host}/team/app:1")
    assert (pulled.digest, pulled.new) == (digest, True)
    assert store.images.require(f"{registry.host}/team/app:1").id == pulled.image
    assert store.images.target(f"{registry.host}/team/app:1") == digest
    with store.view(store.images.layers(pulled.image)) as view:
        assert (view.read("etc/hostname", 10), len(view.read("etc/motd", 1 << 22))) == (b"box", 3_000_000)


def test_digest_of_a_pulled_tag_is_a_name_too(store: Store, session: Session, registry: FakeRegistry) -> None:
    digest = registry.image("app", "1", ONE)
    image = pull(store, session, f"{registry.host}/app:1").image
    assert store.images.require(f"{registry.host}/app@{digest}").id == image


@pytest.mark.parametrize(("kind", "pack"), [
    ("", bytes), ("+gzip", lambda data: gzip.compress(data, 1, mtime=0)), ("+zstd", lambda data: compress_piece(data, "zstd", 3))])
def test_layers_of_every_compression_keep_their_bytes(store: Store, session: Session, registry: FakeRegistry, kind: str, pack: Any) -> None:
    registry.image("app", "1", TWO, kind=OCI_LAYER + kind, raw=(pack(TWO),))
    image = pull(store, session, f"{registry.host}/app:1").image
    blob = store.layerblobs.of(store.images.layers(image)[0].diff_id)[0]
    assert store.blobs.read(blob.digest, 1 << 23) == pack(TWO)


def test_second_pull_asks_for_the_tag_and_nothing_else(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE)
    pull(store, session, f"{registry.host}/app:1")
    registry.log.clear()
    assert not pull(store, session, f"{registry.host}/app:1").new
    assert [repr(a) for a in registry.log] == ["HEAD /v2/app/manifests/1"]


def test_pull_by_a_known_digest_asks_nothing(store: Store, session: Session, registry: FakeRegistry) -> None:
    digest = registry.image("app", "1", ONE)
    name = f"{registry.host}/app@{digest}"
    pull(store, session, name)
    registry.log.clear()
    pull(store, session, name)
    assert registry.log == []
    assert names(store) == [name]


def test_layer_that_is_here_is_not_fetched(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE)
    registry.image("app", "2", ONE, TWO)
    pull(store, session, f"{registry.host}/app:1")
    registry.log.clear()
    events: list[Any] = []
    pull(store, session, f"{registry.host}/app:2", on_progress=events.append)
    assert digest_of(ONE) not in " ".join(a.path for a in registry.asked("GET"))
    assert {(e.id, e.state) for e in events if isinstance(e, Transfer)} >= {(digest_of(ONE), EXISTS), (digest_of(TWO), PULLED)}


def test_same_layer_twice_is_fetched_once(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE, TWO, ONE)
    image = pull(store, session, f"{registry.host}/app:1").image
    assert len(registry.asked("GET", digest_of(ONE))) == 1
    assert len({layer.snapshot for layer in store.images.layers(image)}) == 2


def test_moved_tag_is_pulled_again(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE)
    first = pull(store, session, f"{registry.host}/app:1").image
    registry.image("app", "1", TWO)
    second = pull(store, session, f"{registry.host}/app:1")
    assert second.new and second.image != first
    assert store.images.require(f"{registry.host}/app:1").id == second.image


def test_registry_that_says_no_digest_is_asked_for_the_manifest(store: Store, session: Session, registry: FakeRegistry) -> None:
    digest = registry.image("app", "1", ONE)
    registry.says("HEAD", "/manifests/1", 200, headers={"Content-Type": OCI_MANIFEST})
    assert pull(store, session, f"{registry.host}/app:1").digest == digest


# ---------------------------------------------------------------- platforms
def test_image_of_this_platform_is_chosen(store: Store, session: Session, registry: FakeRegistry) -> None:
    arm, amd = registry.image("app", "a", ONE, architecture="arm64"), registry.image("app", "b", TWO)
    index = registry.index("app", "1", {"linux/arm64": arm, "linux/amd64": amd})
    pulled = pull(store, session, f"{registry.host}/app:1", Options(parse_platform("linux/amd64")))
    assert pulled.digest == index
    assert store.images.config(pulled.image).architecture == "amd64"
    other = pull(store, session, f"{registry.host}/app:1", Options(parse_platform("linux/arm64")))
    assert store.images.config(other.image).architecture == "arm64"


@pytest.mark.parametrize(("have", "wanted", "told"), [
    ("amd64", "linux/arm64", True), ("amd64", "windows/amd64", True), ("amd64", "linux/amd64", False), ("arm64", "linux/arm64/v8", False)])
def test_image_of_another_platform_than_the_specified_is_pulled_and_told(store: Store, session: Session, registry: FakeRegistry, have: str,
                                                                         wanted: str, told: bool) -> None:
    registry.image("app", "1", ONE, architecture=have)
    events: list[Any] = []
    image = pull(store, session, f"{registry.host}/app:1", Options(parse_platform(wanted)), events.append).image
    assert store.images.config(image).architecture == have
    words = [event.text for event in events if isinstance(event, Word)]
    assert len(words) == told
    assert not told or f"its platform (linux/{have}) does not match the specified platform ({wanted})" in words[0]


def test_image_of_another_platform_is_told_of_again_when_it_is_here(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE)
    pull(store, session, f"{registry.host}/app:1")
    events: list[Any] = []
    pull(store, session, f"{registry.host}/app:1", Options(parse_platform("linux/arm64")), events.append)
    assert [type(event) for event in events].count(Word) == 1


def test_missing_platform_names_those_that_there_are(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.index("app", "1", {"linux/arm64": registry.image("app", "a", ONE, architecture="arm64")})
    with pytest.raises(NoPlatform) as caught:
        pull(store, session, f"{registry.host}/app:1", Options(parse_platform("linux/riscv64")))
    assert "linux/riscv64" in str(caught.value) and "linux/arm64" in caught.value.help


def test_whole_index_is_kept(store: Store, session: Session, registry: FakeRegistry) -> None:
    arm, amd = registry.image("app", "a", ONE, architecture="arm64"), registry.image("app", "b", TWO)
    registry.index("app", "1", {"linux/arm64": arm, "linux/amd64": amd})
    pull(store, session, f"{registry.host}/app:1", Options(parse_platform("linux/amd64"), whole=True))
    sweep(store)
    assert store.blobs.has(Digest(arm)) and store.blobs.has(Digest(digest_of(ONE)))


def test_indexes_without_an_end_are_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    digest = registry.image("app", "a", ONE)
    for depth in range(9):
        kind, data = registry.manifests["app"][digest]
        digest = registry.put_manifest("app", f"t{depth}", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            {"mediaType": kind, "digest": digest, "size": len(data)}]}, OCI_INDEX)
    with pytest.raises(InvalidImage, match="nested"):
        pull(store, session, f"{registry.host}/app:t8")


# ---------------------------------------------------------------- trouble on the way
def test_broken_download_goes_on_where_it_ended(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", TWO)
    registry.breaks(digest_of(TWO), 1_000_000, times=2)
    pull(store, session, f"{registry.host}/app:1")
    ranges = [a.headers.get("Range") for a in registry.asked("GET", digest_of(TWO))]
    assert ranges[0] is None and len(ranges) == 3
    assert all(r and r.startswith("bytes=") and r != "bytes=0-" for r in ranges[1:])


def test_download_goes_on_at_a_registry_without_ranges(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", TWO)
    registry.breaks(digest_of(TWO), 1_000_000)
    registry.fault("GET", digest_of(TWO), lambda handler: handler.reply(200, TWO))
    pull(store, session, f"{registry.host}/app:1")
    assert len(registry.asked("GET", digest_of(TWO))) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_busy_registry_is_asked_again(store: Store, session: Session, registry: FakeRegistry, waits: list[float], status: int) -> None:
    registry.image("app", "1", ONE)
    registry.says("HEAD", "/manifests/", status, times=2)
    registry.says("GET", "/blobs/", status, times=2)
    pull(store, session, f"{registry.host}/app:1")
    assert len(waits) >= 3


def test_registry_says_how_long_to_wait(store: Store, session: Session, registry: FakeRegistry, waits: list[float]) -> None:
    registry.image("app", "1", ONE)
    registry.says("GET", "/manifests/", 429, headers={"Retry-After": "7"})
    pull(store, session, f"{registry.host}/app:1")
    assert waits == [7.0]


def test_registry_that_has_us_wait_too_long_is_an_error(store: Store, session: Session, registry: FakeRegistry, waits: list[float]) -> None:
    registry.says("HEAD", "/manifests/", 429, times=9, headers={"Retry-After": "86400"})
    with pytest.raises(RegistryUnreachable, match="429"):
        pull(store, session, f"{registry.host}/app:1")
    assert waits == []


def test_dropped_connections_are_made_again(store: Store, session: Session, registry: FakeRegistry, waits: list[float]) -> None:
    registry.image("app", "1", ONE)
    registry.drops("HEAD", "/manifests/", times=2)
    registry.drops("GET", "/manifests/")
    registry.drops("GET", "/blobs/", times=2)
    pull(store, session, f"{registry.host}/app:1")
    assert len(waits) >= 4


def test_patience_ends(store: Store, session: Session, registry: FakeRegistry, waits: list[float]) -> None:
    registry.image("app", "1", ONE)
    registry.says("GET", digest_of(ONE), 503, times=99)
    with pytest.raises(RegistryUnreachable, match="503"):
        pull(store, session, f"{registry.host}/app:1")
    assert len(waits) == 3 and waits == sorted(waits)
    assert names(store) == []


def test_blob_that_never_ends_well_is_an_error(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", TWO)
    registry.breaks(digest_of(TWO), 0, times=99)
    with pytest.raises(RegistryUnreachable):
        pull(store, session, f"{registry.host}/app:1")
    assert os.listdir(store.temporary.directory) == [] and not store.blobs.has(Digest(digest_of(TWO)))


def test_unknown_image_is_one_clear_error(store: Store, session: Session, registry: FakeRegistry) -> None:
    with pytest.raises(NotInRegistry) as caught:
        pull(store, session, f"{registry.host}/nobody/nothing:9")
    assert str(caught.value) == f"the registry `{registry.host}` has no `{registry.host}/nobody/nothing:9`"


def test_registry_that_is_not_there_is_one_clear_error(store: Store, session: Session, registry: FakeRegistry) -> None:
    with pytest.raises(RegistryUnreachable, match="connection refused"):
        pull(store, session, "127.0.0.1:1/x:1")


def test_one_bad_layer_stops_the_others(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE, TWO, tar_of(member("c", content=b"3")))
    registry.says("GET", digest_of(ONE), 403)
    with pytest.raises(StoreError):
        pull(store, session, f"{registry.host}/app:1")
    assert not [thread for thread in threading.enumerate() if "_work" in thread.name]
    assert set(os.listdir(store.temporary.directory)) <= set(partials(store))


# ---------------------------------------------------------------- mirrors
def mirrored(registry: FakeRegistry, *mirrors: str) -> Config:
    return Config({registry.host: RegistryConfig(mirrors=mirrors)})


def test_mirror_is_asked_first(store: Store, sessions: Sessions, registry: FakeRegistry) -> None:
    with FakeRegistry() as mirror:
        for each in (registry, mirror):
            each.image("app", "1", ONE)
        pull(store, sessions(mirrored(registry, mirror.url)), f"{registry.host}/app:1")
        assert registry.log == []
        assert all(f"ns={registry.host}" in a.path for a in mirror.log)


def test_mirror_that_has_nothing_or_is_gone_is_passed_over(store: Store, sessions: Sessions, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE)
    with FakeRegistry() as mirror:
        pull(store, sessions(mirrored(registry, "http://127.0.0.1:1", mirror.url)), f"{registry.host}/app:1")
    assert names(store) == [f"{registry.host}/app:1"]


def test_download_that_breaks_at_a_mirror_goes_on_at_the_registry(store: Store, sessions: Sessions, registry: FakeRegistry) -> None:
    with FakeRegistry() as mirror:
        for each in (registry, mirror):
            each.image("app", "1", TWO)
        mirror.breaks(digest_of(TWO), 1_000_000, times=1)
        mirror.says("GET", digest_of(TWO), 500, times=99)
        pull(store, sessions(mirrored(registry, mirror.url)), f"{registry.host}/app:1")
    asked = registry.asked("GET", digest_of(TWO))
    assert len(asked) == 1 and asked[0].headers["Range"] != "bytes=0-"


def test_mirror_that_spoils_a_layer_costs_nothing_but_time(store: Store, sessions: Sessions, registry: FakeRegistry) -> None:
    with FakeRegistry() as mirror:
        for each in (registry, mirror):
            each.image("app", "1", ONE, TWO)
        mirror.blobs["app"][digest_of(TWO)] = TWO[:-600] + b"y" * 600
        image = pull(store, sessions(mirrored(registry, mirror.url)), f"{registry.host}/app:1").image
    with store.view(store.images.layers(image)) as view:
        assert view.read("etc/motd", 1 << 22) == b"x" * 3_000_000


def test_mirror_that_spoils_a_manifest_is_passed_over(store: Store, sessions: Sessions, registry: FakeRegistry) -> None:
    with FakeRegistry() as mirror:
        digest = registry.image("app", "1", ONE)
        mirror.image("app", "1", ONE)
        mirror.manifests["app"][digest] = (OCI_MANIFEST, b'{"schemaVersion": 2}')
        assert pull(store, sessions(mirrored(registry, mirror.url)), f"{registry.host}/app:1").digest == digest


# ---------------------------------------------------------------- what cannot be trusted
def test_wrong_layer_is_refused_and_leaves_nothing(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE)
    registry.blobs["app"][digest_of(ONE)] = ONE[:-512] + b"z" * 512
    with pytest.raises(DigestMismatch):
        pull(store, session, f"{registry.host}/app:1")
    assert names(store) == [] and store.snapshots.all() == [] and os.listdir(store.temporary.directory) == []
    assert not store.blobs.has(Digest(digest_of(ONE)))


def test_wrong_config_is_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE)
    config = next(d for d, data in registry.blobs["app"].items() if data.startswith(b'{"arch'))
    registry.blobs["app"][config] = registry.blobs["app"][config].replace(b"A=1", b"A=2")
    with pytest.raises(DigestMismatch):
        pull(store, session, f"{registry.host}/app:1")


def test_wrong_manifest_is_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    digest, evil = registry.image("app", "1", ONE), registry.image("app", "evil", TWO)
    registry.manifests["app"][digest] = registry.manifests["app"][evil]
    with pytest.raises(DigestMismatch):
        pull(store, session, f"{registry.host}/app@{digest}")


def test_manifest_that_its_own_header_denies_is_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    digest = registry.image("app", "1", ONE)
    registry.fault("GET", "/manifests/", lambda handler: handler.reply(
        200, registry.manifests["app"][digest][1], {"Docker-Content-Digest": digest_of(b"other"), "Content-Type": OCI_MANIFEST}))
    with pytest.raises(DigestMismatch):
        pull(store, session, f"{registry.host}/app:1")


def test_layer_that_is_longer_than_promised_is_cut_off(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE)
    registry.blobs["app"][digest_of(ONE)] = ONE + bytes(50_000_000)
    with pytest.raises((RegistryBroken, SizeMismatch)):
        pull(store, session, f"{registry.host}/app:1")


def test_bomb_of_a_manifest_is_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.put_manifest("app", "1", b'{"schemaVersion": 2, "x": "' + b"a" * (5 << 20) + b'"}')
    with pytest.raises(RegistryBroken, match="more than"):
        pull(store, session, f"{registry.host}/app:1")


@pytest.mark.parametrize(("document", "why"), [
    ({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [], "manifests": []}, "either"),
    ({"schemaVersion": 1, "mediaType": OCI_MANIFEST, "fsLayers": []}, "schema 1"),
    ({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}, "was sent as"),
    ({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {"mediaType": "x", "digest": "sha256:../../etc/passwd", "size": 1}, "layers": []}, "digest"),
    ({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {"mediaType": "x", "digest": digest_of(b""), "size": -1}, "layers": []}, "negative"),
    ([], "valid"), ({"schemaVersion": 2}, "valid")])
def test_hostile_manifest_is_refused(store: Store, session: Session, registry: FakeRegistry, document: Any, why: str) -> None:
    registry.put_manifest("app", "1", json.dumps(document).encode())
    with pytest.raises(InvalidImage, match=why):
        pull(store, session, f"{registry.host}/app:1")


def test_deep_json_is_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.put_manifest("app", "1", b"[" * 500_000)
    with pytest.raises(InvalidImage):
        pull(store, session, f"{registry.host}/app:1")


def test_config_with_other_layers_than_the_manifest_is_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE, TWO, changes=lambda manifest: manifest["layers"].pop())
    with pytest.raises(InvalidImage, match="2 diff IDs"):
        pull(store, session, f"{registry.host}/app:1")


def test_layer_that_unpacks_to_another_diff_id_is_refused(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE, raw=(TWO,))
    with pytest.raises(DigestMismatch):
        pull(store, session, f"{registry.host}/app:1")
    assert store.snapshots.all() == []


def test_artifact_is_no_image(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE, kind="application/vnd.acme.thing")
    with pytest.raises(InvalidImage, match="no image that can be run"):
        pull(store, session, f"{registry.host}/app:1")


def test_hostile_layer_stays_inside(store: Store, session: Session, registry: FakeRegistry, tmp_path: Path) -> None:
    registry.image("app", "1", tar_of(member("../../../../tmp/evil", content=b"x")))
    with pytest.raises(InvalidLayer):
        pull(store, session, f"{registry.host}/app:1")
    assert not Path("/tmp/evil").exists()


def test_words_of_a_registry_are_harmless(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.says("GET", "/manifests/", 418, body=b'{"errors":[{"code":"TEA","message":"\\u001b[31mred\\u0007\\n" }]}')
    registry.says("HEAD", "/manifests/", 200)
    with pytest.raises(RegistryRefused) as caught:
        pull(store, session, f"{registry.host}/app:1")
    assert str(caught.value).isprintable() and "TEA" in str(caught.value)


def test_spoilt_manifest_in_the_store_is_fetched_again(store: Store, session: Session, registry: FakeRegistry) -> None:
    digest = registry.image("app", "1", ONE)
    name = f"{registry.host}/app@{digest}"
    pull(store, session, name)
    path = store.blobs.path(Digest(digest))
    os.chmod(path, 0o600)
    Path(path).write_bytes(b"{}")
    pull(store, session, name)
    assert store.blobs.read(Digest(digest), 1 << 20) == registry.manifests["app"]["1"][1]


# ---------------------------------------------------------------- several at once
def test_two_processes_that_pull_the_same_fetch_once(store: Store, sessions: Sessions, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE, TWO)
    pids = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            try:
                with Store(open_root(store.root.path, store.root.run)) as mine:
                    pull(mine, sessions(), f"{registry.host}/app:1")
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0, 0]
    assert len(registry.asked("GET", digest_of(TWO))) == 1
