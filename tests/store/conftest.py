"""A store of its own for each test, and small things to put into it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.root import open_root
from store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(open_root(str(tmp_path / "store"), str(tmp_path / "run"))) as opened:
        yield opened
