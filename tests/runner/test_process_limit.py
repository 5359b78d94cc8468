"""Commands when no more processes can be started, at every place where the limit can strike: one clear error, and nothing is left.

The limit is that of a pids cgroup, which everything in the machine is in; PYBUILD_LONG=1 for the long run.
"""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BUSYBOX
from tests.runner.machine import Machine
from tests.runner.test_kills_stack import await_nothing
from tests.tool import Done

pytestmark = [pytest.mark.userns, pytest.mark.slow]

ROUNDS = 150 if os.environ.get("PYBUILD_LONG") else 8
LIMIT = "the limit of processes is reached: see `ulimit -u` and the cgroup's pids.max"
FREE = "max"


class Crowded(Machine):
    """Every command runs in the cgroup, and so does what it leaves running."""

    def __init__(self, root: Path, group: Path) -> None:
        self.group = group
        super().__init__(root)

    def inside(self) -> list[str]:
        return ["sh", "-c", f'echo $$ > {self.group}/cgroup.procs && exec "$@"', "sh", *super().inside()]

    def limit(self, spare: "int | str") -> None:
        """Let there be so many more processes than there are now."""
        now = int((self.group / "pids.current").read_text())
        (self.group / "pids.max").write_text(f"{now + spare if isinstance(spare, int) else spare}\n")

    def tell_all(self, number: int) -> None:
        """Kill what stays when no command runs."""
        for name in ("pybuild-zygote", "pyup-agent", "pyup-ports"):
            for pid in self.pids(name):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Crowded]:
    if os.geteuid():
        pytest.skip("cgroups and a machine in namespaces of its own need root")
    if not Path(BUSYBOX).exists():
        pytest.skip("images for tests need busybox (package busybox-static)")
    top = next((path for path in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if _counts(path)), None)
    if top is None:
        pytest.skip("this machine has no pids controller")
    group = top / f"pybuild-test-{os.getpid()}"
    group.mkdir()
    made = Crowded(tmp_path / "r", group)
    made.pybuild("base", "busybox", "-t", "busybox")
    yield made
    made.limit(FREE)
    made.crash()
    while (group / "cgroup.procs").read_text():
        pass                                              # killed, and not buried yet
    group.rmdir()


def _counts(path: Path) -> bool:
    control = path / "cgroup.subtree_control"
    return "pids" in control.read_text().split() if control.exists() else (path / "cgroup.procs").exists()


def check(done: Done, good: str) -> bool:
    """Whether it did its work; else it has said in one error why not."""
    if not done.status:
        assert done.out == good
        return True
    assert "Traceback" not in done.err, done
    errors = [line for line in done.err.splitlines() if line.startswith("error:") or "cannot fork" in line or "fork failed" in line]
    assert len(errors) == 1, done
    assert "nsenter" in errors[0] or "sh:" in errors[0] or LIMIT in done.err or "resource temporarily unavailable" in errors[0], done
    return False


def series(machine: Crowded, seed: int, *words: str, good: str, program: str = "pyup") -> int:
    """How many of the commands did their work; cold and warm, with few processes to spare and with many."""
    dice, done = random.Random(seed), 0
    for number in range(ROUNDS):
        if dice.random() < 0.5:
            machine.tell_all(signal.SIGKILL)              # what it needs has to be started by this one
        machine.limit(2 + number % 14)
        done += check(machine.run(program, *words), good)
        machine.limit(FREE)
        assert machine.pyup("container", "ls", "-aq", "--filter", "status=exited").out == "", number
    return done


def test_containers(machine: Crowded) -> None:
    done = series(machine, 41, "container", "run", "--rm", "--network", "none", "busybox", "echo", "hello", good="hello\n")
    assert 0 < done < ROUNDS
    assert machine.pyup("container", "run", "--rm", "--network", "none", "busybox", "echo", "hello").out == "hello\n"
    machine.tell_all(signal.SIGKILL)
    await_nothing(machine)


def test_containers_on_a_network(machine: Crowded) -> None:
    series(machine, 42, "container", "run", "--rm", "busybox", "echo", "hello", good="hello\n")
    assert machine.pyup("container", "run", "--rm", "busybox", "ping", "-c", "1", "127.0.0.1").out
    assert machine.pyup("container", "ls", "-aq").out == ""


def test_steps_of_builds(machine: Crowded, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "Dockerfile").write_text("FROM busybox\nRUN --network=none echo a > /a\nRUN --network=none cat /a\n")
    series(machine, 43, "build", "-q", "--no-cache", "-t", "made", str(tmp_path / "c"), good=_id(machine, tmp_path / "c"), program="pybuild")
    assert list((machine.root / "tmp").iterdir()) == []


def _id(machine: Crowded, context: Path) -> str:
    return machine.pybuild("build", "-q", "--no-cache", "-t", "made", str(context)).out


def test_exec_does_not_harm_what_runs(machine: Crowded) -> None:
    machine.pyup("container", "run", "-d", "--network", "none", "--name", "it", "busybox", "sleep", "1010")
    series(machine, 44, "container", "exec", "it", "echo", "hello", good="hello\n")
    assert machine.pyup("container", "exec", "it", "echo", "still").out == "still\n"
    machine.pyup("container", "rm", "-f", "it")
