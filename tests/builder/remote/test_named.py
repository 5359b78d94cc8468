"""What the value of a named context means."""

from pathlib import Path

import pytest

from builder.errors import BuildError
from builder.graph import SourceGit, SourceHttp, SourceLocal
from builder.remote.errors import BadNamedContext
from builder.remote.named import NamedImage, NamedStage, absolute, git_source, meaning, split_layout, with_stages
from lang.gitref import GitRef
from lang.parser import parse
from lang.platform import Platform
from lang.source import Source
from lang.stages import resolve

HERE = Platform("linux", "amd64")


@pytest.mark.parametrize(("value", "expected"), [
    ("docker-image://alpine:3", NamedImage("alpine:3")), ("oci-layout:///d:t", NamedImage("oci-layout:///d:t")), ("target:base", NamedStage("base")),
    ("/some/where", SourceLocal("c")), ("/a@b:c", SourceLocal("c")), ("http://h/x.tar?y", SourceHttp("http://h/x.tar?y", "x.tar", unpack=True)),
    ("https://h/r.git#v1:sub", SourceGit("https://h/r.git", "v1", "sub")), ("git@h:r#b", SourceGit("git@h:r", "b")), ("github.com/a/b", SourceGit("https://github.com/a/b")),
    ("ssh://h/r?tag=v1&subdir=a&keep-git-dir=1&submodules=0&mtime=checkout", SourceGit("ssh://h/r", "refs/tags/v1", "a", "", True, False, "checkout"))])
def test_meaning(value: str, expected: object) -> None:
    assert meaning("c", value) == expected


@pytest.mark.parametrize("value", ["ftp://h/x", "ssh://h/r?nonsense=1", "https://h/r.git?ref=a#b", "http://", "ssh://h/r?mtime=never"])
def test_meaning_of_what_cannot_be(value: str) -> None:
    with pytest.raises(BuildError):
        meaning("c", value)


def test_absolute_makes_paths_whole_and_leaves_addresses(tmp_path: Path) -> None:
    (tmp_path / "git@host:dir").mkdir()
    here = str(tmp_path)
    assert absolute("sub/../other", here) == f"{here}/other" and absolute("/x", here) == "/x"
    assert absolute("oci-layout://lay:tag", here) == f"oci-layout://{here}/lay:tag"
    assert absolute("git@host:repo", here) == "git@host:repo" and absolute("git@host:dir", here) == f"{here}/git@host:dir"
    for address in ("docker-image://x", "target:x", "https://h/x", "ssh://h/r?nonsense=1"):
        assert absolute(address, here) == address


@pytest.mark.parametrize(("value", "path", "end"), [
    ("oci-layout:///a/b", "/a/b", ""), ("oci-layout:///a:1/b", "/a:1/b", ""), ("oci-layout:///a/b:t", "/a/b", ":t"),
    ("oci-layout:///a@x/b", "/a@x/b", ""), ("oci-layout:///a/b@sha256:00", "/a/b", "@sha256:00"), ("oci-layout:///a/b:t@sha256:00", "/a/b", "@sha256:00")])
def test_split_layout(value: str, path: str, end: str) -> None:
    assert split_layout(value) == (path, end)


def test_git_source_joins_flags_and_address() -> None:
    assert git_source(GitRef("https://h/r.git", checksum="abc"), checksum="ABCDEF", keep_git_dir=True) == SourceGit("https://h/r.git", checksum="abcdef", keep_git_dir=True)
    with pytest.raises(BuildError, match="keep-git-dir"):
        git_source(GitRef("https://h/r.git", keep_git_dir=False), keep_git_dir=True)


FILE = "FROM one AS a\nFROM ctx AS b\nCOPY --from=more /x /\nFROM two AS c\nCOPY --from=b /x /\nFROM three AS d\n"


def reached(named: dict[str, str], target: str) -> set[int]:
    resolution = resolve(parse(Source("Dockerfile", FILE)), build_args={}, target=target, target_platform=HERE, build_platform=HERE, named=named.__contains__)
    return {stage.number for stage in with_stages(resolution, named).stages if stage.reachable}


def test_stages_behind_named_contexts_are_reachable() -> None:
    assert reached({}, "c") == {1, 2}
    assert reached({"ctx": "target:A"}, "c") == {0, 1, 2}
    assert reached({"ctx": "target:a", "more": "target:d"}, "c") == {0, 1, 2, 3}
    assert reached({"ctx": "target:a"}, "d") == {3}


def test_stage_that_is_not_there_is_an_error_with_the_nearest() -> None:
    with pytest.raises(BadNamedContext, match="no stage has that name"):
        reached({"ctx": "target:nowhere"}, "c")
    assert reached({"ctx": "target:nowhere"}, "d") == {3}
