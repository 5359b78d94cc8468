"""The store's directory: made once, recognised, refused with the reason."""

import os
from pathlib import Path

import pytest

from store.errors import StoreTooNew, StoreUnusable
from store.root import FORMAT, filesystem_of, open_root
from tests.store.isolated import as_root, as_user
from tests.users import User


def open_in(path: Path) -> tuple[str, ...]:
    root = open_root(str(path / "store"), str(path / "run"))
    return root.path, root.flavour, root.owners


def test_root_is_made_private(tmp_path: Path) -> None:
    os.umask(0o022)
    open_in(tmp_path)
    assert [os.stat(tmp_path / name).st_mode & 0o7777 for name in ("store", "store/blobs", "store/snapshots", "run")] == [0o700] * 4


def test_root_opened_again_is_the_same(tmp_path: Path) -> None:
    assert open_in(tmp_path) == open_in(tmp_path)


def test_root_of_real_root_uses_trusted_attributes(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    assert open_in(tmp_path)[1:] == ("trusted", "real")


@pytest.mark.userns
def test_root_in_a_user_namespace_uses_user_attributes(unprivileged: User) -> None:
    path = unprivileged.directory(unprivileged.home / "store-root-test")
    assert as_user(unprivileged, open_in, path)[1:] == ("user", "real")


@pytest.mark.userns
def test_root_of_a_single_id_keeps_owners_in_attributes(unprivileged_single: User) -> None:
    path = unprivileged_single.directory(unprivileged_single.home / "store-root-test")
    assert as_user(unprivileged_single, open_in, path)[1:] == ("user", "xattr")


def test_root_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    open_in(tmp_path)
    (tmp_path / "store/format").write_text(f"{FORMAT + 1} something else\n")
    with pytest.raises(StoreTooNew) as caught:
        open_in(tmp_path)
    assert (caught.value.version, "newer" in caught.value.help) == (FORMAT + 1, True)


def test_root_of_an_older_format_is_migrated_step_by_step(tmp_path: Path) -> None:
    open_in(tmp_path)
    line = (tmp_path / "store/format").read_text()
    (tmp_path / "store/format").write_text(line.replace("1 ", "0 ", 1))
    done: list[str] = []
    open_root(str(tmp_path / "store"), str(tmp_path / "run"), {0: done.append})
    assert done == [str(tmp_path / "store")]
    assert (tmp_path / "store/format").read_text() == line


def test_root_of_an_older_format_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    open_in(tmp_path)
    (tmp_path / "store/format").write_text("0 trusted real ext4\n")
    with pytest.raises(StoreUnusable, match="cannot bring up"):
        open_in(tmp_path)


@pytest.mark.parametrize("damaged", ["", "x\n", "1\n", "1 trusted\n"])
def test_root_with_a_damaged_format_is_refused(tmp_path: Path, damaged: str) -> None:
    open_in(tmp_path)
    (tmp_path / "store/format").write_text(damaged)
    with pytest.raises(StoreUnusable, match="damaged"):
        open_in(tmp_path)


def test_root_half_made_is_finished(tmp_path: Path) -> None:
    (tmp_path / "store/tmp/probe").mkdir(parents=True)
    (tmp_path / "store/format.new").write_text("")
    open_in(tmp_path)
    assert (tmp_path / "store/format").exists()


def test_root_that_is_somebodys_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/thesis.txt").write_text("precious")
    with pytest.raises(StoreUnusable, match=r"thesis\.txt"):
        open_in(tmp_path)
    assert os.listdir(tmp_path / "store") == ["thesis.txt"]


def test_root_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("giving a directory away needs root")
    open_in(tmp_path)
    os.chown(tmp_path / "store", 4711, 4711)
    with pytest.raises(StoreUnusable, match="uid 4711"):
        open_in(tmp_path)


def test_root_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        open_root(str(tmp_path / "file/store"), str(tmp_path / "run"))


@pytest.mark.parametrize("trap", ["symlink", "file"])
def test_run_directory_that_is_a_trap_is_refused(tmp_path: Path, trap: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    if trap == "symlink":
        (tmp_path / "run").symlink_to("elsewhere")
    else:
        (tmp_path / "run").write_text("")
    with pytest.raises(StoreUnusable, match="not a directory of ours"):
        open_in(tmp_path)


def test_run_directory_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    open_in(tmp_path)
    assert os.stat(tmp_path / "run").st_mode & 0o7777 == 0o700


def test_default_acl_of_the_parent_does_not_reach_images(tmp_path: Path) -> None:
    entries = b"\x02\0\0\0" + b"".join(tag + b"\x07\0\xff\xff\xff\xff" for tag in (b"\x01\0", b"\x04\0", b"\x20\0"))
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", entries)
    except OSError:
        pytest.skip("this file system has no ACLs")
    open_in(tmp_path)
    assert "system.posix_acl_default" not in os.listxattr(tmp_path / "store")
    assert "system.posix_acl_default" not in os.listxattr(tmp_path / "store/snapshots")


def test_file_system_is_told_by_its_mount() -> None:
    assert (filesystem_of("/proc/self"), filesystem_of("/dev/shm")) == ("proc", "tmpfs")


@pytest.mark.userns
def test_root_on_an_overlay_knows_that_nothing_can_be_stacked(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("mounting an overlay here needs root")
    assert as_root(_stackable, tmp_path) == (False, "overlay")


def _stackable(tmp_path: Path) -> tuple[bool, str]:
    from tests.store.isolated import mount_overlay

    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    mount_overlay(str(tmp_path / "merged"), (str(tmp_path / "lower"),), str(tmp_path / "upper"), str(tmp_path / "work"), userxattr=False)
    root = open_root(str(tmp_path / "merged/store"), str(tmp_path / "run"))
    return root.stackable, root.filesystem
