"""A root directory with Python and the escape probe in it, and a host with things that must stay out of reach."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.base.host import Host
from builder.base.maker import write_tree
from builder.base.recipe import python_recipe
from sandbox.client import connect
from tests.sandbox.harness import Box
from tests.security.host import World
from tests.users import ROOT, User

PROBE = "probe"              # of the root: where the probe's sources are


@pytest.fixture(scope="session")
def python_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root directory with this machine's Python and the probe; not to be written to."""
    tree, host = tmp_path_factory.mktemp("python-root"), Host()
    write_tree(python_recipe(host).plan, host, str(tree))
    for name in ("sandbox/__init__.py", "sandbox/syscall_numbers.py", "tests/__init__.py", "tests/security/__init__.py"):
        (tree / PROBE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / PROBE / name)
    shutil.copytree(ROOT / "tests/security/probe", tree / PROBE / "tests/security/probe", ignore=shutil.ignore_patterns("__pycache__"))
    for parent in tree.parents:
        if parent.owner() == tree.owner() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    tree.chmod(0o755)
    return tree


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Things of the host, by which the probe finds out where it is."""
    directory = tmp_path_factory.mktemp("canary")
    (directory / "canary").write_text("the host's")
    found = World(directory / "canary")
    abstract, tcp = socket.socket(socket.AF_UNIX), socket.socket()
    process = subprocess.Popen([found.marker, "1000"], executable="/bin/sleep")
    try:
        abstract.bind(f"\0{found.abstract}")
        abstract.listen(8)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(8)
        found.port, found.pid = tcp.getsockname()[1], process.pid
        found.share()
        yield found
    finally:
        process.kill()
        process.wait()
        found.unshare()
        abstract.close()
        tcp.close()


@pytest.fixture(scope="session", autouse=True)
def host_files_stay() -> Iterator[None]:
    """What attacks like to change is as it was when all are over."""
    def seen() -> list[object]:
        words = [Path(path).read_text() for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
                                                     "/proc/sys/net/ipv4/ip_forward") if os.path.exists(path)]
        return [words, *(os.stat(path).st_mode for path in ("/", "/etc", "/dev", "/dev/null", "/tmp")), *(
            (state.st_mtime_ns, state.st_size) for path in ("/etc/passwd", "/etc/hosts", "/etc/resolv.conf") if (state := os.stat(path)))]
    before = seen()
    yield
    assert seen() == before


@pytest.fixture(scope="session")
def root_run_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("run")
    path.chmod(0o700)
    yield path
    with connect(str(path), idle_s=3) as client:
        client.retire()


def box_of(user: User, python_root: Path) -> Iterator[Box]:
    run_directory = user.directory(user.runtime / "security")
    scratch = user.directory(Path(tempfile.mkdtemp(prefix="scratch-", dir=user.home)))
    own = scratch / "rootfs"
    shutil.copytree(python_root, own, symlinks=True)
    for path in (own, *own.rglob("*")):
        os.lchown(path, user.uid, user.gid)
    yield Box(own, run_directory, scratch, user)
    shutil.rmtree(scratch)


@pytest.fixture
def root_box(python_root: Path, root_run_directory: Path, tmp_path: Path) -> Box:
    if os.geteuid():
        pytest.skip("a sandbox as root needs root")
    return Box(python_root, root_run_directory, tmp_path, None)


@pytest.fixture
def user_box(python_root: Path, unprivileged: User) -> Iterator[Box]:
    yield from box_of(unprivileged, python_root)


@pytest.fixture
def single_box(python_root: Path, unprivileged_single: User) -> Iterator[Box]:
    yield from box_of(unprivileged_single, python_root)
