"""What an ignore file leaves of a context, seen as COPY sees it."""

import os
from pathlib import Path

import pytest

from builder.context import Context
from builder.ignore import hollow, matches, may_contain, parse
from builder.request import read_ignore


def opened(folder: Path, index: Path, text: str) -> Context:
    patterns = parse(text)
    return Context(str(folder), str(index), lambda path, is_directory: not matches(patterns, path) or (is_directory and may_contain(patterns, path)),
                   "the build context", text.encode(), hollow(patterns))


def listed(context: Context, directory: str = "") -> list[str]:
    found = []
    for row in context.rows(directory):
        path = f"{directory}/{row[0]}".lstrip("/")
        found.append(path)
        node = context.lookup(path)
        assert node is not None
        found += listed(context, path) if node.is_directory else []
    return sorted(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in ("src/x.go", "src/vendor/v.go", "src/vendor/deep/a.cc", "src/other/b.go"):
        (tmp_path / "context" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "context" / path).write_text(path)
    return tmp_path / "context"


@pytest.mark.parametrize(("text", "expected"), [
    ("src\n!**/*.cc\n", ["src", "src/vendor", "src/vendor/deep", "src/vendor/deep/a.cc"]),      # src/other holds nothing of use
    ("src\n!**/*.nothing\n", []),
    ("src\n!src/vendor/*.nothing\n", []),
    ("src\n!src/other/nothing\n", ["src", "src/other"]),                                        # on the way of a name: there all the same
    ("src\n!src/vendor/*\n", ["src", "src/vendor", "src/vendor/deep", "src/vendor/deep/a.cc", "src/vendor/v.go"]),
])
def test_directories_that_are_left_out_show_for_what_is_taken_back(folder: Path, tmp_path: Path, text: str, expected: list[str]) -> None:
    for _ in range(2):                                   # the second time out of the index
        context = opened(folder, tmp_path, text)
        assert listed(context) == expected
        context.close()


def test_a_hollow_directory_shows_once_it_holds_something(folder: Path, tmp_path: Path) -> None:
    for name, expected in (("", []), ("src/other/deeper", ["src", "src/other", "src/other/deeper", "src/other/deeper/c.nothing"])):
        if name:
            os.mkdir(folder / name)
            (folder / name / "c.nothing").write_text("")
        context = opened(folder, tmp_path, "src\n!**/*.nothing\n")
        assert listed(context) == expected
        assert (context.lookup("src") is not None) == bool(expected)
        context.close()


@pytest.mark.parametrize(("there", "read"), [
    (("Dockerfile.dockerignore", "Dockerfile.containerignore", ".dockerignore"), "Dockerfile.dockerignore"),
    (("Dockerfile.containerignore", ".dockerignore"), "Dockerfile.containerignore"), ((".dockerignore", ".containerignore"), ".dockerignore"),
    ((".containerignore",), ".containerignore"), ((), ""),
])
def test_the_dockerfiles_own_ignore_file_comes_first(tmp_path: Path, there: tuple[str, ...], read: str) -> None:
    for name in there:
        (tmp_path / name).write_text(name)
    path, text = read_ignore(str(tmp_path), str(tmp_path / "Dockerfile"))
    assert (path.rpartition("/")[2], text.decode()) == (read, read)
