"""Whole plans, of made machines."""

import os
from pathlib import Path

import pytest

from builder.base.errors import BaseError, NotReadable, NotUsable, ProgramMissing
from builder.base.host import Host
from builder.base.ldcache import CacheEntry, encode_cache, parse_cache
from builder.base.plan import Directory, Entry, File, Link, Plan, Text
from builder.base.recipe import Recipe, base_recipe, busybox_recipe, program_recipe
from tests.builder.base.elves import elf, link, put

LD = "/lib64/ld-linux-x86-64.so.2"
MUSL = "/lib/ld-musl-x86_64.so.1"


def merged(root: Path) -> None:
    """A machine like Debian 12, in small."""
    for top in ("bin", "lib", "lib64"):
        link(root, f"/{top}", f"usr/{top}")
    put(root, "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", elf(soname="ld-linux-x86-64.so.2"))
    link(root, "/usr/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    put(root, "/usr/lib/x86_64-linux-gnu/libc.so.6", elf(soname="libc.so.6"), 0o644)
    put(root, "/usr/bin/dash", elf(("libc.so.6",), interpreter=LD))
    link(root, "/usr/bin/sh", "dash")
    put(root, "/usr/bin/mawk", elf(("libc.so.6",), interpreter=LD))
    link(root, "/etc/alternatives/awk", "/usr/bin/mawk")
    link(root, "/usr/bin/awk", "/etc/alternatives/awk")
    put(root, "/usr/bin/ls", elf(("libc.so.6", "libgone.so.1"), interpreter=LD))     # cannot run here either
    put(root, "/etc/os-release", 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nHOME_URL="https://x"\n')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    merged(tmp_path)
    return tmp_path


def entries(recipe: Recipe | Plan) -> dict[str, Entry]:
    plan = recipe.plan if isinstance(recipe, Recipe) else recipe
    return {entry.path: entry for entry in plan.entries}


def text(recipe: Recipe, path: str) -> str:
    entry = entries(recipe)[path]
    assert isinstance(entry, Text)
    return entry.data.decode()


def test_base_of_a_merged_machine(root: Path) -> None:
    found = entries(base_recipe(Host(str(root))))
    assert found["/bin"] == Link("/bin", "usr/bin") and found["/sbin"] == Link("/sbin", "usr/sbin")
    assert found["/usr/bin/sh"] == Link("/usr/bin/sh", "dash") and found["/usr/bin/awk"] == Link("/usr/bin/awk", "mawk")
    assert found["/usr/lib64/ld-linux-x86-64.so.2"] == Link("/usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    assert found["/usr/bin/mawk"] == File("/usr/bin/mawk", "/usr/bin/mawk")
    assert "/etc/alternatives" not in found and "/usr/bin/ls" not in found


def test_base_says_what_it_is(root: Path) -> None:
    recipe = base_recipe(Host(str(root)))
    assert (recipe.name, recipe.command, dict(recipe.labels)["io.pybuild.base"]) == ("host/base", ("/bin/sh",), "host")
    assert recipe.env == ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    assert text(recipe, "/usr/lib/os-release") == (
        'PRETTY_NAME="host/base, made of Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian\nVARIANT_ID=host\n')


def test_base_has_the_usual_directories(root: Path) -> None:
    found = entries(base_recipe(Host(str(root))))
    for path, mode in (("/root", 0o700), ("/tmp", 0o1777), ("/var/tmp", 0o1777), ("/proc", 0o755), ("/sys", 0o755), ("/home", 0o755)):
        assert found[path] == Directory(path, mode)


def test_base_has_accounts(root: Path) -> None:
    recipe = base_recipe(Host(str(root)))
    lines = [line.split(":") for line in text(recipe, "/etc/passwd").splitlines()]
    groups = {int(line.split(":")[2]) for line in text(recipe, "/etc/group").splitlines()}
    assert lines[0] == ["root", "x", "0", "0", "root", "/root", "/bin/sh"]
    assert all(len(line) == 7 and int(line[3]) in groups for line in lines)
    assert len({line[0] for line in lines}) == len({line[2] for line in lines}) == len(lines)
    shadow = entries(recipe)["/etc/shadow"]
    assert isinstance(shadow, Text) and shadow.mode == 0o640


def test_every_library_is_in_the_loaders_cache(root: Path) -> None:
    put(root, "/opt/odd/libodd.so.1", elf())
    put(root, "/usr/bin/sed", elf(("libodd.so.1", "libc.so.6"), interpreter=LD))
    put(root, "/etc/ld.so.cache", encode_cache([CacheEntry("libodd.so.1", "/opt/odd/libodd.so.1", 0x303)]))
    recipe = base_recipe(Host(str(root)))
    assert {(entry.name, entry.path) for entry in parse_cache(text_bytes(recipe, "/etc/ld.so.cache"))} == {
        ("libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6"), ("libodd.so.1", "/opt/odd/libodd.so.1"),
        ("ld-linux-x86-64.so.2", "/usr/lib64/ld-linux-x86-64.so.2")}
    assert text(recipe, "/etc/ld.so.conf") == "include /etc/ld.so.conf.d/*.conf\n/usr/local/lib\n/opt/odd\n"


def text_bytes(recipe: Recipe, path: str) -> bytes:
    entry = entries(recipe)[path]
    assert isinstance(entry, Text)
    return entry.data


def test_base_without_a_shell_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing, match="there is no program `sh` on this machine"):
        base_recipe(Host(str(tmp_path)))


def test_base_of_a_machine_that_is_not_merged(tmp_path: Path) -> None:
    put(tmp_path, LD, elf())
    put(tmp_path, "/lib/x86_64-linux-gnu/libc-2.31.so", elf(soname="libc.so.6"))
    link(tmp_path, "/lib/x86_64-linux-gnu/libc.so.6", "libc-2.31.so")
    put(tmp_path, "/bin/sh", elf(("libc.so.6",), interpreter=LD))
    put(tmp_path, "/bin/which", "#!/bin/sh\n")
    link(tmp_path, "/usr/bin/which", "/bin/which")
    put(tmp_path, "/usr/bin/env", elf(("libc.so.6",), interpreter=LD))
    link(tmp_path, "/bin/env", "../usr/bin/env")
    found = entries(base_recipe(Host(str(tmp_path))))
    assert found["/usr/bin/sh"] == File("/usr/bin/sh", "/bin/sh") and found["/bin"] == Link("/bin", "usr/bin")
    assert found["/usr/bin/which"] == File("/usr/bin/which", "/bin/which") and found["/usr/bin/env"] == File("/usr/bin/env", "/usr/bin/env")
    assert found["/usr/lib64/ld-linux-x86-64.so.2"] == File("/usr/lib64/ld-linux-x86-64.so.2", LD)
    assert found["/usr/lib/x86_64-linux-gnu/libc.so.6"] == Link("/usr/lib/x86_64-linux-gnu/libc.so.6", "libc-2.31.so")


def test_base_of_a_musl_machine(tmp_path: Path) -> None:
    put(tmp_path, MUSL, elf(soname="libc.so"))
    link(tmp_path, "/lib/libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1")
    put(tmp_path, "/bin/busybox", elf(("libc.musl-x86_64.so.1",), interpreter=MUSL))
    link(tmp_path, "/bin/sh", "/bin/busybox")
    link(tmp_path, "/usr/bin/awk", "../../bin/busybox")
    found = entries(base_recipe(Host(str(tmp_path))))
    assert found["/usr/bin/sh"] == Link("/usr/bin/sh", "busybox") and found["/usr/bin/awk"] == Link("/usr/bin/awk", "busybox")
    assert found["/usr/bin/busybox"] == File("/usr/bin/busybox", "/bin/busybox")
    assert found["/usr/lib/ld-musl-x86_64.so.1"] == File("/usr/lib/ld-musl-x86_64.so.1", MUSL)
    assert found["/usr/lib/libc.musl-x86_64.so.1"] == Link("/usr/lib/libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1")
    assert "/etc/ld.so.cache" not in found


def test_base_of_a_machine_with_one_bin(tmp_path: Path) -> None:
    """Arch and Fedora 42: /usr/sbin and /usr/lib64 are links too."""
    for path, target in (("/bin", "usr/bin"), ("/sbin", "usr/bin"), ("/usr/sbin", "bin"), ("/lib", "usr/lib"), ("/lib64", "usr/lib"),
                         ("/usr/lib64", "lib")):
        link(tmp_path, path, target)
    put(tmp_path, "/usr/lib/ld-linux-x86-64.so.2", elf())
    put(tmp_path, "/usr/lib/libc.so.6", elf(soname="libc.so.6"))
    put(tmp_path, "/usr/bin/sh", elf(("libc.so.6",), interpreter=LD))
    found = entries(base_recipe(Host(str(tmp_path))))
    assert [found[path] for path in ("/sbin", "/lib64", "/usr/sbin", "/usr/lib64")] == [
        Link("/sbin", "usr/bin"), Link("/lib64", "usr/lib"), Link("/usr/sbin", "bin"), Link("/usr/lib64", "lib")]
    assert "/usr/lib/ld-linux-x86-64.so.2" in found


def test_certificates_have_every_name_they_are_known_by(root: Path) -> None:
    put(root, "/etc/ssl/certs/ca-certificates.crt", "PEM", 0o644)
    (root / "usr/lib/ssl").mkdir()
    put(root, "/etc/ssl/openssl.cnf", "conf", 0o644)
    link(root, "/usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf")
    found = entries(base_recipe(Host(str(root))))
    assert found["/etc/ssl/certs/ca-certificates.crt"] == File("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/ca-certificates.crt")
    assert found["/usr/lib/ssl/cert.pem"] == Link("/usr/lib/ssl/cert.pem", "../../../etc/ssl/certs/ca-certificates.crt")
    assert found["/usr/lib/ssl/openssl.cnf"] == Link("/usr/lib/ssl/openssl.cnf", "../../../etc/ssl/openssl.cnf") and "/etc/ssl/openssl.cnf" in found


def test_certificates_of_a_fedora(root: Path) -> None:
    put(root, "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "PEM", 0o644)
    link(root, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem")
    link(root, "/etc/ssl/certs", "../pki/tls/certs")
    found = entries(base_recipe(Host(str(root))))
    assert found["/etc/ssl/certs/ca-certificates.crt"] == File(
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem")
    assert found["/etc/pki/tls/certs/ca-bundle.crt"] == Link("/etc/pki/tls/certs/ca-bundle.crt", "../../../ssl/certs/ca-certificates.crt")


def test_with_programs_come_their_packages(root: Path) -> None:
    put(root, "/usr/bin/git", elf(("libc.so.6",), interpreter=LD))
    put(root, "/usr/lib/git-core/git-remote-http", elf(("libcurl.so.4", "libc.so.6"), interpreter=LD))
    put(root, "/usr/lib/x86_64-linux-gnu/libcurl.so.4", elf())
    put(root, "/usr/share/doc/git/README", "x")
    put(root, "/var/lib/dpkg/info/git.list", "/.\n/usr/bin\n/usr/bin/git\n/usr/lib/git-core/git-remote-http\n/usr/share/doc/git/README\n")
    found = entries(program_recipe(Host(str(root)), "t", ("git",)))
    assert {"/usr/bin/git", "/usr/lib/git-core/git-remote-http", "/usr/lib/x86_64-linux-gnu/libcurl.so.4", "/usr/bin/sh"} <= set(found)
    assert "/usr/share/doc" not in found


def test_with_a_program_that_is_missing(root: Path) -> None:
    with pytest.raises(ProgramMissing, match="there is no program `nonesuch` on this machine"):
        program_recipe(Host(str(root)), "t", ("awk", "nonesuch"))


def test_with_a_program_whose_library_is_missing(root: Path) -> None:
    with pytest.raises(BaseError, match=r"`/usr/bin/ls` needs the library `libgone.so.1`, which is not on this machine"):
        program_recipe(Host(str(root)), "t", ("ls",))


def test_with_a_program_of_somebodys_own_directory(root: Path) -> None:
    put(root, "/home/me/go/bin/tool", elf())
    found = entries(program_recipe(Host(str(root)), "t", ("tool",), directories=("/home/me/go/bin",)))
    assert found["/usr/local/bin/tool"] == File("/usr/local/bin/tool", "/home/me/go/bin/tool") and "/home/me" not in found


def test_with_a_program_that_needs_its_own_place(root: Path) -> None:
    put(root, "/home/me/app/bin/tool", elf(("libown.so",), interpreter=LD, runpath="$ORIGIN/../lib"))
    put(root, "/home/me/app/lib/libown.so", elf())
    recipe = program_recipe(Host(str(root)), "t", ("/home/me/app/bin/tool",))
    found = entries(recipe)
    assert found["/usr/local/bin/tool"] == Link("/usr/local/bin/tool", "../../../home/me/app/bin/tool")
    assert {"/home/me/app/bin/tool", "/home/me/app/lib/libown.so"} <= set(found)
    assert b"libown" not in text_bytes(recipe, "/etc/ld.so.cache")       # it is nobody else's


def test_with_a_python_program_is_refused(root: Path) -> None:
    put(root, "/usr/bin/python3", elf(("libc.so.6",), interpreter=LD))
    put(root, "/usr/bin/tool", "#!/usr/bin/python3\n")
    with pytest.raises(NotUsable, match="needs Python's standard library") as caught:
        program_recipe(Host(str(root)), "t", ("tool",))
    assert "host/python" in caught.value.help


def test_with_extra_trees(root: Path) -> None:
    put(root, "/opt/data/a/file", "x", 0o600)
    put(root, "/opt/data/tool", elf(("libextra.so",), interpreter=LD))
    put(root, "/usr/lib/libextra.so", elf())
    link(root, "/opt/data/link", "a")
    os.mkfifo(root / "opt/data/pipe")
    (root / "opt/data/empty").mkdir()
    found = entries(program_recipe(Host(str(root)), "t", (), ("/opt/data",)))
    assert found["/opt/data/link"] == Link("/opt/data/link", "a")
    assert {"/opt/data/a/file", "/opt/data/tool", "/usr/lib/libextra.so", "/opt/data/empty"} <= set(found) and "/opt/data/pipe" not in found


@pytest.mark.parametrize("path", ["/no/such", "/"])
def test_with_an_extra_path_that_cannot_be_copied(root: Path, path: str) -> None:
    with pytest.raises(NotUsable, match="is no file or directory that can be copied"):
        program_recipe(Host(str(root)), "t", (), (path,))


BUSYBOX = """#!/bin/sh
printf 'bin/sh\\nbin/busybox\\nusr/bin/awk\\nsbin/init\\nlinuxrc\\n'
"""


def test_busybox_has_a_link_for_every_applet(tmp_path: Path) -> None:
    put(tmp_path, "/bin/busybox", BUSYBOX)
    put(tmp_path, "/bin/sh", "x")                # the script's; the applet's link does not replace it
    found = entries(busybox_recipe(Host(str(tmp_path))))
    assert found["/usr/bin/busybox"] == File("/usr/bin/busybox", "/bin/busybox")
    assert found["/usr/bin/awk"] == Link("/usr/bin/awk", "busybox") and found["/usr/sbin/init"] == Link("/usr/sbin/init", "../bin/busybox")
    assert "/linuxrc" not in found


def test_busybox_missing_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing) as caught:
        busybox_recipe(Host(str(tmp_path)))
    assert "busybox-static" in caught.value.help


@pytest.mark.parametrize("output", ["exit 1", "printf '../etc/x\\n'", "printf '/bin/x\\n'", ":"])
def test_busybox_that_says_nonsense(tmp_path: Path, output: str) -> None:
    put(tmp_path, "/bin/busybox", f"#!/bin/sh\n{output}\n")
    put(tmp_path, "/bin/sh", "x")
    with pytest.raises(NotUsable, match="does not say which applets it has"):
        busybox_recipe(Host(str(tmp_path)))


def test_programs_that_may_not_be_read_are_left_out(as_nobody: Path) -> None:
    merged(as_nobody)
    put(as_nobody, "/usr/bin/sed", elf(("libc.so.6",), interpreter=LD), 0o311)
    found = entries(base_recipe(Host(str(as_nobody))))
    assert "/usr/bin/sed" not in found and "/usr/bin/mawk" in found


def test_a_program_that_was_asked_for_and_may_not_be_read_is_named(as_nobody: Path) -> None:
    merged(as_nobody)
    put(as_nobody, "/usr/bin/secret", elf(("libc.so.6",), interpreter=LD), 0o311)
    with pytest.raises(NotReadable, match="`/usr/bin/secret` may not be read by this user"):
        program_recipe(Host(str(as_nobody)), "t", ("secret",))
