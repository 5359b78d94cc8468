"""A stack when commands are killed at seeded moments, or the machine goes down: the next `up` or `down` gets it where it should be, and nothing is
left afterwards. PYBUILD_LONG=1 for the long run."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BUSYBOX
from tests.pybuild.stacking import PATIENCE_S, Stack, services, sleeping
from tests.runner.machine import Machine

pytestmark = [pytest.mark.userns, pytest.mark.slow]

ROUNDS = 100 if os.environ.get("PYBUILD_LONG") else 4
TEXT = services(sleeping("scale: 2\nrestart: always\nvolumes: ['v:/v']"), sleeping("depends_on: [a]\nrestart: unless-stopped\nlabels: {x: '${X:-1}'}", name="b"),
                sleeping(name="c")) + "volumes: {v: }\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if os.geteuid():
        pytest.skip("a machine in namespaces of its own needs root")
    if not Path(BUSYBOX).exists():
        pytest.skip("stacks for tests need busybox (package busybox-static)")
    made = Machine(tmp_path / "r")
    made.pybuild("base", "busybox", "-t", "busybox")
    yield made
    made.crash()


@pytest.fixture
def stack(machine: Machine, tmp_path: Path) -> Stack:
    return Stack(machine, tmp_path / "s", TEXT)


def killed(it: Stack, seconds: float, *words: str) -> None:
    """A command that is killed after so long, wherever it is then."""
    with subprocess.Popen(it.tool.argv("pyup", *words), cwd=it.directory, env={**it.tool.env, **it.env}, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        time.sleep(seconds)                               # the moment is what is tested; nothing is waited for
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), 9)                        # nsenter waits for the command, which is its child
        process.kill()


def await_nothing(machine: Machine) -> None:
    """The kernel takes interfaces away a moment after the last process of their namespace."""
    deadline = time.monotonic() + PATIENCE_S
    while left := machine.leftovers():
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def is_up(it: Stack) -> bool:
    found = sorted((row["Name"].removeprefix(f"{it.name}-"), row["State"]) for row in it.rows())
    return found == [("a-1", "running"), ("a-2", "running"), ("b-1", "running"), ("c-1", "running")]


def test_up_and_down_killed_at_any_moment(machine: Machine, stack: Stack) -> None:
    dice = random.Random(21)
    for number in range(ROUNDS):
        killed(stack, dice.uniform(0, 0.5), "up", "-d")
        stack("up", "-d")
        assert is_up(stack), number
        killed(stack, dice.uniform(0, 0.5), *dice.choice((("up", "-d", "--force-recreate", "-t", "0"), ("restart", "-t", "0"), ("down", "-t", "0"))))
        stack("up", "-d")
        assert is_up(stack), number
        killed(stack, dice.uniform(0, 0.5), "down", "-t", "0", "-v")
        stack("down", "-t", "0", "-v")
        await_nothing(machine)


@pytest.mark.parametrize("keep_run", [True, False])
def test_machine_that_goes_down_in_the_middle_of_up(machine: Machine, stack: Stack, keep_run: bool) -> None:
    dice = random.Random(22)
    for number in range(ROUNDS):
        with subprocess.Popen(machine.argv("pyup", "up", "-d"), cwd=stack.directory, env={**machine.env, **stack.env}, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL):
            time.sleep(dice.uniform(0, 0.6))
            machine.crash(keep_run=keep_run)
        machine.boot()
        stack("up", "-d")
        assert is_up(stack), number
        stack("down", "-t", "0", "-v")
        await_nothing(machine)


def test_what_is_due_is_started_with_the_machine(machine: Machine, stack: Stack) -> None:
    stack("up", "-d")
    stack("stop", "-t", "0", "b")
    machine.crash(keep_run=False)
    machine.boot()
    names = machine.pyup("system", "start").out.split()
    assert sorted(names) == [f"{stack.name}-a-1", f"{stack.name}-a-2"]
    assert (stack.states("a"), stack.states("b"), stack.states("c")) == (["running"] * 2, ["exited"], ["exited"])
    assert stack.sh("a", "ping -c 1 -W 2 a | grep -c '1 packets received'") == "1\n"
    assert machine.pyup("system", "start").out == ""
    stack("up", "-d")
    assert is_up(stack)
    stack("down", "-t", "0", "-v")
    await_nothing(machine)
