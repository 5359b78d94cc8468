"""A registry for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.registry.hub import Hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "root") as made:
        yield made
