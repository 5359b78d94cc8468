"""Every folder of examples/ does what its expect.toml says. A folder without one is an error."""

import tomllib
from pathlib import Path

import pytest

from tests.tool import Tool
from tests.users import ROOT

EXAMPLES = sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir())

pytestmark = pytest.mark.userns


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return Tool(tmp_path_factory.mktemp("examples") / "root")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.name)
def test_example(example: Path, tool: Tool) -> None:
    expected = tomllib.loads((example / "expect.toml").read_text())
    assert (example / "README.md").exists()
    if "build" in expected:
        build(example, tool, expected["build"])
    if "run" in expected:
        run(example, tool, expected["run"])


def build(example: Path, tool: Tool, expected: dict[str, object]) -> None:
    tool.pybuild("-q", "-t", example.name, str(example))
    if expected.get("cached_second_time"):
        again = tool.pybuild("--progress", "plain", "-t", example.name, str(example)).err
        steps = [line for line in again.splitlines() if line.startswith("#") and "] " in line]
        assert steps and again.count(" CACHED") == len(steps), again


def run(example: Path, tool: Tool, expected: dict[str, object]) -> None:
    command = expected.get("command", [])
    assert isinstance(command, list)
    done = tool.run("pyup", "container", "run", "--rm", "--network", "none", example.name, *command)
    assert done.out == expected["stdout"], done
    assert done.status == expected.get("exit", 0), done
