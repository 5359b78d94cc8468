"""Room on the disk: asked for before it is needed."""

import pytest

from store.cache import CacheRecord
from store.digest import digest_of
from store.gc import cached_bytes
from store.room import NoRoom, reserve
from store.root import open_root
from store.store import Store
from tests.store.making import layer_of


def record(store: Store, name: str, size: int) -> None:
    layer = layer_of(store, {name: b"x" * size})
    store.cache.put(CacheRecord(digest_of(name.encode()), digest_of(b"op"), digest_of(b"r"), layer.tree, layer.snapshot, "", layer.size))


def test_what_fits_is_reserved(store: Store) -> None:
    reserve(store, 1000)
    assert ("reserve", "1000") in {(kind, what.split()[0]) for kind, what in store.leases.held() if kind == "reserve"}


def test_what_can_never_fit_is_one_clear_error(store: Store) -> None:
    with pytest.raises(NoRoom, match="are needed"):
        reserve(store, 1 << 60)


def test_cache_makes_room(store: Store) -> None:
    record(store, "a", 5000)
    assert cached_bytes(store) == 5000
    store.close()                                        # nothing is held any more
    with Store(open_root(store.root.path, store.root.run)) as again:
        with pytest.raises(NoRoom):
            reserve(again, 1 << 60)
        assert cached_bytes(again) == 0 and again.snapshots.all() == []
