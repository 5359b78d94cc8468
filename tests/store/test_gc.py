"""Collection: what nothing leads to goes, what anything leads to stays, whoever does what at the same time."""

import os
import random
import signal
import time
from pathlib import Path

from store.cache import CacheRecord
from store.digest import Digest, digest_of
from store.document import describe
from store.gc import Budget, collect, sweep, usage
from store.images import Layer
from store.root import open_root
from store.store import Store
from tests.store.making import config_of, image_of, layer_of, write_files
from tests.store.test_lease import process


def later(store: Store) -> Store:
    """The same store, found by another process: nothing is held any more by the one that made things."""
    store.close()
    return Store(open_root(store.root.path, store.root.run))


def record(name: str, layer: Layer, **fields: object) -> CacheRecord:
    return CacheRecord(digest_of(name.encode()), digest_of(b"op"), digest_of(b"r"), layer.tree, layer.snapshot, "", layer.size, **fields)  # type: ignore[arg-type]


def test_image_and_what_it_is_made_of_stays(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x",))
    document = describe(store, image)
    store = later(store)
    gone = sweep(store)
    assert (gone.snapshots, gone.blobs) == ((), ())
    assert store.blobs.has(image) and store.blobs.has(document.layers[0][1].digest)


def test_untagged_image_stays_until_it_is_asked_for(store: Store) -> None:
    image = image_of(store, {"a": b"1"})
    store = later(store)
    assert sweep(store).images == ()
    gone = collect(store, Budget(untagged=True))
    assert (gone.images, len(gone.snapshots), gone.blobs) == ((image,), 1, (image,))
    assert store.snapshots.all() == [] and store.blobs.all() == []


def test_removed_image_is_freed(store: Store) -> None:
    image_of(store, {"a": b"1" * 10_000}, names=("x",))
    kept = image_of(store, {"b": b"1"}, names=("y",))
    store = later(store)
    store.images.remove("x")
    gone = sweep(store)
    assert (len(gone.snapshots), len(gone.blobs)) == (1, 1)
    assert gone.bytes >= 10_000
    assert store.snapshots.all() == [store.images.layers(kept)[0].snapshot]


def test_layer_that_two_images_share_stays(store: Store) -> None:
    layer = layer_of(store, {"a": b"1"})
    store.images.add(config_of((layer,)), (layer,), ("x",))
    store.images.add(config_of((layer,), env=("A=1",)), (layer,), ("y",))
    store = later(store)
    store.images.remove("x")
    assert sweep(store).snapshots == ()


def test_held_image_is_not_pruned(store: Store) -> None:
    image = image_of(store, {"a": b"1"})
    store.images.hold(image, "container x")
    store = later(store)
    assert collect(store, Budget(untagged=True, unused=True)).images == ()
    store.images.let_go("container x")
    assert collect(store, Budget(unused=True)).images == (image,)


def test_unused_takes_images_with_names(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x",))
    store = later(store)
    assert collect(store, Budget(untagged=True)).images == ()
    assert collect(store, Budget(unused=True)).images == (image,)
    assert store.images.resolve("x") is None


def test_young_images_stay(store: Store) -> None:
    image_of(store, {"a": b"1"})
    store = later(store)
    assert collect(store, Budget(untagged=True, older_than=3600)).images == ()


def test_cache_record_keeps_its_snapshot_and_what_that_is_stacked_on(store: Store) -> None:
    part = layer_of(store, {"a": b"1"})
    draft = store.snapshots.begin()
    top = store.snapshots.commit(draft, below=(part.snapshot,))
    store.cache.put(record("k", Layer(digest_of(b""), "", top)))
    lost = layer_of(store, {"b": b"1"})
    store = later(store)
    assert sweep(store).snapshots == (lost.snapshot,)


def test_records_go_least_recently_used_first(store: Store) -> None:
    layers = [layer_of(store, {f"f{n}": b"x" * 1000}) for n in range(4)]
    for number, layer in enumerate(layers):
        store.cache.put(record(f"k{number}", layer, parts=b"p"))
        store.index.run("UPDATE record SET used = ? WHERE key = ?", 100 + number, digest_of(f"k{number}".encode()))
    store = later(store)
    gone = collect(store, Budget(max_bytes=2500))
    assert (gone.records, set(gone.snapshots)) == (2, {layers[0].snapshot, layers[1].snapshot})
    assert store.cache.get(digest_of(b"k3")) is not None and store.cache.parts(digest_of(b"k0")) == b""


def test_records_whose_layers_are_in_images_cost_nothing(store: Store) -> None:
    layer = layer_of(store, {"a": b"x" * 1000})
    store.images.add(config_of((layer,)), (layer,), ("x",))
    store.cache.put(record("k", layer))
    store = later(store)
    assert collect(store, Budget(max_bytes=0)).records == 0


def test_old_records_go(store: Store) -> None:
    store.cache.put(record("old", layer_of(store, {"a": b"1"})))
    store.cache.put(record("new", layer_of(store, {"b": b"1"})))
    store.index.run("UPDATE record SET used = ? WHERE key = ?", int(time.time()) - 7200, digest_of(b"old"))
    store = later(store)
    gone = collect(store, Budget(older_than=3600))
    assert (gone.records, len(gone.snapshots)) == (1, 1)


def test_everything_of_the_cache(store: Store) -> None:
    store.cache.put(record("k", layer_of(store, {"a": b"1"})))
    store.cache.put_build(digest_of(b"b"), b"value")
    store = later(store)
    assert collect(store, Budget(everything=True)).records == 1
    assert store.cache.get_build(digest_of(b"b")) is None and store.snapshots.all() == []


def test_what_another_process_uses_stays(store: Store) -> None:
    layer = layer_of(store, {"a": b"1"})
    blob = store.blobs.put(b"blob")
    store = later(store)
    with process(store, "snapshot", layer.snapshot), process(store, "blob", blob):
        gone = sweep(store)
        assert (gone.snapshots, gone.blobs) == ((), ())
    gone = sweep(store)
    assert (gone.snapshots, gone.blobs) == ((layer.snapshot,), (blob,))


def test_what_a_living_process_has_just_made_stays(store: Store) -> None:
    layer = layer_of(store, {"a": b"1"})
    blob = store.blobs.put(b"blob")
    other = Store(open_root(store.root.path, store.root.run))
    gone = sweep(other)
    assert (gone.snapshots, gone.blobs) == ((), ())
    assert store.snapshots.has(layer.snapshot) and store.blobs.has(blob)
    other.close()


def test_layer_of_a_collected_snapshot_is_forgotten(store: Store) -> None:
    image = image_of(store, {"a": b"1"})
    diff_id = store.images.layers(image)[0].diff_id
    store = later(store)
    collect(store, Budget(untagged=True))
    assert store.index.one("SELECT 1 FROM layer WHERE key = ?", diff_id) is None


def test_blobs_of_a_manifest_that_a_name_stands_for_stay(store: Store) -> None:
    image = image_of(store, {"a": b"1"}, names=("x",))
    document = describe(store, image)
    target = store.blobs.put(document.manifest)
    store.images.tag(image, "x", target)
    store = later(store)
    assert sweep(store).blobs == ()
    store.images.tag(image, "x", digest_of(b"another"))
    assert sweep(store).blobs == (target,)


def test_usage_counts_an_inode_once_and_follows_nothing(tmp_path: Path) -> None:
    write_files(tmp_path / "a", {"f": b"x" * 100_000})
    os.link(tmp_path / "a/f", tmp_path / "a/g")
    (tmp_path / "a/l").symlink_to("/usr")
    assert 100_000 <= usage(str(tmp_path / "a")) < 200_000
    assert usage(str(tmp_path / "missing")) == 0


def _build(path: str, seed: int, rounds: int) -> None:
    """What a build does, with checks that nothing of it goes away meanwhile."""
    choose = random.Random(seed)
    store = Store(open_root(f"{path}/store", f"{path}/run"))
    for _ in range(rounds):
        name = f"step {choose.randrange(6)}"
        key = digest_of(name.encode())
        found = store.cache.get(key)
        if found is None or not store.snapshots.hold(found.snapshot):  # type: ignore[arg-type]
            layer = layer_of(store, {f"file of {name}": b"x" * 100})
            store.cache.put(record(name, layer))
            snapshot = layer.snapshot
        else:
            snapshot = found.snapshot  # type: ignore[assignment]
        with open(f"{store.snapshots.path(snapshot)}/file of {name}", "rb") as file:
            assert file.read() == b"x" * 100
        tree = store.snapshots.tree(snapshot)
        layer = Layer(digest_of(b"tar of " + name.encode()), digest_of(b""), snapshot, 100)
        image = store.images.add(config_of((layer,), labels={"seed": str(choose.randrange(3))}), (layer,), (f"image{choose.randrange(3)}",))
        lower, = store.images.use(image).lowerdirs       # this step's, or another process's of the same step
        assert os.listdir(lower) == [tree[""][0][0]]
        if choose.random() < 0.2:
            store.close()


def _prune(path: str, seed: int, rounds: int) -> None:
    choose = random.Random(seed)
    store = Store(open_root(f"{path}/store", f"{path}/run"))
    for _ in range(rounds):
        collect(store, choose.choice([Budget(), Budget(untagged=True), Budget(unused=True), Budget(everything=True), Budget(max_bytes=200)]))


def test_builds_and_prunes_at_once(tmp_path: Path) -> None:
    open_root(str(tmp_path / "store"), str(tmp_path / "run"))
    pids = {}
    for number, (work, rounds) in enumerate([(_build, 40), (_build, 40), (_build, 40), (_prune, 40), (_prune, 40)]):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                work(str(tmp_path), number, rounds)
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(status)
        pids[pid] = work.__name__
    failed = [name for pid, name in pids.items() if os.waitpid(pid, 0)[1]]
    assert failed == []
    store = Store(open_root(str(tmp_path / "store"), str(tmp_path / "run")))
    collect(store, Budget(everything=True, unused=True))
    assert (store.snapshots.all(), store.blobs.all(), os.listdir(f"{store.root.path}/tmp")) == ([], [], [])


def test_collection_that_was_killed_is_finished_by_the_next(store: Store) -> None:
    snapshots = [layer_of(store, {f"f{n}": b"x"}).snapshot for n in range(30)]
    image = image_of(store, {"kept": b"1"}, names=("x",))
    store = later(store)
    for delay in (0.0, 0.001, 0.003):
        pid = os.fork()
        if not pid:
            sweep(Store(store.root))
            os._exit(0)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    sweep(store)
    assert store.snapshots.all() == [store.images.layers(image)[0].snapshot]
    assert (os.listdir(f"{store.root.path}/tmp"), len(snapshots)) == ([], 30)
    assert store.images.use(Digest(image))
