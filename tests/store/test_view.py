"""The look at a chain without mounting it: links in root, whiteouts, and no way out."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.paths import remove_tree
from store.store import Store
from store.tree import DIRECTORY, REGULAR, SYMLINK
from store.view import NotInView, View
from tests.store.making import layer_of, opened, write_files


@pytest.fixture
def chain(tmp_path: Path) -> Callable[..., View]:
    """chain(bottom, .., top): each fills its directory."""
    def make(*fills: "Callable[[Path], None] | dict[str, bytes]") -> View:
        directories: list[str] = []
        for number, fill in enumerate(fills):
            top = tmp_path / f"layer{number}"
            top.mkdir()
            if callable(fill):
                fill(top)
            else:
                write_files(top, fill)
            directories.insert(0, str(top))
        return View(directories)
    return make


def whiteout(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, 0o020000, 0)


def opaque(path: Path) -> None:
    path.mkdir(parents=True)
    os.setxattr(path, "user.overlay.opaque", b"y")


def test_view_takes_the_topmost(chain: Callable[..., View]) -> None:
    view = chain({"a": b"old", "b": b"below"}, {"a": b"new"})
    assert (view.read("a", 10), view.read("/b", 10)) == (b"new", b"below")


def test_view_knows_where_a_file_is(chain: Callable[..., View], tmp_path: Path) -> None:
    entry = chain({"d/a": b"1"}, {"d/b": b"2"}).lookup("/d/a")
    assert entry is not None
    assert (entry.path, entry.kind, entry.where, entry.host) == ("d/a", REGULAR, str(tmp_path / "layer0"), str(tmp_path / "layer0/d/a"))


def test_view_merges_directories(chain: Callable[..., View]) -> None:
    assert chain({"d/a": b""}, {"d/b": b""}).listdir("d") == ["a", "b"]


def test_view_of_nothing() -> None:
    view = View([])
    assert view.listdir("") == []
    assert view.lookup("a") is None
    root = view.lookup("/")
    assert root is not None and root.kind == DIRECTORY


def test_view_whiteout_hides(chain: Callable[..., View]) -> None:
    view = chain({"d/a": b"", "d/b": b""}, lambda top: whiteout(top / "d/a"))
    assert view.lookup("d/a") is None
    assert view.listdir("d") == ["b"]


def test_view_whiteout_of_a_directory_hides_what_is_in_it(chain: Callable[..., View]) -> None:
    view = chain({"d/a": b""}, lambda top: whiteout(top / "d"), {"d/b": b""})
    assert view.listdir("d") == ["b"]
    assert view.lookup("d/a") is None


def test_view_opaque_directory_hides(chain: Callable[..., View]) -> None:
    view = chain({"d/a": b""}, lambda top: opaque(top / "d"), {"d/b": b""})
    assert view.listdir("d") == ["b"]
    assert view.lookup("d/a") is None


def test_view_file_over_a_directory_and_back(chain: Callable[..., View]) -> None:
    view = chain({"d/a": b""}, {"d": b"file"}, {"d/b": b""})
    assert view.listdir("d") == ["b"]


def test_view_follows_links_in_root(chain: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        write_files(top, {"usr/lib/x": b"found"})
        (top / "lib").symlink_to("usr/lib")
        (top / "abs").symlink_to("/lib/x")
        (top / "up").symlink_to("../../../../lib/x")

    view = chain(fill)
    assert [view.read(path, 10) for path in ("lib/x", "abs", "up", "/../lib/./x", "usr/../lib/x")] == [b"found"] * 5


def test_view_link_does_not_lead_to_the_host(chain: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        (top / "a").symlink_to("/etc/passwd")
        (top / "b").symlink_to("../../../../../../../../etc")

    view = chain(fill)
    assert view.lookup("a") is None
    assert view.lookup("b/passwd") is None
    with pytest.raises(NotInView, match="does not exist"):
        view.read("a", 1000)


def test_view_link_itself(chain: Callable[..., View]) -> None:
    entry = chain(lambda top: (top / "a").symlink_to("somewhere")).lookup("a", follow=False)
    assert entry is not None and (entry.kind, entry.link) == (SYMLINK, "somewhere")


def test_view_link_replaced_by_a_directory_above(chain: Callable[..., View]) -> None:
    def below(top: Path) -> None:
        write_files(top, {"other/x": b"1"})
        (top / "d").symlink_to("other")

    view = chain(below, {"d/y": b"2"})
    assert view.listdir("d") == ["y"]
    assert view.lookup("d/x") is None


def test_view_links_in_a_circle_are_an_error(chain: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        (top / "a").symlink_to("b")
        (top / "b").symlink_to("a")

    with pytest.raises(NotInView, match="too many"):
        chain(fill).lookup("a/x")


def test_view_forty_links_are_one_too_many(chain: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        write_files(top, {"l0": b"end"})
        for number in range(1, 41):
            (top / f"l{number}").symlink_to(f"l{number - 1}")

    view = chain(fill)
    assert view.read("l39", 10) == b"end"
    with pytest.raises(NotInView):
        view.lookup("l40")


def test_view_through_a_file_is_an_error(chain: Callable[..., View]) -> None:
    with pytest.raises(NotInView, match="no directory"):
        chain({"f": b""}).lookup("f/x")


def test_view_resolve_tells_what_is_missing(chain: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        write_files(top, {"usr/x": b""})
        (top / "opt").symlink_to("usr/local/opt")

    assert chain(fill).resolve("/opt/a/b") == ("usr", ("local", "opt", "a", "b"))
    assert View([]).resolve("a/../b/c") == ("", ("b", "c"))


def test_view_read_has_a_limit(chain: Callable[..., View]) -> None:
    view = chain({"f": b"12345"})
    assert view.read("f", 5) == b"12345"
    with pytest.raises(NotInView, match="more than 4"):
        view.read("f", 4)


@pytest.mark.parametrize("make", [lambda p: os.mkfifo(p), lambda p: p.mkdir(), lambda p: os.mknod(p, 0o020666, os.makedev(1, 5))])
def test_view_opens_nothing_but_files(chain: Callable[..., View], make: Callable[[Path], None]) -> None:
    if os.geteuid():
        pytest.skip("making devices needs root")
    with pytest.raises(NotInView, match="no regular file"):
        chain(lambda top: make(top / "x")).open("x")


def test_view_walk_is_relative_and_hashed(chain: Callable[..., View]) -> None:
    view = chain({"d/a": b"1", "d/e/f": b"2", "x": b""}, lambda top: whiteout(top / "d/a"), {"d/g": b"3"})
    tree = view.walk("d")
    assert {rel: [row[0] for row in rows] for rel, rows in tree.items()} == {"": ["e", "g"], "e/": ["f"]}
    assert len(tree["e/"][0][4]) == 32


def test_view_walk_does_not_read_what_is_known(store: Store) -> None:
    layer = layer_of(store, {"a": b"content"})
    with open(f"{store.snapshots.path(layer.snapshot)}/a", "r+b") as file:
        file.write(b"CONTENT")                           # nobody may; so whoever reads the file shows it
    with store.view((layer,)) as view:
        assert view.walk()[""][0][4] == store.snapshots.own_tree(layer.snapshot)[""][0][4]


def test_view_of_a_very_deep_tree(chain: Callable[..., View]) -> None:
    def fill(top: Path) -> None:
        here = os.getcwd()
        os.chdir(top)
        for _ in range(1200):
            os.mkdir("dddd")
            os.chdir("dddd")
        Path("f").write_bytes(b"deep")
        os.chdir(here)

    view = chain(fill)
    path = "dddd/" * 1200 + "f"
    assert view.read(path, 10) == b"deep"
    view.close()
    fd = opened(view.directories[0])
    remove_tree(fd, "dddd")
    os.close(fd)


def test_view_marked_owners(tmp_path: Path) -> None:
    write_files(tmp_path / "l", {"f": b""})
    os.setxattr(tmp_path / "l/f", "user.pybuild.owner", b"7:8")
    entry = View([str(tmp_path / "l")], owners="xattr").lookup("f")
    assert entry is not None and entry.stat[5:7] == (7, 8)
