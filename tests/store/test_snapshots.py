"""Drafts become snapshots by a rename; snapshots are stacked, never changed."""

import io
import os
from pathlib import Path

import pytest

from kernel.syscalls import MS_BIND, MS_RDONLY, MS_REMOUNT, mount
from store.archive import load
from store.archivewriter import save
from store.errors import SnapshotMissing
from store.gc import sweep
from store.merging import merged
from store.pack import write_tar
from store.root import open_root
from store.store import Store
from store.tree import scan
from tests.store.isolated import as_root
from tests.store.making import image_of, layer_of, write_files


def test_draft_is_empty_and_ready_to_be_mounted(store: Store) -> None:
    draft = store.snapshots.begin()
    assert (os.listdir(draft.directory), os.listdir(draft.work)) == ([], [])
    assert os.stat(draft.directory).st_mode & 0o7777 == 0o755


def test_draft_looks_like_the_root_below(store: Store, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below").chmod(0o1711)
    os.utime(tmp_path / "below", ns=(5, 5_000_000_000))
    status = os.stat(store.snapshots.begin(str(tmp_path / "below")).directory)
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o1711, 5_000_000_000)


def test_commit_moves_the_files_and_drops_the_work(store: Store) -> None:
    draft = store.snapshots.begin()
    write_files(Path(draft.directory), {"a": b"1"})
    (Path(draft.work) / "work").mkdir(mode=0o000)
    snapshot = store.snapshots.commit(draft)
    assert not os.path.exists(draft.path)
    assert Path(store.snapshots.path(snapshot), "a").read_bytes() == b"1"
    assert sorted(os.listdir(store.snapshots.holder(snapshot))) == ["fs"]


def test_tree_is_kept_with_the_snapshot(store: Store) -> None:
    draft = store.snapshots.begin()
    write_files(Path(draft.directory), {"a": b"1"})
    tree = scan(draft.directory)
    snapshot = store.snapshots.commit(draft, tree=tree)
    assert store.snapshots.has_tree(snapshot)
    assert store.snapshots.tree(snapshot) == tree


@pytest.mark.parametrize("damage", [None, b"", b"nonsense", b"\xff\xff"])
def test_tree_that_is_missing_or_damaged_is_scanned(store: Store, damage: "bytes | None") -> None:
    draft = store.snapshots.begin()
    write_files(Path(draft.directory), {"a": b"1"})
    snapshot = store.snapshots.commit(draft)
    if damage is not None:
        Path(store.snapshots.holder(snapshot), "tree").write_bytes(damage)
    assert store.snapshots.tree(snapshot) == scan(store.snapshots.path(snapshot))
    assert store.snapshots.has_tree(snapshot)


def test_stacked_snapshots_are_listed_topmost_first(store: Store) -> None:
    first = layer_of(store, {"a": b"1"}).snapshot
    second = store.snapshots.commit(store.snapshots.begin(), below=(first,))
    third = store.snapshots.commit(store.snapshots.begin(), below=(second,))
    assert store.snapshots.stack(third) == (third, second, first)
    assert store.snapshots.directories(third) == tuple(store.snapshots.path(s) for s in (third, second, first))


def test_tree_of_a_stack_is_merged(store: Store) -> None:
    first = layer_of(store, {"a": b"1", "d/b": b"2"}).snapshot
    draft = store.snapshots.begin()
    write_files(Path(draft.directory), {"d/c": b"3"})
    os.mknod(f"{draft.directory}/a", 0o020000, 0)
    tree = store.snapshots.tree(store.snapshots.commit(draft, below=(first,)))
    assert {rel: [row[0] for row in rows] for rel, rows in tree.items()} == {"": ["d"], "d/": ["b", "c"]}


def test_stack_is_found_by_another_process(store: Store) -> None:
    first = layer_of(store, {}).snapshot
    second = store.snapshots.commit(store.snapshots.begin(), below=(first,))
    assert Store(store.root).snapshots.stack(second) == (second, first)


def test_discarded_draft_leaves_nothing(store: Store) -> None:
    draft = store.snapshots.begin()
    write_files(Path(draft.directory), {"a/b/c": b"1"})
    store.snapshots.discard(draft)
    assert os.listdir(f"{store.root.path}/tmp") == []


def test_deleted_snapshot_is_missing(store: Store) -> None:
    snapshot = layer_of(store, {"a": b""}).snapshot
    store.snapshots.delete(snapshot)
    assert not store.snapshots.has(snapshot)
    with pytest.raises(SnapshotMissing):
        store.snapshots.stack(snapshot)
    with pytest.raises(SnapshotMissing):
        store.snapshots.own_tree(snapshot)
    store.snapshots.delete(snapshot)


@pytest.mark.parametrize("name", ["", "..", "../tmp", "/etc"])
def test_snapshot_names_do_not_lead_elsewhere(store: Store, name: str) -> None:
    assert not store.snapshots.has(name)  # type: ignore[arg-type]


def test_names_are_never_used_twice(store: Store) -> None:
    other = Store(open_root(store.root.path, store.root.run))
    ids = {s.snapshots.begin().id for s in (store, other) for _ in range(5)}
    assert len(ids) == 10
    other.close()


def test_held_snapshot_is_told_from_a_missing_one(store: Store) -> None:
    first = layer_of(store, {}).snapshot
    second = store.snapshots.commit(store.snapshots.begin(), below=(first,))
    assert store.snapshots.hold(second)
    assert {("snapshot", first), ("snapshot", second)} <= store.leases.held()
    store.snapshots.delete(first)
    assert not store.snapshots.hold(second)


@pytest.mark.userns
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting read-only needs root")
def test_nothing_opens_a_committed_snapshot_for_writing(tmp_path: Path) -> None:
    as_root(_use_read_only, tmp_path)


def _use_read_only(path: Path) -> None:
    """Every use of an image, with its snapshots' files mounted read-only: whoever opens one for writing fails."""
    store = Store(open_root(str(path / "store"), str(path / "run")))
    image = image_of(store, {"a": b"1" * 5000, "d/b": b"2"}, {"a": b"3"}, names=("x",))
    for layer in store.images.layers(image):
        for directory in store.snapshots.directories(layer.snapshot):
            mount(directory.encode(), directory.encode(), None, MS_BIND)
            mount(None, directory.encode(), None, MS_BIND | MS_REMOUNT | MS_RDONLY)
            os.unlink(f"{directory}/../tree")
    with store.view(store.images.layers(image)) as view:
        assert view.read("a", 10) == b"3" and view.walk()
    for layer in store.images.layers(image):
        write_tar(store.snapshots.tree(layer.snapshot), store.snapshots.directories(layer.snapshot), None)
    for form in ("docker", "oci"):
        out = io.BytesIO()
        save(store, ("x",), out.write, form)
    (path / "archive").write_bytes(out.getvalue())
    assert load(store, "archive", os.open(path / "archive", os.O_RDONLY))[0].id == image
    assert store.images.use(image)
    merged(store, store.images.parts(store.images.layers(image)))
    assert sweep(store).snapshots == ()


# ---------------------------------------------------------------- drafts that are in their place before they are finished
def test_placed_draft_is_a_snapshot_when_it_is_confirmed(store: Store) -> None:
    draft = store.snapshots.begin()
    write_files(Path(draft.directory), {"a": b"1"})
    placed = store.snapshots.place(draft, store.snapshots.new_name())
    assert Path(store.snapshots.path(placed.id), "a").read_bytes() == b"1" and not os.path.exists(draft.path)
    assert store.snapshots.is_placed(placed) and not store.snapshots.is_placed(draft)
    store.snapshots.add_tree(placed, scan(placed.directory))
    store.snapshots.confirm(placed)
    store.snapshots.withdraw(placed.id)                   # none any more: nothing happens
    assert store.snapshots.has(placed.id) and store.snapshots.has_tree(placed.id)
    store.snapshots.remove_work(draft)
    assert os.listdir(store.temporary.directory) == []


def test_placed_draft_that_is_withdrawn_leaves_nothing(store: Store) -> None:
    draft = store.snapshots.begin()
    placed = store.snapshots.place(draft, store.snapshots.new_name())
    store.snapshots.remove_work(draft)
    store.snapshots.withdraw(placed.id)
    assert not store.snapshots.has(placed.id) and os.listdir(store.temporary.directory) == []


def test_sweep_removes_what_a_killed_process_had_placed(store: Store) -> None:
    store.index.close()
    pid = os.fork()
    if not pid:
        try:
            draft = store.snapshots.begin()
            write_files(Path(draft.directory), {"a/b": b"1"})
            store.snapshots.place(draft, store.snapshots.new_name())
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(store.snapshots.all()) == 1
    store.temporary.sweep()
    assert store.snapshots.all() == [] and os.listdir(store.temporary.directory) == []


def test_sweep_keeps_what_a_living_process_has_placed(store: Store) -> None:
    placed = store.snapshots.place(store.snapshots.begin(), store.snapshots.new_name())
    store.temporary.sweep()
    assert store.snapshots.has(placed.id) and sweep(store).snapshots == ()
