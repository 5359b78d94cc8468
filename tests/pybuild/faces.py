"""Both commands on a store of their own that has one image."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.users import ROOT


class Faces:
    """The two commands on a store of their own with the image `box`."""

    def __init__(self, root: Path) -> None:
        self.environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYBUILD_ROOT": str(root)}

    def call(self, face: str, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        program = f"from pybuild.__main__ import {face}; {face}()"
        return subprocess.run([sys.executable, "-c", program, *words], env={**self.environment, **more}, text=True, capture_output=True)

    def pyup(self, *words: str) -> str:
        """What it prints; it has to succeed."""
        done = self.call("pyup", *words)
        assert not done.returncode, done.stderr
        return done.stdout

    def inspect(self, name: str) -> "dict[str, dict[str, object]]":
        found: dict[str, dict[str, object]] = json.loads(self.pyup("container", "inspect", name))[0]
        return found


def facing(directory: Path, rootfs: Path) -> Iterator[Faces]:
    """For a fixture: the image `box` is in it; a container `one` is removed at the end."""
    archive = subprocess.run(["tar", "-C", str(rootfs), "-c", "."], capture_output=True, check=True).stdout
    (directory / "image.tar").write_bytes(archive)
    found = Faces(directory / "root")
    done = found.call("pybuild", "import", str(directory / "image.tar"), "box")
    assert not done.returncode, done.stderr
    yield found
    found.call("pyup", "container", "rm", "-f", "one")
