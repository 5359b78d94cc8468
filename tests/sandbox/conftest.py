"""Sandboxes as root and as an ordinary user."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.release import parse
from sandbox.client import connect
from tests.sandbox.harness import IDLE_S, Box
from tests.users import User


@pytest.fixture(scope="session")
def root_run_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("run")
    path.chmod(0o700)
    yield path
    with connect(str(path), idle_s=IDLE_S) as client:
        client.retire()


@pytest.fixture
def root_box(rootfs: Path, root_run_directory: Path, tmp_path: Path) -> Box:
    if os.geteuid():
        pytest.skip("a sandbox as root needs root")
    return Box(rootfs, root_run_directory, tmp_path, None)


USERS_OVERLAY = (5, 11)      # from which release on an ordinary user's namespace may mount one


@pytest.fixture
def user_box(rootfs: Path, unprivileged: User) -> Iterator[Box]:
    """Sandboxes of an ordinary user with subordinate ids."""
    if parse(os.uname().release) < USERS_OVERLAY:
        pytest.skip("overlays of ordinary users are of Linux 5.11")
    run_directory = unprivileged.directory(unprivileged.runtime / "tests")
    scratch = unprivileged.directory(Path(tempfile.mkdtemp(prefix="scratch-", dir=unprivileged.home)))
    own = scratch / "rootfs"                              # layers of a user are the user's files
    shutil.copytree(rootfs, own, symlinks=True)
    for path in (own, *own.rglob("*")):
        os.lchown(path, unprivileged.uid, unprivileged.gid)
    yield Box(own, run_directory, scratch, unprivileged)
    shutil.rmtree(scratch)


@pytest.fixture(params=["root", "user"])
def box(request: pytest.FixtureRequest) -> Box:
    """Both, one after the other."""
    return request.getfixturevalue(f"{request.param}_box")  # type: ignore[no-any-return]
