"""The commands as a user runs them: a process of their own, a root directory of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.users import ROOT, User


class Done:
    """How a command ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    def ok(self) -> "Done":
        """Itself, or the test fails with all that was printed."""
        if self.status:
            pytest.fail(repr(self))
        return self

    def __repr__(self) -> str:
        return f"status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Tool:
    """Runs pybuild and pyup with `--root`; as `user`, if one is given."""

    def __init__(self, root: Path, user: User | None = None, env: dict[str, str] | None = None) -> None:
        self.root, self.user = root, user
        self.env = {"PATH": os.environ["PATH"], "HOME": str(root.parent), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}

    def argv(self, program: str, *words: str) -> list[str]:
        return [sys.executable, "-P", "-c", f"from pybuild.__main__ import {program}; {program}()", "--root", str(self.root), *words]

    def run(self, program: str, *words: str, stdin: bytes = b"", cwd: Path | None = None, env: dict[str, str] | None = None) -> Done:
        argv = self.argv(program, *words)
        if self.user is not None:
            done = self.user.run(argv, input=stdin.decode(), cwd=cwd or self.user.home, env=env or {}, errors="replace")
        else:
            done = subprocess.run(argv, input=stdin.decode(), capture_output=True, cwd=cwd, env={**self.env, **(env or {})}, text=True, errors="replace")
        return Done(done.returncode, done.stdout, done.stderr)

    def pybuild(self, *words: str, **how: object) -> Done:
        """Succeeds, or the test fails with what was printed."""
        done = self.run("pybuild", *words, **how)      # type: ignore[arg-type]  # as `run` takes them
        return done.ok()

    def pyup(self, *words: str, **how: object) -> Done:
        done = self.run("pyup", *words, **how)         # type: ignore[arg-type]
        return done.ok()
