"""exec into a running sandbox, pid namespaces shared by several, and the init that `--init` puts first."""

import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel.release import parse
from sandbox import capabilities, userns
from sandbox.client import Client, Exit, Running, connect
from sandbox.errors import CommandFailed, CommandMissing, InvalidSpec, SandboxError, UserMissing
from sandbox.spec import ExecSpec, Limits, Overlay, SandboxSpec
from tests.sandbox.harness import IDLE_S, PATH, Box
from tests.sandbox.test_zygote import children, server, wait_until

pytestmark = pytest.mark.userns


class Scene:
    """A sandbox that sleeps, and what can be done in it."""

    def __init__(self, client: Client, root: Overlay, **fields: object) -> None:
        self.client = client
        self.root = root
        self.main = client.spawn(SandboxSpec(root, ("/bin/sleep", "1010"), env=(PATH,), hostname="scene", **fields))      # type: ignore[arg-type]

    def exec(self, *argv: str, **fields: object) -> tuple[Exit, str]:
        return finish(lambda out: self.client.exec(self.main.pidfd, ExecSpec(argv, **{"env": (PATH,), **fields}), 0, out, out))      # type: ignore[arg-type]

    def shell(self, script: str, **fields: object) -> str:
        return self.exec("/bin/sh", "-c", script, **fields)[1]


def finish(start: Callable[[int], Running]) -> tuple[Exit, str]:
    """(exit, all output) of what `start` starts with the fd of a pipe."""
    read, write = os.pipe()
    try:
        running = start(write)
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    with running, open(read) as file:
        text = file.read()
        return running.wait(), text


def layers(base: Path, rootfs: Path) -> Overlay:
    for name in ("upper", "work"):
        (base / name).mkdir(exist_ok=True)
    return Overlay((str(rootfs),), str(base / "upper"), str(base / "work"))


@pytest.fixture
def scene(root_box: Box) -> Iterator[Scene]:
    with connect(str(root_box.run_directory)) as client:
        found = Scene(client, layers(root_box.scratch, root_box.rootfs))
        yield found
        found.main.close()


def test_exec_is_inside(scene: Scene) -> None:
    out = scene.shell("hostname; tr '\\0' ' ' </proc/1/cmdline; echo; echo $$ $HOME; pwd", cwd="/tmp")
    assert out == "scene\n/bin/sleep 1010 \n2 /root\n/tmp\n"


def test_exec_by_one_that_was_prepared(scene: Scene) -> None:
    """The first exec makes the zygote keep some ready; what they are given must not depend on what they rehearsed."""
    for number in range(4):
        out = scene.shell("echo $HOME $N $(id -u)", user="app", env=(PATH, ("N", str(number))))
        assert out == f"/home/app {number} 1000\n"
        wait_until(lambda: len(children(server(scene.client))) > 1)


def test_exec_ends_with_its_own_status(scene: Scene) -> None:
    assert scene.exec("/bin/sh", "-c", "exit 9")[0].code == 9
    assert scene.exec("/bin/sh", "-c", "kill -9 $$")[0].signal == signal.SIGKILL
    assert scene.shell("pidof sleep") == "1\n"


def test_exec_sees_and_shares_the_files(scene: Scene) -> None:
    scene.shell("echo one >/file")
    assert scene.shell("cat /file") == "one\n"


def test_exec_as_user_with_groups(scene: Scene) -> None:
    assert scene.shell("id", user="app") == "uid=1000(app) gid=1000(app) groups=10(wheel),44(video),1000(app)\n"
    with pytest.raises(UserMissing, match="no user `bob` in the image"):
        scene.shell("id", user="bob")


def test_exec_privileges(scene: Scene) -> None:
    script = "grep -E 'Cap(Inh|Prm|Eff|Bnd)|Seccomp:|NoNewPrivs' /proc/self/status | cut -f2"
    assert scene.shell(script).split() == ["0" * 16, *["00000000a80425fb"] * 3, "0", "2"]
    assert scene.shell(script, capabilities=1, no_new_privileges=True).split() == ["0" * 16, *["0000000000000001"] * 3, "1", "2"]
    assert scene.shell(script, user="1000").split() == ["0" * 16] * 3 + ["00000000a80425fb", "0", "2"]


def test_exec_missing_and_forbidden_commands(scene: Scene) -> None:
    with pytest.raises(CommandMissing, match="command `nope` is not in the PATH of the image"):
        scene.exec("nope")
    with pytest.raises(CommandFailed, match="cannot execute `/etc/passwd`: permission denied"):
        scene.exec("/etc/passwd")
    scene.shell("echo '#!/no/interpreter' >/bin/odd; chmod 755 /bin/odd; echo junk >/bin/junk; chmod 755 /bin/junk")
    with pytest.raises(CommandMissing, match="interpreter is missing"):
        scene.exec("odd")
    with pytest.raises(CommandFailed, match="exec format error"):
        scene.exec("junk")
    with pytest.raises(InvalidSpec):
        scene.exec("")


def test_exec_in_a_missing_directory(scene: Scene) -> None:
    with pytest.raises(SandboxError, match="cannot enter the working directory `/no/such`: no such file or directory"):
        scene.shell("pwd", cwd="/no/such")


def test_exec_dies_with_its_connection(scene: Scene) -> None:
    running = scene.client.exec(scene.main.pidfd, ExecSpec(("/bin/sleep", "1011"), env=(PATH,)))
    pidfd = os.dup(running.pidfd)
    running.close()
    assert select.select([pidfd], [], [], 10)[0]
    assert scene.shell("pidof sleep") == "1\n"


def test_exec_has_no_descriptors_of_ours(scene: Scene) -> None:
    assert scene.exec("/bin/ls", "/proc/self/fd")[1].split() == ["0", "1", "2", "3"]


def test_exec_with_a_terminal(scene: Scene) -> None:
    script = "tty; stty size; exec 0</dev/tty && echo mine; ps -o pid,sid,tty 2>/dev/null | grep -c ?"
    with scene.client.exec(scene.main.pidfd, ExecSpec(("/bin/sh", "-c", script), env=(PATH,), terminal=(7, 70))) as running:
        text = b""
        try:
            while more := os.read(running.terminal, 1000):
                text += more
        except OSError:
            pass                                          # EIO: nobody has it open any more
        running.wait()
    assert text.decode().split()[:4] == ["/dev/pts/0", "7", "70", "mine"]


def test_exec_into_one_that_has_ended(scene: Scene) -> None:
    scene.main.kill()
    scene.main.wait()
    with pytest.raises(SandboxError, match="enter the sandbox"):
        scene.exec("/bin/true")


def test_exec_is_in_the_sandboxes_cgroup(root_box: Box) -> None:
    with connect(str(root_box.run_directory)) as client:
        scene = Scene(client, layers(root_box.scratch, root_box.rootfs), cgroup="visited", limits=Limits(pids=3))
        if scene.main.warnings:
            pytest.skip(scene.main.warnings[0])
        out = scene.shell("sleep 0.1 & sleep 0.1 & sleep 0.1 & sleep 0.1 &", cgroup="visited")
        scene.main.close()
    assert "fork" in out


def test_exec_by_an_ordinary_user(user_box: Box) -> None:
    assert user_box.user
    assert user_box.user.call(_exec_as_user, str(user_box.run_directory), str(user_box.scratch), str(user_box.rootfs)) == "33:44 0\nhost net\n"


def _exec_as_user(run_directory: str, scratch: str, rootfs: str) -> str:
    with connect(run_directory, idle_s=IDLE_S) as client:
        userns.enter(run_directory, client)
        scene = Scene(client, layers(Path(scratch), Path(rootfs)))
        out = scene.shell("touch /f; chown 33:44 /f; stat -c %u:%g /f; id -u").replace("\n", " ", 1)
        scene.main.close()
        Path(scratch, "second").mkdir()
        shared = Scene(client, layers(Path(scratch, "second"), Path(rootfs)), network="host")
        out += shared.shell("test -d /proc/1 && echo host net")
        shared.main.close()
        return out


# ---------------------------------------------------------------- shared pid namespaces
def test_pid_namespace_of_another_sandbox(scene: Scene, root_box: Box) -> None:
    pid_namespace = os.open(f"/proc/{scene.main.pid}/ns/pid", os.O_RDONLY)
    points = root_box.scratch / "points"
    for name in ("proc", "sys", "dev"):
        (points / name).mkdir(parents=True)
    spec = SandboxSpec(Overlay((str(points), str(root_box.rootfs))), ("/bin/sh", "-c", "ps -o pid,args; exit 4"), env=(PATH,), pid=pid_namespace)
    exit, out = finish(lambda write: scene.client.spawn(spec, 0, write, write))
    os.close(pid_namespace)
    assert exit.code == 4
    assert "1 /bin/sleep 1010" in out
    assert "python" not in out
    assert scene.shell("pidof sleep") == "1\n"             # the other one goes on


def test_missing_command_in_the_pid_namespace_of_another(scene: Scene, root_box: Box) -> None:
    pid_namespace = os.open(f"/proc/{scene.main.pid}/ns/pid", os.O_RDONLY)
    spec = SandboxSpec(Overlay((str(root_box.scratch), str(root_box.rootfs))), ("nope",), pid=pid_namespace)
    for name in ("proc", "sys", "dev"):
        (root_box.scratch / name).mkdir()
    with pytest.raises(CommandMissing):
        scene.client.spawn(spec)
    os.close(pid_namespace)


def test_pid_namespace_of_the_host(root_box: Box) -> None:
    outcome = root_box.shell("echo $$; ls -d /proc/$PPID", pid="host")
    assert int(outcome.out.split()[0]) > 2
    assert outcome.exit and outcome.exit.code == 0


def test_ipc_and_uts_of_the_host(root_box: Box) -> None:
    outcome = root_box.shell("readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts", ipc="host", uts="host")
    assert outcome.out.split() == [os.readlink("/proc/self/ns/ipc"), os.readlink("/proc/self/ns/uts")]


# ---------------------------------------------------------------- init
def test_init_is_first_and_not_python(box: Box) -> None:
    outcome = box.shell("readlink /proc/1/exe; echo $$; grep -E 'VmRSS|CapPrm' /proc/1/status", init=True)
    assert outcome.out.split()[0].startswith("/memfd:init")
    assert outcome.out.split()[2] == "2"
    assert "CapPrm:\t00000000a80425fb" in outcome.out
    assert int(outcome.out.split("VmRSS:")[1].split()[0]) < 100


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -15 $$", 143), ("(sleep 0.01; true) & exit 5", 5)])
def test_init_ends_as_its_child(box: Box, script: str, code: int) -> None:
    outcome = box.shell(script, init=True)
    assert outcome.exit and outcome.exit.code == code


def test_init_reaps_orphans(box: Box) -> None:
    outcome = box.shell("(sleep 0.02 & exec true); sleep 0.1; ps -o stat,args | grep -c '^Z'", init=True)
    assert outcome.out == "0\n"


def test_init_hands_signals_on(root_box: Box) -> None:
    root = layers(root_box.scratch, root_box.rootfs)
    script = "trap 'echo got it; exit 8' TERM; echo ready; while :; do sleep 0.01; done"
    read, write = os.pipe()
    with connect(str(root_box.run_directory)) as client, \
            client.spawn(SandboxSpec(root, ("/bin/sh", "-c", script), env=(PATH,), init=True), 0, write, write) as running:
        os.close(write)
        assert os.read(read, 100) == b"ready\n"
        running.kill(signal.SIGTERM)
        assert running.wait().code == 8
    assert os.read(read, 100) == b"got it\n"
    os.close(read)


def test_init_missing_command(box: Box) -> None:
    outcome = box.run("nope", init=True)
    assert (outcome.error, outcome.upper) == ("CommandMissing", {})


def test_init_with_a_terminal_gives_the_child_the_foreground(root_box: Box) -> None:
    root = layers(root_box.scratch, root_box.rootfs)
    script = "tty; read line; echo got $line"
    spec = SandboxSpec(root, ("/bin/sh", "-c", script), env=(PATH,), init=True, terminal=(5, 50))
    with connect(str(root_box.run_directory)) as client, client.spawn(spec) as running:
        os.write(running.terminal, b"word\n")
        text = b""
        try:
            while more := os.read(running.terminal, 1000):
                text += more
        except OSError:
            pass
        assert running.wait().code == 0
    assert "got word" in text.decode()


@pytest.mark.skipif(parse(os.uname().release) < (5, 11), reason="execs beside that capability are refused where TOMOYO may be in the way")
def test_exec_with_sys_ptrace_inside_cannot_reach_the_hosts_python(root_box: Box) -> None:
    """CVE-2016-9962, CVE-2019-5736: who watches /proc for the process that joins must never see one whose program is the host's."""
    held = capabilities.select(("SYS_PTRACE",))
    watch = ("while :; do for d in /proc/[0-9]*; do e=$(readlink $d/exe); case $e in *python*) echo $e >>/seen;; esac; done; done")
    root = layers(root_box.scratch, root_box.rootfs)
    spec = SandboxSpec(root, ("/bin/sh", "-c", watch), env=(PATH,), capabilities=held)
    with connect(str(root_box.run_directory)) as client, client.spawn(spec) as running:
        for _ in range(40):
            finish(lambda out: client.exec(running.pidfd, ExecSpec(("/bin/true",), env=(PATH,), capabilities=held), 0, out, out))
        _, out = finish(lambda out: client.exec(running.pidfd, ExecSpec(("/bin/cat", "/seen"), env=(PATH,)), 0, out, out))
    assert out == "cat: can't open '/seen': No such file or directory\n"
