"""A build context of busybox and a Dockerfile, and the command on it with a root directory of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import BUSYBOX
from tests.users import ROOT


def small_context(directory: Path, dockerfile: str) -> Path:
    """Made new; the same on every machine but for the busybox."""
    if not os.path.exists(BUSYBOX):
        pytest.skip("needs busybox (package busybox-static)")
    directory.mkdir()
    (directory / "busybox").write_bytes(Path(BUSYBOX).read_bytes())
    (directory / "busybox").chmod(0o755)
    os.utime(directory / "busybox", (1000000000, 1000000000))
    (directory / "Dockerfile").write_text(dockerfile)
    return directory


def build(root: Path, context: Path, *words: str, before: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """before: a command that runs pybuild."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SOURCE_DATE_EPOCH": "1000000000", "PYBUILD_ROOT": str(root)}
    return subprocess.run([*before, sys.executable, "-m", "pybuild", *words, str(context)], env=environment, text=True, capture_output=True)
