"""A private machine with an uplink for every test that needs one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.agent.client import Agent
from tests.runner.agent.ground import Ground


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    if os.geteuid():
        pytest.skip("network namespaces with an uplink need root")
    for parent in (tmp_path, *tmp_path.parents):
        if str(parent).startswith("/tmp/pytest"):
            parent.chmod(parent.stat().st_mode | 0o011)
    with Ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def agent(ground: Ground) -> Agent:
    return ground.agent()
