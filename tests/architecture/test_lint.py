"""ruff and mypy are tests: `pytest` is the one command."""

import subprocess
import sys

from tests.architecture.test_imports import ROOT


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff() -> None:
    run("ruff", "check", ".")


def test_mypy_strict() -> None:
    run("mypy")
