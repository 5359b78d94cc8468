"""A whole stack whose agent, zygote and commands are killed at seeded moments: no container stops, no line of a log is lost, and the next command
finds names and the published port answering again. PYBUILD_LONG=1 for the long run."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BUSYBOX
from tests.pybuild.stacking import PATIENCE_S, Stack
from tests.runner.machine import Machine

pytestmark = [pytest.mark.userns, pytest.mark.slow]

ROUNDS = 300 if os.environ.get("PYBUILD_LONG") else 30
# as examples/guestbook: a page that asks a store by name, a store with a healthcheck, and a worker
TEXT = """
services:
  web:
    image: busybox
    command: nc -l -l -p 80 -e nc store 80
    ports: ["127.0.0.1:8080:80"]
    depends_on: {store: {condition: service_healthy}}
    stop_grace_period: 0s
  worker:
    image: busybox
    command: ["sh", "-c", "i=0; while :; do echo $$i; i=$$((i+1)); usleep 500; done"]
    depends_on: {store: {condition: service_healthy}}
    stop_grace_period: 0s
  store:
    image: busybox
    command: ["sh", "-c", "echo hello > /data/entry; exec nc -l -l -p 80 -e cat /data/entry"]
    volumes: ["entries:/data"]
    healthcheck: {test: nc 127.0.0.1 80 < /dev/null, interval: 200ms, retries: 100}
    stop_grace_period: 0s
volumes: {entries: }
"""
COMMANDS = (("up", "-d"), ("ps", "-a"), ("exec", "-T", "web", "true"), ("logs", "-f", "worker"), ("plan",), ("events", "--since", "1h"),
            ("up", "-d", "--wait"), ("top",))
OURS = {"agent": "pyup-agent", "zygote": "pybuild-zygote", "forwarder": "pyup-ports"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    if os.geteuid():
        pytest.skip("a machine in namespaces of its own needs root")
    if not Path(BUSYBOX).exists():
        pytest.skip("stacks for tests need busybox (package busybox-static)")
    machine = Machine(tmp_path / "r")
    machine.pybuild("base", "busybox", "-t", "busybox")
    yield Stack(machine, tmp_path / "s", TEXT)
    machine.crash()


def machine_of(it: Stack) -> Machine:
    assert isinstance(it.tool, Machine)
    return it.tool


def page(it: Stack) -> str:
    """What is answered at the published port: the store's word, which `web` finds by name."""
    return machine_of(it).sh(f"{BUSYBOX} nc -w 10 127.0.0.1 8080 < /dev/null")


def running(it: Stack) -> "dict[str, int]":
    """Name of each container -> its process."""
    return {name: int(it.tool.pyup("container", "inspect", "--format", "{{.State.Pid}}", name).out) for name in
            (row["Name"] for row in it.rows())}


def interrupted(it: Stack, dice: random.Random, command: "tuple[str, ...]", victim: str) -> None:
    """The command, while the victim is killed; or the command itself is."""
    with subprocess.Popen(it.tool.argv("pyup", *command), cwd=it.directory, env={**it.tool.env, **it.env}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(dice.uniform(0, 0.3))                  # the moment is what is tested; nothing is waited for
        for pid in machine_of(it).pids(OURS[victim]) if victim in OURS else ():
            os.kill(pid, signal.SIGKILL)
        if victim == "command" or "-f" in command or "events" in command:
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)       # nsenter waits for the command, which is its child
            process.kill()
        process.wait(PATIENCE_S)


def gaps(text: str) -> "list[str]":
    """Lines that are not the number after the one before."""
    return [f"{number}: {line}" for number, line in enumerate(text.splitlines()) if line != str(number)][:5]


def test_a_stack_outlives_whoever_is_killed_around_it(stack: Stack) -> None:
    dice = random.Random(31)
    stack("up", "-d", "--wait")
    before, ids = running(stack), stack.rows()
    for number in range(ROUNDS):
        victim, command = dice.choice((*OURS, "command")), dice.choice(COMMANDS)
        interrupted(stack, dice, command, victim)
        done = stack("up", "-d") if number % 2 else stack("ps")
        assert "note: container" not in done.err, (number, victim, command, done)
        assert page(stack) == "hello\n", (number, victim, command)
        assert running(stack) == before, (number, victim, command)
    assert [row["ID"] for row in stack.rows()] == [row["ID"] for row in ids]
    stack("stop", "worker")
    found = stack("logs", "--no-log-prefix", "--no-color", "worker").out
    assert gaps(found) == [] and len(found.splitlines()) > ROUNDS
    stack("down", "-v")
    stack.until(lambda: machine_of(stack).leftovers() == [])


def guardian(shim: list[int]) -> int:
    """Of a shim's processes the container's parent: the one whose parent is none of them, and which is no zombie of a mind killed before."""
    found = []
    for pid in shim:
        try:
            state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:                                   # it has ended
            continue
        if state != "Z" and int(parent) not in shim:
            found.append(pid)
    assert len(found) == 1
    return found[0]


def test_whose_shim_is_killed_has_ended_and_the_next_command_says_so(stack: Stack) -> None:
    stack("up", "-d", "--wait")
    dice, before = random.Random(32), running(stack)
    for number, service in enumerate(dice.choices(("web", "worker", "store"), k=6)):
        name = f"{stack.name}-{service}-1"
        os.kill(guardian(machine_of(stack).pids(f"shim-{stack.ids(service)[0][:10]}")), signal.SIGKILL)
        done = (stack("ps", "-a"), stack("up", "-d", "--wait"))[0] if number % 2 else stack("up", "-d", "--wait")
        assert f"note: container `{name}` has ended: its shim was killed" in done.err
        after = running(stack)
        assert {one for one in before if after[one] != before[one]} == {name}
        assert "note: " not in stack("up", "-d").err
        assert page(stack) == "hello\n"
        before = after
