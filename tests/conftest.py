"""Fixtures of every room: real unprivileged users, a small root directory, a run directory; what a machine cannot do is skipped with its reason."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.users import WITH_SUBIDS, WITHOUT_SUBIDS, User

settings.register_profile("same", derandomize=True, deadline=None, max_examples=60, database=None)
settings.register_profile("long", deadline=None, max_examples=5000)
settings.load_profile("long" if os.environ.get("PYBUILD_LONG") else "same")

BUSYBOX = "/bin/busybox"


@pytest.fixture(scope="session", autouse=True)
def session_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a user has no session (after `su`), skopeo and podman look into /run/containers, which may be root's alone, and give up."""
    if os.geteuid() and "XDG_RUNTIME_DIR" not in os.environ:
        os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("session"))


def pytest_configure() -> None:
    """Shells ignore SIGINT in the background, nohup ignores SIGHUP, and children inherit that: tests of signals would then wait for ever."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _cannot_make_namespaces() -> str:
    """Why tests with real namespaces cannot run here; "" if they can."""
    flags = ["-Urm"] if os.geteuid() else ["-m"]
    tried = subprocess.run(["unshare", *flags, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, text=True)
    return f"this machine makes no namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if any(item.get_closest_marker("userns") for item in items) and (reason := _cannot_make_namespaces()):
        for item in items:
            if item.get_closest_marker("userns"):
                item.add_marker(pytest.mark.skip(reason=reason))


def _user(user: User, *, helpers: bool) -> User:
    if os.geteuid():
        pytest.skip("making another user needs root")
    if helpers and not shutil.which("newuidmap"):
        pytest.skip("newuidmap is not installed (package uidmap)")
    return user.create()


@pytest.fixture(scope="session")
def unprivileged() -> User:
    """An ordinary user with subordinate ids."""
    return _user(WITH_SUBIDS, helpers=True)


@pytest.fixture(scope="session")
def unprivileged_single() -> User:
    """An ordinary user without subordinate ids."""
    return _user(WITHOUT_SUBIDS, helpers=False)


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root directory with busybox and its applets, /etc/passwd and /etc/group, readable by everybody; not to be written to."""
    if not os.access(BUSYBOX, os.X_OK):
        pytest.skip("a root directory for tests needs busybox (package busybox-static)")
    root = tmp_path_factory.mktemp("busybox")
    for parent in (root, *root.parents):
        if parent.owner() == root.owner() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    for name in ("bin", "etc", "tmp", "root", "home"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "root").chmod(0o700)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if not (root / "bin" / applet).exists():
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nwheel:x:10:root,app\ntty:x:5:\napp:x:1000:\nvideo:x:44:app\nnogroup:x:65534:\n")
    return root


@pytest.fixture
def run_directory() -> Iterator[Path]:
    """A short 0700 directory for sockets, removed afterwards; a zygote in it is asked to leave."""
    path = Path(subprocess.run(["mktemp", "-d", "/tmp/pybuild-run.XXXXXX"], capture_output=True, text=True, check=True).stdout.strip())
    yield path
    shutil.rmtree(path, ignore_errors=True)
