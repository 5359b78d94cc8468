"""The budget holds while a build runs."""

import sqlite3
from pathlib import Path

import pytest

from builder.cache.budget import Keeper
from builder.cleaning import clean
from builder.progress import Note
from store.budget import is_due, mounted, note_collected, note_mounted
from store.cache import CacheRecord
from store.config import Config
from store.digest import digest_of
from store.gc import Budget, cached
from store.root import open_root
from store.store import Store
from store.tree import digest, scan
from tests.builder.cache.conftest import Machines


def record(store: Store, content: bytes, size: int) -> str:
    """A cached layer that says it has `size` bytes; its snapshot."""
    draft = store.snapshots.begin()
    Path(draft.directory, "f").write_bytes(content)
    tree = scan(draft.directory, owners=store.root.owners)
    snapshot = store.snapshots.commit(draft, tree=tree)
    key = digest_of(content)
    store.cache.put(CacheRecord(key, key, key, digest(tree), snapshot, "", size, "2026-11-24T00:00:00Z"))
    return snapshot


def test_other_builds_layers_go_when_this_one_needs_the_room(tmp_path: Path) -> None:
    place = str(tmp_path / "root"), str(tmp_path / "run")
    with Store(open_root(*place)) as earlier:
        old = record(earlier, b"old", 900)
    with Store(open_root(*place)) as store:
        keeper = Keeper(store, Config(budget_bytes=1000, budget_percent=None), lambda event: None)
        keeper.grown(1)
        store.index.run("UPDATE record SET used = used - 1000")
        new = record(store, b"new", 500)
        store.snapshots.hold(new)        # type: ignore[arg-type]  # as stored
        assert store.snapshots.has(old)  # type: ignore[arg-type]
        keeper.grown(500)
        assert not store.snapshots.has(old) and store.snapshots.has(new)      # type: ignore[arg-type]


def test_many_small_layers_are_as_much_as_a_large_one(tmp_path: Path) -> None:
    """The cache is never larger than the budget and what the build holds, at any of its layers."""
    said: list[object] = []
    with Store(open_root(str(tmp_path / "root"), str(tmp_path / "run"))) as earlier:
        for number in range(10):
            record(earlier, b"old %d" % number, 100)
        earlier.index.run("UPDATE record SET used = used - 1000")
    with Store(open_root(str(tmp_path / "root"), str(tmp_path / "run"))) as store:
        keeper = Keeper(store, Config(budget_bytes=1000, budget_percent=None), said.append)
        for number in range(9):
            store.snapshots.hold(record(store, b"new %d" % number, 100))      # type: ignore[arg-type]  # as stored
            keeper.grown(100)
            assert sum(size for _, size in cached(store)) <= 1000
        assert not said
        assert all(store.cache.get(digest_of(b"new %d" % number)) for number in range(9))


def test_a_build_that_needs_more_than_the_budget_says_so_once(tmp_path: Path) -> None:
    said: list[Note] = []
    with Store(open_root(str(tmp_path / "root"), str(tmp_path / "run"))) as store:
        keeper = Keeper(store, Config(budget_bytes=1000, budget_percent=None), said.append)      # type: ignore[arg-type]  # notes are all it says
        for number in range(30):
            snapshot = record(store, b"new %d" % number, 100)
            store.snapshots.hold(snapshot)           # type: ignore[arg-type]
            keeper.grown(100)
            assert store.snapshots.has(snapshot)     # type: ignore[arg-type]
    assert len(said) == 1 and "more than the cache's budget of" in said[0].text


def test_without_a_budget_nobody_looks(tmp_path: Path) -> None:
    with Store(open_root(str(tmp_path / "root"), str(tmp_path / "run"))) as store:
        keeper = Keeper(store, Config(budget_bytes=None, budget_percent=None), lambda event: None)
        kept = record(store, b"x", 10)
        keeper.grown(1 << 50)
        assert store.snapshots.has(kept)     # type: ignore[arg-type]


@pytest.mark.userns
def test_a_build_larger_than_the_budget_drops_what_it_does_not_use(machines: Machines, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[gc]\nbudget = "150MB"\n')
    machine = machines.new()
    machine.ok("FROM busybox\nRUN head -c 100000000 /dev/zero > /old && rm -f /etc/old\n", "--config", str(config))
    machine.tool.pybuild("rmi", "-f", "it")
    seen = "RUN head -c 80000000 /dev/zero > /a\nRUN head -c 80000000 /dev/zero > /b\n"
    machine.ok(f"FROM busybox\n{seen}", "--config", str(config), f"--cache-to=type=local,dest={tmp_path}/cache,mode=max")
    sizes = sum(p.stat().st_size for p in (machine.root / "snapshots").rglob("*") if p.is_file() and not p.is_symlink())
    assert sizes < 200_000_000           # the two layers of the image, which it holds, and not the first build's
    with sqlite3.connect(machine.root / "index.db") as index:        # the exporter had it open while the build collected
        assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert "busybox" in machine.tool.pybuild("images").out


@pytest.mark.userns
def test_what_a_build_held_beyond_the_budget_is_gone_with_it(machines: Machines, tmp_path: Path) -> None:
    (config := tmp_path / "config.toml").write_text('[gc]\nbudget = "30MB"\n')
    machine = machines.new()
    steps = "".join(f"RUN head -c 20000000 /dev/zero > /f; echo {n}\n" for n in range(4))
    done = machine.ok(f"FROM busybox\n{steps}", "--config", str(config), "--output=type=cacheonly")
    assert done.err.count("this build alone has made layers of") == 1
    assert sum(p.stat().st_size for p in (machine.root / "snapshots").rglob("f")) <= 30_000_000
    machine.ok(f"FROM busybox\n{steps}", "--config", str(config), "--no-cache")
    assert sum(p.stat().st_size for p in (machine.root / "snapshots").rglob("f")) == 80_000_000, "an image keeps its layers"
    assert machine.says("stat -c %s /f") == "20000000"


@pytest.mark.userns
def test_what_steps_put_into_cache_mounts_counts_at_once(machines: Machines, tmp_path: Path) -> None:
    (config := tmp_path / "config.toml").write_text('[gc]\nbudget = "100MB"\n')
    machine = machines.new()
    machine.ok("FROM busybox\nRUN head -c 50000000 /dev/zero > /old\n", "--config", str(config), "--output=type=cacheonly")
    assert [p.stat().st_size for p in (machine.root / "snapshots").rglob("old")] == [50_000_000]
    mount = "RUN --mount=type=cache,target=/c head -c 80000000 /dev/zero > /c/f\n"
    machine.ok(f"FROM busybox\n{mount}", "--config", str(config), "--output=type=cacheonly")
    assert not list((machine.root / "snapshots").rglob("old"))       # the mount was used last
    assert sum(p.stat().st_size for p in (machine.root / "cachemounts").rglob("f")) == 80_000_000


@pytest.mark.userns
def test_what_cache_mounts_were_seen_to_hold_is_known_to_later_commands(tmp_path: Path) -> None:
    with Store(open_root(str(tmp_path / "root"), str(tmp_path / "run"))) as store:
        assert mounted(store) == 0
        note_mounted(store, 900)
        note_collected(store)
        config = Config(budget_bytes=1000, budget_percent=None)
        assert not is_due(store, config)
        note_mounted(store, 1100)
        assert is_due(store, config)
        clean(store, Budget(max_bytes=1000))             # which looks, and finds none
        assert mounted(store) == 0 and not is_due(store, config)
