"""A store, a web server and a git server of their own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.root import open_root
from store.store import Store
from tests.builder.remote.servers import Repository, Web, web


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(open_root(str(tmp_path / "store"), str(tmp_path / "run"))) as opened:
        yield opened


@pytest.fixture
def git_place(tmp_path: Path) -> Path:
    place = tmp_path / "git"
    place.mkdir()
    return place


@pytest.fixture
def site(git_place: Path) -> Iterator[Web]:
    with web(git_place) as server:
        yield server


@pytest.fixture
def repository(git_place: Path) -> Repository:
    """`repo.git`: two commits on main, the tags `v1` (annotated) and `light` on the first, the branch `topic/x` on the first."""
    made = Repository(git_place, "repo")
    made.commit({"a": "one\n", "bin/tool*": "#!/bin/sh\n", "docs/guide": "text\n"})
    (made.work / "docs/link").symlink_to("../a")
    made.commit({})
    made.git("tag", "-a", "v1", "-m", "first")
    made.git("tag", "light")
    made.git("branch", "topic/x")
    made.commit({"a": "two\n"}, moment=1_600_000_000)
    return made
