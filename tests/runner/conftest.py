"""Scenes as root and as an ordinary user, each on one root directory for the whole session."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner.scene import Scene, clean, prepare, zygote
from tests.users import User


@pytest.fixture(scope="session")
def root_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    if os.geteuid():
        pytest.skip("containers as root need root")
    scene = Scene(tmp_path_factory.mktemp("engine"), None)
    yield from _staged(scene)


@pytest.fixture(scope="session")
def user_stage(unprivileged: User) -> Iterator[Scene]:
    path = unprivileged.home / "engine"
    shutil.rmtree(path, ignore_errors=True)
    scene = Scene(unprivileged.directory(path), unprivileged)
    yield from _staged(scene)
    shutil.rmtree(path, ignore_errors=True)


def _staged(scene: Scene) -> Iterator[Scene]:
    scene.do(prepare)
    yield scene
    scene.do(clean)
    if scene.user:
        scene.user.call(_retire, str(scene.root))
    else:
        _retire(str(scene.root))


def _retire(root: str) -> None:
    with zygote(root) as client:
        client.retire()


@pytest.fixture
def root_scene(root_stage: Scene) -> Iterator[Scene]:
    yield root_stage
    assert root_stage.do(clean) == []


@pytest.fixture
def user_scene(user_stage: Scene) -> Iterator[Scene]:
    yield user_stage
    assert user_stage.do(clean) == []


@pytest.fixture(params=["root", "user"])
def scene(request: pytest.FixtureRequest) -> Scene:
    """Both, one after the other."""
    return request.getfixturevalue(f"{request.param}_scene")  # type: ignore[no-any-return]


@pytest.fixture
def shared(tmp_path: Path, scene: Scene) -> Path:
    """A directory of the host that the scene's user can write to."""
    if scene.user:
        path = scene.user.directory(scene.user.home / "shared")
        shutil.rmtree(path)
        return scene.user.directory(path)
    return tmp_path
