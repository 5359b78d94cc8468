"""What an ignore file leaves of a context, seen as COPY sees it."""

import os
import subprocess
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


def test_hollow_directories_are_nested_as_deep_as_somebody_likes(tmp_path: Path) -> None:
    top = tmp_path / "context"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(1100):                                # a path of a system call has 4,096 bytes at most
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    (tmp_path / "index").mkdir()
    for text, expected in (("**\n!**/f\n", ["d"]), ("**\n!**/g\n", [])):
        patterns = parse(text)
        context = Context(str(top), str(tmp_path / "index"), lambda path, is_directory, p=patterns: not matches(p, path) or (      # type: ignore[misc]
            is_directory and may_contain(p, path)), patterns=text.encode(), hollow=hollow(patterns))
        assert [row[0] for row in context.rows("")] == expected
        context.close()
    subprocess.run(["rm", "-rf", str(top)], check=True)      # pytest's own removal is by recursion


def test_many_hollow_directories_are_looked_at_once_each(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    for number in range(400):
        (tmp_path / f"context/a/{number}").mkdir(parents=True)
    asked: list[str] = []

    def left_out(path: str) -> bool:
        asked.append(path)
        return True

    context = Context(str(tmp_path / "context"), str(tmp_path / "index"), lambda path, is_directory: is_directory, hollow=left_out)
    assert context.rows("") == []
    assert len(asked) < 5 * 400
    context.close()
