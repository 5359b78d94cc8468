"""A store with a busybox image in it, for root and for an ordinary user; a place for Dockerfiles."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tool import Done, Tool
from tests.users import User


class Builds:
    """Builds of one root directory: `build(dockerfile, files)` writes them into a fresh context and builds it."""

    def __init__(self, tool: Tool, place: Path) -> None:
        self.tool, self.context = tool, place / "context"
        self.context.mkdir()
        self.give(self.context)

    def give(self, path: Path) -> None:
        if self.tool.user is not None:
            subprocess.run(["chown", "-R", f"{self.tool.user.uid}:{self.tool.user.gid}", str(path)], check=True)

    def write(self, **files: str) -> None:
        """Files of the context; `__` in a name is a slash, `_dot_` a dot."""
        for name, text in files.items():
            path = self.context / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.give(self.context)

    def build(self, dockerfile: str, *words: str) -> Done:
        (self.context / "Dockerfile").write_text(dockerfile)
        self.give(self.context)
        return self.tool.run("pybuild", "build", "--progress", "plain", "-t", "it", *words, str(self.context))

    def ok(self, dockerfile: str, *words: str) -> Done:
        return self.build(dockerfile, *words).ok()

    def says(self, command: str, image: str = "it") -> str:
        """What a shell command prints in an image."""
        done = self.ok(f"FROM {image}\nRUN --network=none {command}\n", "--no-cache", "-t", "asked")
        lines = [line.split(" ", 2)[2] for line in done.err.splitlines() if line.startswith("#1 ") and line.split(" ", 2)[1][:1].isdigit()]
        return "\n".join(lines)


def _cached(done: Done) -> list[str]:
    """Labels of the steps that were cached, in order."""
    labels = {line.split(" ", 1)[0]: line.split("] ", 1)[1] for line in done.err.splitlines() if line.startswith("#") and "] " in line and " [" in line[:5]}
    return [labels[line.split(" ", 1)[0]] for line in done.err.splitlines() if line.startswith("#") and line.endswith(" CACHED")]


@pytest.fixture
def cached() -> object:
    return _cached


@pytest.fixture(scope="session")
def root_store() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="pybuild-builds-", dir="/var/tmp"))
    Tool(place / "root").pybuild("base", "busybox", "-t", "busybox")
    yield place / "root"
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def user_store(unprivileged: User) -> Iterator[Path]:
    place = unprivileged.directory(unprivileged.home / f"builds-{os.getpid()}")   # another session may be running
    Tool(place / "root", unprivileged).pybuild("base", "busybox", "-t", "busybox")
    yield place / "root"
    unprivileged.call(_empty, str(place))


def _empty(place: str) -> None:
    import os

    from kernel.paths import DIRECTORY, remove_tree
    from sandbox.userns import create

    create()
    fd = os.open(os.path.dirname(place), DIRECTORY)
    remove_tree(fd, os.path.basename(place))


@pytest.fixture(params=["root", "user"])
def builds(request: pytest.FixtureRequest, tmp_path: Path) -> Builds:
    """As root and as an ordinary user."""
    if request.param == "root":
        return Builds(Tool(request.getfixturevalue("root_store")), tmp_path)
    user: User = request.getfixturevalue("unprivileged")
    store: Path = request.getfixturevalue("user_store")
    return Builds(Tool(store, user), user.directory(Path(tempfile.mkdtemp(prefix="case-", dir=user.home))))


@pytest.fixture
def as_root(root_store: Path, tmp_path: Path) -> Builds:
    return Builds(Tool(root_store), tmp_path)
