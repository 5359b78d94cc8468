"""Cache records: what is put is got, the earliest of equal trees is kept, one process at a time does a step."""

import os
import signal

from store.cache import CacheRecord
from store.digest import Digest, digest_of
from store.store import Store

KEY, OP, TREE = digest_of(b"key"), digest_of(b"op"), digest_of(b"tree")


def record(key: Digest = KEY, **fields: object) -> CacheRecord:
    return CacheRecord(key, OP, digest_of(b"result"), TREE, "snap", "", 7, "2026-01-01T00:00:00Z", **fields)  # type: ignore[arg-type]


def test_cache_get_what_was_put(store: Store) -> None:
    store.cache.put(record(slot="Dockerfile:3", parts=b"\x01parts"))
    found = store.cache.get(KEY)
    assert found is not None
    assert found == record(slot="Dockerfile:3", boot=store.index.boot)
    assert store.cache.parts(KEY) == b"\x01parts"


def test_cache_get_of_an_unknown_key(store: Store) -> None:
    assert store.cache.get(KEY) is None
    assert store.cache.parts(KEY) == b""


def test_cache_diff_id_comes_later(store: Store) -> None:
    store.cache.put(record())
    store.cache.set_diff_id(KEY, digest_of(b"tar"))
    found = store.cache.get(KEY)
    assert found is not None and found.diff_id == digest_of(b"tar")


def test_cache_find_gives_the_earliest_of_the_same_tree(store: Store) -> None:
    store.cache.put(record())
    store.cache.put(record(digest_of(b"other key"))._replace(snapshot="later"))
    found = store.cache.find(OP, TREE)
    assert found is not None and found.snapshot == "snap"
    assert store.cache.find(OP, digest_of(b"another tree")) is None


def test_cache_latest_of_a_slot_has_its_parts(store: Store) -> None:
    store.cache.put(record(slot="s", parts=b"old"))
    store.cache.put(record(digest_of(b"2"), slot="s", parts=b"new"))
    latest = store.cache.latest("s")
    assert latest is not None and (latest.key, latest.parts) == (digest_of(b"2"), b"new")
    assert store.cache.latest("t") is None


def test_cache_record_put_again_replaces(store: Store) -> None:
    store.cache.put(record())
    store.cache.put(record()._replace(snapshot="new"))
    found = store.cache.get(KEY)
    assert found is not None and found.snapshot == "new"


def test_cache_sync_marks_what_was_there(store: Store) -> None:
    store.cache.put(record())
    assert store.cache.get(KEY).synced == 0  # type: ignore[union-attr]
    store.cache.sync()
    assert store.cache.get(KEY).synced == 1  # type: ignore[union-attr]


def test_build_record_is_bytes_under_a_key(store: Store) -> None:
    assert store.cache.get_build(KEY) is None
    store.cache.put_build(KEY, b"image and lines")
    assert store.cache.get_build(KEY) == b"image and lines"
    store.cache.delete_build(KEY)
    assert store.cache.get_build(KEY) is None


def test_lock_on_a_key_keeps_the_second_process_out(store: Store) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        lock = store.cache.lock(KEY)
        lock.take()
        os.write(write, b"x")
        signal.pause()
        os._exit(0)
    os.close(write)
    assert os.read(read, 1) == b"x"
    os.close(read)
    assert not store.cache.lock(KEY).take(wait=False)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    lock = store.cache.lock(KEY)
    assert lock.take(wait=False)
    lock.release(remove=True)
