"""Leases: held while their process lives, gone with it however it ends."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from store.root import open_root
from store.store import Store


@contextmanager
def process(store: Store, kind: str, *names: str) -> Iterator[int]:
    """Another process that holds these; it lives until the end, or until it is killed."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        store.leases.current().hold(kind, *names)
        os.write(write, b"x")
        signal.pause()
        os._exit(0)
    os.close(write)
    assert os.read(read, 1) == b"x"
    os.close(read)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_lease_is_seen_by_others_while_its_process_lives(store: Store) -> None:
    with process(store, "snapshot", "a", "b"):
        assert store.leases.held() == {("snapshot", "a"), ("snapshot", "b")}
    assert store.leases.held() == set()


def test_lease_of_the_dead_is_removed(store: Store) -> None:
    with process(store, "blob", "x"):
        assert len(os.listdir(store.leases.directory)) == 2
    store.leases.held()
    assert os.listdir(store.leases.directory) == ["gate"]


def test_lease_of_a_parent_lives_on_in_its_fork(store: Store) -> None:
    store.leases.current().hold("snapshot", "parents")
    name = store.leases.current().name
    with process(store, "snapshot", "childs"):
        os.close(store.leases.current().fileno())
        store.leases._current = None
        assert store.leases.held() == {("snapshot", "parents"), ("snapshot", "childs")}
        assert store.leases.is_alive(name)
    assert not store.leases.is_alive(name)


def test_fork_has_a_lease_of_its_own(store: Store) -> None:
    mine = store.leases.current().name
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, store.leases.current().name.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100).decode() not in ("", mine)


def test_released_lease_holds_nothing(store: Store) -> None:
    store.leases.current().hold("snapshot", "a")
    store.close()
    assert store.leases.held() == set()


def test_lease_writes_a_name_once(store: Store) -> None:
    lease = store.leases.current()
    lease.hold("snapshot", "a")
    lease.hold("snapshot", "a", "b")
    with open(f"{store.leases.directory}/{lease.name}") as file:
        assert file.read() == "snapshot a\nsnapshot b\n"


def test_debris_of_a_killed_process_is_swept_and_that_of_the_living_is_not(store: Store) -> None:
    with process(store, "snapshot", "x") as pid:
        child = os.fork()
        if not child:
            other = Store(open_root(store.root.path, store.root.run))
            draft = other.snapshots.begin()
            open(f"{draft.directory}/half", "w").close()
            other.blobs.writer().write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        mine = store.snapshots.begin()
        assert len(os.listdir(f"{store.root.path}/tmp")) == 5       # two drafts with their work directories, a blob
        assert store.temporary.sweep() == 3
        assert sorted(os.listdir(f"{store.root.path}/tmp")) == [mine.id, f"{mine.id}.work"]
        assert pid
