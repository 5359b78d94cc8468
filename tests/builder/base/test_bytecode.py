"""Byte code that depends on the source alone."""

import importlib.util
import marshal
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from builder.base.bytecode import compiled, compiled_text


def made(path: Path, module: str) -> bytes:
    with open(path, "rb") as file:
        return compiled(file.fileno(), str(path), module)


SOURCE = '''
"""A module."""
NAMES = {"a", "b", "c"}
class C:
    value: float = 1.5 + 2j.imag
    def method(self, x=(1, "two", b"3", None, ...)):
        return lambda: x in {"d", "e", "f"} or 10 ** 50
'''


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "m.py"
    path.write_text(SOURCE)
    return path


def test_the_same_with_and_without_the_machines_own(module: Path) -> None:
    without = made(module, "/lib/m.py")
    py_compile.compile(str(module), doraise=True)
    assert made(module, "/lib/m.py") == without == compiled_text(SOURCE.encode(), "/lib/m.py")


def test_a_stale_file_of_the_machine_is_not_believed(module: Path) -> None:
    expected = made(module, "/lib/m.py")
    other = module.with_name("other.py")
    other.write_text("x = 1\n")
    py_compile.compile(str(other), cfile=importlib.util.cache_from_source(str(module)), doraise=True)
    assert made(module, "/lib/m.py") == expected


@pytest.mark.parametrize("damage", [b"", b"\0" * 16, b"broken code"])
def test_a_broken_file_of_the_machine_is_not_believed(module: Path, damage: bytes) -> None:
    expected = made(module, "/lib/m.py")
    cache = Path(str(py_compile.compile(str(module), doraise=True)))
    cache.write_bytes(cache.read_bytes()[:16] + damage)
    assert made(module, "/lib/m.py") == expected


def test_the_same_in_another_process(module: Path) -> None:
    program = ("import sys; from builder.base.bytecode import compiled; f = open(sys.argv[1]); "
               "sys.stdout.buffer.write(compiled(f.fileno(), sys.argv[1], '/lib/m.py'))")
    outputs = {subprocess.run([sys.executable, "-c", f"{first}; {program}", str(module)], capture_output=True, check=True,
                              env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}).stdout
               for first, seed in (("pass", "0"), ("import json, typing", "1"))}
    assert outputs == {made(module, "/lib/m.py")}


def test_it_says_where_the_module_is_in_the_image(module: Path) -> None:
    code = marshal.loads(made(module, "/lib/m.py")[16:])
    inner = [constant for constant in code.co_consts if hasattr(constant, "co_filename")]
    assert {code.co_filename, *(item.co_filename for item in inner)} == {"/lib/m.py"}


def test_the_interpreter_takes_it_for_a_source_of_mtime_zero(tmp_path: Path, module: Path) -> None:
    os.utime(module, ns=(0, 0))
    cache = Path(importlib.util.cache_from_source(str(module)))
    cache.parent.mkdir()
    cache.write_bytes(made(module, str(module)))
    shown = subprocess.run([sys.executable, "-v", "-c", "import m"], capture_output=True, text=True, check=True, cwd=tmp_path).stderr
    assert f"matches {module}" in shown


@pytest.mark.parametrize("text", [b"def (", b"\xff\xfe", b"x = '\0'"])
def test_what_cannot_be_compiled_is_empty(text: bytes) -> None:
    assert compiled_text(text, "/m.py") == b""
