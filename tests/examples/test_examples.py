"""Every folder of examples/ does what its expect.toml says, as root; as an ordinary user too where it says so. A folder without one is an error."""

import shutil
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.examples.steps import playing
from tests.tool import Tool
from tests.users import ROOT, User

EXAMPLES = sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir())
NOT_THEIRS = shutil.ignore_patterns("__pycache__")

pytestmark = pytest.mark.userns


def expected(example: Path) -> dict[str, Any]:
    found = tomllib.loads((example / "expect.toml").read_text())
    assert not set(found) - {"user", "env", "build", "run", "step"}, found
    return found


FOR_USERS = [example for example in EXAMPLES if expected(example).get("user")]


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return Tool(tmp_path_factory.mktemp("examples") / "root")


@pytest.fixture(scope="module")
def of_user(unprivileged: User) -> Iterator[Tool]:
    directory = unprivileged.directory(unprivileged.home / "examples")
    yield Tool(directory / "root", unprivileged)
    unprivileged.run(["rm", "-rf", str(directory)])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_example(example: Path, tool: Tool, tmp_path: Path) -> None:
    play(example, tool, Path(shutil.copytree(example, tmp_path / example.name, ignore=NOT_THEIRS)))


@pytest.mark.parametrize("example", FOR_USERS, ids=lambda p: p.name)
def test_example_as_an_ordinary_user(example: Path, of_user: Tool) -> None:
    directory = of_user.root.parent / example.name
    shutil.copytree(example, directory, ignore=NOT_THEIRS)
    assert of_user.user
    for path in (directory, *directory.rglob("*")):
        shutil.chown(path, of_user.user.name)
    play(example, of_user, directory)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_readme_names_only_commands_that_there_are(example: Path) -> None:
    from pybuild.command import TABLES, find

    lines = [line.split() for line in (example / "README.md").read_text().splitlines() if line.startswith("    ")]
    assert lines
    for words in lines:
        words = words[next(at for at, word in enumerate(words) if "=" not in word):]
        if words[0] == "pyup":
            while words[1].startswith("-"):
                del words[1:3]
            assert find(TABLES["pyup"], words[1:])[0], words


def test_there_are_enough_for_users() -> None:
    assert len(FOR_USERS) >= 2


def play(example: Path, tool: Tool, directory: Path) -> None:
    wanted = expected(example)
    if "build" in wanted:
        build(directory, tool, wanted["build"])
    if "run" in wanted:
        run(directory, tool, wanted["run"])
    if steps := wanted.get("step"):
        with playing(tool, directory, {"PORT": str(free_port()), **wanted.get("env", {})}) as stack:
            for step in steps:
                stack.step(step)


def free_port() -> int:
    """One that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def build(example: Path, tool: Tool, wanted: dict[str, Any]) -> None:
    tool.pybuild("-q", "-t", example.name, str(example))
    if wanted.get("cached_second_time"):
        again = tool.pybuild("--progress", "plain", "-t", example.name, str(example)).err
        steps = [line for line in again.splitlines() if line.startswith("#") and "] " in line]
        assert steps and again.count(" CACHED") == len(steps), again


def run(example: Path, tool: Tool, wanted: dict[str, Any]) -> None:
    done = tool.run("pyup", "container", "run", "--rm", "--network", "none", example.name, *wanted.get("command", []))
    assert done.out == wanted["stdout"], done
    assert done.status == wanted.get("exit", 0), done
