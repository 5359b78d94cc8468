import os
from pathlib import Path

import pytest

from kernel.paths import DIRECTORY, make_directories, open_beneath, open_in_root, read_regular, remove_tree


@pytest.fixture
def root(tmp_path: Path) -> int:
    (tmp_path / "root").mkdir()
    return os.open(tmp_path / "root", DIRECTORY)


def test_open_in_root_absolute_symlink_stays_inside(root: int, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host")
    os.symlink(f"{tmp_path}/secret", "link", dir_fd=root)
    with pytest.raises(FileNotFoundError):
        open_in_root(root, "link", os.O_RDONLY)


def test_open_beneath_refuses_symlink_and_dotdot(root: int) -> None:
    os.symlink("/", "out", dir_fd=root)
    with pytest.raises(OSError):
        open_beneath(root, "out/etc")
    with pytest.raises(OSError):
        open_beneath(root, "../x")


def test_make_directories_through_dangling_symlink_stays_inside(root: int, tmp_path: Path) -> None:
    os.symlink("/run", "var", dir_fd=root)
    fd = make_directories(root, "/var/lib/x", 0o750)
    assert os.fstat(fd).st_ino == (tmp_path / "root/run/lib/x").stat().st_ino
    assert (tmp_path / "root/run/lib/x").stat().st_mode & 0o7777 == 0o750
    assert os.readlink(tmp_path / "root/var") == "/run"


def test_make_directories_dotdot_cannot_leave(root: int, tmp_path: Path) -> None:
    os.close(make_directories(root, "../../a/../b"))
    assert sorted(os.listdir(tmp_path / "root")) == ["b"]
    assert sorted(os.listdir(tmp_path)) == ["root"]


def test_make_directories_symlink_loop_is_an_error(root: int) -> None:
    os.symlink("b", "a", dir_fd=root)
    os.symlink("a", "b", dir_fd=root)
    with pytest.raises(OSError):
        make_directories(root, "a/x")


def test_make_directories_file_in_the_way(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/f").write_text("")
    with pytest.raises(NotADirectoryError):
        make_directories(root, "f/x")


def test_read_regular_refuses_fifo_and_large_file(root: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root/passwd")
    with pytest.raises(OSError):
        read_regular(root, "passwd", 10)
    (tmp_path / "root/group").write_bytes(b"x" * 11)
    with pytest.raises(OSError):
        read_regular(root, "group", 10)


def test_remove_tree_deeper_than_path_max_and_read_only(root: int, tmp_path: Path) -> None:
    fd = os.open("root", DIRECTORY, dir_fd=(top := os.open(tmp_path, DIRECTORY)))
    for n in range(3000):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", DIRECTORY, dir_fd=fd)
        if n % 100 == 0:
            os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=below))
            os.fchmod(fd, 0o500)
        os.close(fd)
        fd = below
    os.close(fd)
    remove_tree(top, "root")
    assert os.listdir(top) == []
    remove_tree(top, "root")


def test_remove_tree_does_not_follow_symlinks(root: int, tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep/f").write_text("x")
    os.symlink(tmp_path / "keep", tmp_path / "root/l")
    top = os.open(tmp_path, DIRECTORY)
    remove_tree(top, "root")
    assert (tmp_path / "keep/f").read_text() == "x"
