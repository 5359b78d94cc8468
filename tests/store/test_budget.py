"""When it is time to collect: found out cheaply, and not again and again."""

import pytest

from store.budget import budget_bytes, is_due, note_collected
from store.cache import CacheRecord
from store.config import Config
from store.digest import digest_of
from store.gc import Budget, collect
from store.store import Store
from tests.store.making import image_of, layer_of

SMALL = Config(budget_bytes=10_000, budget_percent=None)


def record(store: Store, name: str, size: int) -> None:
    layer = layer_of(store, {name: b"x" * size})
    store.cache.put(CacheRecord(digest_of(name.encode()), digest_of(b"op"), digest_of(b"r"), layer.tree, layer.snapshot, "", layer.size))


def test_share_of_the_disk_is_the_default(store: Store) -> None:
    found = budget_bytes(store, Config())
    assert found is not None and found >= 2 << 30
    assert budget_bytes(store, SMALL) == 10_000
    assert budget_bytes(store, Config(budget_percent=None)) is None


def test_first_time_is_due_then_only_growth(store: Store) -> None:
    assert is_due(store, SMALL)
    note_collected(store)
    assert not is_due(store, SMALL)
    record(store, "a", 9_000)
    assert not is_due(store, SMALL)
    record(store, "b", 9_000)
    assert is_due(store, SMALL)


def test_what_images_keep_does_not_make_every_build_collect(store: Store) -> None:
    layer = layer_of(store, {"a": b"x" * 50_000})
    from tests.store.making import config_of

    store.images.add(config_of((layer,)), (layer,), ("x",))
    store.cache.put(CacheRecord(digest_of(b"k"), digest_of(b"op"), digest_of(b"r"), layer.tree, layer.snapshot, layer.diff_id, layer.size))
    assert is_due(store, SMALL)
    collect(store, Budget(max_bytes=10_000))
    note_collected(store)
    assert not is_due(store, SMALL)
    record(store, "tiny", 100)
    assert not is_due(store, SMALL)
    record(store, "more", 900)
    assert is_due(store, SMALL)


@pytest.mark.parametrize("value", ["", "x y", "1", "-1 2"])
def test_damaged_note_means_it_is_due(store: Store, value: str) -> None:
    store.index.run("INSERT OR REPLACE INTO meta VALUES ('collected', ?)", value)
    assert is_due(store, SMALL)


def test_image_of_no_build_is_not_counted(store: Store) -> None:
    note_collected(store)
    image_of(store, {"a": b"x" * 50_000}, names=("x",))
    assert not is_due(store, SMALL)
