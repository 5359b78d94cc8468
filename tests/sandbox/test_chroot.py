"""Steps isolated by chroot: what they see, what is captured of them, what they cannot reach, and that nothing is left."""

import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kernel import whiteout
from kernel.release import parse
from kernel.syscalls import capget
from sandbox.capabilities import SYS_ADMIN
from sandbox.chroot import ChrootClient
from sandbox.errors import CommandMissing, SandboxError
from sandbox.spec import Bind, Overlay, SandboxSpec, Tmpfs, WriteFile
from tests.users import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing the root needs root")


CAN_MOUNT = bool(capget()[0] & SYS_ADMIN)                # not in a container, where these tests run too (test_nested.py)
MARK = "trusted.overlay.opaque" if CAN_MOUNT else "user.overlay.opaque"


class Done(NamedTuple):
    code: int
    out: str
    upper: Path


class Chrooted:
    """Steps on top of each other, as a build runs them."""

    def __init__(self, rootfs: Path, base: Path) -> None:
        self.base = base
        self.layers: tuple[str, ...] = (str(rootfs),)
        self.client = ChrootClient(str(base / "pool"), user_xattrs=not CAN_MOUNT)

    def run(self, script: str, *mounts: object, **fields: object) -> Done:
        upper = self.base / f"upper{len(self.layers)}"
        upper.mkdir(mode=0o755)
        spec = SandboxSpec(Overlay(self.layers, str(upper), "/none"), ("/bin/sh", "-c", script), mounts=mounts,   # type: ignore[arg-type]
                           env=(("PATH", "/bin"),), **fields)       # type: ignore[arg-type]
        read, write = os.pipe()
        null = os.open("/dev/null", os.O_RDWR)
        with self.client.spawn(spec, null, write, write) as running:
            os.close(write)
            os.close(null)
            with open(read) as file:
                out = file.read()
            code = running.wait().code
        self.layers = (str(upper), *self.layers)
        return Done(code, out, upper)


@pytest.fixture
def step(rootfs: Path, tmp_path: Path) -> Iterator[Chrooted]:
    yield Chrooted(rootfs, tmp_path)


def paths(upper: Path) -> set[str]:
    return {str(path.relative_to(upper)) for path in upper.rglob("*")}


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return whiteout.is_whiteout(status.st_mode, status.st_rdev)


def test_what_a_step_writes_is_its_layer(step: Chrooted) -> None:
    done = step.run("mkdir -p /a/b && echo x > /a/b/c && ln /a/b/c /a/d && ln -s b /a/l")
    assert (done.code, paths(done.upper)) == (0, {"a", "a/b", "a/b/c", "a/d", "a/l"})
    assert (done.upper / "a/d").stat().st_ino == (done.upper / "a/b/c").stat().st_ino


def test_what_a_step_removes_is_a_whiteout(step: Chrooted) -> None:
    done = step.run("rm /etc/group && rm -r /home")
    assert is_whiteout(done.upper / "etc/group") and is_whiteout(done.upper / "home")
    assert paths(done.upper) == {"etc", "etc/group", "home"}


def test_a_directory_made_anew_hides_what_was_there(step: Chrooted) -> None:
    step.run("mkdir /fresh && echo x > /fresh/new && rm -r /etc && mv /fresh /etc")
    assert os.getxattr(Path(step.layers[0]) / "etc", MARK) == b"y"
    step.client = ChrootClient(str(step.base / "other"), user_xattrs=not CAN_MOUNT)      # which knows the layers only
    assert step.run("ls /etc").out == "new\n"


def test_a_directory_made_anew_under_its_old_number_hides_what_was_there(step: Chrooted) -> None:
    step.run("rm -r /etc && mkdir /etc && echo x > /etc/new")
    step.client = ChrootClient(str(step.base / "other"), user_xattrs=not CAN_MOUNT)
    assert step.run("ls /etc").out == "new\n"


def test_a_change_that_keeps_size_and_time_is_seen(step: Chrooted) -> None:
    step.run("echo abc > /file && touch -d @1000000000 /file")
    done = step.run("echo xyz > /file && touch -d @1000000000 /file")
    assert (done.upper / "file").read_text() == "xyz\n"


def test_a_mode_and_an_owner_are_seen(step: Chrooted) -> None:
    done = step.run("chmod 4711 /etc/passwd && chown 7:8 /etc/group")
    assert (done.upper / "etc/passwd").stat().st_mode & 0o7777 == 0o4711
    assert (done.upper / "etc/group").stat().st_uid == 7


def test_steps_follow_each_other_in_one_tree(step: Chrooted) -> None:
    step.run("echo 1 > /one")
    trees = {path.name for path in (step.base / "pool").iterdir()}
    done = step.run("cat /one && echo 2 > /two && rm /one")
    assert done.out == "1\n" and paths(done.upper) == {"two", "one"}
    assert len(list((step.base / "pool").iterdir())) == len(trees) == 1


def test_mounts_are_no_part_of_the_layer(step: Chrooted, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    done = step.run("cat /run/secrets/s && echo kept > /c/file && echo gone > /etc/t && echo t > /t/x && cat /etc/hosts",
                    WriteFile("/run/secrets/s", b"secret\n"), Bind(str(tmp_path / "cache"), "/c"), Tmpfs("/t"), WriteFile("/etc/hosts", b"hosts\n"))
    assert done.out == "secret\nhosts\n"
    assert paths(done.upper) == {"etc", "etc/t"}
    assert (tmp_path / "cache/file").read_text() == "kept\n"


def test_what_a_mount_hides_comes_back(step: Chrooted) -> None:
    step.run("mkdir /d && echo below > /d/file")
    assert paths(step.run("ls /d && echo x > /d/other", Tmpfs("/d")).upper) == set()
    assert step.run("cat /d/file").out == "below\n"


def test_what_is_left_running_is_stopped(step: Chrooted) -> None:
    done = step.run("sleep 98761 & (setsid sleep 98761 &) ; echo done")
    assert done.out == "done\n"
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 98761" not in running.splitlines()


def test_closing_stops_it_and_brings_a_mount_home(step: Chrooted, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "upper").mkdir()
    spec = SandboxSpec(Overlay(step.layers, str(tmp_path / "upper"), "/none"), ("/bin/sleep", "1000"), mounts=(Bind(str(tmp_path / "cache"), "/c"),))
    step.client.spawn(spec).close()
    assert (tmp_path / "cache").is_dir()
    assert list((tmp_path / "pool").iterdir()) == []


def test_a_missing_command_is_said(step: Chrooted, tmp_path: Path) -> None:
    (tmp_path / "upper").mkdir()
    with pytest.raises(CommandMissing):
        step.client.spawn(SandboxSpec(Overlay(step.layers, str(tmp_path / "upper"), "/none"), ("nothing",)))
    assert list((tmp_path / "pool").iterdir()) == []


def test_dev_stdout_is_the_output(step: Chrooted) -> None:
    assert step.run("echo out > /dev/stdout; echo err > /dev/stderr").out == "out\nerr\n"


def test_the_user_is_the_image_s(step: Chrooted) -> None:
    assert step.run("id -u; id -G", user="app").out == "1000\n1000 10 44\n"


@pytest.mark.parametrize("attack", ["chroot / /bin/true", "unshare -n true", "mount -t tmpfs none /tmp", "mknod /x b 8 0", "umount /", "pivot_root / /"])
def test_the_step_cannot(step: Chrooted, attack: str) -> None:
    assert step.run(attack).code != 0


def test_the_step_cannot_signal_others(step: Chrooted) -> None:
    told = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: told.append(number))
    try:
        assert step.run(f"kill -USR1 {os.getpid()}").code != 0
        step.run("kill -USR1 -1")
        if os.getpgrp() > 1:                              # -1 is everybody, as above, where we are in the first process's group
            assert step.run(f"kill -USR1 -{os.getpgrp()}").code != 0
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert told == []


@pytest.mark.parametrize("script", ["sleep 1000 & kill $!; wait $!", "kill -TERM $$", "kill -TERM 0"])
def test_the_step_can_signal_its_own(step: Chrooted, script: str) -> None:
    assert step.run(script).code == 128 + signal.SIGTERM


@pytest.mark.parametrize("release", ["6.1", "5.10"])
def test_as_much_holds_with_an_older_landlock(release: str) -> None:
    """6.1: it knows nothing of signals. 5.10: there is none."""
    if parse(os.uname().release) < parse(release):
        pytest.skip("this kernel is older still")
    names = "signal or cannot or left or mount or shell"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", f"({names}) and not older"], cwd=ROOT,
                          capture_output=True, text=True, timeout=300, env={**os.environ, "PYBUILD_KERNEL": release})
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_directory_with_a_device_is_not_moved_in(step: Chrooted, tmp_path: Path) -> None:
    """A step in namespaces may have made it in a cache, where it cannot open it."""
    (tmp_path / "cache/deep").mkdir(parents=True)
    os.mknod(tmp_path / "cache/deep/memory", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    with pytest.raises(SandboxError, match="it has the device `deep/memory`"):
        step.run("true", Bind(str(tmp_path / "cache"), "/cache"))
    assert (tmp_path / "cache/deep/memory").is_char_device()


def test_no_descriptor_of_ours_is_open_in_it(step: Chrooted, tmp_path: Path) -> None:
    leak = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        script = "for n in 3 4 5 6 7 8 9; do eval \"true <&$n\" 2>/dev/null && echo $n; done; true"
        assert step.run(script).out == ""
    finally:
        os.close(leak)


def test_a_symlink_leads_no_mount_out_of_the_root(step: Chrooted, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    step.run(f"ln -s {tmp_path}/host /out; mkdir /x; ln -s / /x/up")
    done = step.run("cat /out/f", WriteFile("/out/f", b"inside\n"), WriteFile("/x/up/g", b""))
    assert done.out == "inside\n"
    assert list((tmp_path / "host").iterdir()) == []


def test_a_dev_that_is_a_symlink_makes_no_node_elsewhere(step: Chrooted, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    step.run("true")
    (Path(step.layers[0]) / "dev").symlink_to(tmp_path / "host")
    step.layers = (step.layers[0], *step.layers[1:])
    assert step.run("test -e /dev/null").code == 0
    assert list((tmp_path / "host").iterdir()) == []


def test_a_device_of_a_layer_cannot_be_opened_and_stays_one(step: Chrooted, tmp_path: Path) -> None:
    """Nothing like `nodev` is there, and a layer may hold the machine's disk."""
    layer = tmp_path / "devices"
    layer.mkdir()
    for name in ("zero", "moved"):
        os.mknod(layer / name, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    step.layers = (str(layer), *step.layers)
    done = step.run("for d in zero moved; do test -c /$d && head -c 1 /$d 2>&1; done; mv /moved /new")
    answers = {"No such device or address"} if CAN_MOUNT else {"No such device or address", "Permission denied"}    # a container's disks are nodev
    assert [line.rpartition(": ")[2] in answers for line in done.out.splitlines()] == [True] * 2
    assert paths(done.upper) == {"moved", "new"}
    assert (done.upper / "new").lstat().st_rdev == os.makedev(1, 5)


def test_two_steps_that_want_the_same_directories_never_wait_for_each_other(rootfs: Path, tmp_path: Path) -> None:
    """Each begins with the one that the other has."""
    directories = [str(tmp_path / name) for name in ("a", "b")]
    pids = []
    for number, order in enumerate((directories, directories[::-1])):
        (tmp_path / f"{number}").mkdir()
        pid = os.fork()
        if not pid:
            code = 99
            try:
                code = 0
                for turn in range(20):
                    (base := tmp_path / f"{number}/{turn}").mkdir()
                    code |= Chrooted(rootfs, base).run("true", *(Bind(path, f"/m{at}") for at, path in enumerate(order))).code
            finally:
                os._exit(code)
        pids.append(pid)
    pidfds = [os.pidfd_open(pid) for pid in pids]
    try:
        for pidfd in pidfds:
            assert select.select([pidfd], [], [], 60)[0], "they wait for each other"
    finally:
        for pid, pidfd in zip(pids, pidfds):
            os.close(pidfd)
            os.kill(pid, signal.SIGKILL)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]


def test_a_socket_can_be_mounted(step: Chrooted, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent"))
        assert step.run("test -S /agent", Bind(str(tmp_path / "agent"), "/agent")).code == 0


def test_directories_too_deep_are_one_error(step: Chrooted) -> None:
    with pytest.raises(SandboxError, match="deep in each other"):
        step.run("i=0; while [ $i -lt 450 ]; do mkdir d && cd d; i=$((i+1)); done")
