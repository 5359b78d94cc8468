"""kill -9 of commands, of the zygote and of shims at seeded moments: no container stops that should not, no line of a log is lost, and whoever
comes next finds everything in order. PYBUILD_LONG=1 for the long run."""

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runner.engine import Engine
from runner.logreader import LogReader
from runner.state import KILLED
from runner.upkeep import CREATED, EXITED, RUNNING
from sandbox import wire
from tests.runner.scene import Scene, await_output, leftovers, make, output, run, start, zygote

pytestmark = [pytest.mark.userns, pytest.mark.slow]

ROUNDS = 400 if os.environ.get("PYBUILD_LONG") else 12
COUNT = "i=0; while :; do echo $i; i=$((i+1)); done"


def killed_after(seconds: float, function: Callable[[], Any]) -> None:
    """function() in a fork that is killed after so long, wherever it is then; or has ended before."""
    pid = os.fork()
    if not pid:
        try:
            null = os.open("/dev/null", os.O_WRONLY)
            for fd in (1, 2):
                os.dup2(null, fd)
            function()
        finally:
            os._exit(0)
    time.sleep(seconds)                                   # the moment is what is tested; nothing is waited for
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def sweep_later(engine: Engine) -> None:
    """As if it were in an hour: what was killed in the microsecond between making a directory and locking it is left alone for a minute."""
    for name in leftovers(engine):
        os.utime(f"{engine.store.root.path}/containers/{name}", (0, 0))
    engine.sweep()


def zygote_pid(root: str) -> int:
    with zygote(root) as client:
        socket = client._dial()
        message, _ = wire.receive(socket)
        socket.close()
    assert message
    return int(message[2])


def _begin(engine: Engine, name: str) -> None:
    start(engine, make(engine, "/bin/sleep", "1000", name=name))


def test_commands_killed_at_any_moment(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        dice, states = random.Random(7), set()
        for number in range(ROUNDS):
            name = f"victim{number}"
            killed_after(dice.uniform(0, 0.03), partial(_begin, engine, name))
            for container in engine.records.containers():
                state = engine.state(container)
                states.add(state.status)
                if state.status == CREATED:
                    try:
                        contact = engine.start(container)
                    except Exception as error:
                        states.add(repr(error))
                    else:
                        if contact:
                            contact.close()
                        states.add(engine.state(container).status)
                engine.remove(container, force=True)
            sweep_later(engine)
            if left := leftovers(engine):
                states.add(f"left: {left}")
        return sorted(states)
    assert set(scene.do(play)) <= {CREATED, RUNNING}


def test_removals_killed_at_any_moment(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        dice, wrong = random.Random(8), []
        for number in range(ROUNDS):
            container = run(engine, "/bin/sleep", "1000", name=f"victim{number}", mounts=())
            killed_after(dice.uniform(0, 0.02), partial(engine.remove, container, force=True))
            for left in engine.records.containers():
                engine.remove(left, force=True)
            sweep_later(engine)
            wrong += leftovers(engine)
            again = make(engine, "true", name=f"victim{number}")
            engine.remove(again)
        return wrong
    assert scene.do(play) == []


def test_zygote_killed_stops_no_container(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        dice, root = random.Random(9), engine.store.root.path
        counter = run(engine, "/bin/sh", "-c", COUNT, name="counter")
        pid, wrong = engine.state(counter).pid, []
        for number in range(ROUNDS):
            time.sleep(dice.uniform(0, 0.01))
            try:
                os.kill(zygote_pid(root), signal.SIGKILL)
            except ProcessLookupError:
                pass
            after = run(engine, "echo", "started", name=f"after{number}")
            if engine.wait(after) != (0, "") or output(engine, after) != "started\n":
                wrong.append(number)
            if engine.state(counter).pid != pid:
                wrong.append(-number)
            engine.remove(after)
        engine.stop(counter, timeout_s=0)
        return [wrong, _gaps(engine.place(counter.id).log)]
    assert scene.do(play) == [[], []]


def _gaps(log: str) -> "list[str]":
    """Lines that are not the number after the one before, but for the last, which the kill may have cut."""
    data = b"".join(record.data for record in LogReader(log).read()).split(b"\n")[:-1]
    return [f"{number}: {line!r}" for number, line in enumerate(data) if line != b"%d" % number][:5]


def test_readers_killed_at_any_moment_lose_nothing(scene: Scene) -> None:
    from runner.logs import Wanted, logs

    def play(engine: Engine) -> "list[str]":
        dice = random.Random(10)
        counter = run(engine, "/bin/sh", "-c", COUNT, name="counter")
        for _ in range(ROUNDS):
            killed_after(dice.uniform(0, 0.02), lambda: list(logs(engine, counter, Wanted(follow=True))))
        engine.stop(counter, timeout_s=0)
        return _gaps(engine.place(counter.id).log)
    assert scene.do(play) == []


def test_killed_shim_ends_its_container_and_the_next_command_says_so(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        dice = random.Random(11)
        found: set[Any] = set()
        for number in range(ROUNDS):
            container = run(engine, "/bin/sh", "-c", "echo ready; exec sleep 1000", name=f"victim{number}")
            await_output(engine, container, "ready")
            state = engine.state(container)
            pidfd = os.pidfd_open(state.pid)
            time.sleep(dice.uniform(0, 0.003))
            os.kill(_parent(state.pid), signal.SIGKILL)
            import select

            assert select.select([pidfd], [], [], 10)[0], "its container lives on"
            os.close(pidfd)
            after = engine.state(container)
            found.add((after.status, after.exit_code, after.error, engine.state(container) == after))
            start(engine, container)
            found.add(engine.state(container).status)
            engine.remove(container, force=True)
        return sorted(found, key=repr)
    assert scene.do(play) == [RUNNING, (EXITED, KILLED, "its shim was killed", True)]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_killed_shim_is_told_to_whoever_is_attached(root_scene: Scene) -> None:
    import subprocess

    argv = root_scene.tool.argv("pyup", "container", "run", "--network", "none", "--name", "main", "busybox", "sh", "-c", "echo ready; exec sleep 1000")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=root_scene.tool.env) as command:
        assert command.stdout and command.stderr and command.stdout.readline() == b"ready\n"
        root_scene.do(lambda engine: os.kill(_parent(engine.state(engine.find("main")).pid), signal.SIGKILL))
        assert b"its shim is gone" in command.stderr.read()
    assert command.returncode == 125
    assert "Exited (137)" in root_scene.pyup("ls", "-a")


def test_state_of_an_earlier_start_of_the_machine_is_settled(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = make(engine, "true")
        place = engine.place(container.id)
        place.write(place.read()._replace(status=RUNNING, pid=1, started_at=5, boot="another"))
        state = engine.state(container)
        return [state.status, state.exit_code, state.error, state.pid]
    assert scene.do(play) == [EXITED, KILLED, "the machine was restarted", 0]


def test_two_that_start_one_container_start_it_once(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        found = []
        for _ in range(5):
            container = make(engine, "/bin/sh", "-c", "echo run; exec sleep 1000")
            children = []
            for _ in range(4):
                pid = os.fork()
                if not pid:
                    try:
                        contact = engine.start(container)
                        os._exit(1 if contact else 0)
                    finally:
                        os._exit(99)
                children.append(pid)
            statuses = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
            await_output(engine, container, "run")
            found.append([statuses, output(engine, container)])
            engine.remove(container, force=True)
        return found
    assert scene.do(play) == [[[0, 0, 0, 1], "run\n"]] * 5
