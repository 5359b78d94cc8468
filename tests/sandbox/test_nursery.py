"""The process that forks guardians: whose children they are, and what is noticed of its end."""

import os
import select
import signal

from sandbox.guardian import Guardian
from sandbox.nursery import Nursery

PATIENCE_MS = 20_000


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
