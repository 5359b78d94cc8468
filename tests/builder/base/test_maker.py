"""What is written: modes, times, owners, contents; and what is refused."""

import os
import stat
from pathlib import Path

import pytest

from builder.base.errors import NotReadable, NotUsable, NotWritten
from builder.base.host import Host
from builder.base.maker import write_tree
from builder.base.plan import Bytecode, Directory, Entry, File, Link, Plan, Planner, Text
from tests.builder.base.elves import put


def written(tmp_path: Path, *entries: Entry) -> Path:
    planner = Planner()
    planner.add(*entries)
    tree = tmp_path / "tree"
    tree.mkdir()
    write_tree(planner.done(), Host(str(tmp_path / "host")), str(tree))
    return tree


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize(("there", "here"), [(0o4755, 0o755), (0o2711, 0o755), (0o600, 0o644), (0o666, 0o644), (0o640, 0o644), (0o1755, 0o755)])
def test_modes_are_normal(tmp_path: Path, there: int, here: int) -> None:
    put(tmp_path / "host", "/bin/x", "x", there)
    assert mode(written(tmp_path, File("/usr/bin/x", "/bin/x")) / "usr/bin/x") == here


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    put(tmp_path / "host", "/bin/x", "x")
    before = os.umask(0o077)
    try:
        tree = written(tmp_path, File("/a/x", "/bin/x"), Directory("/tmp", 0o1777), Text("/etc/shadow", b"", 0o640))
    finally:
        os.umask(before)
    assert [mode(tree / name) for name in ("", "a", "a/x", "tmp", "etc/shadow")] == [0o755, 0o755, 0o755, 0o1777, 0o640]


def test_all_times_are_zero(tmp_path: Path) -> None:
    put(tmp_path / "host", "/bin/x", "x")
    tree = written(tmp_path, File("/a/x", "/bin/x"), Link("/a/l", "x"), Text("/t", b"text"), Directory("/d"))
    assert {path.lstat().st_mtime_ns for path in (tree, *tree.rglob("*"))} == {0}


def test_contents(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    put(tmp_path / "host", "/bin/x", data)
    put(tmp_path / "host", "/bin/empty", b"")
    tree = written(tmp_path, File("/x", "/bin/x"), File("/empty", "/bin/empty"), Link("/l", "x"), Text("/t", b"text"))
    assert ((tree / "x").read_bytes(), (tree / "empty").read_bytes(), os.readlink(tree / "l"), (tree / "t").read_bytes()) == (data, b"", "x", b"text")


def test_extended_attributes_stay_behind(tmp_path: Path) -> None:
    put(tmp_path / "host", "/bin/x", "x")
    try:
        os.setxattr(tmp_path / "host/bin/x", "user.test", b"1")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    assert os.listxattr(written(tmp_path, File("/x", "/bin/x")) / "x") == []


def test_what_became_a_link_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "host", "/etc/secret", "s")
    (tmp_path / "host/x").symlink_to("etc/secret")
    with pytest.raises(NotUsable, match="`/x` has changed while the image was made"):
        written(tmp_path, File("/x", "/x"))


def test_what_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotUsable, match="`/gone` has changed while the image was made"):
        written(tmp_path, File("/x", "/gone"))


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(NotWritten, match="`/x` of the base image cannot be written: file exists"):
        write_tree(Plan((Text("/x", b""),)), Host(), str(tmp_path))


def test_what_became_a_fifo_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    os.mkfifo(tmp_path / "host/x")
    with pytest.raises(NotUsable, match="no regular file any more"):
        written(tmp_path, File("/x", "/x"))


def test_bytecode_is_written_beside_its_source(tmp_path: Path) -> None:
    put(tmp_path / "host", "/m.py", "x = 1\n", 0o644)
    tree = written(tmp_path, File("/lib/m.py", "/m.py"), Bytecode("/lib/__pycache__/m.pyc", "/m.py", "/lib/m.py"))
    assert (tree / "lib/__pycache__/m.pyc").read_bytes()[8:16] == bytes(4) + (6).to_bytes(4, "little")


def test_what_cannot_be_compiled_has_no_bytecode(tmp_path: Path) -> None:
    put(tmp_path / "host", "/m.py", "def (", 0o644)
    tree = written(tmp_path, File("/lib/m.py", "/m.py"), Bytecode("/lib/__pycache__/m.pyc", "/m.py", "/lib/m.py"))
    assert list((tree / "lib/__pycache__").iterdir()) == []


def test_all_unreadable_files_are_named(as_nobody: Path) -> None:
    for name in ("a", "b"):
        put(as_nobody / "host", f"/{name}", "x", 0)
    with pytest.raises(NotReadable, match="`/a`, `/b` may not be read by this user"):
        written(as_nobody, File("/a", "/a"), File("/b", "/b"))


def test_not_readable_names_some_of_many() -> None:
    assert str(NotReadable(tuple("abcdefg"))) == "`a`, `b`, `c`, `d`, `e` and 2 more may not be read by this user"


def test_an_empty_plan(tmp_path: Path) -> None:
    assert write_tree(Plan(()), Host(), str(tmp_path)) == 0
