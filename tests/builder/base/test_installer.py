"""pip out of the wheel that comes with a Python."""

import io
import zipfile
from pathlib import Path

import pytest

from builder.base.host import Host
from builder.base.installer import installer_entries
from builder.base.plan import Text
from tests.builder.base.elves import put

PACKAGES, PROGRAMS = "/usr/local/lib/python3.11/site-packages", "/usr/local/bin"
MEMBERS = {"pip/__main__.py": b"x = 1\n", "pip-23.dist-info/RECORD": b"pip/__main__.py,,\n"}


def wheel(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def installed(root: Path, *directories: str) -> dict[str, Text]:
    return {entry.path: entry for entry in installer_entries(Host(str(root)), directories, PACKAGES, PROGRAMS, "3.11")}


def put_wheel(root: Path, directory: str, data: bytes) -> None:
    put(root, f"{directory}/pip-23-py3-none-any.whl", "", 0o644)
    (root / directory[1:] / "pip-23-py3-none-any.whl").write_bytes(data)


def test_pip_is_installed_with_its_programs(tmp_path: Path) -> None:
    put_wheel(tmp_path, "/wheels", wheel(MEMBERS))
    found = installed(tmp_path, "/gone", "/wheels")
    assert found[f"{PACKAGES}/pip/__main__.py"].data == b"x = 1\n"
    program = found["/usr/local/bin/pip"]
    assert program.mode == 0o755 and program.data.startswith(b"#!/usr/local/bin/python3.11\n")
    assert {"/usr/local/bin/pip3", "/usr/local/bin/pip3.11", f"{PACKAGES}/pip-23.dist-info/INSTALLER"} <= found.keys()


def test_its_record_names_what_was_added(tmp_path: Path) -> None:
    put_wheel(tmp_path, "/wheels", wheel(MEMBERS))
    record = installed(tmp_path, "/wheels")[f"{PACKAGES}/pip-23.dist-info/RECORD"].data.decode().splitlines()
    assert record == ["pip/__main__.py,,", "pip-23.dist-info/INSTALLER,,", *(f"../../../bin/{name},," for name in ("pip", "pip3", "pip3.11"))]


@pytest.mark.parametrize("members", [
    {"../evil": b"", **MEMBERS}, {"/evil": b"", **MEMBERS}, {"pip/../../evil": b"", **MEMBERS}, {"pip/__main__.py": b""}, {"a": b"x"}])
def test_a_wheel_that_is_no_pip_is_passed_over(tmp_path: Path, members: dict[str, bytes]) -> None:
    put_wheel(tmp_path, "/wheels", wheel(members))
    assert installed(tmp_path, "/wheels") == {}


@pytest.mark.parametrize("data", [b"", b"no wheel", wheel(MEMBERS)[:60]])
def test_a_damaged_wheel_is_passed_over(tmp_path: Path, data: bytes) -> None:
    put_wheel(tmp_path, "/wheels", data)
    assert installed(tmp_path, "/wheels") == {}
