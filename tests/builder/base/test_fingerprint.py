"""A fingerprint changes when a file does, and only then."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.base.fingerprint import fingerprint


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    (tmp_path / "file").write_text("x")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    return [str(tmp_path / name) for name in ("directory", "file", "link", "missing")]


def replace(path: Path) -> None:
    path.with_suffix(".new").write_text("x")
    os.replace(path.with_suffix(".new"), path)


def turn(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("change", [
    lambda root: (root / "file").write_text("yy"), lambda root: replace(root / "file"), lambda root: (root / "file").chmod(0o600),
    lambda root: (root / "file").unlink(), lambda root: (root / "missing").touch(), lambda root: turn(root / "link"),
    lambda root: (root / "directory/new").touch(), lambda root: os.utime(root / "file", ns=(1, 1))])
def test_a_change_is_seen(paths: list[str], tmp_path: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint(paths)
    change(tmp_path)
    assert fingerprint(paths) != before


def test_the_same_twice(paths: list[str], tmp_path: Path) -> None:
    before = fingerprint(paths)
    (tmp_path / "file").read_text()
    (tmp_path / "unwatched").touch()
    assert fingerprint(paths) == before
