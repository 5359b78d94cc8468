"""The budget holds while a build runs."""

import sqlite3
from pathlib import Path

import pytest

from builder.cache.budget import Keeper
from store.cache import CacheRecord
from store.config import Config
from store.digest import digest_of
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
        keeper = Keeper(store, Config(budget_bytes=1000, budget_percent=None), step=100)
        keeper.grown(1)
        store.index.run("UPDATE record SET used = used - 1000")
        new = record(store, b"new", 500)
        store.snapshots.hold(new)        # type: ignore[arg-type]  # as stored
        assert store.snapshots.has(old)  # type: ignore[arg-type]
        keeper.grown(500)
        assert not store.snapshots.has(old) and store.snapshots.has(new)      # type: ignore[arg-type]


def test_a_look_is_taken_now_and_then_only(tmp_path: Path) -> None:
    with Store(open_root(str(tmp_path / "root"), str(tmp_path / "run"))) as store:
        keeper = Keeper(store, Config(budget_bytes=0, budget_percent=None), step=1000)
        kept = record(store, b"x", 10)
        keeper.grown(999)
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
    steps = "".join(f"RUN head -c 20000000 /dev/zero > /f; echo {n}\n" for n in range(4))      # the budget is looked after at the last one
    machine.ok(f"FROM busybox\n{steps}", "--config", str(config), "--output=type=cacheonly")
    assert sum(p.stat().st_size for p in (machine.root / "snapshots").rglob("f")) <= 30_000_000
    machine.ok(f"FROM busybox\n{steps}", "--config", str(config), "--no-cache")
    assert sum(p.stat().st_size for p in (machine.root / "snapshots").rglob("f")) == 80_000_000, "an image keeps its layers"
    assert machine.says("stat -c %s /f") == "20000000"
