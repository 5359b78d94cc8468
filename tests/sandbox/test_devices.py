"""/dev of a sandbox: its nodes are its own, whatever is done to them."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.capabilities import DEFAULT
from sandbox.client import connect
from sandbox.spec import Device, ExecSpec, Overlay, SandboxSpec, Tmpfs
from tests.sandbox.harness import PATH, Box
from tests.users import ROOT, needs_root

pytestmark = pytest.mark.userns
CHANGED = "/dev/full"        # the least missed, should it go wrong


@pytest.fixture
def node() -> Iterator[str]:
    """Path of a device of the machine that a test may try to change; it is put right again, and has to be right already."""
    before = os.stat(CHANGED)
    yield CHANGED
    after = os.stat(CHANGED)
    os.chown(CHANGED, before.st_uid, before.st_gid)
    os.chmod(CHANGED, stat.S_IMODE(before.st_mode))
    assert (after.st_mode, after.st_uid, after.st_gid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_gid, before.st_mtime_ns)


CHANGE = "chmod 600 {0} && chown 5:6 {0} && touch {0} && stat -c '%a %u %g' {0}"


@pytest.mark.parametrize("fields", [{}, {"privileged": True}, {"init": True}, {"terminal": (24, 80)}], ids=["", "privileged", "init", "terminal"])
def test_root_changes_the_mode_of_its_own_node(root_box: Box, node: str, fields: dict[str, object]) -> None:
    """Of a build that does `chmod 666 /dev/null` and the like: it is to work, and the machine's node is to stay as it was."""
    outcome = root_box.shell(CHANGE.format(node), **fields)
    assert not outcome.err
    assert outcome.out.split() == ([] if "terminal" in fields else ["600", "5", "6"])


def test_device_of_the_machine_is_a_node_of_its_own(root_box: Box, node: str) -> None:
    outcome = root_box.shell(CHANGE.format("/dev/x/full"), devices=(Device(node, "/dev/x/full"),))
    assert (outcome.out, outcome.err) == ("600 5 6\n", "")


def test_ordinary_user_cannot_change_a_node(user_box: Box, node: str) -> None:
    assert "not permitted" in user_box.shell(CHANGE.format(node)).err


def test_nodes_are_those_of_the_machine_and_work(box: Box) -> None:
    outcome = box.shell("cd /dev; stat -c '%n %t:%T %a' null zero full random urandom tty; head -c 3 zero urandom | wc -c; echo x >null; echo x >full")
    assert outcome.out.splitlines()[:6] == ["null 1:3 666", "zero 1:5 666", "full 1:7 666", "random 1:8 666", "urandom 1:9 666", "tty 5:0 666"]
    assert "No space left" in outcome.err and outcome.err.count("\n") == 1


def test_node_that_is_made_inside_cannot_be_opened(root_box: Box) -> None:
    outcome = root_box.shell("for d in /dev /tmp /dev/shm; do mknod $d/x c 1 3 && cat $d/x; done")
    assert outcome.err.count("Permission denied") == 3


BIND = """
import os, sys
from kernel.paths import DIRECTORY
from kernel.syscalls import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID
from sandbox.devices import bind_node
from sandbox.tree import attach, new_mount

node, at = sys.argv[1:]
attach(new_mount(b"tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV), os.open(at, DIRECTORY))
bind_node(node, os.open(at, DIRECTORY), "x")
print(os.path.samestat(os.stat(node), os.stat(f"{at}/x")))
os.close(os.open(f"{at}/x", os.O_RDWR | os.O_CREAT | os.O_TRUNC))
try:
    os.chmod(f"{at}/x", 0o600)
except OSError as error:
    print(error.strerror)
"""


@needs_root
def test_node_that_cannot_be_made_is_the_machines_and_cannot_be_changed(node: str, tmp_path: Path) -> None:
    """Where root may not make any: in a container, or in a device group."""
    done = subprocess.run(["unshare", "--mount", "setpriv", "--bounding-set=-mknod", sys.executable, "-c", BIND, node, tmp_path], cwd=ROOT,
                          capture_output=True, text=True)
    assert (done.stdout.splitlines(), done.stderr) == (["True", "Read-only file system"], "")


def by_stdin(run_directory: str, spec: SandboxSpec) -> tuple[int, bool]:
    """(exit status, whether it has /dev/null of its own) of a sandbox, and then of an exec in it, with the machine's /dev/null as streams."""
    null = os.open("/dev/null", os.O_RDWR)
    with connect(run_directory, idle_s=3) as client, client.spawn(spec, null, null, null) as running:
        own = not os.path.samestat(os.stat(f"/proc/{running.pid}/fd/0"), os.stat("/dev/null"))
        with client.exec(running.pidfd, ExecSpec(("/bin/test", "/proc/self/fd/0", "-ef", "/dev/null"), env=(PATH,)), null, null, null) as second:
            return second.wait().code, own


@pytest.mark.parametrize("runtime", ["", "crun", "runc"])
def test_null_that_comes_as_a_stream_is_the_sandboxes(root_box: Box, runtime: str) -> None:
    path = shutil.which(runtime) if runtime else ""
    if path is None:
        pytest.skip(f"{runtime} is not installed (package {runtime})")
    for name in ("upper", "work"):
        (root_box.scratch / name).mkdir()
    root = Overlay((str(root_box.rootfs),), str(root_box.scratch / "upper"), str(root_box.scratch / "work"))
    spec = SandboxSpec(root, ("/bin/sleep", "1000"), env=(PATH,), runtime=path)
    assert by_stdin(str(root_box.run_directory), spec) == (0, True)


def test_null_that_comes_as_a_stream_where_there_is_none(root_box: Box) -> None:
    """It is empty."""
    null = os.open("/dev/null", os.O_RDWR)
    read, write = os.pipe()
    for name in ("upper", "work"):
        (root_box.scratch / name).mkdir()
    root = Overlay((str(root_box.rootfs),), str(root_box.scratch / "upper"), str(root_box.scratch / "work"))
    spec = SandboxSpec(root, ("/bin/sh", "-c", "cat; ls /dev; echo end"), (Tmpfs("/dev"),), (PATH,))
    with connect(str(root_box.run_directory), idle_s=3) as client, client.spawn(spec, null, write, write) as running:
        assert running.wait().code == 0
    os.close(write)
    with open(read) as file:
        assert file.read() == "end\n"
    os.close(null)


@pytest.mark.parametrize(("privileged", "said"), [(True, "opened\nopened\n"), (False, "")], ids=["privileged", "plain"])
def test_only_privileged_root_opens_the_nodes_that_it_makes(root_box: Box, privileged: bool, said: str) -> None:
    script = "for where in /dev /bin; do mknod $where/made c 1 3 && echo x >$where/made && echo opened; done; true"
    outcome = root_box.shell(script, privileged=privileged, capabilities=DEFAULT)
    assert outcome.out == said
    assert (outcome.err == "") == privileged
