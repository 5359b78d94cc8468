"""What builds leave behind stays within its budget, and what is in use stays whatever the budget."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cleaning import after_build, choose, clean
from kernel.locks import Lock
from store.cache import CacheRecord
from store.config import Config
from store.digest import digest_of
from store.gc import Budget, cached_bytes
from store.root import open_root
from store.store import Store
from tests.store.making import config_of, image_of, layer_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(open_root(str(tmp_path / "store"), str(tmp_path / "run"))) as opened:
        yield opened


def later(store: Store) -> Store:
    store.close()
    return Store(open_root(store.root.path, store.root.run))


def record(store: Store, name: str, size: int, age: int = 0) -> None:
    layer = layer_of(store, {name: b"x" * size})
    store.cache.put(CacheRecord(digest_of(name.encode()), digest_of(b"op"), digest_of(b"r"), layer.tree, layer.snapshot, "", layer.size))
    store.index.run("UPDATE record SET used = used - ? WHERE key = ?", age, digest_of(name.encode()))


def mount(store: Store, name: str, size: int, age: int = 0) -> Path:
    path = Path(store.root.path) / "cachemounts" / name
    (path / "data").mkdir(parents=True)
    (path / "data/file").write_bytes(b"x" * size)
    (path / "id").write_text(f"id of {name}")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_oldest_of_layers_and_mounts_goes_first(store: Store) -> None:
    record(store, "old", 50_000, 300)
    mount(store, "middle", 50_000, 200)
    record(store, "new", 50_000, 100)
    store = later(store)
    done = clean(store, Budget(max_bytes=130_000))
    assert (len(done.collected.snapshots), done.mounts) == (1, ())
    done = clean(store, Budget(max_bytes=60_000))
    assert (len(done.collected.snapshots), done.mounts) == (0, ("id of middle",))
    assert cached_bytes(store) == 50_000 and done.bytes >= 50_000


def test_mount_that_a_build_uses_stays(store: Store) -> None:
    path = mount(store, "a", 50_000)
    with Lock(f"{path}/lock", shared=True):
        assert clean(store, Budget(max_bytes=0), 0).mounts == ()
    assert clean(store, Budget(max_bytes=0), 0).mounts == ("id of a",) and not path.exists()


def test_mounts_indexes_and_logs_that_nobody_used_for_long_go(store: Store) -> None:
    mount(store, "old", 10, 1000)
    mount(store, "new", 10)
    for name in ("contexts/old", "contexts/new", "logs/step-old.log", "logs/step-new.log", "logs/events"):
        path = Path(store.root.path) / name
        path.write_bytes(b"x")
        if "new" not in name:
            os.utime(path, (time.time() - 1000,) * 2)
    done = clean(store, Budget(), 500)
    assert (done.mounts, done.indexes, done.logs) == (("id of old",), 1, 1)
    assert sorted(os.listdir(f"{store.root.path}/logs")) == ["events", "step-new.log"]


def test_after_a_build_the_budget_holds(store: Store) -> None:
    config = Config(budget_bytes=100_000, budget_percent=None)
    for number in range(6):
        record(store, f"r{number}", 40_000)
        store = later(store)
        after_build(store, config)
        assert cached_bytes(store) <= 100_000
    assert after_build(store, config) is None


def test_images_of_the_build_are_not_counted_and_stay(store: Store) -> None:
    layer = layer_of(store, {"a": b"x" * 50_000})
    image = store.images.add(config_of((layer,)), (layer,), ("x",))
    store.cache.put(CacheRecord(digest_of(b"k"), digest_of(b"op"), digest_of(b"r"), layer.tree, layer.snapshot, layer.diff_id, layer.size))
    store = later(store)
    assert clean(store, Budget(max_bytes=0)).collected.snapshots == ()
    assert store.images.record(image) is not None


def test_pruning_images_leaves_the_cache_alone(store: Store) -> None:
    record(store, "a", 100)
    image = image_of(store, {"b": b"1"})
    store = later(store)
    done = clean(store, Budget(older_than=0, untagged=True, records=False))
    assert done.collected.images == (image,) and cached_bytes(store) == 100


def test_dangling_cache_is_what_no_image_has(store: Store) -> None:
    record(store, "loose", 100)
    layer = layer_of(store, {"a": b"x"})
    store.images.add(config_of((layer,)), (layer,), ("x",))
    store.cache.put(CacheRecord(digest_of(b"k"), digest_of(b"op"), digest_of(b"r"), layer.tree, layer.snapshot, layer.diff_id, layer.size))
    store = later(store)
    done = clean(store, Budget(dangling=True))
    assert done.collected.records == 1 and store.cache.get(digest_of(b"k")) is not None


@pytest.mark.parametrize(("mounts", "layers", "limit", "before", "going", "kept"), [
    ([(3, 10, "a"), (1, 10, "b")], [(2, 10)], 20, None, ["b"], 10), ([(3, 10, "a")], [], 5, None, ["a"], 0), ([(3, 10, "a")], [], None, 3, ["a"], 0),
    ([(3, 10, "a")], [], None, 2, [], 10), ([], [(1, 5)], 0, None, [], 0), ([(1, 10, "a"), (2, 30, "b")], [], 20, None, ["b"], 10)])
def test_choice(mounts: list[tuple[float, int, str]], layers: list[tuple[int, int]], limit: "int | None", before: "float | None", going: list[str],
                kept: int) -> None:
    assert choose(mounts, layers, limit, before) == (going, kept)
