"""What a program needs: scripts, links, and a real program that finds its library by $ORIGIN."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.base.closure import closure_of, find_program
from builder.base.errors import BaseError, LibraryMissing, NotUsable, ProgramMissing
from builder.base.host import Hop, Host
from builder.base.loader import Loader
from tests.builder.base.elves import elf, link, put

LD = "/lib64/ld-linux-x86-64.so.2"
DIRECTORIES = ("/usr/bin", "/bin")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, "/usr/lib64/ld-linux-x86-64.so.2", elf())
    link(tmp_path, "/lib64", "usr/lib64")
    link(tmp_path, "/bin", "usr/bin")
    put(tmp_path, "/usr/bin/dash", elf(("libc.so.6",), interpreter=LD))
    link(tmp_path, "/usr/bin/sh", "dash")
    put(tmp_path, "/usr/bin/env", elf(("libc.so.6",), interpreter=LD))
    put(tmp_path, "/usr/lib64/libc-2.36.so", elf(soname="libc.so.6"))
    link(tmp_path, "/usr/lib64/libc.so.6", "libc-2.36.so")
    return tmp_path


def closure(root: Path, path: str) -> tuple[set[str], set[str]]:
    host = Host(str(root))
    found = closure_of(host, Loader(host), path, DIRECTORIES)
    return set(found.files), {hop.path for hop in found.hops}


SHELL = {"/usr/bin/dash", "/usr/lib64/ld-linux-x86-64.so.2", "/usr/lib64/libc-2.36.so"}


def test_closure_of_a_program_has_files_and_the_links_to_them(root: Path) -> None:
    assert closure(root, "/bin/sh") == (SHELL, {"/bin", "/usr/bin/sh", "/lib64", "/usr/lib64/libc.so.6"})


def test_closure_of_a_script_has_its_interpreter(root: Path) -> None:
    put(root, "/usr/bin/zcat", "#! /bin/sh -e\nexec gzip\n")
    assert closure(root, "/usr/bin/zcat")[0] == {"/usr/bin/zcat", *SHELL}


@pytest.mark.parametrize("line", ["#!/usr/bin/env sh", "#!/usr/bin/env -S A=b sh -e"])
def test_closure_of_a_script_with_env_has_both(root: Path, line: str) -> None:
    put(root, "/usr/bin/tool", line + "\n")
    assert closure(root, "/usr/bin/tool")[0] == {"/usr/bin/tool", "/usr/bin/env", *SHELL}


def test_closure_of_a_script_names_its_interpreters(root: Path) -> None:
    put(root, "/usr/bin/tool", "#!/usr/bin/env sh\n")
    host = Host(str(root))
    assert closure_of(host, Loader(host), "/usr/bin/tool", DIRECTORIES).interpreters == ("/usr/bin/env", "/usr/bin/sh")


def test_scripts_without_an_end(root: Path) -> None:
    put(root, "/usr/bin/a", "#!/usr/bin/b\n")
    put(root, "/usr/bin/b", "#!/usr/bin/a\n")
    with pytest.raises(NotUsable, match="scripts without an end"):
        closure(root, "/usr/bin/a")


@pytest.mark.parametrize(("text", "error"), [
    ("#!\n", NotUsable), ("#!sh\n", NotUsable), ("#!/no/such\n", ProgramMissing), ("#!/usr/bin/env no\n", ProgramMissing)])
def test_scripts_that_cannot_run(root: Path, text: str, error: type[BaseError]) -> None:
    put(root, "/usr/bin/tool", text)
    with pytest.raises(error):
        closure(root, "/usr/bin/tool")


def test_missing_library_says_who_needs_it(root: Path) -> None:
    put(root, "/usr/bin/tool", elf(("libno.so.1",), interpreter=LD))
    with pytest.raises(LibraryMissing) as caught:
        closure(root, "/usr/bin/tool")
    assert str(caught.value) == "`/usr/bin/tool` needs the library `libno.so.1`, which is not on this machine"


def test_find_program(root: Path) -> None:
    put(root, "/usr/bin/data", "x", 0o644)
    host = Host(str(root))
    assert find_program(host, "sh", ("/nothing", "/bin")) == "/bin/sh"
    assert find_program(host, "/usr/bin/dash", ()) == "/usr/bin/dash"
    for name in ("data", "no", "", "/usr/bin/data", "/usr/bin"):
        with pytest.raises(ProgramMissing):
            find_program(host, name, DIRECTORIES)


def test_missing_program_says_where_it_was_looked_for(root: Path) -> None:
    with pytest.raises(ProgramMissing) as caught:
        find_program(Host(str(root)), "no", DIRECTORIES)
    assert (str(caught.value), caught.value.help) == ("there is no program `no` on this machine", "looked in /usr/bin, /bin")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc, which makes the program, is not installed")
def test_a_real_program_with_origin(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "hello.c").write_text("int hello(void) { return 42; }")
    (tmp_path / "main.c").write_text("int hello(void); int main(void) { return hello(); }")
    library, program = str(tmp_path / "lib/libhello.so.1"), str(tmp_path / "bin/main")
    subprocess.run(["gcc", "-shared", "-Wl,-soname,libhello.so.1", "-o", library, str(tmp_path / "hello.c")], check=True)
    subprocess.run(["gcc", "-o", program, str(tmp_path / "main.c"), library, "-Wl,-rpath,$ORIGIN/../lib"], check=True)
    host = Host()
    found = closure_of(host, Loader(host), program, DIRECTORIES)
    assert found.files[0] == program and library in found.files
    assert [item.private for item in found.libraries if item.real == library] == [True]
    os.rename(library, library + ".away")
    with pytest.raises(LibraryMissing, match="libhello"):
        closure_of(Host(), Loader(Host()), program, DIRECTORIES)


def test_hops_of_a_closure_are_there_once(root: Path) -> None:
    host = Host(str(root))
    hops = closure_of(host, Loader(host), "/bin/sh", DIRECTORIES).hops
    assert len(hops) == len(set(hops)) and Hop("/usr/bin/sh", "/usr/bin/dash") in hops
