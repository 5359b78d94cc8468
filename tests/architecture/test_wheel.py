"""What a user installs: the nine rooms and two three-line scripts, nothing that another distribution could overwrite."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.test_imports import ROOMS, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_top_level(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if ".dist-info" not in t and ".data" not in t} == ROOMS
    assert not [n for n in names if "__pycache__" in n]


def test_wheel_scripts_are_three_lines(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    scripts = {n.rsplit("/", 1)[1]: archive.read(n).decode() for n in archive.namelist() if ".data/scripts/" in n}
    assert set(scripts) == {"pybuild", "pyup"}
    assert all(len(text.splitlines()) == 3 for text in scripts.values())


def test_wheel_carries_the_compiled_grammar(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for grammar in (ROOT / "grammar").glob("*.lark"):
        assert f"grammar/{grammar.stem}.table" in names
