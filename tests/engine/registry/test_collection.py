"""Collection: what goes, what stays, and that neither pushes nor pulls mind it."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from engine.registry.collection import Collector, Keeping
from engine.registry.ledger import Ledger, Stored
from store.digest import Digest, digest_of
from store.errors import IndexDamaged
from store.gc import sweep
from tests.engine.registry.hub import Hub, index, referrer
from tests.engine.serving import request

NOW = Keeping(unused_s=-10.0)                          # whatever is not used, however young
UNTAGGED = Keeping(unused_s=-10.0, untagged_s=-10.0)


def files(hub: Hub) -> set[str]:
    return set(hub.store.blobs.all())


def test_what_repositories_hold_stays(hub: Hub) -> None:
    digest = hub.push_image()
    before = files(hub)
    assert len(before) == 3
    hub.registry.collect()
    sweep(hub.store)
    assert files(hub) == before and digest in before


def test_what_repositories_hold_stays_when_no_server_runs(tmp_path: Path) -> None:
    with Hub(tmp_path / "root") as hub:
        hub.push_image()
        before = files(hub)
    with Hub(tmp_path / "root") as hub:
        assert sweep(hub.store).blobs == ()
        assert files(hub) == before


def test_collection_refuses_to_guess_when_the_ledger_is_damaged(hub: Hub, tmp_path: Path) -> None:
    hub.push_image()
    before = files(hub)
    hub.registry.ledger.close()
    for name in ("registry.db", "registry.db-wal"):
        if (tmp_path / "root" / name).exists():
            (tmp_path / "root" / name).write_bytes(b"nonsense" * 1000)
    with pytest.raises(IndexDamaged, match=r"registry\.db"):
        sweep(hub.store)
    assert files(hub) == before
    (tmp_path / "root/registry.db").unlink()
    for name in ("registry.db-wal", "registry.db-shm"):
        (tmp_path / "root" / name).unlink(missing_ok=True)
    hub.registry.ledger = Ledger(str(tmp_path / "root/registry.db"))


def test_blob_of_a_push_that_was_never_finished_goes_after_its_time(tmp_path: Path) -> None:
    with Hub(tmp_path / "root") as hub:
        digest = hub.push_blob(b"x")
        assert hub.registry.collect().blobs == 0
        assert hub.get(f"/v2/a/b/blobs/{digest}").status == 200
    with Hub(tmp_path / "root", keeping=NOW) as hub:
        found = hub.registry.collect()
        assert (found.blobs, found.removed) == (1, (digest,)) and found.bytes > 0
        assert not files(hub)
        assert hub.get(f"/v2/a/b/blobs/{digest}").status == 404
        assert not hub.registry.ledger.has_repository("a/b")


def test_content_goes_with_its_manifest(tmp_path: Path) -> None:
    with Hub(tmp_path / "root", keeping=NOW) as hub:
        kept, gone = hub.push_image("kept", layer=b"kept"), hub.push_image("gone", layer=b"gone")
        hub.ask("DELETE", f"/v2/a/b/manifests/{gone}")
        found = hub.registry.collect()
        assert set(found.removed) == {gone, digest_of(b"gone")}
        assert hub.get(f"/v2/a/b/manifests/{kept}").status == 200
        assert hub.get(f"/v2/a/b/blobs/{digest_of(b'kept')}").body == b"kept"


def test_blob_that_another_repository_has_stays(tmp_path: Path) -> None:
    with Hub(tmp_path / "root", keeping=NOW) as hub:
        hub.push_image(name="one")
        digest = hub.push_image(name="two")
        hub.ask("DELETE", f"/v2/one/manifests/{digest}")
        hub.registry.collect()
        assert hub.get(f"/v2/one/blobs/{digest_of(b'layer')}").status == 404
        assert hub.get(f"/v2/two/blobs/{digest_of(b'layer')}").body == b"layer"


def test_untagged_manifests_stay_unless_asked(tmp_path: Path) -> None:
    with Hub(tmp_path / "root", keeping=NOW) as hub:
        old = hub.push_image("latest", layer=b"old")
        hub.push_image("latest", layer=b"new")
        assert hub.registry.collect().manifests == 0
        assert hub.get(f"/v2/a/b/manifests/{old}").status == 200


def test_untagged_manifests_go_where_nothing_leads_to_them(tmp_path: Path) -> None:
    with Hub(tmp_path / "root", keeping=UNTAGGED) as hub:
        hub.push_blob(b"{}")
        old = hub.push_image("latest", layer=b"old")
        signature = hub.push_manifest(referrer(old, "k"))
        child = hub.push_image("", layer=b"child")
        tagged = hub.push_image("latest", layer=b"new")
        about = hub.push_manifest(referrer(tagged, "k"))
        many = hub.push_manifest(index(child), "many")
        assert hub.registry.collect().manifests == 2
        status = {name: hub.get(f"/v2/a/b/manifests/{digest}").status for name, digest in (
            ("old", old), ("signature", signature), ("child", child), ("tagged", tagged), ("about", about), ("many", many))}
        assert status == {"old": 404, "signature": 404, "child": 200, "tagged": 200, "about": 200, "many": 200}


def test_time_without_a_tag_begins_when_the_tag_goes(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "registry.db"))
    for digest in ("sha256:" + "a" * 64, "sha256:" + "b" * 64):
        ledger.add_manifest("r", Stored(Digest(digest), "t", 1), (), "latest")
        ledger._run("UPDATE manifest SET used = 100 WHERE digest = ?", digest)
    ledger.add_manifest("r", Stored(Digest("sha256:" + "c" * 64), "t", 1), (), "latest")
    used = dict(ledger._query("SELECT substr(digest, 8, 1), used FROM manifest"))
    assert used["a"] > 100 and used["b"] > 100 and used["c"] > 100
    ledger._run("UPDATE manifest SET used = 100")
    assert ledger.delete_tag("r", "latest")
    used = dict(ledger._query("SELECT substr(digest, 8, 1), used FROM manifest"))
    assert (used["a"], used["b"]) == (100, 100) and used["c"] > 100
    ledger.close()


def test_push_that_is_going_on_is_not_minded(tmp_path: Path) -> None:
    """Between every two steps of a push everything that nobody uses is collected."""
    data = os.urandom(100_000)
    with Hub(tmp_path / "root") as hub:
        location = hub.begin()
        with hub.connect() as client:
            client.send(request(f"PATCH {location}\nContent-Length: {len(data)}") + data[:50_000])
            while hub.get(location).headers["range"] != "0-49999":
                pass
            hub.registry.collect()
            client.send(data[50_000:])
            assert client.answer().status == 202
        hub.registry.collect()
        assert hub.ask("PUT", f"{location}?digest={digest_of(data)}").status == 201
        hub.registry.collect()
        assert hub.get(f"/v2/a/b/blobs/{digest_of(data)}").body == data


def test_blob_that_somebody_asked_for_is_young_again(hub: Hub) -> None:
    digest = hub.push_blob(b"x")
    hub.registry.ledger._run("UPDATE blob SET used = 0")
    hub.ask("HEAD", f"/v2/a/b/blobs/{digest}")
    assert hub.registry.collect().blobs == 0


def test_pull_that_is_going_on_ends_well(tmp_path: Path) -> None:
    data = os.urandom(20_000_000)
    with Hub(tmp_path / "root", keeping=NOW) as hub:
        digest = hub.push_blob(data)
        with hub.connect() as client:
            client.send(request(f"GET /v2/a/b/blobs/{digest}"))
            client.head()
            assert hub.registry.collect().removed == (digest,)
            assert client.exactly(len(data)) == data


def test_collections_beside_pushes_and_pulls(hub: Hub) -> None:
    """Deletes, pushes of the same content and collections, all at once: an image that is acknowledged can be pulled."""
    errors: list[object] = []
    over = threading.Event()

    def collect() -> None:
        while not over.is_set():
            hub.registry.ledger.forget_unused(int(time.time()) - 3600)
            sweep(hub.store)

    def push(number: int) -> None:
        try:
            for turn in range(6):
                name = f"r{number}"
                digest = hub.push_image("latest", name, layer=b"shared" * 1000)
                document = json.loads(hub.get(f"/v2/{name}/manifests/{digest}").body)
                for part in (document["config"], *document["layers"]):
                    found = hub.get(f"/v2/{name}/blobs/{part['digest']}")
                    assert digest_of(found.body) == part["digest"], (name, turn, found)
                assert hub.ask("DELETE", f"/v2/{name}/manifests/{digest}").status == 202
                for part in (document["config"], *document["layers"]):
                    assert hub.ask("DELETE", f"/v2/{name}/blobs/{part['digest']}").status == 202
        except BaseException as error:
            errors.append(error)

    collector = threading.Thread(target=collect)
    collector.start()
    pushers = [threading.Thread(target=push, args=(number,)) for number in range(3)]
    for thread in pushers:
        thread.start()
    for thread in pushers:
        thread.join(60)
    over.set()
    collector.join(60)
    assert errors == []


def test_collector_goes_on_after_an_error() -> None:
    failed: list[Exception] = []
    enough = threading.Event()

    def once() -> None:
        if len(failed) == 2:
            enough.set()
        raise ValueError("no")

    collector = Collector(once, 0.001, failed.append)
    assert enough.wait(60)
    collector.close()
    assert all(str(error) == "no" for error in failed)
