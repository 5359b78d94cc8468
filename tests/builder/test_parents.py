import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.context import Context
from builder.copying import Dressing, copy
from builder.errors import CopySourceMissing
from builder.graph import Pick, Selector
from builder.selection import excluder, manifest, take
from builder.target import Target
from store.view import View
from tests.users import needs_root

pytestmark = needs_root


class Tree:
    """A context, and what `COPY --parents [--exclude ..] SOURCES /t/` makes of it."""

    def __init__(self, tmp_path: Path) -> None:
        self.context, self._tmp, self._count = tmp_path / "context", tmp_path, 0
        self.context.mkdir()
        for path in ("a/one.txt", "a/b/two.txt", "a/b/three.md", "c/b/four.txt", "top.txt"):
            self.write(path)

    def write(self, path: str) -> None:
        (self.context / path).parent.mkdir(parents=True, exist_ok=True)
        (self.context / path).write_text(path)

    def _files(self) -> Context:
        self._count += 1
        (index := self._tmp / f"index{self._count}").mkdir()
        return Context(str(self.context), str(index))

    def copy(self, *sources: str, root: str = "", exclude: tuple[str, ...] = ()) -> list[str]:
        self._files_now, selector = self._files(), self._selector(sources, root, exclude)
        draft = self.draft = self._tmp / f"draft{self._count}"
        draft.mkdir()
        target = Target(View([]), str(draft))
        try:
            copy(self._files_now, take(self._files_now, selector), target, "/t/", Dressing(), parents=True, keep=excluder(exclude))
        finally:
            target.close()
            self._files_now.close()
        found = (p for p in (draft / "t").rglob("*") if p.is_symlink() or not p.is_dir() or not any(p.iterdir()))
        return sorted(str(p.relative_to(draft / "t")) for p in found)

    def digest(self, *sources: str, root: str = "", exclude: tuple[str, ...] = ()) -> str:
        files, selector = self._files(), self._selector(sources, root, exclude)
        try:
            return str(manifest(files, take(files, selector), selector).digest)
        finally:
            files.close()

    def _selector(self, sources: tuple[str, ...], root: str, exclude: tuple[str, ...]) -> Selector:
        return Selector(tuple(Pick(root, source) for source in sources), parents=True, excludes=exclude)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    yield Tree(tmp_path)


@pytest.mark.parametrize("pattern, made", [
    ("a/b", ["a/b/three.md", "a/b/two.txt"]),
    ("*/b", ["a/b/three.md", "a/b/two.txt", "c/b/four.txt"]),
    ("*.txt", ["top.txt"]),
    ("**/*.txt", ["a/b/two.txt", "a/one.txt", "c/b/four.txt", "top.txt"]),
    ("a/**", ["a/b/three.md", "a/b/two.txt", "a/one.txt"]),
    ("a/**.md", ["a/b/three.md"]),
    ("**/b/two.txt", ["a/b/two.txt"]),
    ("[ac]/b/*.txt", ["a/b/two.txt", "c/b/four.txt"]),
    (".", ["a/b/three.md", "a/b/two.txt", "a/one.txt", "c/b/four.txt", "top.txt"]),
])
def test_pattern_takes_what_it_matches_with_its_path(tree: Tree, pattern: str, made: list[str]) -> None:
    assert tree.copy(pattern) == made


def test_path_before_the_pivot_is_not_kept(tree: Tree) -> None:
    assert tree.copy("b/*.txt", root="a") == ["b/two.txt"]


def test_path_before_the_pivot_may_be_a_pattern(tree: Tree) -> None:
    assert tree.copy("b", root="*") == ["b/four.txt", "b/three.md", "b/two.txt"]


@pytest.mark.parametrize("pattern", ["a/link", "a/l*", "**/link", "*/link", "a"])
def test_link_is_taken_as_a_link(tree: Tree, pattern: str) -> None:
    os.symlink("b", tree.context / "a/link")
    assert "a/link" in tree.copy(pattern)
    assert os.readlink(tree.draft / "t/a/link") == "b"


@pytest.mark.parametrize("pattern", ["a/dead", "a/d*"])
def test_link_to_nowhere_is_taken_too(tree: Tree, pattern: str) -> None:
    os.symlink("nowhere", tree.context / "a/dead")
    assert tree.copy(pattern) == ["a/dead"]


def test_link_on_the_way_is_followed_where_it_is_named(tree: Tree) -> None:
    os.symlink("a", tree.context / "way")
    assert tree.copy("way/b/two.txt", "way/*.txt") == ["way/b/two.txt", "way/one.txt"]


def test_link_that_a_wildcard_matches_is_not_entered(tree: Tree) -> None:
    os.symlink("a", tree.context / "way")
    assert tree.copy("w*/one.txt") == []


def test_exclude_means_the_path_that_is_kept(tree: Tree) -> None:
    assert tree.copy("a", exclude=("a/b/*.md",)) == ["a/b/two.txt", "a/one.txt"]
    assert tree.copy("a", root="", exclude=("b",)) == ["a/b/three.md", "a/b/two.txt", "a/one.txt"]
    assert tree.copy("b", root="a", exclude=("b/*.md",)) == ["b/two.txt"]


def test_exclude_of_everything_makes_no_directory_on_the_way(tree: Tree) -> None:
    assert tree.copy("a/b/three.md", "c/b", "top.txt", exclude=("a/b/*.md", "c")) == ["top.txt"]
    assert not (tree.draft / "t/a").exists() and not (tree.draft / "t/c").exists()


def test_exclude_may_take_back_what_is_below(tree: Tree) -> None:
    assert tree.copy("a", exclude=("a", "!a/b/two.txt")) == ["a/b/two.txt"]


def test_missing_path_is_an_error_and_a_pattern_without_matches_is_not(tree: Tree) -> None:
    with pytest.raises(CopySourceMissing):
        tree.copy("a/none")
    assert tree.copy("a/none*", "top.txt") == ["top.txt"]


def test_pattern_that_does_not_read_is_an_error(tree: Tree) -> None:
    with pytest.raises(CopySourceMissing, match="x"):
        tree.copy("a/[x")


def test_digest_counts_the_directories_on_the_way_and_their_names(tree: Tree) -> None:
    before = tree.digest("a/b/two.txt"), tree.digest("**/two.txt"), tree.digest("b", root="a")
    (tree.context / "a").chmod(0o700)
    after = tree.digest("a/b/two.txt"), tree.digest("**/two.txt"), tree.digest("b", root="a")
    assert before[0] != after[0] and before[1] != after[1] and before[2] == after[2]


def test_digest_leaves_out_what_is_excluded(tree: Tree) -> None:
    before = tree.digest("a", exclude=("a/b",))
    tree.write("a/b/more")
    assert tree.digest("a", exclude=("a/b",)) == before
    assert tree.digest("a") != tree.digest("a", exclude=("a/b",))


def test_digest_counts_where_a_link_leads_and_not_what_is_there(tree: Tree) -> None:
    os.symlink("b/two.txt", tree.context / "a/link")
    before = tree.digest("a/link")
    (tree.context / "a/b/two.txt").write_text("other")
    assert tree.digest("a/link") == before
    (tree.context / "a/link").unlink()
    os.symlink("one.txt", tree.context / "a/link")
    assert tree.digest("a/link") != before
