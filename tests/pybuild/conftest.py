"""A store with the image `busybox`, and stacks in it, for tests of pyup's commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pybuild.stacking import Stacks, closing, with_busybox
from tests.tool import Tool


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """Commands on a root directory of their own, which has the image `busybox`."""
    return with_busybox(tmp_path_factory.mktemp("stacks") / "r")


@pytest.fixture
def stack(busybox: Tool, tmp_path: Path) -> Iterator[Stacks]:
    """`stack(text)`: a stack in a directory of its own, taken down afterwards."""
    yield from closing(Stacks(busybox, tmp_path))
