"""Pulls that are broken off: what they had is gone on from, whatever ended them, and counts only with the right digest."""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from store.errors import StoreError
from store.fsck import check
from store.gc import sweep
from store.partial import KEEP_S
from store.registry.pull import Options, pull
from store.registry.session import Session
from store.root import open_root
from store.store import Store
from tests.store.making import member, tar_of
from tests.store.registry.fake import FakeRegistry, Handler, digest_of

BIG = tar_of(member("big", content=random.Random(7).randbytes(6_000_000)))
HAD = 4_000_000


def stops(at: int) -> Callable[[Handler], bool]:
    """A fault: the blob's first `at` bytes come, then the connection goes, and so does every one after that."""
    def fault(handler: Handler) -> bool:
        if handler.command != "GET" or "/blobs/" not in handler.path or digest_of(BIG) not in handler.path:
            return False
        if "Range" not in handler.headers:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(BIG)))
            handler.end_headers()
            handler.wfile.write(BIG[:at])
            handler.wfile.flush()
        handler.close_connection = True
        return True

    return fault


def partials(store: Store) -> list[str]:
    return [name for name in os.listdir(store.temporary.directory) if "." in name]


def had(store: Store) -> int:
    """Bytes of the beginning that is there; its name changes when its maker gives up."""
    try:
        return max((os.stat(store.temporary.path(name)).st_size for name in partials(store)), default=0)
    except FileNotFoundError:
        return 0


@pytest.fixture
def broken(store: Store, session: Session, registry: FakeRegistry) -> str:
    """A name whose pull was broken off in the middle of its layer."""
    registry.image("app", "1", BIG)
    fault = stops(HAD)
    registry.faults.append(fault)
    with pytest.raises(StoreError):
        pull(store, session, f"{registry.host}/app:1")
    registry.faults.remove(fault)
    registry.log.clear()
    assert len(partials(store)) == 1
    return f"{registry.host}/app:1"


def asked_from(registry: FakeRegistry) -> list[str]:
    return [asked.headers.get("Range", "bytes=0-") for asked in registry.asked("GET", digest_of(BIG))]


def is_right(store: Store, name: str) -> bool:
    with store.view(store.images.layers(store.images.require(name).id)) as view:
        return len(view.read("big", 1 << 24)) == 6_000_000 and store.blobs.read(digest_of(BIG), 1 << 24) == BIG   # type: ignore[arg-type]


def test_next_pull_goes_on_where_the_last_one_ended(store: Store, session: Session, registry: FakeRegistry, broken: str) -> None:
    pull(store, session, broken)
    assert asked_from(registry) == [f"bytes={HAD}-"]
    assert is_right(store, broken)
    assert os.listdir(store.temporary.directory) == []


def test_damaged_beginning_is_thrown_away_and_fetched_again(store: Store, session: Session, registry: FakeRegistry, broken: str) -> None:
    with open(store.temporary.path(partials(store)[0]), "r+b") as file:
        file.seek(3_000_000)
        file.write(b"damage")
    pull(store, session, broken)
    assert asked_from(registry) == [f"bytes={HAD}-", "bytes=0-"]
    assert is_right(store, broken)
    assert os.listdir(store.temporary.directory) == []


def test_beginning_whose_damage_cannot_be_unpacked_is_fetched_again(store: Store, session: Session, registry: FakeRegistry, broken: str) -> None:
    with open(store.temporary.path(partials(store)[0]), "r+b") as file:
        file.write(b"\0" * 100 + b"x" * 10_000)
    pull(store, session, broken)
    assert is_right(store, broken)


def test_damaged_beginning_of_a_whole_index_is_fetched_again(store: Store, session: Session, registry: FakeRegistry, broken: str) -> None:
    registry.index("app", "all", {"linux/amd64": registry.image("app", "x", tar_of(member("a"))), "linux/arm64": registry.image("app", "1", BIG)})
    with open(store.temporary.path(partials(store)[0]), "r+b") as file:
        file.write(b"damage")
    pull(store, session, f"{registry.host}/app:all", Options(whole=True))
    assert store.blobs.read(digest_of(BIG), 1 << 24) == BIG                  # type: ignore[arg-type]
    assert asked_from(registry) == [f"bytes={HAD}-", "bytes=0-"]


def test_whole_beginning_needs_no_registry(store: Store, session: Session, registry: FakeRegistry, broken: str) -> None:
    with open(store.temporary.path(partials(store)[0]), "wb") as file:
        file.write(BIG)
    pull(store, session, broken)
    assert asked_from(registry) == []
    assert is_right(store, broken)


def test_beginning_that_is_longer_than_the_blob_is_not_used(store: Store, session: Session, registry: FakeRegistry, broken: str) -> None:
    with open(store.temporary.path(partials(store)[0]), "wb") as file:
        file.write(BIG + b"more")
    pull(store, session, broken)
    assert asked_from(registry) == ["bytes=0-"]
    assert is_right(store, broken)


def test_registry_without_ranges_sends_the_rest_too(store: Store, session: Session, registry: FakeRegistry, broken: str) -> None:
    def whole(handler: Handler) -> bool:
        if handler.command != "GET" or digest_of(BIG) not in handler.path:
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BIG)))
        handler.end_headers()
        handler.wfile.write(BIG)
        return True

    registry.faults.append(whole)
    pull(store, session, broken)
    assert is_right(store, broken)


def test_pull_that_is_killed_is_gone_on_from(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", BIG)
    registry.faults.append(stops(HAD))
    pid = os.fork()
    if not pid:
        try:
            other = Store(open_root(store.root.path, store.root.run))
            registry_waits(other, session, f"{registry.host}/app:1")
        finally:
            os._exit(1)
    limit = time.monotonic() + 60
    while had(store) < HAD:
        assert time.monotonic() < limit
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    registry.faults.clear()
    registry.log.clear()
    pull(store, session, f"{registry.host}/app:1")
    assert asked_from(registry) == [f"bytes={HAD}-"]
    assert is_right(store, f"{registry.host}/app:1")


def test_blob_of_a_pull_that_was_killed_while_unpacking_is_not_fetched_again(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", BIG)
    store.blobs.put(BIG)
    for draft in (f"{'0' * 12}-1", f"{'0' * 12}-1.work"):                    # of a process that is dead
        os.mkdir(store.temporary.path(draft))
    pull(store, session, f"{registry.host}/app:1")
    assert asked_from(registry) == []
    assert is_right(store, f"{registry.host}/app:1")
    assert os.listdir(store.temporary.directory) == []


def test_blob_that_the_disk_has_changed_is_fetched_again(store: Store, session: Session, registry: FakeRegistry) -> None:
    registry.image("app", "1", BIG)
    path = store.blobs.path(store.blobs.put(BIG))
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(3_000_000)
        file.write(b"damage")
    pull(store, session, f"{registry.host}/app:1")
    assert asked_from(registry) == ["bytes=0-"]
    assert is_right(store, f"{registry.host}/app:1")


def registry_waits(store: Store, session: Session, name: str) -> None:
    """Pull, and stay where the connection goes."""
    try:
        pull(store, session, name)
    finally:
        signal.pause()


def test_build_leaves_beginnings_for_a_day_and_a_collection_does_not(store: Store, broken: str) -> None:
    assert (store.temporary.sweep(partials=False), len(partials(store))) == (0, 1)
    path = store.temporary.path(partials(store)[0])
    os.utime(path, (time.time() - KEEP_S - 1,) * 2)
    assert (store.temporary.sweep(partials=False), partials(store)) == (1, [])


def test_collection_removes_beginnings(store: Store, broken: str) -> None:
    sweep(store)
    assert os.listdir(store.temporary.directory) == []


def test_check_finds_nothing_wrong_with_beginnings(store: Store, broken: str) -> None:
    assert check(store).is_whole
    assert len(partials(store)) == 1
