"""What is read of ELF files: those of this machine, made ones of every kind, and hostile ones."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.base.elf import Elf, Kind, read_elf
from builder.base.errors import ElfFault
from tests.builder.base.elves import AARCH64, I386, X86_64, elf


def read(data: bytes) -> Elf | None:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return read_elf(file.fileno(), "x")


@pytest.mark.parametrize(("bits", "little", "machine"), [(64, True, X86_64), (64, True, AARCH64), (32, True, I386), (32, False, 20), (64, False, 22)])
def test_read_elf_of_every_class_and_byte_order(bits: int, little: bool, machine: int) -> None:
    data = elf(("libc.so.6", "libm.so.6"), interpreter="/lib/ld.so", runpath="$ORIGIN/../lib:/opt/lib", bits=bits, little=little, machine=machine)
    assert read(data) == Elf(Kind(bits, little, machine), "/lib/ld.so", ("libc.so.6", "libm.so.6"), "", None, ("$ORIGIN/../lib", "/opt/lib"), False)


def test_read_elf_of_a_library() -> None:
    assert read(elf(("libc.so.6",), soname="libx.so.1", rpath="/a::/b", no_default=True)) == Elf(
        Kind(64, True, X86_64), "", ("libc.so.6",), "libx.so.1", ("/a", "/b"), None, True)


def test_read_elf_without_dynamic_section() -> None:
    assert read(elf()) == Elf(Kind(64, True, X86_64), "", (), "", None, None, False)


def test_read_elf_empty_runpath_is_not_none() -> None:
    found = read(elf(runpath=""))
    assert found is not None and found.runpath == () and found.rpath is None


@pytest.mark.parametrize("data", [b"", b"\x7fEL", b"#!/bin/sh\n", b"MZ" + bytes(100)])
def test_what_is_no_elf_file_is_none(data: bytes) -> None:
    assert read(data) is None


GOOD = elf(("liba.so", "libb.so"), interpreter="/lib64/ld-linux-x86-64.so.2", soname="libx.so", runpath="/opt/lib")


@pytest.mark.parametrize("length", range(4, len(GOOD)))
def test_a_truncated_file_is_a_fault(length: int) -> None:
    with pytest.raises(ElfFault):
        read(GOOD[:length])


@pytest.mark.parametrize(("at", "value", "fault"), [
    (4, b"\3", "class"), (5, b"\0", "byte order"), (6, b"\0", "version"), (54, b"\1\0", "program headers"), (56, b"\xff\xff", "program headers"),
    (32, b"\xff" * 8, "behind the end"), (64 + 56 + 32, b"\xff" * 8, "dynamic section of"), (64 + 112 + 32, b"\xff" * 8, "interpreter name"),
    (64 + 112 + 8, b"\xff" * 8, "behind the end"), (64 + 16, b"\xff" * 8, "in no segment")])
def test_hostile_values_are_faults(at: int, value: bytes, fault: str) -> None:
    with pytest.raises(ElfFault, match=fault):
        read(GOOD[:at] + value + GOOD[at + len(value):])


def test_a_name_without_an_end_is_a_fault() -> None:
    with pytest.raises(ElfFault, match=r"without an end|outside"):
        read(GOOD.replace(b"/opt/lib\0", b"/opt/lib/"))


def test_a_name_longer_than_any_is_a_fault() -> None:
    with pytest.raises(ElfFault, match="without an end"):
        read(elf(runpath="/" + "x" * 70_000))


def test_a_long_search_path_is_read() -> None:
    found = read(elf(runpath=":".join(f"/directory/{n}" for n in range(1000))))
    assert found is not None and found.runpath is not None and len(found.runpath) == 1000


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=12))
def test_any_damage_is_read_or_a_fault(damage: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for at, value in damage:
        data[at] = value
    try:
        found = read(bytes(data))
    except ElfFault:
        return
    assert found is None or all(len(name) < 1 << 16 for name in found.needed)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"\1\1\1", b"\1\2\1", b"\2\1\1", b"\2\2\1"]))
def test_any_bytes_after_the_magic_are_read_or_a_fault(data: bytes, ident: bytes) -> None:
    try:
        read(b"\x7fELF" + ident + bytes(9) + data)
    except ElfFault:
        pass


def binaries(limit: int) -> list[str]:
    """A spread of this machine's programs and libraries."""
    found: list[str] = []
    for directory in ("/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"):
        paths = sorted(str(p) for p in Path(directory).glob("*") if p.is_file() and os.access(p, os.R_OK)) if Path(directory).is_dir() else []
        found += paths[::max(len(paths) // limit, 1)]
    return found


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf, the oracle, is not installed")
def test_read_elf_agrees_with_readelf() -> None:
    read_count = 0
    for path in binaries(60):
        with open(path, "rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
            found = read_elf(file.fileno(), path)
        assert found is not None
        output = subprocess.run(["readelf", "-dlW", path], capture_output=True, text=True, check=False, env={"LC_ALL": "C"}).stdout
        tags = {tag: re.findall(rf"\({tag}\) .*?\[(.*)\]", output) for tag in ("NEEDED", "SONAME", "RPATH", "RUNPATH")}
        interpreter = re.search(r"program interpreter: (.*)\]", output)
        assert found.needed == tuple(tags["NEEDED"]), path
        assert [found.soname] * bool(found.soname) == tags["SONAME"], path
        assert found.interpreter == (interpreter.group(1) if interpreter else ""), path
        for value, tag in ((found.rpath, "RPATH"), (found.runpath, "RUNPATH")):
            assert [":".join(value)] * (value is not None) == tags[tag] if value is not None else not tags[tag], path
        read_count += 1
    assert read_count > 50
