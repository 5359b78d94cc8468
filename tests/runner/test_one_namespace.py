"""All that one user runs is in one user namespace, whoever was killed in between: from another, networks could not be reached."""

import os
import signal
from typing import Any

import pytest

from runner.engine import Engine
from sandbox import sharing
from tests.runner.scene import Scene, run, zygote
from tests.runner.test_kills import zygote_pid

pytestmark = pytest.mark.userns


def namespace_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/user").st_ino


def test_zygote_after_a_kill_joins_the_namespace_of_what_runs(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        first = run(engine, "sleep", "100")
        os.kill(zygote_pid(engine.store.root.path), signal.SIGKILL)
        second = run(engine, "sleep", "100")
        found = [namespace_of(engine.state(one).pid) for one in (first, second)] + [namespace_of(zygote_pid(engine.store.root.path))]
        for one in (first, second):
            engine.stop(one, timeout_s=0)
        return found
    assert len(set(scene.do(play))) == 1


def test_namespace_of_another_run_directory_is_not_joined(scene: Scene) -> None:
    def play(engine: Engine) -> "list[int]":
        inode = namespace_of(zygote_pid(engine.store.root.path))
        return [sharing.find(inode, f"{engine.store.root.path}/run/"), sharing.find(inode, "/"), sharing.find(inode + 1, engine.store.root.run)]
    assert scene.do(play) == [-1, -1, -1]


def test_namespace_that_was_not_made_out_of_ours_is_not_joined(scene: Scene) -> None:
    """Here: our own."""
    def play(engine: Engine) -> int:
        with zygote(engine.store.root.path):
            return sharing.find(namespace_of(zygote_pid(engine.store.root.path)), engine.store.root.run)
    assert scene.do(play) == -1
