"""The process that a shim is while nothing happens: what its minds ask of it, and what it does when one of them rests, ends or dies."""

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.syscalls import CLONE_PARENT, clone3, pidfd_send_signal
from sandbox.guardian import Guardian, guard

PATIENCE_MS = 20_000


class Scene:
    """A guardian in a child of ours, and pipes on which its minds tell and are told."""

    def __init__(self) -> None:
        self.told, self.tell = os.pipe()
        self.news, self.answer = os.pipe()
        self.pid = 0

    def guard(self, *lives: "Callable[[Scene, Guardian], Any]") -> None:
        """The first mind lives the first of `lives`, and so on. What one returns is sent to `hear`; then it ends."""
        def live(guardian: "Guardian | None", order: bytes, memory: int) -> None:
            assert guardian
            number = int(Path(f"/proc/self/fd/{memory}").read_text()) if memory >= 0 else 0
            os.write(self.answer, f"{lives[number](self, guardian)}\n".encode())

        self.pid = os.fork()
        if not self.pid:
            try:
                guard(live, b"")
            finally:
                os._exit(0)

    def hear(self) -> str:
        poll = select.poll()
        poll.register(self.news, select.POLLIN)
        assert poll.poll(PATIENCE_MS), "nothing is heard"
        return os.read(self.news, 1000).decode()

    def rest(self, guardian: Guardian, following: int, due: float = 0.0) -> None:
        """Until `wake`."""
        os.write(self.answer, b"rests\n")
        guardian.rest(str(following).encode(), (self.told,), (self.tell, self.news, self.answer), due)

    def wake(self) -> None:
        os.write(self.tell, b".")

    def await_rest(self) -> None:
        """Until it has no mind any more."""
        assert self.hear() == "rests\n"
        for _ in range(2000):
            if not minds(self.pid):
                return
            time.sleep(0.01)
        raise AssertionError("it does not rest")

    def end(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for fd in (self.told, self.tell, self.news, self.answer):
            os.close(fd)


def minds(guardian: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()]


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.end()


def test_guardian_ends_with_its_mind(scene: Scene) -> None:
    scene.guard(lambda scene, guardian: "lived")
    assert scene.hear() == "lived\n"
    assert os.waitpid(scene.pid, 0)[1] == 0
    scene.pid = 0


def test_next_mind_begins_when_something_happens(scene: Scene) -> None:
    scene.guard(lambda scene, guardian: scene.rest(guardian, 1), lambda scene, guardian: os.read(scene.told, 1))
    scene.await_rest()
    scene.wake()
    assert scene.hear() == "b'.'\n"


def test_next_mind_begins_when_it_is_due(scene: Scene) -> None:
    due = time.monotonic() + 0.5
    scene.guard(lambda scene, guardian: scene.rest(guardian, 1, due), lambda scene, guardian: time.monotonic() >= due)
    scene.await_rest()
    assert scene.hear() == "True\n"


def test_fds_of_a_mind_are_those_of_the_next_one(scene: Scene) -> None:
    """But for those that it did not want to be kept."""
    def first(scene: Scene, guardian: Guardian) -> None:
        os.open("/dev/null", os.O_RDONLY)
        scene.rest(guardian, 1)

    def second(scene: Scene, guardian: Guardian) -> "list[bool]":
        kept = {0, 1, 2, *guardian.fds(), scene.told, scene.tell, scene.news, scene.answer}
        there = {int(name) for name in os.listdir("/proc/self/fd")}
        return [kept <= there, len(there - kept) == 2]    # what was left, and the directory that is read here

    scene.guard(first, second)
    scene.await_rest()
    scene.wake()
    assert scene.hear() == "[True, True]\n"


def test_child_that_a_mind_made_is_waited_for_by_the_guardian(scene: Scene) -> None:
    def child(scene: Scene, guardian: Guardian) -> "list[int]":
        pid, _ = clone3(CLONE_PARENT)
        if not pid:
            os._exit(os.getppid() != scene_pid[0])
        status, usage = guardian.reap(pid)
        return [os.waitstatus_to_exitcode(status), usage.ru_maxrss > 0]

    scene_pid = [0]

    def first(scene: Scene, guardian: Guardian) -> "list[int]":
        scene_pid[0] = os.getppid()
        return child(scene, guardian)

    scene.guard(first)
    assert scene.hear() == "[0, True]\n"


def test_termination_is_handed_on_once_the_mind_is_alert(scene: Scene) -> None:
    def live(scene: Scene, guardian: Guardian) -> str:
        os.read(scene.told, 1)
        rung: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: rung.append(number))
        guardian.alert("named")
        while not rung:
            time.sleep(0.01)
        return Path(f"/proc/{os.getppid()}/comm").read_text().strip()

    scene.guard(live)
    while not minds(scene.pid):
        time.sleep(0.01)
    os.kill(scene.pid, signal.SIGTERM)                    # before it can take notice
    scene.wake()
    assert scene.hear() == "named\n"


def test_termination_ends_a_rest(scene: Scene) -> None:
    def second(scene: Scene, guardian: Guardian) -> str:
        rung: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: rung.append(number))
        guardian.alert("named")
        while not rung:
            time.sleep(0.01)
        return "told"

    scene.guard(lambda scene, guardian: scene.rest(guardian, 1), second)
    scene.await_rest()
    os.kill(scene.pid, signal.SIGTERM)
    assert scene.hear() == "told\n"


@pytest.mark.parametrize("victim", ["guardian", "mind"])
def test_if_one_is_killed_the_other_dies(scene: Scene, victim: str) -> None:
    scene.guard(lambda scene, guardian: os.read(scene.told, 1))
    while not minds(scene.pid):
        time.sleep(0.01)
    mind, = minds(scene.pid)
    both = [os.pidfd_open(scene.pid), os.pidfd_open(mind)]
    pidfd_send_signal(both[victim == "mind"], signal.SIGKILL)
    for pidfd in both:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert poll.poll(PATIENCE_MS)
        os.close(pidfd)


def test_rest_says_where_it_ended_although_children_end_at_the_same_time(scene: Scene) -> None:
    """A guardian that hears of the end of another child must not take its mind's for an end without a rest."""
    def first(scene: Scene, guardian: Guardian) -> None:
        for _ in range(20):
            if not clone3(CLONE_PARENT)[0]:
                os._exit(0)
        scene.rest(guardian, 1)

    scene.guard(first, lambda scene, guardian: "woken")
    assert scene.hear() == "rests\n"
    scene.wake()
    assert scene.hear() == "woken\n"
