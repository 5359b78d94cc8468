"""A shim of which only the guardian is left while nothing happens, and what goes on all the same: logs, execs, healthchecks, ends and restarts."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from runner.engine import Engine
from runner.state import HEALTHY, KILLED
from runner.upkeep import EXITED, RUNNING, SECOND, Healthcheck, Restart
from tests.runner.scene import Scene, await_output, await_state, output, run

pytestmark = pytest.mark.userns

SPEAKER = "trap 'echo heard' USR1; echo ready; while :; do sleep 0.05; done"


def guardian_of(engine: Engine, container: Any) -> int:
    return int(Path(f"/proc/{engine.state(container).pid}/stat").read_text().rpartition(")")[2].split()[1])


def minds_of(engine: Engine, container: Any) -> "list[int]":
    guardian, pid = guardian_of(engine, container), engine.state(container).pid
    return [child for child in map(int, Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()) if child != pid]


def await_rest(engine: Engine, container: Any) -> None:
    for _ in range(6000):
        if not minds_of(engine, container):
            return
        time.sleep(0.01)
    raise AssertionError("its shim does not rest")


def resting(engine: Engine, *command: str, **fields: Any) -> Any:
    """A container whose shim has come to rest."""
    container = run(engine, *command, **fields)
    await_rest(engine, container)
    return container


def test_output_is_logged_after_a_rest(scene: Scene) -> None:
    def play(engine: Engine) -> str:
        container = resting(engine, "/bin/sh", "-c", SPEAKER)
        for count in (1, 2):
            os.kill(engine.state(container).pid, signal.SIGUSR1)
            await_output(engine, container, "heard\n" * count)
            await_rest(engine, container)
        return output(engine, container)
    assert scene.do(play) == "ready\nheard\nheard\n"


def test_end_after_a_rest_is_noticed(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = resting(engine, "/bin/sleep", "1000")
        os.kill(engine.state(container).pid, signal.SIGKILL)
        state = await_state(engine, container, lambda state: state.status == EXITED)
        return [state.exit_code, state.error, state.oom_killed]
    assert scene.do(play) == [137, "", False]


def test_restart_after_a_rest_and_rest_after_a_restart(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = resting(engine, "/bin/sleep", "1000", restart=Restart("always"))
        for count in (1, 2):
            os.kill(engine.state(container).pid, signal.SIGKILL)
            await_state(engine, container, lambda state: state.status == RUNNING and state.restarts == count)  # noqa: B023
            await_rest(engine, container)
        return [engine.state(container).restarts, engine.stop(container, timeout_s=0), engine.state(container).status]
    assert scene.do(play) == [2, True, EXITED]


def test_exec_and_stop_after_a_rest(scene: Scene) -> None:
    scene.pyup("run", "-d", "--name", "main", "--network", "none", "busybox", "sleep", "1000")
    for word in ("one", "two"):
        scene.do(_await_rest_of, "main")
        assert scene.pyup("exec", "main", "echo", word) == f"{word}\n"
    scene.do(_await_rest_of, "main")
    scene.pyup("stop", "-t", "0", "main")
    assert "Exited (137)" in scene.pyup("ls", "-a")


def _await_rest_of(engine: Engine, name: str) -> None:
    await_rest(engine, engine.find(name))


def test_input_stays_open_over_a_rest(scene: Scene) -> None:
    scene.pyup("run", "-di", "--name", "main", "--network", "none", "busybox", "cat")
    scene.do(_await_rest_of, "main")
    scene.pyup("exec", "main", "sh", "-c", "echo word > /proc/1/fd/0")
    assert scene.do(lambda engine: await_output(engine, engine.find("main"), "word")) == "word\n"


def test_terminal_stays_over_a_rest(scene: Scene) -> None:
    scene.pyup("run", "-dt", "--name", "main", "--network", "none", "busybox", "sh", "-c", SPEAKER)

    def play(engine: Engine) -> str:
        container = engine.find("main")
        await_rest(engine, container)
        os.kill(engine.state(container).pid, signal.SIGUSR1)
        return await_output(engine, container, "heard")
    assert scene.do(play) == "ready\r\nheard\r\n"


def test_probes_are_made_in_time_between_rests(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = resting(engine, "/bin/sleep", "1000", healthcheck=Healthcheck(("CMD", "true"), interval=3 * SECOND))
        first = engine.state(container).health
        state = engine.state(container)
        for _ in range(6000):                             # no event tells of a probe that changes nothing
            if state.health != first:
                break
            time.sleep(0.01)
            state = engine.state(container)
        assert first and state.health
        late = (state.health.log[-1].start - first.log[-1].end) / SECOND
        return [first.status, state.health.status, len(state.health.log) > len(first.log), late >= 2.9]
    assert scene.do(play) == [HEALTHY, HEALTHY, True, True]


def test_machine_that_goes_down_ends_a_container_at_rest_for_good(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = resting(engine, "/bin/sh", "-c", "trap 'echo bye; exit 3' TERM; while :; do sleep 0.05; done", restart=Restart("always"))
        os.kill(guardian_of(engine, container), signal.SIGTERM)
        state = await_state(engine, container, lambda state: state.status == EXITED)
        return [state.exit_code, state.restarts, output(engine, container)]
    assert scene.do(play) == [3, 0, "bye\n"]


@pytest.mark.parametrize("victim", ["guardian at rest", "guardian", "mind"])
def test_killed_shim_takes_its_container_along(scene: Scene, victim: str) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sleep", "1000")
        if "rest" in victim:
            await_rest(engine, container)
        pid = engine.state(container).pid
        pidfd = os.pidfd_open(pid)
        os.kill(guardian_of(engine, container) if "guardian" in victim else minds_of(engine, container)[0], signal.SIGKILL)
        import select

        assert select.select([pidfd], [], [], 20)[0], "its container lives on"
        os.close(pidfd)
        state = engine.state(container)
        return [state.status, state.exit_code, state.error]
    assert scene.do(play) == [EXITED, KILLED, "its shim was killed"]


def test_cgroup_goes_with_the_container_after_a_rest(root_scene: Scene) -> None:
    """One made with the container, for its limits, and one made later."""
    def play(engine: Engine, *, late: bool) -> "list[Any]":
        name = f"late{late}"
        options = () if late else ("--pids-limit", "100")
        root_scene.pyup("run", "-d", "--name", name, "--network", "none", *options, "busybox", "sleep", "1000")
        container = engine.find(name)
        if late:
            root_scene.pyup("pause", name)
            root_scene.pyup("unpause", name)
        await_rest(engine, container)
        group = engine.state(container).cgroup
        places = [path for path in Path("/sys/fs/cgroup").rglob(group) if path.is_dir()] if group else []
        root_scene.pyup("pause", name)
        root_scene.pyup("unpause", name)
        await_rest(engine, container)
        engine.stop(container, timeout_s=0)
        return [bool(group) and bool(places), [path for path in places if path.exists()]]
    for late in (False, True):
        found = play_in(root_scene, play, late)
        assert found in ([True, []], [False, []])         # no cgroups here


def play_in(scene: Scene, function: Any, late: bool) -> Any:
    return scene.do(lambda engine: function(engine, late=late))


def test_resting_shim_shares_its_memory(scene: Scene) -> None:
    def play(engine: Engine) -> "list[int]":
        container = run(engine, "/bin/sleep", "1000")
        mind = _own_memory(minds_of(engine, container)[0])
        await_rest(engine, container)
        return [mind, _own_memory(guardian_of(engine, container))]
    awake, resting = scene.do(play)
    assert resting < awake / 2


def _own_memory(pid: int) -> int:
    """KiB that no other process has."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
