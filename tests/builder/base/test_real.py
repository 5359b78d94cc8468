"""Images of this machine, for real: written, entered, and asked what they can do.

One tree a kind is made for the whole file; each is entered as root of a user namespace of its own.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.base.host import Host
from builder.base.maker import write_tree
from builder.base.recipe import base_recipe, busybox_recipe, program_recipe, python_recipe
from store.tree import digest, scan

ROOT = Path(__file__).resolve().parents[3]
WRITE = "import sys; from builder.base import host, maker, recipe; h = host.Host(); maker.write_tree(recipe.{}_recipe(h).plan, h, sys.argv[1])"
ENTER = ('mount --bind /dev/null "$1/dev/null" && mount --bind /dev/urandom "$1/dev/urandom" && mount -t proc proc "$1/proc" && tree=$1 && shift && '
         'exec chroot "$tree" "$@"')


def other_pythons() -> list[str]:
    """CPythons of this machine beside the running one, the oldest and the newest: each makes a host/python of its own."""
    home = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    running = Path(os.path.realpath(sys.executable))
    candidates = ("/usr/bin/python3", *sorted(glob.glob(f"{home}/versions/3.*/bin/python3")))
    found = [path for path in map(Path, candidates) if path.exists() and path.resolve() != running]
    usable = sorted((str(path) for path in found if is_usable(path)), key=lambda path: [int(n) for n in re.findall(r"\d+", path)])
    return list(dict.fromkeys((*usable[:1], *usable[-1:])))


def is_usable(python: Path) -> bool:
    """Whether that Python is one we support."""
    return subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False, capture_output=True).returncode == 0


def can_enter() -> bool:
    try:
        command = ["unshare", "-rmpf", "--kill-child", "sh", "-c", "mount -t proc proc /proc"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = [pytest.mark.userns,
              pytest.mark.skipif(not can_enter(), reason="this machine refuses a user namespace with a /proc of its own (or has no `unshare`)")]


def run(tree: Path, *command: str, **environment: str) -> str:
    """What the command prints in the tree; its errors are the test's."""
    for name in ("null", "urandom"):
        (tree / "dev" / name).touch()
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "xterm", **environment}
    done = subprocess.run(["unshare", "-rmpf", "--kill-child", "sh", "-c", ENTER, "sh", str(tree), *command], capture_output=True, text=True, env=env,
                          check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree, host = tmp_path_factory.mktemp("base"), Host()
    write_tree(base_recipe(host).plan, host, str(tree))
    return tree


@pytest.fixture(scope="module", params=["running", *other_pythons()])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    tree = tmp_path_factory.mktemp("python")
    if request.param == "running":
        host = Host()
        write_tree(python_recipe(host).plan, host, str(tree))
    else:
        subprocess.run([request.param, "-c", WRITE.format("python"), str(tree)], check=True, cwd=ROOT, env={"PYTHONDONTWRITEBYTECODE": "1"})
    yield tree


@pytest.mark.parametrize(("command", "output"), [
    ("echo $((6 * 7))", "42\n"), ("ls -l / | grep -c bin", "2\n"), ("echo abc | sed s/b/x/", "axc\n"), ("echo a b | awk '{print $2}'", "b\n"),
    ("find /etc -name passwd", "/etc/passwd\n"), ("tar cf - -C /etc hosts | tar tf -", "hosts\n"), ("echo x | gzip | zcat", "x\n"),
    ("ps -o comm= -p 1", "sh\n"), ("id -u", "0\n"), ("id -un", "root\n"), ("getent passwd nobody | cut -d: -f3", "65534\n"),
    ("getent hosts localhost | wc -l", "1\n"), ("LC_ALL=C.UTF-8 bash -c 'x=é; echo ${#x}'", "1\n"),
    ("printf é | iconv -f UTF-8 -t ISO8859-1 | wc -c", "1\n"),
    ("mktemp | cut -c1-9", "/tmp/tmp.\n"), ("useradd -u 1000 me && id -g me", "1000\n"), ("stat -c %a /tmp /root", "1777\n700\n"),
    ("TERM=xterm tput cols", "80\n"), ("(cd /bin && pwd -P)", "/usr/bin\n"), ("TZ=UTC date -d @0 +%Z", "UTC\n"), ("mount | wc -l", None)])
def test_base_can(base: Path, command: str, output: str | None) -> None:
    shown = run(base, "sh", "-c", command)
    assert output is None or shown == output


def test_base_has_nothing_dangling_or_privileged(base: Path) -> None:
    assert run(base, "find", "/", "-xdev", "(", "-xtype", "l", "-o", "-type", "f", "-perm", "/6000", ")", "-not", "-path", "/etc/mtab") == ""


def test_every_program_of_base_finds_its_libraries(base: Path) -> None:
    shown = run(base, "sh", "-c", "for p in /usr/bin/* /usr/sbin/*; do ldd $p 2>&1; done | grep 'not found' || true")
    assert shown == ""


IMPORTS = """
import asyncio, bz2, ctypes, curses, decimal, hashlib, lzma, multiprocessing, readline, sqlite3, ssl, sys, unittest, uuid, venv, zlib, zoneinfo
import pwd, socket, threading, http.server, xml.etree.ElementTree, email, importlib.metadata, sysconfig
assert sys.prefix == sys.base_prefix == sysconfig.get_config_var("prefix") == "/usr/local", sys.prefix
assert sys.executable == "/usr/local/bin/python3"
ssl.create_default_context()
assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
assert pwd.getpwuid(0).pw_name == "root"
assert socket.getaddrinfo("localhost", 80)
assert str(zoneinfo.ZoneInfo("UTC")) == "UTC"
assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
async def main(): return 42
assert asyncio.run(main()) == 42
assert ctypes.CDLL(None).getpid() > 0
thread = threading.Thread(target=print, args=("done",)); thread.start(); thread.join()
"""


def test_python_can(python: Path) -> None:
    assert run(python, "python3", "-c", IMPORTS) == "done\n"


def test_python_prints_utf8(python: Path) -> None:
    assert run(python, "python3", "-c", "print('é')", LC_ALL="C.UTF-8") == run(python, "/usr/local/bin/python", "-c", "print('é')") == "é\n"


def test_python_believes_its_byte_code(python: Path) -> None:
    script = "import json, asyncio, sysconfig, unittest; sysconfig.get_config_vars()"
    assert run(python, "sh", "-c", f"find /usr/local > /tmp/a; python3 -c '{script}'; find /usr/local | diff /tmp/a -") == ""


def test_python_makes_an_environment_and_finds_its_packages(python: Path) -> None:
    run(python, "python3", "-m", "venv", "--without-pip", "/tmp/v")
    script = "cd /usr/local/lib*/python3*/site-packages && echo 'x = 42' > own.py && cd / && python3 -c 'import own; print(own.x)'"
    assert run(python, "sh", "-c", script) == "42\n"
    assert run(python, "/tmp/v/bin/python", "-c", "import sys; print(sys.prefix, sys.base_prefix)") == "/tmp/v /usr/local\n"


def test_python_installs_where_it_looks(python: Path) -> None:
    program = ("import os, sys, sysconfig; p = {k: os.path.realpath(v) for k, v in sysconfig.get_paths().items()}; "
               "print(p['scripts'], p['purelib'] in map(os.path.realpath, sys.path))")
    assert run(python, "python3", "-c", program) == "/usr/local/bin True\n"


def test_python_has_pip(python: Path) -> None:
    script = "pip --version && python3 -m pip list --format=freeze"
    assert re.fullmatch(r"pip \S+ from /usr/local/\S*/pip \(python [0-9.]+\)\npip==\S+\n", run(python, "sh", "-c", script))


def test_python_has_the_libraries_that_wheels_expect(python: Path) -> None:
    """Those of manylinux that have nothing to do with windows, as far as this machine has them."""
    program = """
import ctypes
for name in "libpthread.so.0 libdl.so.2 librt.so.1 libutil.so.1 libm.so.6 libgcc_s.so.1 libresolv.so.2 libstdc++.so.6 libz.so.1 libexpat.so.1".split():
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name)
"""
    lacking = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert run(python, "python3", "-c", program) == lacking


def test_libraries_are_found_after_ldconfig_too(python: Path) -> None:
    if not (python / "usr/sbin/ldconfig").exists():
        pytest.skip("this machine has no ldconfig")
    try:
        assert run(python, "sh", "-c", "ldconfig && python3 -c 'import ssl, sqlite3; print(42)' && ls -d /etc") == "42\n/etc\n"
    finally:
        (python / "etc/ld.so.cache").unlink()
    assert run(python, "ls", "-d", "/etc") == "/etc\n"      # and without a cache, in the usual places


def test_busybox_can(tmp_path: Path) -> None:
    if not Host().is_executable("/bin/busybox"):
        pytest.skip("busybox is not installed")
    host = Host()
    write_tree(busybox_recipe(host).plan, host, str(tmp_path))
    assert run(tmp_path, "sh", "-c", "echo a b | awk '{print $2}'; ls -d /etc; id -un") == "b\n/etc\nroot\n"


def test_with_git_can(tmp_path: Path) -> None:
    if not Host().is_executable("/usr/bin/git"):
        pytest.skip("git is not installed")
    host = Host()
    write_tree(program_recipe(host, "t", ("git",)).plan, host, str(tmp_path))
    script = ("cd /tmp && git init -q a && cd a && git config user.email a@b && git config user.name me && echo x > f && git add f && "
              "git commit -qm first && git clone -q file:///tmp/a /tmp/b && git -C /tmp/b log --format=%s")
    assert run(tmp_path, "sh", "-c", script) == "first\n"


@pytest.mark.parametrize("kind", ["base", "python"])
def test_every_user_makes_the_same_tree(kind: str) -> None:
    """Root, and an ordinary user who is root of a user namespace; with another umask, hash seed and directory."""
    if os.geteuid():
        pytest.skip("only root can run as two users")
    digests = set()
    for umask, prefix in ((0o022, []), (0o077, ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-r"])):
        program = WRITE.format(kind) + "; from store.tree import digest, scan; print(digest(scan(sys.argv[1])))"
        with tempfile.TemporaryDirectory() as tree:
            os.chown(tree, *((65534, 65534) if prefix else (0, 0)))
            done = subprocess.run([*prefix, sys.executable, "-c", program, tree], cwd=ROOT, capture_output=True, text=True, umask=umask, check=False,
                                  env={"PATH": os.defpath, "PYTHONHASHSEED": str(umask), "PYTHONDONTWRITEBYTECODE": "1"})
        if done.returncode and f"failed to execute {sys.executable}" in done.stderr:
            pytest.skip("an ordinary user may not run this Python")
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


def test_two_makings_are_equal(base: Path, tmp_path: Path) -> None:
    trees = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        host = Host()
        write_tree(base_recipe(host).plan, host, str(tmp_path / name))
        trees.append(digest(scan(str(tmp_path / name))))
    assert trees[0] == trees[1]
