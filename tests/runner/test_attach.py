"""Being attached to a container: its output, input, terminal and signals; and what it is not to depend on."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from runner.engine import Engine
from runner.upkeep import RUNNING, LogOptions
from tests.runner.scene import Scene, await_output, make, output, run, start
from tests.runner.terminal import Terminal

pytestmark = pytest.mark.userns

NONE = ("--network", "none")


def test_run_passes_streams_and_status(scene: Scene) -> None:
    done = scene.tool.run("pyup", "container", "run", "--rm", *NONE, "-i", "busybox", "sh", "-c", "cat; echo err >&2; exit 3", stdin=b"in\n")
    assert (done.status, done.out, done.err) == (3, "in\n", "err\n")


def test_run_without_stdin_reads_nothing(scene: Scene) -> None:
    assert scene.pyup("run", "--rm", *NONE, "busybox", "cat", stdin=b"in\n") == ""


def test_run_passes_much_input_and_output(root_scene: Scene) -> None:
    data = os.urandom(3 << 20)
    argv = root_scene.tool.argv("pyup", "container", "run", "--rm", *NONE, "-i", "busybox", "cat")
    done = subprocess.run(argv, input=data, capture_output=True, env=root_scene.tool.env, check=True)
    assert done.stdout == data


def test_run_with_a_small_log_loses_nothing(root_scene: Scene) -> None:
    """The log is dropped as it fills, but never what the command has not shown yet."""
    data = os.urandom(2 << 20)
    argv = root_scene.tool.argv("pyup", "container", "run", "--rm", *NONE, "-i", "--log-opt", "max-size=64k", "busybox", "cat")
    done = subprocess.run(argv, input=data, capture_output=True, env=root_scene.tool.env, check=True)
    assert done.stdout == data


def test_run_without_a_log_shows_its_output(scene: Scene) -> None:
    done = scene.tool.run("pyup", "container", "run", "--name", "nolog", "--log-driver", "none", *NONE, "busybox", "echo", "hi")
    assert (done.status, done.out) == (0, "hi\n")
    assert "keeps no log" in scene.tool.run("pyup", "container", "logs", "nolog").err


@pytest.mark.parametrize(("command", "status", "text"), [
    ("nonsense", 127, "not in the PATH"), ("/etc", 126, "permission denied"), ("/no/such", 127, "no such file")])
def test_run_of_what_cannot_be_run(root_scene: Scene, command: str, status: int, text: str) -> None:
    done = root_scene.tool.run("pyup", "container", "run", "--rm", *NONE, "busybox", command)
    assert done.status == status and text in done.err and "Traceback" not in done.err


def test_run_that_fails_itself_is_125(root_scene: Scene) -> None:
    done = root_scene.tool.run("pyup", "container", "run", "--rm", "no-such-image", "true")
    assert done.status == 125 and "\nerror: " in done.err


def test_detached_run_prints_its_id(scene: Scene) -> None:
    id = scene.pyup("run", "-d", *NONE, "busybox", "sleep", "1000").strip()
    assert len(id) == 64
    assert scene.do(lambda engine: engine.state(engine.find(id)).status) == RUNNING


def test_signals_reach_the_container(root_scene: Scene) -> None:
    argv = root_scene.tool.argv("pyup", "container", "run", "--rm", *NONE, "--name", "sig", "busybox", "sh", "-c",
                                "trap 'echo got; exit 8' TERM; echo ready; while :; do sleep 0.05; done")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=root_scene.tool.env) as command:
        assert command.stdout and command.stdout.readline() == b"ready\n"
        command.send_signal(signal.SIGTERM)
        assert command.stdout.readline() == b"got\n"
    assert command.returncode == 8


def test_killed_command_leaves_the_container_running(root_scene: Scene) -> None:
    argv = root_scene.tool.argv("pyup", "container", "run", *NONE, "--name", "orphan", "busybox", "sh", "-c", "echo ready; exec sleep 1000")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=root_scene.tool.env) as command:
        assert command.stdout and command.stdout.readline() == b"ready\n"
        command.kill()
    assert root_scene.do(lambda engine: engine.state(engine.find("orphan")).status) == RUNNING


def test_removal_is_seen_to_when_the_command_was_killed(root_scene: Scene) -> None:
    from store.events import Follower

    def play(engine: Engine) -> "list[str]":
        import select

        argv = root_scene.tool.argv("pyup", "container", "run", "--rm", *NONE, "--name", "gone", "busybox", "sh", "-c", "echo ready; exec sleep 1000")
        with Follower(engine.store.events) as follower, subprocess.Popen(argv, stdout=subprocess.PIPE, env=root_scene.tool.env) as command:
            assert command.stdout and command.stdout.readline() == b"ready\n"
            command.kill()
            command.wait()
            engine.kill(engine.find("gone"))
            while not any(b'"destroy"' in line for line in follower.read()):
                assert select.select([follower], [], [], 20)[0], "nobody removes it"
        return [container.name for container in engine.records.containers()]
    assert root_scene.do(play) == []


def test_stopped_reader_holds_nobody_up(root_scene: Scene) -> None:
    """Somebody who does not read the output of a container must not stop it, nor others from being attached."""
    argv = root_scene.tool.argv("pyup", "container", "run", *NONE, "--name", "busy", "busybox", "sh", "-c", "yes | head -c 3000000; echo done; exec sleep 1000")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=root_scene.tool.env) as command:
        assert command.stdout and command.stdout.read(1) == b"y"      # and no more
        root_scene.do(lambda engine: await_output(engine, engine.find("busy"), "done"))
        command.kill()


def test_terminal_is_one(scene: Scene) -> None:
    with Terminal(scene, "container", "run", "--rm", "-it", *NONE, "busybox", "sh", rows=33, columns=97) as terminal:
        terminal.expect("# ")
        terminal.type("tty; stty size; echo $TERM; cat /proc/self/stat | cut -d' ' -f7 | grep -v '^0$' >/dev/null && echo controlled\n")
        terminal.expect("/dev/pts/0\r\n33 97\r\nxterm\r\ncontrolled\r\n")
        terminal.type("exit 5\n")
        assert terminal.end() == 5


def test_terminal_follows_the_size_of_ours(scene: Scene) -> None:
    with Terminal(scene, "container", "run", "--rm", "-it", *NONE, "busybox", "sh", "-c",
                  "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done") as terminal:
        terminal.expect("ready\r\n")
        terminal.resize(20, 60)
        terminal.expect("20 60\r\n")
        assert terminal.end() == 0


def test_interrupt_on_a_terminal_goes_inside(scene: Scene) -> None:
    with Terminal(scene, "container", "run", "--rm", "-it", *NONE, "busybox", "sh", "-c",
                  "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done") as terminal:
        terminal.expect("ready\r\n")
        terminal.type("\x03")
        assert terminal.end() == 9


def test_detach_keys_let_go_and_attach_comes_back(scene: Scene) -> None:
    with Terminal(scene, "container", "run", "-it", "--name", "shell", *NONE, "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("A=5\n\x10\x11")
        terminal.expect("read escape sequence")
        assert terminal.end() == 0
    assert scene.do(lambda engine: engine.state(engine.find("shell")).status) == RUNNING
    with Terminal(scene, "container", "attach", "--detach-keys", "ctrl-a,d", "shell") as terminal:
        terminal.type("echo =$A=\n")
        terminal.expect("=5=\r\n")
        terminal.type("\x01d")
        assert terminal.end() == 0


def test_terminal_mode_is_restored(scene: Scene) -> None:
    import termios

    with Terminal(scene, "container", "run", "-it", "--rm", *NONE, "busybox", "sh") as terminal:
        ours = terminal.open_inner()
        terminal.expect("# ")
        assert not termios.tcgetattr(ours)[3] & termios.ECHO
        terminal.type("exit\n")
        assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == 0
        assert termios.tcgetattr(ours)[3] & termios.ECHO
        os.close(ours)


def test_two_are_attached_and_see_the_same(root_scene: Scene) -> None:
    root_scene.pyup("run", "-d", "-i", "--name", "both", *NONE, "busybox", "sh", "-c", "read x; echo got $x")
    argv = root_scene.tool.argv("pyup", "container", "attach", "both")
    first, second = (subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=root_scene.tool.env) for _ in range(2))
    root_scene.do(_await_callers, "both", 2)
    assert first.communicate(b"word\n")[0] == second.communicate()[0] == b"got word\n"
    assert (first.returncode, second.returncode) == (0, 0)


def _await_callers(engine: Engine, name: str, count: int) -> None:
    """Until so many are attached: each holds an fd of the container's stdin."""
    import time

    container = engine.find(name)
    inode = os.stat(f"/proc/{engine.state(container).pid}/fd/0").st_ino
    for _ in range(6000):
        holders = [pid for pid in os.listdir("/proc") if pid.isdigit() and _holds(pid, inode)]
        if len(holders) >= count + 3:                     # and the container, the guardian in its shim, and the mind
            return
        time.sleep(0.01)
    raise AssertionError("they do not attach")


def _holds(pid: str, inode: int) -> bool:
    try:
        return any(os.stat(f"/proc/{pid}/fd/{fd}").st_ino == inode for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def test_start_attached(scene: Scene) -> None:
    scene.pyup("create", "-i", "--name", "later", *NONE, "busybox", "sh", "-c", "cat; exit 4")
    done = scene.tool.run("pyup", "container", "start", "-ai", "later", stdin=b"word\n")
    assert (done.status, done.out) == (4, "word\n")


def test_end_of_input_is_passed_on(scene: Scene) -> None:
    assert scene.pyup("run", "--rm", "-i", *NONE, "busybox", "wc", "-c", stdin=b"12345").split() == ["5"]


def test_logs_in_all_ways(scene: Scene) -> None:
    def play(engine: Engine) -> str:
        container = run(engine, "/bin/sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2; printf rest", log=LogOptions())
        engine.wait(container)
        return container.name
    name = scene.do(play)
    assert scene.pyup("logs", name) == "line 1\nline 2\nline 3\nline 4\nline 5\nrest"
    assert scene.tool.run("pyup", "container", "logs", name).err == "oops\n"
    assert scene.pyup("logs", "-n", "3", name) == "line 5\nrest"
    assert scene.pyup("logs", "--tail", "0", name) == ""
    stamped = scene.pyup("logs", "-t", name).splitlines()
    assert all(line[:4].isdigit() and line[19] == "." and line[29:31] == "Z " for line in stamped) and len(stamped) == 6
    assert scene.pyup("logs", "--until", stamped[0].split()[0], name).startswith("line 1\n")
    assert scene.pyup("logs", "--since", "1h", name).count("line") == 5 and scene.pyup("logs", "--until", "1h", name) == ""


def test_following_logs_ends_with_the_container(scene: Scene) -> None:
    scene.pyup("run", "-d", "-i", "--name", "talk", *NONE, "busybox", "sh", "-c", "echo one; sleep 0.2; echo two")
    assert scene.pyup("logs", "-f", "talk") == "one\ntwo\n"
    assert scene.pyup("logs", "-f", "talk") == "one\ntwo\n"


def test_log_survives_a_removal_if_handed_on(root_scene: Scene) -> None:
    def play(engine: Engine) -> str:
        old = run(engine, "echo", "old")
        engine.wait(old)
        new = make(engine, "echo", "new")
        engine.remove(old, logs_to=new)
        start(engine, new)
        engine.wait(new)
        return output(engine, new)
    assert root_scene.do(play) == "old\nnew\n"


def test_cidfile_is_not_overwritten(root_scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "cid"
    id = root_scene.pyup("create", "--cidfile", str(path), *NONE, "busybox", "true").strip()
    assert path.read_text() == id
    assert root_scene.tool.run("pyup", "container", "create", "--cidfile", str(path), *NONE, "busybox", "true").status != 0
