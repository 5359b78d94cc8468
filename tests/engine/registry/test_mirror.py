"""The pull-through mirror: fetched once, kept, given on while it comes; upstream gone, wrong, or broken off."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.registry.collection import Keeping
from engine.registry.upstream import Client, Document, NotUpstream, Unreachable
from store.config import Config
from store.digest import Digest, digest_of
from store.oci import OCI_MANIFEST, Descriptor
from store.registry.patience import Patience
from store.registry.session import Session
from tests.engine.registry.hub import Hub, codes, manifest, referrer
from tests.engine.serving import Answer, request

DATA = os.urandom(3_000_000)
DIGEST = digest_of(DATA)
CONFIG = b'{"architecture": "amd64", "os": "linux"}'


class Shelf:
    """An upstream in memory. `asked` is what it was asked for; `down` makes it unreachable; `gate` holds the bytes of blobs back."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {DIGEST: DATA, digest_of(CONFIG): CONFIG}
        self.manifests: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.down = False
        self.breaks: list[int] = []                    # after so many bytes each, the next blobs break off
        self.corrupt = False
        self.gate = threading.Event()
        self.gate.set()

    def tag(self, tag: str, *layers: bytes) -> str:
        data = json.dumps(manifest(CONFIG, *layers)).encode()
        self.manifests[tag] = self.manifests[digest_of(data)] = data
        return digest_of(data)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise Unreachable("down")

    def head(self, name: str, reference: str) -> Digest | None:
        self._ask(f"head {reference}")
        if reference not in self.manifests:
            raise NotUpstream(reference)
        return digest_of(self.manifests[reference])

    def manifest(self, name: str, reference: str) -> Document:
        self._ask(f"manifest {reference}")
        if reference not in self.manifests:
            raise NotUpstream(reference)
        return Document(self.manifests[reference], OCI_MANIFEST)

    def size(self, name: str, digest: Digest) -> int:
        self._ask("size")
        if digest not in self.blobs:
            raise NotUpstream(digest)
        return len(self.blobs[digest])

    def blob(self, name: str, digest: Digest, offset: int) -> tuple[int, Iterator[bytes]]:
        self._ask(f"blob {offset}")
        if digest not in self.blobs:
            raise NotUpstream(digest)
        data = self.blobs[digest]
        return len(data), self._bytes(b"x" * len(data) if self.corrupt else data, offset)

    def _bytes(self, data: bytes, offset: int) -> Iterator[bytes]:
        end = offset + self.breaks.pop(0) if self.breaks else len(data)
        for start in range(offset, min(end, len(data)), 100_000):
            yield data[start:min(start + 100_000, end)]
            assert self.gate.wait(60)
        if end < len(data):
            raise Unreachable("broke off")

    def tags(self, name: str) -> list[str]:
        self._ask("tags")
        return [tag for tag in self.manifests if ":" not in tag]

    def referrers(self, name: str, digest: Digest, artifact_type: str) -> tuple[Descriptor, ...]:
        self._ask("referrers")
        return (Descriptor("t", digest, 1, artifact_type="k"),)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def mirror(tmp_path: Path, shelf: Shelf) -> Iterator[Hub]:
    with Hub(tmp_path / "root", upstream=shelf) as made:
        yield made


def metric(hub: Hub, name: str) -> int:
    lines = dict(line.split() for line in hub.get("/metrics").body.decode().splitlines() if line.startswith("registry_mirror"))
    return int(lines.get(f"registry_mirror_{name}_total", "0"))


# ---------------------------------------------------------------- manifests
def test_tag_is_fetched_and_looked_up_again(mirror: Hub, shelf: Shelf) -> None:
    digest = shelf.tag("1", DATA)
    for _ in range(2):
        found = mirror.get("/v2/a/manifests/1")
        assert (found.status, found.headers["docker-content-digest"], found.headers["content-type"]) == (200, digest, OCI_MANIFEST)
    assert shelf.asked == ["manifest 1", "head 1"]
    assert (metric(mirror, "hits"), metric(mirror, "misses")) == (1, 1)


def test_tag_that_moves_upstream_moves_here(mirror: Hub, shelf: Shelf) -> None:
    shelf.tag("1", DATA)
    mirror.get("/v2/a/manifests/1")
    digest = shelf.tag("1", DATA, b"more")
    assert mirror.get("/v2/a/manifests/1").headers["docker-content-digest"] == digest


def test_digest_is_asked_for_once(mirror: Hub, shelf: Shelf) -> None:
    digest = shelf.tag("1", DATA)
    for _ in range(2):
        assert mirror.get(f"/v2/a/manifests/{digest}").status == 200
    assert shelf.asked == [f"manifest {digest}"]
    assert mirror.registry.ledger.tags("a", "", 10) == []


def test_tag_is_served_while_upstream_is_down(mirror: Hub, shelf: Shelf) -> None:
    digest = shelf.tag("1", DATA)
    mirror.get("/v2/a/manifests/1")
    shelf.down = True
    assert mirror.get("/v2/a/manifests/1").headers["docker-content-digest"] == digest
    found = mirror.get("/v2/a/manifests/2")
    assert (found.status, codes(found)) == (502, ["UNAVAILABLE"])
    assert metric(mirror, "stale") == 1


def test_tag_that_is_gone_upstream_is_gone_here(mirror: Hub, shelf: Shelf) -> None:
    digest = shelf.tag("1", DATA)
    mirror.get("/v2/a/manifests/1")
    del shelf.manifests["1"]
    found = mirror.get("/v2/a/manifests/1")
    assert (found.status, codes(found)) == (404, ["MANIFEST_UNKNOWN"])
    assert mirror.get(f"/v2/a/manifests/{digest}").status == 200


def test_hostile_manifest_is_not_kept(mirror: Hub, shelf: Shelf) -> None:
    shelf.manifests["1"] = b'{"schemaVersion": 2, "layers": [], "manifests": []}'
    assert mirror.get("/v2/a/manifests/1").status == 400
    assert not mirror.registry.ledger.has_repository("a")


# ---------------------------------------------------------------- blobs
def test_blob_is_fetched_once(mirror: Hub, shelf: Shelf) -> None:
    for _ in range(2):
        found = mirror.get(f"/v2/a/blobs/{DIGEST}")
        assert found.status == 200 and found.body == DATA and found.headers["content-length"] == str(len(DATA))
    assert shelf.asked == ["blob 0"]
    assert mirror.store.blobs.all() == [DIGEST]


def test_blob_comes_while_it_is_fetched_to_all_who_ask(mirror: Hub, shelf: Shelf) -> None:
    shelf.gate.clear()
    clients = [mirror.connect() for _ in range(3)]
    for client in clients:
        client.send(request(f"GET /v2/a/blobs/{DIGEST}"))
        client.head()
        assert client.exactly(100_000) == DATA[:100_000]
    shelf.gate.set()
    for client in clients:
        assert client.exactly(len(DATA) - 100_000) == DATA[100_000:]
        client.close()
    assert shelf.asked == ["blob 0"]


def test_client_that_leaves_does_not_stop_the_fetch(mirror: Hub, shelf: Shelf) -> None:
    shelf.gate.clear()
    with mirror.connect() as client:
        client.send(request(f"GET /v2/a/blobs/{DIGEST}"))
        client.head()
    shelf.gate.set()
    assert mirror.get(f"/v2/a/blobs/{DIGEST}").body == DATA
    assert shelf.asked == ["blob 0"]


def test_head_and_range_of_a_blob_that_is_not_here(mirror: Hub, shelf: Shelf) -> None:
    found = mirror.ask("HEAD", f"/v2/a/blobs/{DIGEST}")
    assert (found.status, found.headers["content-length"]) == (200, str(len(DATA)))
    assert not mirror.store.blobs.all()
    found = mirror.get(f"/v2/a/blobs/{DIGEST}", range="bytes=1000000-1000009")
    assert (found.status, found.body) == (206, DATA[1_000_000:1_000_010])
    assert mirror.get(f"/v2/a/blobs/{DIGEST}", if_none_match=f'"{DIGEST}"').status == 304


def test_fetch_that_breaks_off_goes_on_where_it_was(mirror: Hub, shelf: Shelf) -> None:
    shelf.breaks = [1_000_000, 500_000]
    assert mirror.get(f"/v2/a/blobs/{DIGEST}").body == DATA
    assert shelf.asked == ["blob 0", "blob 1000000", "blob 1500000"]


def test_fetch_that_keeps_breaking_off_breaks_off_here(mirror: Hub, shelf: Shelf) -> None:
    shelf.breaks = [1_000_000, 0, 0, 0, 0, 0]
    shelf.gate.clear()                                 # what fails before the head is sent is answered with a 502 instead
    with mirror.connect() as client:
        client.send(request(f"GET /v2/a/blobs/{DIGEST}"))
        client.head()
        shelf.gate.set()
        assert len(client.all()) <= 1_000_000
    shelf.breaks = []
    assert mirror.get(f"/v2/a/blobs/{DIGEST}").body == DATA


def test_corrupt_blob_is_never_given_whole_nor_kept(mirror: Hub, shelf: Shelf) -> None:
    shelf.corrupt = True
    shelf.gate.clear()                                 # what fails before the head is sent is answered with a 502 instead
    with mirror.connect() as client:
        client.send(request(f"GET /v2/a/blobs/{DIGEST}"))
        client.head()
        shelf.gate.set()
        assert len(client.all()) < len(DATA)
    assert not mirror.store.blobs.all() and not os.listdir(f"{mirror.store.root.path}/tmp")
    shelf.corrupt = False
    assert mirror.get(f"/v2/a/blobs/{DIGEST}").body == DATA


def test_blob_that_upstream_does_not_have(mirror: Hub, shelf: Shelf) -> None:
    for method in ("GET", "HEAD"):
        assert mirror.ask(method, f"/v2/a/blobs/{digest_of(b'x')}").status == 404
    shelf.down = True
    found = mirror.get(f"/v2/a/blobs/{digest_of(b'x')}")
    assert (found.status, codes(found)) == (502, ["UNAVAILABLE"])


def test_empty_blob(mirror: Hub, shelf: Shelf) -> None:
    shelf.blobs[digest_of(b"")] = b""
    assert mirror.get(f"/v2/a/blobs/{digest_of(b'')}").body == b""


# ---------------------------------------------------------------- the rest
def test_tags_are_upstreams_in_pages(mirror: Hub, shelf: Shelf) -> None:
    for tag in ("b", "A", "c"):
        shelf.tag(tag, DATA)
    found = mirror.get("/v2/a/tags/list?n=2")
    assert json.loads(found.body)["tags"] == ["A", "b"] and 'rel="next"' in found.headers["link"]
    assert json.loads(mirror.get("/v2/a/tags/list?n=2&last=b").body)["tags"] == ["c"]
    mirror.get("/v2/a/manifests/c")
    shelf.down = True
    assert json.loads(mirror.get("/v2/a/tags/list").body)["tags"] == ["c"]


def test_referrers_are_upstreams(mirror: Hub) -> None:
    found = mirror.get(f"/v2/a/referrers/{DIGEST}?artifactType=k")
    assert json.loads(found.body)["manifests"] == [{"mediaType": "t", "digest": DIGEST, "size": 1, "artifactType": "k"}]
    assert found.headers["oci-filters-applied"] == "artifactType"


def test_nobody_pushes_to_a_mirror(mirror: Hub) -> None:
    found = mirror.ask("POST", "/v2/a/blobs/uploads/")
    assert (found.status, codes(found)) == (405, ["UNSUPPORTED"])


def test_what_nobody_asks_for_is_forgotten(tmp_path: Path, shelf: Shelf) -> None:
    with Hub(tmp_path / "root", None, Keeping(idle_s=3600.0), shelf) as mirror:
        shelf.tag("1", DATA)
        mirror.get("/v2/a/manifests/1")
        mirror.get(f"/v2/a/blobs/{DIGEST}")
        assert mirror.registry.collect().manifests == 0
        for table in ("manifest", "blob"):
            mirror.registry.ledger._run(f"UPDATE {table} SET used = 100")
        found = mirror.registry.collect()
        assert (found.manifests, found.blobs, mirror.store.blobs.all()) == (1, 1, [])
        shelf.asked.clear()
        assert mirror.get("/v2/a/manifests/1").status == 200
        assert shelf.asked == ["manifest 1"]


# ---------------------------------------------------------------- the real client
def test_mirror_of_a_real_registry(tmp_path: Path) -> None:
    def whole(mirror: Hub) -> list[Answer]:
        found = [mirror.get("/v2/a/b/manifests/latest")]
        for part in (json.loads(found[0].body)["config"], *json.loads(found[0].body)["layers"]):
            found += [mirror.ask("HEAD", f"/v2/a/b/blobs/{part['digest']}"), mirror.get(f"/v2/a/b/blobs/{part['digest']}")]
        return found

    hub = Hub(tmp_path / "upstream")
    patience = Patience(attempts=2, pause=0.01, connect=2.0)
    with Session(Config(), {"HOME": str(tmp_path)}, patience=patience, directories=()) as session:
        with Hub(tmp_path / "mirror", upstream=Client(session, str(hub.serving.address))) as mirror:
            with hub:
                subject = hub.push_image("latest", layer=DATA)
                hub.push_blob(b"{}")
                hub.push_manifest(referrer(subject, "k"))
                first = whole(mirror)
                assert [answer.status for answer in first] == [200] * 5 and first[4].body == DATA
                assert json.loads(mirror.get("/v2/a/b/tags/list").body)["tags"] == ["latest"]
                assert len(json.loads(mirror.get(f"/v2/a/b/referrers/{subject}").body)["manifests"]) == 1
                assert mirror.get("/v2/a/b/manifests/other").status == 404
                assert mirror.get(f"/v2/a/b/blobs/{digest_of(b'x')}").status == 404
            assert [answer.body for answer in whole(mirror)] == [answer.body for answer in first]
            assert mirror.get("/v2/a/b/manifests/other").status == 502
