"""kill -9 at any moment: the store opens, has what was acknowledged, and the next collection removes the debris."""

import io
import os
import random
import signal
import time
from pathlib import Path

import pytest

from store.archive import load
from store.archivewriter import save
from store.cache import CacheRecord
from store.digest import digest_of
from store.gc import Budget, collect, sweep
from store.root import open_root
from store.store import Store
from tests.store.making import image_of, layer_of

KILLS = 400 if os.environ.get("PYBUILD_LONG") else 15


def _archive(tmp_path: Path) -> Path:
    """An image to load: two layers."""
    with Store(open_root(str(tmp_path / "source"), str(tmp_path / "run-source"))) as store:
        image_of(store, {f"d{n}/f{n}": b"%d" % n * 5000 for n in range(20)}, {"b": b"1"}, names=("loaded",))
        out = io.BytesIO()
        save(store, ("loaded",), out.write)
    (tmp_path / "archive.tar").write_bytes(out.getvalue())
    return tmp_path / "archive.tar"


def _work(path: Path, archive: Path, seed: int, acknowledge: int) -> None:
    """Everything that changes a store, for ever; each thing that is done is told by one line."""
    choose = random.Random(seed)
    store = Store(open_root(str(path / "store"), str(path / "run")))
    number = 0
    while True:
        number += 1
        what = choose.choice(["image", "image", "load", "remove", "collect", "record"])
        if what == "image":
            name = f"image{seed}-{number}"
            image_of(store, {"name": name.encode(), "d/e": b"x" * 3000}, names=(name,))
            os.write(acknowledge, f"+ {name}\n".encode())
        elif what == "load":
            load(store, "archive", os.open(archive, os.O_RDONLY))
            os.write(acknowledge, b"+ loaded\n")
        elif what == "remove":
            names = [name for record in store.images.list() for name in record.names if "image" in name]
            if names:
                gone = choose.choice(names)
                os.write(acknowledge, f"? {gone.split('/')[-1].split(':')[0]}\n".encode())
                store.images.remove(gone)
        elif what == "collect":
            collect(store, choose.choice([Budget(), Budget(untagged=True), Budget(max_bytes=5000)]))
        else:
            layer = layer_of(store, {f"r{number}": b"y" * 2000})
            store.cache.put(CacheRecord(digest_of(b"%d" % number), digest_of(b"op"), digest_of(b"r"), layer.tree, layer.snapshot, "", layer.size))


def _check(path: Path, acknowledged: set[str]) -> int:
    """Bytes that were read again and are the right ones."""
    checked: list[int] = []

    def count(data: "bytes | bytearray | memoryview") -> None:
        checked.append(len(data))

    store = Store(open_root(str(path / "store"), str(path / "run")))
    for name in acknowledged:
        image = store.images.require(name)
        with store.view(store.images.layers(image.id)) as view:
            tree = view.walk()
            if name != "loaded":
                assert view.read("name", 100).decode() == name
            assert sum(len(rows) for rows in tree.values()) >= 3
    sweep(store)
    for record in store.images.list():
        store.images.config(record.id)
        for layer in store.images.layers(record.id):
            assert store.snapshots.has(layer.snapshot)
            for blob in store.layerblobs.of(layer.diff_id):
                store.blobs.copy(blob.digest, count)
            pieces: list[bytes] = []
            store.layerblobs.write_tar(layer, lambda data, pieces=pieces: pieces.append(bytes(data)))   # type: ignore[misc]  # bound at once
            assert digest_of(b"".join(pieces)) == layer.diff_id
            checked.append(sum(map(len, pieces)))
    for snapshot, in store.index.query("SELECT snapshot FROM record"):
        assert store.snapshots.has(snapshot)
    assert os.listdir(f"{store.root.path}/tmp") == []
    images = {layer.snapshot for record in store.images.list() for layer in store.images.layers(record.id)}
    assert set(store.snapshots.all()) == images | {row[0] for row in store.index.query("SELECT snapshot FROM record")}
    store.close()
    return sum(checked)


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path: Path) -> None:
    archive = _archive(tmp_path)
    choose = random.Random(20260102)
    acknowledged: set[str] = set()
    told = checked = 0
    for seed in range(KILLS):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            try:
                _work(tmp_path, archive, seed, write)
            finally:
                os._exit(1)
        os.close(write)
        time.sleep(choose.uniform(0.001, 0.15))          # the moment of the kill, not a wait for something
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        with open(read) as lines:
            for line in lines:
                sign, name = line.split()
                (acknowledged.add if sign == "+" else acknowledged.discard)(name)
                told += sign == "+"
        checked += _check(tmp_path, acknowledged)
    assert acknowledged
    print(f"kills survived: {KILLS}, images acknowledged: {told}, lost: 0, bytes checked: {checked}")
