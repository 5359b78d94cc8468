"""Commands that need no network, where no network agent can be had."""

from pathlib import Path

import pytest

from tests.tool import Tool

pytestmark = pytest.mark.userns


def test_listing_works_and_says_why_names_and_ports_are_not_back(tmp_path: Path) -> None:
    """A container on a network seems to be left, and the agent that is to look after it cannot start."""
    tool = Tool(tmp_path / "r")
    tool.pyup("container", "ls")
    (tmp_path / "r/run/members").mkdir()
    (tmp_path / "r/run/members" / ("0" * 64)).touch()
    (tmp_path / "r/run/agent.log").mkdir()
    done = tool.run("pyup", "container", "ls").ok()
    assert "CONTAINER" in done.out and done.err.startswith("note: ") and "cannot reach the network agent: is a directory" in done.err and done.err.count("\n") == 1, done
