"""Trees and their digest: what counts, what does not, for ever."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.paths import remove_tree
from store.digest import digest_of
from store.tree import OPAQUE, OWNER, clamp, digest, is_carried, is_whiteout, scan, size_of, sorted_names, stack
from tests.store.making import essence, opened, write_files

if TYPE_CHECKING:
    from store.tree import Row, Stat, Tree

FILE: "Stat" = (0o100644, 3, 1_000, 2_000, 77, 0, 0, 1, 0)


def one(**changed: object) -> "Tree":
    """A tree of one file, some of it changed."""
    names = ("mode", "size", "mtime", "ctime", "inode", "uid", "gid", "links", "device")
    stat = tuple(changed.get(name, value) for name, value in zip(names, FILE))
    row = (changed.get("name", "f"), stat, changed.get("link", ""), changed.get("xattrs", ()), changed.get("content", b"\1" * 32))
    return {str(changed.get("directory", "")): [row]}  # type: ignore[list-item]


@pytest.mark.parametrize("changed", [
    {"mode": 0o100645}, {"mode": 0o104644}, {"size": 4}, {"uid": 1}, {"gid": 1}, {"content": b"\2" * 32}, {"name": "g"}, {"directory": "d/"},
    {"xattrs": (("user.a", b""),)}, {"xattrs": (OPAQUE,)}, {"mode": 0o120777, "link": "x", "content": b""}, {"mode": 0o010644, "content": b""},
    {"mode": 0o020644, "device": os.makedev(1, 3), "content": b""}, {"mode": 0o060644, "device": os.makedev(1, 3), "content": b""},
    {"mode": 0o020000, "device": 0, "content": b""}, {"mode": 0o040755, "content": b""}])
def test_digest_sees(changed: dict[str, object]) -> None:
    assert digest(one(**changed)) != digest(one())


@pytest.mark.parametrize("changed", [{"mtime": 5}, {"ctime": 5}, {"inode": 5}, {"links": 2}])
def test_digest_does_not_see(changed: dict[str, object]) -> None:
    assert digest(one(**changed)) == digest(one())


def test_digest_sees_who_shares_an_inode() -> None:
    def two(first: int, second: int) -> "Tree":
        return {"": [("a", (*FILE[:4], first, 0, 0, 2, 0), "", (), b""), ("b", (*FILE[:4], second, 0, 0, 2, 0), "", (), b"")]}

    assert digest(two(1, 1)) == digest(two(9, 9))
    assert digest(two(1, 1)) != digest(two(1, 2))


def test_digest_does_not_run_names_and_values_together() -> None:
    assert digest(one(xattrs=(("user.a", b"bc"),))) != digest(one(xattrs=(("user.ab", b"c"),)))
    assert digest({"": [("a", FILE, "", (), b"")], "b/": []}) == digest({"": [("a", FILE, "", (), b"")]})


def test_digest_is_the_same_for_ever() -> None:
    attributes = (("security.capability", b"\1\2"), ("user.x", b""))
    file: "Stat" = (0o104755, 3, 9, 9, 3, 1000, 5, 2, 0)
    tree: "Tree" = {
        "": [("dir", (0o040755, 9, 9, 9, 1, 0, 0, 2, 0), "", (OPAQUE,), b""), ("gone", (0o020000, 0, 0, 0, 2, 0, 0, 1, 0), "", (), b""),
             ("ü", file, "", attributes, b"\7" * 32)],
        "dir/": [("link", (0o120777, 4, 9, 9, 4, 0, 0, 1, 0), "../ü", (), b""),
                 ("null", (0o020666, 0, 9, 9, 5, 0, 0, 1, os.makedev(1, 3)), "", (), b""), ("same", file, "", attributes, b"\7" * 32)]}

    def text(data: bytes) -> bytes:
        return len(data).to_bytes(4, "little") + data

    def numbers(kind: bytes, mode: int = 0, uid: int = 0, gid: int = 0, size: int = 0, major: int = 0, minor: int = 0) -> bytes:
        return kind + b"".join(n.to_bytes(width, "little") for n, width in ((mode, 4), (uid, 4), (gid, 4), (size, 8), (major, 4), (minor, 4)))

    none, zero = text(b""), bytes(4)
    two = (2).to_bytes(4, "little") + text(b"security.capability") + text(b"\1\2") + text(b"user.x") + text(b"")
    expected = digest_of(
        b"pybuild tree 1\n"
        + text(b"dir") + numbers(b"d", 0o755) + none + none + (1).to_bytes(4, "little") + text(b"overlay.opaque") + text(b"y")
        + text(b"gone") + numbers(b"w")
        + text("ü".encode()) + numbers(b"f", 0o4755, 1000, 5, 3) + none + none + two + b"\7" * 32
        + text(b"dir/link") + numbers(b"l", 0o777) + text("../ü".encode()) + none + zero
        + text(b"dir/null") + numbers(b"c", 0o666, major=1, minor=3) + none + none + zero
        + text(b"dir/same") + numbers(b"f", 0o4755, 1000, 5, 3) + none + text("ü".encode()) + two + b"\7" * 32)
    assert digest(tree) == expected == "sha256:8674cf3bdb2511d98683127b106cf2f2045bb61263a2e7aa4d9d4f449b61a3a2"


def test_scan_order_of_names_is_that_of_their_bytes(tmp_path: Path) -> None:
    for name in (b"b", b"a", b"\xff", "\ue000".encode(), "ü".encode()):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(b"")
    assert [os.fsencode(row[0]) for row in scan(str(tmp_path))[""]] == sorted([b"b", b"a", b"\xff", "\ue000".encode(), "ü".encode()])


@given(st.lists(st.text(min_size=1, max_size=4).map(lambda t: t.encode("utf-8", "surrogatepass")), unique=True))
def test_sorted_names_law_as_bytes(names: list[bytes]) -> None:
    assert [os.fsencode(n) for n in sorted_names([os.fsdecode(n) for n in names])] == sorted(names)


def test_scan_twice_is_the_same(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"1", "d/b": b"22", "d/e/c": b""})
    assert scan(str(tmp_path)) == scan(str(tmp_path))


def test_scan_leaves_sockets_out(tmp_path: Path) -> None:
    os.mknod(tmp_path / "s", 0o140600)
    assert scan(str(tmp_path)) == {"": []}


def test_scan_of_a_fifo_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    assert [row[0] for row in scan(str(tmp_path))[""]] == ["f"]


def test_scan_of_a_very_deep_tree(tmp_path: Path) -> None:
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        Path("file").write_bytes(b"deep")
    finally:
        os.chdir(here)
    tree = scan(str(tmp_path))
    assert [row[0] for row in tree["d/" * 1500]] == ["file"]
    fd = opened(tmp_path)
    remove_tree(fd, "d")                                 # pytest's own removal would not get to the end
    os.close(fd)


def test_scan_of_many_directories_side_by_side(tmp_path: Path) -> None:
    for number in range(1200):
        (tmp_path / f"d{number}").mkdir()
    assert len(scan(str(tmp_path))) == 1201


def test_scan_takes_both_flavours_of_opaque(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("trusted attributes need root")
    for flavour in ("trusted", "user"):
        (tmp_path / flavour).mkdir()
        os.setxattr(tmp_path / flavour, f"{flavour}.overlay.opaque", b"y")
    assert [row[3] for row in scan(str(tmp_path))[""]] == [(OPAQUE,), (OPAQUE,)]


def test_scan_carries_no_attribute_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    os.setxattr(tmp_path / "f", "user.mine", b"1")
    os.setxattr(tmp_path / "f", "user.overlay.redirect", b"/etc")
    os.setxattr(tmp_path / "f", OWNER, b"5:6")
    row = scan(str(tmp_path))[""][0]
    assert (row[3], row[1][5:7]) == ((("user.mine", b"1"),), (os.geteuid(), os.getegid()))


@pytest.mark.parametrize(("name", "carried"), [
    ("user.x", True), ("security.capability", True), ("security.selinux", False), ("trusted.overlay.redirect", False), ("user.overlay.opaque", False),
    ("user.pybuild.owner", False), ("system.posix_acl_access", False), ("trusted.x", False)])
def test_attributes_that_are_carried(name: str, carried: bool) -> None:
    assert is_carried(name) is carried


def test_scan_with_marked_owners(tmp_path: Path) -> None:
    for name, mark in (("f", b"1000:5"), ("null", b"0:0:c:1:3"), ("bad", b"nonsense")):
        (tmp_path / name).write_bytes(b"")
        os.setxattr(tmp_path / name, OWNER, mark)
    rows = {row[0]: row[1] for row in scan(str(tmp_path), owners="xattr")[""]}
    assert rows["f"][5:7] == (1000, 5)
    assert (rows["null"][0] & 0o170000, rows["null"][8]) == (0o020000, os.makedev(1, 3))
    assert rows["bad"][5:7] == (os.geteuid(), os.getegid())


def test_capability_bound_to_a_namespace_is_carried_unbound(tmp_path: Path) -> None:
    from store.tree import _without_root_id

    version3 = bytes.fromhex("0100000300200000000000000000000000000000") + (1000).to_bytes(4, "little")
    assert _without_root_id(version3) == bytes.fromhex("0100000200200000000000000000000000000000")
    assert _without_root_id(b"\1\0\0\2" + bytes(16)) == b"\1\0\0\2" + bytes(16)


def test_size_counts_an_inode_once(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"12345", "d/b": b"123"})
    os.link(tmp_path / "a", tmp_path / "d/c")
    assert size_of(scan(str(tmp_path))) == 8


def test_clamp_changes_only_what_is_younger() -> None:
    tree = one(mtime=10_000_000_000)
    assert clamp(tree, 10) == tree
    assert clamp(tree, 9)[""][0][1][2] == 9_000_000_000


def row(name: str, kind: int, **changed: object) -> "Row":
    stat = (kind, 0, 0, 0, hash(name) & 0xFFFF, 0, 0, 1, changed.get("device", 0))
    return name, stat, "", changed.get("xattrs", ()), changed.get("content", b"")  # type: ignore[return-value]


DIR, REG, GONE = 0o040755, 0o100644, 0o020000


def test_stack_lets_the_upper_part_win() -> None:
    merged = stack({"": [row("a", REG, content=b"new")]}, {"": [row("a", REG, content=b"old"), row("b", REG)]})
    assert [(r[0], r[4]) for r in merged[""]] == [("a", b"new"), ("b", b"")]


def test_stack_takes_away_what_the_upper_part_deletes_of_the_lower() -> None:
    merged = stack({"": [row("a", GONE), row("other", GONE)]}, {"": [row("a", DIR)], "a/": [row("x", REG)]})
    assert merged == {"": [row("other", GONE)]}
    assert is_whiteout(merged[""][0][1])


def test_stack_of_an_opaque_directory_hides_the_lower_part() -> None:
    merged = stack({"": [row("d", DIR, xattrs=(OPAQUE,))], "d/": [row("n", REG)]}, {"": [row("d", DIR)], "d/": [row("o", REG)]})
    assert [r[0] for r in merged["d/"]] == ["n"]


def test_stack_keeps_a_lower_part_opaque() -> None:
    merged = stack({"": [row("d", DIR)], "d/": [row("n", REG)]}, {"": [row("d", DIR, xattrs=(OPAQUE,))], "d/": [row("o", REG)]})
    assert [r[0] for r in merged["d/"]] == ["n", "o"]
    assert merged[""][0][3] == (OPAQUE,)


def test_stack_of_a_directory_over_a_file() -> None:
    merged = stack({"": [row("d", DIR)], "d/": [row("n", REG)]}, {"": [row("d", REG)]})
    assert essence(merged) == essence({"": [row("d", DIR)], "d/": [row("n", REG)]})
