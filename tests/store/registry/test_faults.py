"""A registry that fails at random: what can be tried again is, what was changed on the way is never taken."""

import os
import random
from pathlib import Path

import pytest

from store.digest import Digest
from store.errors import StoreError
from store.registry.pull import pull
from store.registry.push import push
from store.root import open_root
from store.store import Store
from tests.store.making import image_of, member, tar_of
from tests.store.registry.conftest import Sessions
from tests.store.registry.fake import FakeRegistry, Handler

ROUNDS = 300 if os.environ.get("PYBUILD_LONG") else 12


def bytes_of(rng: random.Random, size: int) -> bytes:
    return rng.randbytes(size)


def flaky(rng: random.Random, registry: FakeRegistry) -> "list[str]":
    """Have one request in three fail in one of the ways in which they do; the list tells how."""
    told: list[str] = []

    def act(handler: Handler) -> bool:
        if rng.random() > 0.33 or (handler.command == "PUT" and "/manifests/" in handler.path):
            return False
        how = rng.choice(["drop", "503", "429", "502", "break"])
        if how == "break" and handler.command != "GET":
            how = "drop"
        told.append(how)
        if how == "drop":
            handler.drop()
        elif how == "break":
            handler.answer(limit=rng.randrange(200))
        else:
            handler.body()
            handler.reply(int(how), b"", {"Retry-After": "1"} if how == "429" else {})
        return True

    for method in ("GET", "HEAD", "POST", "PATCH", "PUT"):
        registry.fault(method, "/", act, times=1 << 30)
    return told


@pytest.mark.slow
def test_registry_that_fails_at_random_gives_and_takes_everything_in_the_end(store: Store, other: Store, sessions: Sessions) -> None:
    rng, retried, moved = random.Random(7), 0, 0
    for number in range(ROUNDS):
        with FakeRegistry() as registry:
            name = f"{registry.host}/app:{number}"
            image = image_of(store, {"a": bytes_of(rng, 100_000)}, {"b": bytes_of(rng, 3000), "c": b"%d" % number}, names=(name,))
            told = flaky(rng, registry)
            push(store, sessions(attempts=30), name)
            assert pull(other, sessions(attempts=30), name).image == image
            with other.view(other.images.layers(image)) as view:
                assert view.read("c", 10) == b"%d" % number
            retried += len(told)
            moved += 2 * 103_000
    assert retried > ROUNDS
    print(f"rounds: {ROUNDS}, requests retried: {retried}, bytes moved: {moved}")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["manifest", "config", "layer"])
def test_every_changed_bit_on_the_way_is_noticed(tmp_path: Path, sessions: Sessions, what: str) -> None:
    rng, noticed = random.Random(what), 0
    tar = tar_of(member("etc/hostname", content=b"box"), member("data", content=bytes_of(rng, 20_000)))
    for number in range(ROUNDS):
        with FakeRegistry() as registry, Store(open_root(str(tmp_path / f"r{number}"), str(tmp_path / f"run{number}"))) as store:
            digest = registry.image("app", "1", tar)
            blobs = registry.blobs["app"]
            config, layer = sorted(blobs, key=lambda d: len(blobs[d]))
            if what == "manifest":
                kind, data = registry.manifests["app"][digest]
                registry.manifests["app"][digest] = kind, _flip(rng, data)
                registry.fault("GET", digest, _claims, times=1 << 30)
            else:
                key = config if what == "config" else layer
                blobs[key] = _flip(rng, blobs[key])
            with pytest.raises(StoreError):
                pull(store, sessions(), f"{registry.host}/app@{digest}")
            assert store.images.list() == () and not store.blobs.has(Digest(layer if what == "layer" else config if what == "config" else digest))
            assert os.listdir(store.temporary.directory) == []
            noticed += 1
    print(f"corrupt {what}s: {ROUNDS}, detected: {noticed}")


def _flip(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]


def _claims(handler: Handler) -> None:
    """The changed manifest, under the digest that it had."""
    digest = handler.path.rpartition("/")[2]
    kind, data = handler.registry.manifests["app"][digest]
    handler.reply(200, data, {"Content-Type": kind, "Docker-Content-Digest": digest})


@pytest.mark.slow
def test_every_changed_bit_on_the_disk_is_noticed(store: Store) -> None:
    rng, noticed = random.Random(11), 0
    for _ in range(ROUNDS):
        digest = store.blobs.put(bytes_of(rng, rng.randrange(1, 50_000)))
        path = store.blobs.path(digest)
        data = Path(path).read_bytes()
        os.chmod(path, 0o600)
        Path(path).write_bytes(_flip(rng, data))
        with pytest.raises(StoreError):
            store.blobs.copy(digest, lambda piece: None)
        with pytest.raises(StoreError):
            store.blobs.read(digest, 1 << 20)
        noticed += 1
    print(f"corrupt blobs on the disk: {ROUNDS}, detected: {noticed}")
