"""ld.so.cache: what is written is read, by us and by this machine's own ldconfig."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.base.elf import Kind
from builder.base.ldcache import CacheEntry, encode_cache, flags_of, parse_cache

X86_64 = 0x303
LDCONFIG = shutil.which("ldconfig", path="/sbin:/usr/sbin")
IS_GLIBC = LDCONFIG is not None and os.path.exists("/etc/ld.so.cache")
needs_ldconfig = pytest.mark.skipif(not IS_GLIBC, reason="glibc's ldconfig, the oracle, is not installed")

names = st.text("ab.-_0123456789", min_size=1, max_size=12)
entries = st.builds(CacheEntry, names, names.map(lambda name: f"/lib/{name}"), st.sampled_from([3, X86_64]))


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(entries, max_size=20))
def test_what_is_encoded_is_parsed(items: list[CacheEntry]) -> None:
    assert sorted(parse_cache(encode_cache(items)), key=repr) == sorted(set(items), key=repr)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(entries, max_size=20))
def test_order_of_entries_does_not_matter(items: list[CacheEntry]) -> None:
    assert encode_cache(items) == encode_cache(items[::-1])


def test_names_are_ordered_as_the_loader_searches_them() -> None:
    found = [entry.name for entry in parse_cache(encode_cache(CacheEntry(name, "/x", 3) for name in (
        "libx.so.9", "libx.so.10", "libx.so", "liba.so", "libx-1.so", "libx.so.a")))]
    assert found == ["libx.so.10", "libx.so.9", "libx.so.a", "libx.so", "libx-1.so", "liba.so"]


@needs_ldconfig
def test_this_machines_cache_is_read_as_ldconfig_prints_it() -> None:
    lines = subprocess.run([str(LDCONFIG), "-p"], capture_output=True, text=True, check=True).stdout.splitlines()
    printed = [(line.split()[0], line.split("=> ")[1]) for line in lines if "=> " in line and "hwcap" not in line]
    assert [(entry.name, entry.path) for entry in parse_cache(Path("/etc/ld.so.cache").read_bytes())] == printed


@needs_ldconfig
def test_ldconfig_prints_what_we_write(tmp_path: Path) -> None:
    written = (CacheEntry("libb.so.2", "/usr/local/lib/libb.so.2", X86_64), CacheEntry("liba.so.10", "/opt/liba.so.10", X86_64))
    (tmp_path / "cache").write_bytes(encode_cache(written))
    out = subprocess.run([str(LDCONFIG), "-p", "-C", str(tmp_path / "cache")], capture_output=True, text=True, check=True).stdout
    assert "2 libs found" in out
    assert "libb.so.2 (libc6,x86-64) => /usr/local/lib/libb.so.2" in out and "liba.so.10 (libc6,x86-64) => /opt/liba.so.10" in out


def test_the_old_format_before_the_new_one_is_passed_over() -> None:
    new = encode_cache([CacheEntry("liba.so", "/liba.so", X86_64)])
    old = struct.pack("=12sI", b"ld.so-1.7.0", 1) + bytes(12)
    assert parse_cache(old + bytes(-len(old) % 8) + new) == (CacheEntry("liba.so", "/liba.so", X86_64),)


def test_entries_for_some_processors_only_are_left_out() -> None:
    data = bytearray(encode_cache([CacheEntry("liba.so", "/liba.so", X86_64)]))
    data[48 + 16:48 + 24] = (1 << 62).to_bytes(8, "little")
    assert parse_cache(bytes(data)) == ()


@pytest.mark.parametrize("data", [b"", b"glibc-ld.so.cache1.1", b"glibc-ld.so.cache1.1" + b"\xff" * 28, b"ld.so-1.7.0\0" + b"\xff" * 40, bytes(100)])
def test_what_is_no_cache_has_no_entries(data: bytes) -> None:
    assert parse_cache(data) == ()


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8))
def test_a_damaged_cache_raises_nothing(damage: list[tuple[int, int]]) -> None:
    data = bytearray(encode_cache([CacheEntry("liba.so.1", "/lib/liba.so.1", X86_64), CacheEntry("libb.so.1", "/lib/libb.so.1", 3)]))
    for at, value in damage:
        data[at % len(data)] = value
    assert all(entry.path.startswith("/") for entry in parse_cache(bytes(data)))


@pytest.mark.parametrize(("kind", "flags"), [
    (Kind(64, True, 62), 0x303), (Kind(64, True, 183), 0xA03), (Kind(32, True, 3), 3), (Kind(64, True, 21), None)])
def test_flags_of_architectures(kind: Kind, flags: int | None) -> None:
    assert flags_of(kind) == flags
