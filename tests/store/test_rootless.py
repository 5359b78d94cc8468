"""The store of a rootless user, in real user namespaces: with many ids everything is as for root, with one the owners are told by attributes."""

import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kernel.paths import remove_tree
from store.archive import load
from store.archivewriter import save
from store.digest import digest_of
from store.extract import Policy, apply
from store.gc import Budget, collect
from store.ingest import Promise, ingest
from store.pack import write_tar
from store.root import open_root
from store.store import Store
from store.tree import own, scan
from tests.store.isolated import as_user
from tests.store.making import essence, image_of, layer_of, member, opened, tar_of
from tests.users import User

if TYPE_CHECKING:
    from store.tree import Tree

pytestmark = pytest.mark.userns

CAPABILITY = "0100000200200000000000000000000000000000"


def everything() -> bytes:
    """A layer with owners, set-ID bits, capabilities, links and deletions."""
    info, content = member("bin/ping", content=b"x", mode=0o755)
    info.pax_headers = {"SCHILY.xattr.security.capability": bytes.fromhex(CAPABILITY).decode()}
    return tar_of(
        member("bin/", tarfile.DIRTYPE), (info, content), member("bin/su", content=b"su", mode=0o4755), member("home/", tarfile.DIRTYPE, uid=1000, gid=1000),
        member("home/f", content=b"1", uid=1000, gid=100, mode=0o640), member("home/l", tarfile.SYMTYPE, link="f", uid=1000, gid=1000),
        member("home/p", tarfile.FIFOTYPE, uid=5, gid=6), member("home/h", tarfile.LNKTYPE, link="home/f"), member("home/.wh.gone"),
        member("tmp/", tarfile.DIRTYPE, mode=0o1777), member("tmp/.wh..wh..opq"))


def expected() -> "dict[str, tuple[object, ...]]":
    """What real root makes of it."""
    with tempfile.TemporaryDirectory() as directory:
        fd = opened(directory)
        apply([everything()], fd)
        os.close(fd)
        return essence(scan(directory))


def _ingested(path: Path) -> "tuple[dict[str, tuple[object, ...]], bytes]":
    """(what became of the layer, the tar that is written of it again)."""
    store = Store(open_root(str(path / "store"), str(path / "run")))
    data = everything()
    layer = ingest(store, [data], Promise(digest_of(data)), ())
    tree = store.snapshots.tree(layer.snapshot)
    out = io.BytesIO()
    write_tar(tree, store.snapshots.directories(layer.snapshot), out.write)
    result = essence(tree), out.getvalue()
    store.close()
    return result


def fresh(user: User, name: str) -> Path:
    user.directory(user.home / "store-tests")
    fd = opened(user.home / "store-tests")
    remove_tree(fd, name)
    os.close(fd)
    return user.directory(user.home / "store-tests" / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="real owners to compare with need root")
@pytest.mark.parametrize("ids", ["many", "one"])
def test_layer_is_the_same_as_roots(request: pytest.FixtureRequest, ids: str) -> None:
    user: User = request.getfixturevalue("unprivileged" if ids == "many" else "unprivileged_single")
    found, tar = as_user(user, _ingested, fresh(user, "layer"))
    assert found == expected()
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert {m.name: (m.uid, m.gid) for m in archive if m.name.startswith("home/") and ".wh." not in m.name} == {
            "home/f": (1000, 100), "home/h": (1000, 100), "home/l": (1000, 1000), "home/p": (5, 6)}


def _life(path: Path) -> list[str]:
    """An image from its making to its end; what is left."""
    store = Store(open_root(str(path / "store"), str(path / "run")))
    image_of(store, {"a": b"1" * 5000, "d/b": b""}, {"a": b"2"}, names=("x:1",))
    for form in ("docker", "oci"):
        out = io.BytesIO()
        save(store, ("x:1",), out.write, form)
        (path / "archive").write_bytes(out.getvalue())
        with Store(open_root(str(path / form), str(path / "run"))) as there:
            loaded, = load(there, "archive", os.open(path / "archive", os.O_RDONLY))
            with there.view(there.images.layers(loaded.id)) as view:
                assert view.read("a", 10) == b"2"
    store.images.remove("x:1")
    store.close()
    store = Store(store.root)
    collect(store, Budget(untagged=True))
    return [*store.snapshots.all(), *store.blobs.all(), *os.listdir(f"{store.root.path}/tmp")]


@pytest.mark.parametrize("ids", ["many", "one"])
def test_image_from_its_making_to_its_end(request: pytest.FixtureRequest, ids: str) -> None:
    user: User = request.getfixturevalue("unprivileged" if ids == "many" else "unprivileged_single")
    assert as_user(user, _life, fresh(user, "life")) == []


def _devices(path: Path) -> "tuple[tuple[str, ...], dict[str, tuple[object, ...]]]":
    root = open_root(str(path / "store"), str(path / "run"))
    (path / "out").mkdir()
    fd = opened(path / "out")
    applied = apply([tar_of(member("dev/null", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3))], fd,
                    Policy(xattr_prefix=root.xattr_prefix, owners=root.owners))
    os.close(fd)
    return applied.skipped, essence(scan(str(path / "out"), owners=root.owners))


def test_device_is_left_out_where_none_can_be_made(unprivileged: User) -> None:
    skipped, tree = as_user(unprivileged, _devices, fresh(unprivileged, "devices"))
    assert (skipped, list(tree)) == (("dev/null",), ["dev"])


def test_device_is_told_by_an_attribute_with_a_single_id(unprivileged_single: User) -> None:
    skipped, tree = as_user(unprivileged_single, _devices, fresh(unprivileged_single, "devices"))
    assert (skipped, tree["dev/null"][0], tree["dev/null"][4]) == ((), 0o020666, os.makedev(1, 3))


def _unmapped(path: Path) -> str:
    root = open_root(str(path / "store"), str(path / "run"))
    (path / "out").mkdir()
    fd = opened(path / "out")
    try:
        apply([tar_of(member("f", uid=3_000_000))], fd, Policy(xattr_prefix=root.xattr_prefix, owners=root.owners))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def test_owner_whom_the_namespace_does_not_have_is_a_plain_error(unprivileged: User) -> None:
    said = as_user(unprivileged, _unmapped, fresh(unprivileged, "unmapped"))
    assert said.startswith("StoreError: the archive has files of 3000000:0") and "subuid" in said


def test_own_changes_the_named_rows_only() -> None:
    tree: "Tree" = {"": [("a", (0o120777, 1, 0, 0, 1, 0, 0, 1, 0), "x", (), b""), ("b", (0o120777, 1, 0, 0, 2, 0, 0, 1, 0), "x", (), b"")]}
    assert [row[1][5:7] for row in own(tree, {"b": (5, 6)})[""]] == [(0, 0), (5, 6)]
    assert own(tree, {}) is tree


def test_layer_of_a_user_with_a_single_id_has_roots_digest(unprivileged_single: User, store: Store) -> None:
    """The same files, made by real root and by somebody who can only be one user, are one content."""
    theirs = as_user(unprivileged_single, _tree_digest, fresh(unprivileged_single, "digest"))
    layer = layer_of(store, _plain)
    assert theirs == layer.tree


def _plain(top: Path) -> None:
    (top / "d").mkdir()
    (top / "d/f").write_bytes(b"content")
    (top / "l").symlink_to("d/f")
    os.utime(top / "d/f", ns=(0, 0))


def _tree_digest(path: Path) -> str:
    store = Store(open_root(str(path / "store"), str(path / "run")))
    layer = layer_of(store, _plain)
    store.close()
    return layer.tree
