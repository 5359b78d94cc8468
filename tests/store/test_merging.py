"""Chains that are too long to be mounted: they show the same, and are copied once."""

import os
from pathlib import Path

import pytest

from store.digest import Digest, digest_of
from store.gc import Budget, collect
from store.images import Layer
from store.merging import merged
from store.root import open_root
from store.store import MOUNTS, Store
from store.tree import scan
from store.view import View
from tests.store.making import config_of, essence, layer_of
from tests.store.test_gc import later


def chain(store: Store, count: int) -> tuple[Layer, ...]:
    """Layers that each change one file and take away another."""
    def fill(number: int, top: Path) -> None:
        (top / f"d{number % 10}").mkdir(mode=0o750)
        (top / f"d{number % 10}/f{number}").write_bytes(b"%d" % number)
        (top / "last").write_bytes(b"%d" % number)
        if number > 20 and not os.geteuid():
            os.mknod(top / f"d{number % 10}/f{number - 20}", 0o020000, 0)

    return tuple(layer_of(store, lambda top, n=number: fill(n, top))._replace(diff_id=Digest(digest_of(b"%d" % number)))  # type: ignore[misc]
                 for number in range(count))


def test_long_chain_becomes_short_and_shows_the_same(store: Store) -> None:
    layers = chain(store, MOUNTS + 30)
    directories = store.images.directories(layers)
    assert len(directories) <= MOUNTS
    whole = View([store.snapshots.path(layer.snapshot) for layer in layers[::-1]])
    with View(directories) as short:
        assert essence(short.walk()) == essence(whole.walk())
        assert [r[1][2] for rows in short.walk().values() for r in rows] == [r[1][2] for rows in whole.walk().values() for r in rows]
    whole.close()


def test_long_chain_is_copied_once(store: Store) -> None:
    layers = chain(store, MOUNTS + 5)
    assert store.images.directories(layers) == store.images.directories(layers)
    image = store.images.add(config_of(layers), layers, ("x",))
    assert store.images.runtime(image).lowerdirs == store.images.lowerdirs(image) == store.images.directories(layers)


def test_copy_lives_as_long_as_its_chain(store: Store) -> None:
    layers = chain(store, MOUNTS + 5)
    image = store.images.add(config_of(layers), layers, ("x",))
    store = later(store)
    assert collect(store, Budget()).snapshots == ()
    assert all(os.path.isdir(d) for d in store.images.use(image).lowerdirs)
    store = later(store)
    collect(store, Budget(unused=True))
    assert store.snapshots.all() == []


def test_short_chain_is_left_alone(store: Store) -> None:
    layers = chain(store, 5)
    assert store.images.directories(layers) == tuple(store.snapshots.path(layer.snapshot) for layer in layers[::-1])


@pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")
def test_copy_has_everything(store: Store) -> None:
    def fill(top: Path) -> None:
        (top / "f").write_bytes(b"content")
        os.chown(top / "f", 5, 6)
        (top / "f").chmod(0o4755)
        os.setxattr(top / "f", "user.a", b"1")
        os.setxattr(top / "f", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
        os.link(top / "f", top / "g")
        (top / "l").symlink_to("/nowhere")
        os.chown(top / "l", 7, 8, follow_symlinks=False)
        os.link(top / "l", top / "m", follow_symlinks=False)
        os.mkfifo(top / "p", 0o620)
        os.mknod(top / "n", 0o020666, os.makedev(1, 3))
        (top / "d").mkdir(mode=0o700)
        (top / "d/x").write_bytes(b"")
        os.chown(top / "d", 9, 9)
        (top / "d").chmod(0o2770)
        os.utime(top / "d", ns=(1, 123_456_789))

    snapshot = layer_of(store, fill).snapshot
    copy = merged(store, (snapshot,))
    assert essence(scan(store.snapshots.path(copy))) == essence(scan(store.snapshots.path(snapshot)))
    assert os.stat(f"{store.snapshots.path(copy)}/d").st_mtime_ns == 123_456_789


def test_copy_of_marked_owners(tmp_path: Path) -> None:
    store = Store(open_root(str(tmp_path / "s"), str(tmp_path / "r"))._replace(owners="xattr", flavour="user"))

    def fill(top: Path) -> None:
        for name, mark in (("f", b"5:6"), ("null", b"0:7:c:1:3")):
            (top / name).write_bytes(b"")
            os.setxattr(top / name, "user.pybuild.owner", mark)

    snapshot = layer_of(store, fill).snapshot
    copy = merged(store, (snapshot,))
    assert essence(scan(store.snapshots.path(copy), owners="xattr")) == essence(scan(store.snapshots.path(snapshot), owners="xattr"))
