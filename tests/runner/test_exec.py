"""Further commands in running containers, and healthchecks, which are such commands."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from runner.engine import Engine
from runner.errors import Conflict
from runner.lower import exec_spec
from runner.state import HEALTHY, UNHEALTHY
from runner.upkeep import RUNNING, SECOND, Healthcheck, Restart
from sandbox.errors import CommandMissing
from tests.runner.scene import Scene, await_state, make, output, run
from tests.runner.terminal import Terminal

pytestmark = pytest.mark.userns


def sleeper(scene: Scene, *options: str) -> str:
    scene.pyup("run", "-d", "--name", "main", "--network", "none", *options, "busybox", "sleep", "1000")
    return "main"


def test_exec_passes_streams_and_status(scene: Scene) -> None:
    name = sleeper(scene)
    done = scene.tool.run("pyup", "container", "exec", "-i", name, "sh", "-c", "cat; echo err >&2; exit 3", stdin=b"in\n")
    assert (done.status, done.out, done.err) == (3, "in\n", "err\n")


def test_exec_has_the_environment_of_the_container(scene: Scene) -> None:
    name = sleeper(scene, "-e", "A=1", "-w", "/srv", "-u", "1000")
    assert scene.pyup("exec", "-e", "B=2", name, "sh", "-c", "echo $A $B; pwd; id -u").split() == ["1", "2", "/srv", "1000"]
    assert scene.pyup("exec", "-u", "0", "-w", "/tmp", name, "sh", "-c", "id -u; pwd").split() == ["0", "/tmp"]


def test_exec_where_process_numbers_are_those_of_the_machine(scene: Scene) -> None:
    name = sleeper(scene, "--pid", "host")
    assert scene.pyup("exec", name, "sh", "-c", "test -e /proc/1 && echo $$").strip() not in ("", "1")


def test_exec_on_a_terminal(scene: Scene) -> None:
    name = sleeper(scene)
    with Terminal(scene, "container", "exec", "-it", name, "sh", rows=31, columns=99) as terminal:
        terminal.expect("# ")
        terminal.type("stty size; tty; exit 6\n")
        terminal.expect("31 99\r\n/dev/pts/0\r\n")
        assert terminal.end() == 6


def test_exec_in_a_container_that_has_a_terminal(scene: Scene) -> None:
    name = sleeper(scene, "-t")
    with Terminal(scene, "container", "exec", "-it", name, "tty") as terminal:
        terminal.expect("/dev/pts/1\r\n")


@pytest.mark.parametrize(("command", "status"), [("nonsense", 127), ("/etc", 126)])
def test_exec_of_what_cannot_be_run(scene: Scene, command: str, status: int) -> None:
    name = sleeper(scene)
    done = scene.tool.run("pyup", "container", "exec", name, command)
    assert done.status == status and done.err.startswith("error: ")


def test_exec_needs_a_running_container(scene: Scene) -> None:
    def play(engine: Engine) -> "list[str]":
        container = make(engine, "true", name="idle")
        found = []
        from runner.executing import execute

        for name in ("idle", "frozen"):
            if name == "frozen":
                container = run(engine, "/bin/sleep", "1000", name="frozen")
                engine.pause(container)
            try:
                execute(engine, container, exec_spec(container, ("true",)))
            except Exception as error:
                found.append(type(error).__name__)
        return found
    assert scene.do(play) == [Conflict.__name__, "SandboxError"]


def test_detached_exec_goes_on(scene: Scene) -> None:
    name = sleeper(scene)
    assert scene.pyup("exec", "-d", name, "sh", "-c", "echo $$ >/pid; exec sleep 500") == ""
    assert "sleep 500" in scene.pyup("exec", name, "ps")


def test_exec_ends_with_its_container(root_scene: Scene) -> None:
    import subprocess

    name = sleeper(root_scene)
    argv = root_scene.tool.argv("pyup", "container", "exec", name, "sh", "-c", "echo ready; sleep 1000")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=root_scene.tool.env) as command:
        assert command.stdout and command.stdout.readline() == b"ready\n"
        root_scene.pyup("kill", name)
    assert command.returncode in (137, 125)


def test_command_that_leaves_a_child_behind_is_not_waited_for(scene: Scene) -> None:
    name = sleeper(scene)
    assert scene.pyup("exec", name, "sh", "-c", "sleep 500 & echo done") == "done\n"


def test_execs_do_not_end_up_in_the_log(scene: Scene) -> None:
    name = sleeper(scene)
    scene.pyup("exec", name, "echo", "hidden")
    assert scene.pyup("logs", name) == ""


# ---------------------------------------------------------------- health
def checked(engine: Engine, test: str, *command: str, **how: Any) -> Any:
    """A container with a healthcheck."""
    return run(engine, *(command or ("/bin/sleep", "1000")), restart=how.pop("restart", Restart()),
               healthcheck=Healthcheck(("CMD-SHELL", test), **{"interval": SECOND // 20, "retries": 2, **how}))


def test_healthy_once_the_probe_succeeds(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = checked(engine, "echo fine; test -e /ready", "/bin/sh", "-c", "sleep 0.2; touch /ready; exec sleep 1000", interval=1000 * SECOND)
        state = await_state(engine, container, lambda state: bool(state.health and state.health.status == HEALTHY))
        assert state.health
        return [state.health.log[-1].exit_code, state.health.log[-1].output, state.health.failing_streak]
    assert scene.do(play) == [0, "fine\n", 0]


def test_unhealthy_after_its_retries(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = checked(engine, "echo bad; exit 3")
        state = await_state(engine, container, lambda state: bool(state.health and state.health.status == UNHEALTHY))
        assert state.health
        return [state.status, state.health.log[-1].exit_code, state.health.log[-1].output, state.health.failing_streak >= 2]
    assert scene.do(play) == [RUNNING, 3, "bad\n", True]


def test_probe_that_takes_too_long_is_killed(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = checked(engine, "exec sleep 777", timeout=SECOND // 10)
        state = await_state(engine, container, lambda state: bool(state.health and state.health.status == UNHEALTHY))
        assert state.health
        return [state.health.log[-1].exit_code, state.health.log[-1].output]
    assert scene.do(play) == [-1, "health check took longer than 0.1s"]


def test_probe_that_cannot_be_run_counts_as_failed(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sleep", "1000", healthcheck=Healthcheck(("CMD", "nonsense"), interval=SECOND // 20, retries=1))
        state = await_state(engine, container, lambda state: bool(state.health and state.health.status == UNHEALTHY))
        assert state.health
        return [state.health.log[-1].exit_code, "nonsense" in state.health.log[-1].output]
    assert scene.do(play) == [CommandMissing.exit_status, True]


def test_unhealthy_is_restarted_if_so_wanted(scene: Scene) -> None:
    def play(engine: Engine) -> bool:
        container = checked(engine, "exit 1", "/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done", restart=Restart("no", unhealthy=True))
        return await_state(engine, container, lambda state: state.status == RUNNING and state.restarts > 0).restarts >= 1
    assert scene.do(play)


def test_health_is_shown_in_listings(scene: Scene) -> None:
    def play(engine: Engine) -> None:
        container = checked(engine, "true")
        await_state(engine, container, lambda state: bool(state.health and state.health.status == HEALTHY))
    scene.do(play)
    assert "(healthy)" in scene.pyup("ls", "--filter", "health=healthy", "--format", "{{.Status}}")
    assert scene.pyup("ls", "-q", "--filter", "health=unhealthy") == ""


def test_no_probe_outlives_its_container(scene: Scene) -> None:
    seconds = str(10 ** 6 + int.from_bytes(os.urandom(3), "big"))    # nobody else's sleep

    def play(engine: Engine) -> str:
        container = checked(engine, f"exec sleep {seconds}", timeout=1000 * SECOND)
        _await(lambda: bool(_sleepers(seconds)))
        os.kill(engine.state(container).pid, signal.SIGKILL)
        engine.wait(container)
        _await(lambda: not _sleepers(seconds))            # the kernel shows it for some moments after its end
        return output(engine, container)
    assert scene.do(play) == ""


def _sleepers(seconds: str) -> "list[str]":
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and _command(pid).split("\0")[:2] == ["sleep", seconds]]


def _await(what: "Callable[[], bool]") -> None:
    import time

    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""
