"""Commands of every kind while whoever works for them is killed, or the user gives up, at seeded moments, with room on the disk and without: after
the next command nothing is left of it. PYBUILD_LONG=1 for the long run."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cgroup import name_of
from tests.conftest import BUSYBOX
from tests.pybuild.stacking import PATIENCE_S
from tests.runner.machine import OURS, Machine
from tests.users import ROOT

pytestmark = [pytest.mark.userns, pytest.mark.slow]

ROUNDS = int(os.environ.get("PYBUILD_ROUNDS", 300 if os.environ.get("PYBUILD_LONG") else 5))
MIB = 1 << 20
SLEEP, MOMENT = "1013", "0.1013"                          # how containers and steps are recognised
NAMES = {"zygote": "pybuild-zygote", "agent": "pyup-agent", "ports": "pyup-ports", "shim": "shim-"}
DOCKERFILE = f"FROM busybox\nRUN --network=none dd if=/dev/zero of=/big bs=64k count=8 && sleep {MOMENT}\nRUN (sleep {SLEEP} &) ; cp /big /copy\n"
COMMANDS = (
    ("pyup", "container", "run", "--rm", "busybox", "sleep", MOMENT),
    ("pyup", "container", "run", "--rm", "--network", "none", "--tmpfs", "/t", "-v", "data:/data", "busybox", "sh", "-c", f"echo x > /data/x; sleep {MOMENT}"),
    ("pyup", "container", "run", "-d", "--name", "kept", "-p", "8090:80", "busybox", "sleep", SLEEP),
    ("pyup", "container", "run", "--rm", "--userns", "auto", "--pids-limit", "50", "busybox", "sleep", MOMENT),
    ("pyup", "container", "exec", "other", "sleep", MOMENT),
    ("pybuild", "build", "-q", "--no-cache", "-t", "made", "CONTEXT"),
    ("pybuild", "build", "-q", "-o", "type=tar,dest=CONTEXT/out.tar", "CONTEXT"))


class Small(Machine):
    """Its root directory is a file system of its own, which can be filled."""

    def fill(self, spare: int) -> None:
        """Leave so many bytes."""
        room = os.statvfs(self.root)
        with open(self.root / "filler", "wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail * room.f_bsize - spare))
            except OSError:
                pass                                      # somebody was faster: it is full then

    def make_room(self) -> None:
        (self.root / "filler").unlink(missing_ok=True)

    def groups(self) -> list[str]:
        """Control groups of containers and steps, in any hierarchy."""
        return [str(one) for place in Path("/sys/fs/cgroup").glob(f"**/{name_of(f'{self.root}/run')}") for one in place.iterdir() if one.is_dir()]

    def strays(self) -> list[str]:
        """What is there and should not be, when a command has just said that there is no container."""
        found = [words for words in self.processes() if not any(one in words for one in OURS)]
        found += [path for path in self._mounts() if path not in self.mounts]
        found += [str(one) for name in ("containers", "tmp") for one in _listed(self.root / name)]
        found += [line.split()[1] for line in self.sh("ip -o link").splitlines() if line.split()[1].startswith("pv")]
        return found + self.groups()


def _listed(path: Path) -> list[Path]:
    return list(path.iterdir()) if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Small]:
    if os.geteuid():
        pytest.skip("a machine in namespaces of its own needs root")
    if not Path(BUSYBOX).exists():
        pytest.skip("images for tests need busybox (package busybox-static)")
    (tmp_path / "r").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "Dockerfile").write_text(DOCKERFILE)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(tmp_path / "r")], check=True)
    try:
        made = Small(tmp_path / "r")
        try:
            made.pybuild("base", "busybox", "-t", "busybox")
            yield made
        finally:
            made.crash()
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "r")], check=True)


def disturbed(machine: Small, dice: random.Random, context: Path) -> "tuple[str, ...]":
    """One command; somebody is killed, or it is interrupted, at some moment. What was done, for the message of a failure."""
    victim = dice.choice((*NAMES, "contained", "command", "interrupt", "interrupt twice"))
    program, *words = dice.choice(COMMANDS)
    words = [word.replace("CONTEXT", str(context)) for word in words]
    with subprocess.Popen(machine.argv(program, *words), cwd=context, env=machine.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        time.sleep(dice.uniform(0, 0.4))                  # the moment is what is tested; nothing is waited for
        children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        found = machine.pids(NAMES[victim]) if victim in NAMES else _contained() if victim == "contained" else children
        for pid in found:
            for number in {"interrupt": (signal.SIGINT,), "interrupt twice": (signal.SIGINT,) * 2}.get(victim, (signal.SIGKILL,)):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        _, err = process.communicate(timeout=PATIENCE_S)
    # ^C before our first line is the interpreter's to tell of
    assert "Traceback" not in err or f"{ROOT}/" not in err, (victim, words, err)
    return victim, *words


def _contained() -> list[int]:
    """Processes of containers and steps."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue                                      # it has just ended
        if words[:1] == [b"sleep"] and words[1:2] in ([SLEEP.encode()], [MOMENT.encode()]):
            found.append(int(path.parent.name))
    return found


def tidy(machine: Small) -> None:
    """The next commands: they remove every container that there is."""
    ids = machine.pyup("container", "ls", "-aq").out.split()
    if ids:
        machine.pyup("container", "rm", "-f", *ids)
    machine.pybuild("build", "-q", "-t", "made", str(machine.root.parent / "small"))


@pytest.mark.parametrize("spare", [0, 96 << 10])
def test_nothing_is_left_whoever_is_killed(machine: Small, tmp_path: Path, spare: int) -> None:
    """spare: bytes that the disk has during the command, 0 for plenty."""
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "Dockerfile").write_text("FROM busybox\nRUN --network=none echo small > /small\n")
    dice = random.Random(51 + spare)
    tidy(machine)
    for number in range(ROUNDS):
        machine.pyup("container", "run", "-d", "--network", "none", "--name", "other", "busybox", "sleep", SLEEP)
        if spare:
            machine.fill(spare)
        done = disturbed(machine, dice, tmp_path / "c")
        machine.make_room()
        tidy(machine)
        deadline = time.monotonic() + PATIENCE_S
        while strays := machine.strays():
            assert time.monotonic() < deadline, (number, done, strays)
            time.sleep(0.02)
    assert json.loads(machine.pyup("container", "run", "--rm", "busybox", "echo", "[1]").out) == [1]
