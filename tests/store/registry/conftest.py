"""A fake registry, sessions that never wait, and a second store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.config import Config
from store.registry.credential import Credential
from store.registry.patience import Patience
from store.registry.session import Session
from store.root import open_root
from store.store import Store
from tests.store.registry.fake import FakeRegistry

Sessions = Callable[..., Session]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    """Seconds that were waited, one number for each wait."""
    return []


@pytest.fixture
def sessions(tmp_path: Path, waits: list[float]) -> Iterator[Sessions]:
    """Makes sessions that wait by writing down how long; their home is empty."""
    made: list[Session] = []

    def make(config: "Config | None" = None, *, credential: "Credential | None" = None, environment: "dict[str, str] | None" = None,
             directories: tuple[str, ...] = (), attempts: int = 4) -> Session:
        environment = {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "home"), **(environment or {})}
        session = Session(config or Config(), environment, patience=Patience(attempts=attempts, connect=5, idle=5), credential=credential,
                          directories=directories, sleep=waits.append)
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(sessions: Sessions) -> Session:
    return sessions()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    """A second store."""
    with Store(open_root(str(tmp_path / "other"), str(tmp_path / "other-run"))) as opened:
        yield opened
