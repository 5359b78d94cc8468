"""`pyup container bundle`: what it writes runs under another runtime."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.users import ROOT

pytestmark = [pytest.mark.userns, pytest.mark.skipif(os.geteuid() != 0, reason="the other runtimes are run as root")]


def call(root: Path, face: str, *words: str) -> "subprocess.CompletedProcess[str]":
    program = f"from pybuild.__main__ import {face}; {face}()"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYBUILD_ROOT": str(root)}
    return subprocess.run([sys.executable, "-c", program, *words], env=environment, text=True, capture_output=True)


@pytest.fixture
def container(tmp_path: Path, rootfs: Path) -> Path:
    """Root of a store with the container `one`."""
    root = tmp_path / "root"
    archive = subprocess.run(["tar", "-C", str(rootfs), "-c", "."], capture_output=True, check=True).stdout
    (tmp_path / "image.tar").write_bytes(archive)
    done = call(root, "pybuild", "import", str(tmp_path / "image.tar"), "box")
    assert not done.returncode, done.stderr
    done = call(root, "pyup", "container", "create", "--name", "one", "--network=none", "-u", "app", "-e", "WORD=hello", "--tmpfs", "/t", "box",
                "sh", "-c", "id -u; echo $WORD; touch /t/x; unshare -n true || echo refused")
    assert not done.returncode, done.stderr
    return root


def test_bundle_runs_under_runc(container: Path, tmp_path: Path) -> None:
    if not shutil.which("runc"):
        pytest.skip("runc is not installed (package runc)")
    done = call(container, "pyup", "container", "bundle", "one", str(tmp_path / "bundle"))
    assert not done.returncode, done.stderr
    ran = subprocess.run(["runc", "--root", str(tmp_path / "state"), "run", "-b", str(tmp_path / "bundle"), f"t{os.getpid()}"],
                         text=True, capture_output=True)
    assert ran.stdout == "1000\nhello\nrefused\n", ran.stderr


def test_bundle_leaves_a_directory_that_is_not_empty(container: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    done = call(container, "pyup", "container", "bundle", "one", str(tmp_path / "full"))
    assert done.returncode == 1 and "is not empty" in done.stderr and done.stderr.count("error:") == 1
    assert os.listdir(tmp_path / "full") == ["file"]
