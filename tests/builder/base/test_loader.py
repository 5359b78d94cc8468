"""Which libraries the loader finds, on made machines and on this one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.base.errors import LibraryMissing
from builder.base.host import Host
from builder.base.ldcache import CacheEntry, encode_cache
from builder.base.loader import Library, Loader
from tests.builder.base.elves import AARCH64, I386, elf, link, put

LD = "/lib64/ld-linux-x86-64.so.2"
MUSL = "/lib/ld-musl-x86_64.so.1"


def machine(root: Path) -> None:
    put(root, LD, elf(soname="ld-linux-x86-64.so.2"))
    put(root, "/lib/x86_64-linux-gnu/libc.so.6", elf(("ld-linux-x86-64.so.2",), soname="libc.so.6"))


def loaded(root: Path, program: str) -> list[str]:
    """Paths of what is loaded for the program, without the loader and libc."""
    host = Host(str(root))
    facts = host.elf(program)
    assert facts is not None
    found = Loader(host).libraries(program, facts)
    assert found[:1] in ((Library(LD, LD),), (Library(MUSL, MUSL),))
    return [library.path for library in found[1:] if not library.path.endswith("libc.so.6")]


def program(*needed: str, **facts: str) -> bytes:
    return elf((*needed, "libc.so.6"), interpreter=LD, **facts)          # type: ignore[arg-type]  # only the text ones


def test_the_machines_own_directories_in_order(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so", "libb.so"))
    for path in ("/lib/x86_64-linux-gnu/liba.so", "/usr/lib/liba.so", "/usr/lib/libb.so"):
        put(tmp_path, path, elf())
    assert loaded(tmp_path, "/bin/p") == ["/lib/x86_64-linux-gnu/liba.so", "/usr/lib/libb.so"]


def test_the_cache_comes_before_the_directories(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so"))
    put(tmp_path, "/opt/lib/liba.so", elf())
    put(tmp_path, "/usr/lib/liba.so", elf())
    put(tmp_path, "/etc/ld.so.cache", encode_cache([CacheEntry("liba.so", "/opt/lib/liba.so", 0x303)]))
    assert loaded(tmp_path, "/bin/p") == ["/opt/lib/liba.so"]


def test_a_stale_cache_entry_is_passed_over(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so"))
    put(tmp_path, "/usr/lib/liba.so", elf())
    put(tmp_path, "/etc/ld.so.cache", encode_cache([CacheEntry("liba.so", "/opt/lib/liba.so", 0x303)]))
    assert loaded(tmp_path, "/bin/p") == ["/usr/lib/liba.so"]


@pytest.mark.parametrize("wrong", [elf(machine=AARCH64), elf(machine=I386, bits=32), b"/* GNU ld script */", b"\x7fELF broken"])
def test_a_library_of_another_kind_is_passed_over(tmp_path: Path, wrong: bytes) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so"))
    put(tmp_path, "/lib/x86_64-linux-gnu/liba.so", wrong)
    put(tmp_path, "/usr/lib/liba.so", elf())
    assert loaded(tmp_path, "/bin/p") == ["/usr/lib/liba.so"]


@pytest.mark.parametrize("origin", ["$ORIGIN/../lib", "${ORIGIN}/../lib"])
def test_runpath_with_origin(tmp_path: Path, origin: str) -> None:
    machine(tmp_path)
    put(tmp_path, "/opt/app/bin/p", program("liba.so", runpath=origin))
    put(tmp_path, "/opt/app/lib/liba.so", elf())
    put(tmp_path, "/usr/lib/liba.so", elf())
    assert loaded(tmp_path, "/opt/app/bin/p") == ["/opt/app/bin/../lib/liba.so"]


def test_runpath_with_lib_and_platform(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so", "libb.so", runpath="/opt/$LIB:/opt/$PLATFORM"))
    put(tmp_path, "/opt/lib/x86_64-linux-gnu/liba.so", elf())
    put(tmp_path, "/opt/x86_64/libb.so", elf())
    assert loaded(tmp_path, "/bin/p") == ["/opt/lib/x86_64-linux-gnu/liba.so", "/opt/x86_64/libb.so"]


def test_runpath_is_not_inherited(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so", runpath="/opt/lib"))
    put(tmp_path, "/opt/lib/liba.so", elf(("libb.so",)))
    put(tmp_path, "/opt/lib/libb.so", elf())
    with pytest.raises(LibraryMissing, match=r"`/opt/lib/liba.so` needs the library `libb.so`"):
        loaded(tmp_path, "/bin/p")


def test_rpath_is_inherited(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so", rpath="/opt/lib"))
    put(tmp_path, "/opt/lib/liba.so", elf(("libb.so",)))
    put(tmp_path, "/opt/lib/libb.so", elf())
    assert loaded(tmp_path, "/bin/p") == ["/opt/lib/liba.so", "/opt/lib/libb.so"]


def test_runpath_of_a_library_replaces_the_inherited_rpath(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so", rpath="/opt/lib"))
    put(tmp_path, "/opt/lib/liba.so", elf(("libb.so",), runpath="/opt/other"))
    put(tmp_path, "/opt/lib/libb.so", elf())
    put(tmp_path, "/opt/other/libb.so", elf())
    assert loaded(tmp_path, "/bin/p") == ["/opt/lib/liba.so", "/opt/other/libb.so"]


def test_origin_of_a_library_is_where_it_was_found(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so", runpath="/opt/links"))
    link(tmp_path, "/opt/links/liba.so", "../real/liba.so")
    put(tmp_path, "/opt/real/liba.so", elf(("libb.so",), runpath="$ORIGIN"))
    put(tmp_path, "/opt/links/libb.so", elf())
    assert loaded(tmp_path, "/bin/p") == ["/opt/links/liba.so", "/opt/links/libb.so"]


def test_what_is_loaded_already_serves_by_name_and_by_soname(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("liba.so", "libb.so", "libother.so.1", runpath="/opt/lib"))
    put(tmp_path, "/opt/lib/liba.so", elf(soname="libother.so.1"))
    put(tmp_path, "/opt/lib/libb.so", elf(("liba.so",)))         # has no search path of its own, and needs none
    assert loaded(tmp_path, "/bin/p") == ["/opt/lib/liba.so", "/opt/lib/libb.so"]


def test_no_default_directories(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", elf(("liba.so",), interpreter=LD, no_default=True))
    put(tmp_path, "/usr/lib/liba.so", elf())
    with pytest.raises(LibraryMissing):
        loaded(tmp_path, "/bin/p")


def test_a_needed_path_is_taken_as_it_is(tmp_path: Path) -> None:
    machine(tmp_path)
    put(tmp_path, "/bin/p", program("/opt/liba.so"))
    put(tmp_path, "/opt/liba.so", elf())
    assert loaded(tmp_path, "/bin/p") == ["/opt/liba.so"]


def test_missing_interpreter(tmp_path: Path) -> None:
    put(tmp_path, "/bin/p", program())
    with pytest.raises(LibraryMissing, match="`/bin/p` needs the library `/lib64/ld-linux"):
        loaded(tmp_path, "/bin/p")


def test_musl_has_its_own_directories(tmp_path: Path) -> None:
    put(tmp_path, MUSL, elf(soname="libc.so"))
    link(tmp_path, "/lib/libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1")
    put(tmp_path, "/bin/p", elf(("liba.so", "libc.musl-x86_64.so.1"), interpreter=MUSL))
    put(tmp_path, "/usr/local/lib/liba.so", elf())
    put(tmp_path, "/usr/lib/liba.so", elf())
    assert loaded(tmp_path, "/bin/p") == ["/usr/local/lib/liba.so", "/lib/libc.musl-x86_64.so.1"]


def test_musl_path_file_and_inherited_runpath(tmp_path: Path) -> None:
    put(tmp_path, MUSL, elf(soname="libc.so"))
    put(tmp_path, "/etc/ld-musl-x86_64.path", "/opt/a\n/opt/b:/opt/c\n")
    put(tmp_path, "/bin/p", elf(("liba.so",), interpreter=MUSL, runpath="/opt/run"))
    put(tmp_path, "/opt/run/liba.so", elf(("libb.so", "libc2.so")))
    put(tmp_path, "/opt/run/libb.so", elf())
    put(tmp_path, "/opt/c/libc2.so", elf())
    assert loaded(tmp_path, "/bin/p") == ["/opt/run/liba.so", "/opt/run/libb.so", "/opt/c/libc2.so"]


@pytest.mark.skipif(shutil.which("ldd") is None or not os.path.exists("/etc/ld.so.cache"), reason="glibc's ldd, the oracle, is not installed")
def test_libraries_are_those_that_ldd_prints() -> None:
    host = Host()
    loader = Loader(host)
    compared = 0
    for path in sorted(Path("/usr/bin").glob("*"))[::12]:
        real = host.place(str(path)).real
        facts = host.elf(real) if host.is_executable(str(path)) else None
        if facts is None or not facts.interpreter:
            continue
        output = subprocess.run(["ldd", real], capture_output=True, text=True, check=False, env={"PATH": os.defpath, "LC_ALL": "C"}).stdout
        if "not found" in output or "hwcaps" in output:
            continue
        expected = {os.path.realpath(found) for found in re.findall(r"(?:=> |^\s+)(/\S+) \(", output, re.M)}
        assert {library.real for library in loader.libraries(real, facts)} == expected, real
        compared += 1
    assert compared > 20
