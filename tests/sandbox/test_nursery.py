"""The process that forks guardians: whose children they are, and what is noticed of its end."""

import gc
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from sandbox.guardian import Guardian
from sandbox.nursery import Nursery
from tests.users import ROOT

PATIENCE_MS = 60_000


def await_end(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(PATIENCE_MS), "it lives on"
    os.close(pidfd)


def test_guardian_is_a_child_of_whoever_has_the_nursery_and_its_mind_gets_the_order() -> None:
    read, write = os.pipe()

    def live(guardian: "Guardian | None", order: bytes, memory: int) -> None:
        os.write(int.from_bytes(order, "little"), f"{memory}".encode())

    nursery = Nursery(live)
    pid = nursery.bear(write)
    assert os.read(read, 10) == b"-1"
    assert os.waitpid(pid, 0) == (pid, 0)
    assert not nursery.is_gone()
    os.kill(nursery.pid, signal.SIGKILL)
    await_end(nursery.pid)
    assert nursery.is_gone()
    os.close(read)
    os.close(write)


def _own_when_at_rest(nursery: Nursery, write: int, read: int) -> int:
    """KiB of memory that only a guardian has when it has come to rest; then it is killed."""
    pid = nursery.bear(write)
    mind, deadline = os.read(read, 10).decode(), time.monotonic() + PATIENCE_MS / 1000
    while os.path.exists(f"/proc/{mind}") or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < deadline, "it does not come to rest"
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return int(fields["Private_Dirty"].split()[0])


def test_guardians_after_the_first_have_less_of_their_own() -> None:
    """The nursery has done by then what they do. In a Python of its own, which has done nothing of it before."""
    first, second, third = in_fresh_python()
    assert max(second, third) < 0.9 * first, (first, second, third)


def in_fresh_python() -> list[int]:
    done = subprocess.run([sys.executable, "-c", f"from {__name__} import memory_of_three; memory_of_three()"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def memory_of_three() -> None:
    gc.disable()
    (read, write), (silent, _) = os.pipe(), os.pipe()

    def live(guardian: "Guardian | None", order: bytes, memory: int) -> None:
        assert guardian
        os.write(int.from_bytes(order, "little"), f"{os.getpid()}".encode())
        guardian.rest(b"", (silent,), (), 0)

    nursery = Nursery(live)
    print(*[_own_when_at_rest(nursery, write, read) for _ in range(3)])
    os.kill(nursery.pid, signal.SIGKILL)
