"""Sandboxes of root in a user namespace of their own: root inside is nobody outside, and files keep the owners they have on disk."""

import os
import random
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.release import RELEASE
from sandbox import capabilities, idmap
from sandbox.cgroup import Cgroups
from sandbox.client import connect
from sandbox.errors import InvalidSpec, SandboxError
from sandbox.machine import look
from sandbox.process import Maker
from sandbox.spec import Bind, Directory, Joined, Overlay, SandboxSpec, Tmpfs, WriteFile
from sandbox.userns import Range
from sandbox.wire import pack
from tests.fork import in_fork
from tests.sandbox.harness import PATH, Box, Outcome, listing
from tests.sandbox.test_visit import Scene, layers
from tests.users import User

pytestmark = [pytest.mark.userns, pytest.mark.skipif(os.geteuid() != 0, reason="the owners of files are mapped by root"),
              pytest.mark.skipif(RELEASE < idmap.NEEDED, reason="overlays on id-mapped layers are of Linux 5.19")]

FIRST = 0x70000000 + 4093 * 65536                         # the last range of the usual pool
IDS = (Range(0, FIRST, 65536),)


class Mapped:
    """As Box, in a user namespace."""

    def __init__(self, box: Box, fields: dict[str, Any]) -> None:
        self.box = box
        self.fields = fields

    def shell(self, script: str, **fields: Any) -> Outcome:
        return self.box.shell(script, **{**self.fields, **fields})


@pytest.fixture
def fields() -> Iterator[dict[str, Any]]:
    """What a spec needs to be in a user namespace."""
    user, network = idmap.make_namespaces(IDS, IDS)
    yield {"user_namespace": user, "outer_root": (FIRST, FIRST)}
    os.close(user)
    os.close(network)


@pytest.fixture
def mapped(root_box: Box, fields: dict[str, Any]) -> Mapped:
    return Mapped(root_box, fields)


@pytest.fixture
def scene(root_box: Box, fields: dict[str, Any]) -> Iterator[Scene]:
    with connect(str(root_box.run_directory)) as client:
        found = Scene(client, layers(root_box.scratch, root_box.rootfs), **fields)
        yield found
        found.main.close()


# ---------------------------------------------------------------- who it is
def test_root_inside_has_its_own_ids(mapped: Mapped) -> None:
    outcome = mapped.shell("id -u; cat /proc/self/uid_map /proc/self/gid_map")
    assert outcome.out.split() == ["0", *["0", str(FIRST), "65536"] * 2], outcome


def test_host_sees_the_shifted_ids(scene: Scene) -> None:
    text = Path(f"/proc/{scene.main.pid}/status").read_text()
    rows = dict(line.split(":\t", 1) for line in text.splitlines())
    assert rows["Uid"].split() == rows["Gid"].split() == [str(FIRST)] * 4
    assert os.stat(f"/proc/{scene.main.pid}/ns/user").st_ino != os.stat("/proc/self/ns/user").st_ino


def test_users_of_the_image_are_shifted_too(root_box: Box, fields: dict[str, Any]) -> None:
    spec = SandboxSpec(layers(root_box.scratch, root_box.rootfs), ("/bin/sleep", "9"), env=(PATH,), user="app", **fields)
    with connect(str(root_box.run_directory)) as client, client.spawn(spec) as running:
        assert f"Uid:\t{FIRST + 1000}\t" in Path(f"/proc/{running.pid}/status").read_text()


def test_capabilities_are_the_usual_ones(mapped: Mapped) -> None:
    out = mapped.shell("grep Cap /proc/self/status").out
    assert {line.split()[0]: int(line.split()[1], 16) for line in out.splitlines()} == {
        "CapInh:": 0, "CapPrm:": capabilities.DEFAULT, "CapEff:": capabilities.DEFAULT, "CapBnd:": capabilities.DEFAULT, "CapAmb:": 0}


def test_namespaces_belong_to_the_user_namespace(mapped: Mapped) -> None:
    """What root could not do if they were the machine's: mount, name the host, make an interface go down."""
    outcome = mapped.shell("mount -t tmpfs none /tmp && hostname other && ip link set lo down && mount -t proc none /tmp && echo $(hostname) $$",
                           privileged=True)
    assert outcome.out == "other 1\n", outcome


# ---------------------------------------------------------------- files
def test_files_are_roots_in_the_layer(mapped: Mapped) -> None:
    outcome = mapped.shell("touch /made; mkdir -p /d/e; chown 7:8 /d; ln -s made /link; rm /etc/group; chmod 700 /root; : >> /etc/passwd; ls -ln /made")
    assert outcome.out.split()[2:4] == ["0", "0"]
    shown = {name: text for name, text in outcome.upper.items() if not name.startswith("etc")}
    assert shown == {"made": "-rw-r--r-- 0:0 0", "d": "drwxr-xr-x 7:8", "d/e": "drwxr-xr-x 0:0", "link": "lrwxrwxrwx 0:0 made", "root": "drwx------ 0:0"}
    assert outcome.upper["etc/passwd"].startswith("-rw-r--r-- 0:0 ")
    assert outcome.upper["etc/group"].startswith("c--------- 0:0")


def test_owners_of_layers_are_seen_as_they_are(mapped: Mapped, root_box: Box, tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "theirs").write_text("x")
    os.chown(tmp_path / "layer" / "theirs", 33, 34)
    os.chown(tmp_path / "layer", 0, 0)
    outcome = mapped.shell("ls -ln /theirs; cat /theirs; stat -c %u:%g /bin", lower=(str(tmp_path / "layer"), str(root_box.rootfs)))
    assert outcome.out.split()[2:4] == ["33", "34"]
    assert outcome.out.endswith("x0:0\n")


def test_bind_keeps_owners(mapped: Mapped, tmp_path: Path) -> None:
    bound = tmp_path / "bound"
    bound.mkdir()
    (bound / "secret").write_text("mine\n")
    (bound / "secret").chmod(0o600)
    outcome = mapped.shell("cat /b/secret; touch /b/new; chown 5:6 /b/secret", mounts=(Bind(str(bound), "/b"),))
    assert outcome.out == "mine\n"
    assert listing(bound) == {"new": "-rw-r--r-- 0:0 0", "secret": "-rw------- 5:6 5"}


def test_bind_of_a_file_and_mounts_in_it(mapped: Mapped, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text\n")
    outcome = mapped.shell("cat /etc/issue /f/words; touch /t/x; ls -ln /t | tail -1; echo no > /etc/issue", mounts=(
        Bind(str(tmp_path / "file"), "/etc/issue", readonly=True), WriteFile("/f/words", b"words\n"), Tmpfs("/t", uid=3)))
    assert outcome.out.split()[:2] == ["text", "words"]
    assert outcome.out.split()[4:6] == ["0", "0"]
    assert "Read-only" in outcome.err
    assert outcome.upper == {}


def test_mount_points_in_closed_directories_leave_nothing(mapped: Mapped) -> None:
    outcome = mapped.shell("ls /root/a/b", mounts=(Tmpfs("/root/a/b"),))
    assert outcome.exit and outcome.exit.code == 0
    assert outcome.upper == {}


def test_image_mounts_and_plain_roots(mapped: Mapped, root_box: Box, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "here").write_text("two\n")
    mounts = (Overlay((str(other),), target="/one", readonly=True), Overlay((str(other), str(root_box.rootfs)), target="/both", readonly=True))
    assert mapped.shell("cat /one/here /both/here; ls /both/bin/sh", mounts=mounts).out == "two\ntwo\n/both/bin/sh\n"
    root = tmp_path / "root"
    os.mkdir(root)
    os.system(f"cp -a {root_box.rootfs}/. {root}")
    assert mapped.shell("touch /made; ls -ln /made", rootfs=Directory(str(root))).out.split()[2] == "0"
    assert (root / "made").stat().st_uid == 0


def test_set_uid_programs_are_honoured(mapped: Mapped, root_box: Box, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "ping").write_bytes(Path("/bin/busybox").read_bytes())
    (layer / "ping").chmod(0o4755)
    outcome = mapped.shell("ping -c 1 127.0.0.1; /ping -c 1 127.0.0.1", user="app", lower=(str(layer), str(root_box.rootfs)))
    assert "1 packets received" in outcome.out, outcome
    assert "ping: permission denied" in outcome.err


def test_file_capabilities_are_those_of_the_namespace(mapped: Mapped, root_box: Box, tmp_path: Path) -> None:
    """What root outside gave to a file of a layer, and what root inside gives to one."""
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "ping").write_bytes(Path("/bin/busybox").read_bytes())
    (layer / "ping").chmod(0o755)
    os.setxattr(layer / "ping", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))      # cap_net_raw=ep
    outcome = mapped.shell("ping -c 1 127.0.0.1; /ping -c 1 127.0.0.1", user="app", lower=(str(layer), str(root_box.rootfs)))
    assert "1 packets received" in outcome.out, outcome
    assert "ping: permission denied" in outcome.err


def test_bind_of_what_cannot_be_mapped_is_one_error(mapped: Mapped) -> None:
    outcome = mapped.shell("true", mounts=(Bind("/proc/sys", "/b"),))
    assert outcome.message == ("cannot map the owners of the files in `/b`: its file system, or one that is mounted below it, has no id-mapped mounts")


# ---------------------------------------------------------------- what it cannot do
@pytest.fixture
def foreign(root_box: Box, tmp_path: Path) -> Iterator[Joined]:
    """What another sandbox, without a user namespace, has mounted: of the machine's root, and not shifted."""
    (tmp_path / "foreign").mkdir()
    spec = SandboxSpec(layers(tmp_path / "foreign", root_box.rootfs), ("/bin/sh", "-c", "umask 077; echo key > /dev/shm/secret; echo; exec sleep 99"),
                       env=(PATH,))
    read, write = os.pipe()
    with connect(str(root_box.run_directory)) as client, client.spawn(spec, 0, write) as running:
        os.close(write)
        assert os.read(read, 1)
        os.close(read)
        namespace = os.open(f"/proc/{running.pid}/ns/mnt", os.O_RDONLY)
        yield Joined(namespace, "/dev/shm")
        os.close(namespace)


@pytest.mark.parametrize("attack", [
    "cat $F", "echo x >> $F", "rm $F", "chmod 666 $F", "chown 0:0 $F", "mv $F /dev/shm/x", "touch -d @0 $F", "ln $F /dev/shm/x"])
def test_files_that_are_not_mapped_stay_closed(mapped: Mapped, foreign: Joined, attack: str) -> None:
    outcome = mapped.shell(attack, mounts=(foreign,), env=(PATH, ("F", "/dev/shm/secret")), privileged=True)
    assert outcome.exit and outcome.exit.code != 0
    assert "denied" in outcome.err or "permitted" in outcome.err, outcome


@pytest.mark.parametrize("attack", [
    "adjtimex -f 1", "echo h > /proc/sysrq-trigger", "echo 1 > /proc/sys/kernel/panic", "mknod /n c 1 1", "dmesg -c", "swapon /dev/vda",
    "mount -o remount,rw /sys && echo 1 > /sys/kernel/profiling", "renice -n -20 $$", "mount /dev/vda /tmp", "cat /dev/vda", "echo > /sys/power/state"])
def test_capabilities_are_useless_outside(mapped: Mapped, attack: str) -> None:
    outcome = mapped.shell(attack, privileged=True)
    assert outcome.exit and outcome.exit.code != 0, outcome
    assert "denied" in outcome.err or "permitted" in outcome.err or "nonexistent" in outcome.err, outcome


def test_processes_outside_cannot_be_touched(mapped: Mapped) -> None:
    outcome = mapped.shell(f"kill -0 {os.getpid()} && echo reached; cat /proc/{os.getpid()}/environ && echo reached; cat /proc/{os.getpid()}/root/etc/shadow",
                           pid="host", privileged=True)
    assert outcome.out == ""
    assert "ermi" in outcome.err


def test_two_ranges_do_not_see_each_other(mapped: Mapped, scene: Scene) -> None:
    ids = (Range(0, FIRST - 65536, 65536),)
    user, network = idmap.make_namespaces(ids, ids)
    outcome = mapped.shell(f"kill -9 {scene.main.pid}; ls /proc/{scene.main.pid}/root", pid="host", user_namespace=user,
                           outer_root=(FIRST - 65536,) * 2, privileged=True)
    os.close(user)
    os.close(network)
    assert outcome.exit and outcome.exit.code != 0
    assert Path(f"/proc/{scene.main.pid}").exists()


def test_streams_can_be_opened_again(scene: Scene) -> None:
    """Pipes have an owner: /dev/stdout of an image is opened by its root, and by its user."""
    assert scene.shell("echo one > /dev/stdout; echo two >> /dev/stderr") == "one\ntwo\n"
    assert scene.shell("echo one > /dev/stdout", user="app") == "one\n"


# ---------------------------------------------------------------- a further process
def test_exec_is_root_of_the_same_namespace(scene: Scene) -> None:
    assert scene.shell("id -u; readlink /proc/1/ns/user; readlink /proc/self/ns/user; cat /proc/self/uid_map").split()[:1] == ["0"]
    lines = scene.shell("readlink /proc/1/ns/user; readlink /proc/self/ns/user").split()
    assert lines[0] == lines[1]


def test_exec_has_the_usual_capabilities(scene: Scene) -> None:
    lines = dict(line.split() for line in scene.shell("grep Cap /proc/self/status; grep -w Seccomp /proc/self/status").splitlines())
    assert {lines[name] for name in ("CapPrm:", "CapEff:", "CapBnd:")} == {f"{capabilities.DEFAULT:016x}"}
    assert (lines["CapInh:"], lines["CapAmb:"], lines["Seccomp:"]) == ("0" * 16, "0" * 16, "2")


def test_exec_as_a_user_has_none(scene: Scene) -> None:
    lines = dict(line.split() for line in scene.shell("grep Cap /proc/self/status", user="app").splitlines())
    assert lines["CapEff:"] == lines["CapPrm:"] == "0" * 16
    assert lines["CapBnd:"] == f"{capabilities.DEFAULT:016x}"


def test_exec_writes_files_that_are_roots_on_disk(scene: Scene, root_box: Box) -> None:
    scene.shell("touch /by-exec")
    assert (root_box.scratch / "upper" / "by-exec").stat().st_uid == 0


# ---------------------------------------------------------------- failing, ending
def test_failures_say_what_is_wrong_and_leave_nothing(mapped: Mapped) -> None:
    outcome = mapped.box.run("nope", **mapped.fields)
    assert (outcome.error, outcome.upper) == ("CommandMissing", {})
    outcome = mapped.box.run("/bin/true", user="nobody-there", mounts=(Tmpfs("/root/x"),), **mapped.fields)
    assert (outcome.error, outcome.upper) == ("UserMissing", {})
    outcome = mapped.box.run("/bin/true", lower=("/no/such/layer",), **mapped.fields)
    assert (outcome.error, outcome.message) == ("SandboxError", "cannot mount the root `/no/such/layer`: no such file or directory")


def test_process_numbers_of_another_sandbox_are_refused(mapped: Mapped) -> None:
    fd = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        with pytest.raises(InvalidSpec, match="process numbers of another sandbox cannot be shared"):
            SandboxSpec(Directory("/"), ("/bin/true",), pid=fd, user_namespace=mapped.fields["user_namespace"]).check()
    finally:
        os.close(fd)


def test_network_of_the_host(mapped: Mapped) -> None:
    """It is not the user namespace's: it is seen, and nothing can be done to it."""
    outcome = mapped.shell("ls /sys/class/net; ip link set lo down", network="host", privileged=True)
    assert "lo" in outcome.out.split()
    assert outcome.exit and outcome.exit.code != 0


def test_namespaces_of_ordinary_users_are_refused_their_ids(unprivileged: User) -> None:
    def attempt() -> str:
        try:
            idmap.make_namespaces(IDS, IDS)
        except SandboxError as error:
            return str(error)
        return "made"

    assert unprivileged.call(attempt) == "cannot map the ids of the sandbox: this process may not give them away"


def test_killed_at_any_moment_of_its_birth_nothing_is_left(root_box: Box, fields: dict[str, Any], tmp_path: Path) -> None:
    """The process that is born again must not live on when the first one is killed before it was heard of."""
    in_fork(lambda: _kill_at_birth(root_box, fields, tmp_path))


def _kill_at_birth(box: Box, fields: dict[str, Any], base: Path) -> None:
    moments = random.Random(7)
    for name in ("stage", "layer/proc", "layer/sys", "layer/dev"):
        os.makedirs(base / name)
    maker = Maker(look(str(base / "stage")), Cgroups(0, "", {}, frozenset(), "none"))
    spec = SandboxSpec(Overlay((str(base / "layer"), str(box.rootfs))), ("/bin/sleep", "99"), env=(PATH,), readonly_root=True, **fields)
    null, home = os.open("/dev/null", os.O_RDWR), os.open("/proc/self/ns/mnt", os.O_RDONLY)
    heard: list[str] = []
    for number in range(40):
        packed, fds, _ = pack(spec, first=4)
        unit, _ = maker.start(packed, [null, null, null, home, *fds])
        if number % 4:
            time.sleep(moments.uniform(0, 0.08))          # somewhere in its birth: no event says where
        else:
            select.select([unit.control], [], [])         # it is born, and that is not heard yet
        unit.kill()
        if number % 4 == 0 or moments.random() < 0.5:     # as a zygote, or a shim, that hears what it still has to say
            while (message := unit.hear()[0]) is not None:
                heard.append(message[0])
            assert select.select([unit.pidfd], [], [], 20)[0], "it was killed, and lives"
        unit.bury()
        try:
            os.waitpid(-1, os.WNOHANG)
            raise AssertionError("a child is left")
        except ChildProcessError:
            pass
    assert {"born"} <= set(heard) <= {"born", "failed", "stubs"}


def test_stage_is_not_left_mounted(mapped: Mapped, root_box: Box) -> None:
    mapped.shell("true")
    with open("/proc/self/mountinfo") as file:
        assert str(root_box.run_directory) not in file.read()
    assert stat.S_ISDIR(os.stat(root_box.run_directory / "stage").st_mode)
