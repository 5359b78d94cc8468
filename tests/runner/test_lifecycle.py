"""Containers from their making to their removal, as root and as an ordinary user."""

import os
import signal
from typing import Any

import pytest

from runner.container import ContainerSpec
from runner.engine import Engine
from runner.errors import Ambiguous, Conflict, InvalidName, InvalidOption, Missing, NameInUse
from runner.listing import list_containers
from runner.upkeep import CREATED, EXITED, PAUSED, RESTARTING, RUNNING, SECOND, Restart
from sandbox.errors import CommandFailed, CommandMissing, UserMissing
from store.errors import ReferenceMissing
from tests.runner.scene import Scene, await_output, await_state, finish, make, output, run, shell, start

pytestmark = pytest.mark.userns


def error_of(function: Any, *arguments: Any, **named: Any) -> "tuple[str, str]":
    """(class, text) of the error that a call raises."""
    try:
        function(*arguments, **named)
    except Exception as error:
        return type(error).__name__, str(error)
    return "", ""


def test_runs_and_ends_with_its_status(scene: Scene) -> None:
    assert scene.do(shell, "echo out; echo err >&2; exit 7") == (7, "out\nerr\n")


def test_state_tells_what_happened(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = make(engine, "/bin/sh", "-c", "exit 3")
        created = engine.state(container)
        start(engine, container)
        engine.wait(container)
        ended = engine.state(container)
        return [created.status, ended.status, ended.exit_code, ended.pid, 0 < ended.started_at < ended.finished_at]
    assert scene.do(play) == [CREATED, EXITED, 3, 0, True]


def test_death_by_signal_is_128_and_its_number(scene: Scene) -> None:
    def play(engine: Engine) -> "tuple[int, str]":
        container = run(engine, "/bin/sleep", "1000")
        os.kill(engine.state(container).pid, signal.SIGKILL)
        return engine.wait(container)
    assert scene.do(play) == (137, "")


def test_low_ports_are_for_everybody(scene: Scene) -> None:
    code, out = scene.do(_shell_with, {"user": "1000"}, "timeout 0.2 nc -l -p 80 127.0.0.1 2>&1; echo $?")
    assert (code, out.splitlines()[-1]) == (0, "143")


def test_stop_asks_first(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sh", "-c", "trap 'echo asked; exit 5' USR1; echo ready; while :; do sleep 0.05; done", stop_signal="SIGUSR1")
        await_output(engine, container, "ready")
        return [engine.stop(container), engine.state(container).exit_code, output(engine, container), engine.stop(container)]
    assert scene.do(play) == [True, 5, "ready\nasked\n", False]


def test_stop_kills_after_its_timeout(scene: Scene) -> None:
    def play(engine: Engine) -> int:
        container = run(engine, "/bin/sleep", "1000")     # the first process of a namespace ignores what it does not handle
        engine.stop(container, timeout_s=0.05)
        return engine.state(container).exit_code
    assert scene.do(play) == 137


def test_kill_sends_any_signal(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sh", "-c", "trap 'exit 9' HUP; echo ready; while :; do sleep 0.05; done")
        await_output(engine, container, "ready")
        engine.kill(container, "HUP")
        engine.wait(container)
        return [engine.state(container).exit_code, error_of(engine.kill, container)]
    code, error = scene.do(play)
    assert code == 9 and error[0] == "Conflict"


def test_start_again_keeps_files_and_log(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sh", "-c", "echo line >>/file; cat /file; echo end")
        engine.wait(container)
        start(engine, container)
        engine.wait(container)
        return [output(engine, container)]
    assert scene.do(play) == ["line\nend\nline\nline\nend\n"]


def test_start_of_a_running_container_is_nothing(scene: Scene) -> None:
    def play(engine: Engine) -> bool:
        container = run(engine, "/bin/sleep", "1000")
        return engine.start(container) is None
    assert scene.do(play)


def test_restart_is_another_run(scene: Scene) -> None:
    def play(engine: Engine) -> bool:
        container = run(engine, "/bin/sleep", "1000")
        before = engine.state(container)
        engine.restart(container, timeout_s=0)
        after = engine.state(container)
        return after.status == RUNNING and before.pid != after.pid and before.started_at < after.started_at
    assert scene.do(play)


def test_missing_command_leaves_the_container_as_made(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = make(engine, "nonsense")
        error = error_of(engine.start, container)
        state = engine.state(container)
        again = make(engine, "/etc")
        return [error[0], state.status, state.exit_code, error_of(engine.start, again)[0]]
    assert scene.do(play) == [CommandMissing.__name__, CREATED, 127, CommandFailed.__name__]


def test_unknown_user_is_an_error(scene: Scene) -> None:
    assert scene.do(lambda engine: error_of(run, engine, "id", user="nobody-here")) == (UserMissing.__name__, "no user `nobody-here` in the image")


def test_removal_needs_force_while_it_runs(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sleep", "1000")
        pid = engine.state(container).pid
        refused = error_of(engine.remove, container)[0]
        engine.remove(container, force=True)
        return [refused, os.path.exists(f"/proc/{pid}"), error_of(engine.find, container.id)[0], engine.place(container.id).exists()]
    assert scene.do(play) == [Conflict.__name__, False, Missing.__name__, False]


def test_container_is_found_by_name_id_and_beginning(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = make(engine, "true", name="finder")
        found = [engine.find(word).id == container.id for word in ("finder", "/finder", container.id, container.id[:20])]
        return [*found, error_of(engine.find, "nobody")[0], error_of(engine.find, "")[0]]
    assert scene.do(play) == [True] * 4 + [Missing.__name__] * 2


def test_beginning_of_several_ids_is_refused(root_scene: Scene) -> None:
    def play(engine: Engine) -> str:
        one = make(engine, "true")
        engine.records.add(one._replace(id=one.id[:40] + "0" * 24, name="twin"))
        try:
            return error_of(engine.find, one.id[:10])[0]
        finally:
            engine.records.remove(one.id[:40] + "0" * 24)
    assert root_scene.do(play) == Ambiguous.__name__


def test_name_is_taken_once(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        one, other = make(engine, "true", name="taken"), make(engine, "true", name="free")
        return [error_of(make, engine, "true", name="taken")[0], error_of(engine.rename, other, "taken")[0], engine.rename(other, "other").name,
                engine.find("other").id == other.id, error_of(engine.find, "free")[0], one.name, error_of(engine.rename, one, "no/name")[0]]
    assert scene.do(play) == [NameInUse.__name__] * 2 + ["other", True, Missing.__name__, "taken", InvalidName.__name__]


@pytest.mark.parametrize(("fields", "error"), [
    ({"image": "not-here"}, ReferenceMissing), ({"name": "-x"}, InvalidName), ({"auto_remove": True, "restart": Restart("always")}, InvalidOption),
    ({"stop_signal": "SIGNONSENSE"}, InvalidOption), ({"network_mode": "container:nobody"}, Missing),
    ({"volumes_from": ("nobody",)}, Missing)])
def test_what_cannot_be_made_leaves_nothing(root_scene: Scene, fields: "dict[str, Any]", error: type) -> None:
    def play(engine: Engine) -> "tuple[str, int]":
        return error_of(make, engine, "true", **fields)[0], len(engine.records.containers())
    assert root_scene.do(play) == (error.__name__, 0)


def test_image_without_a_command_needs_one(root_scene: Scene) -> None:
    def play(engine: Engine) -> str:
        return error_of(engine.create, ContainerSpec("busybox", entrypoint=(), cmd=()))[1]
    assert root_scene.do(play).startswith("command is missing")


def test_paused_container_stands_still(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done")
        await_output(engine, container, "ready")
        engine.pause(container)
        paused = engine.state(container)
        refused = error_of(engine.pause, container)[0]
        engine.unpause(container)
        running = engine.state(container).status
        engine.pause(container)
        engine.stop(container)
        return [paused.status, paused.is_running, refused, running, engine.state(container).exit_code]
    assert scene.do(play) == [PAUSED, True, Conflict.__name__, RUNNING, 4]


def test_wait_returns_when_it_ends(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sh", "-c", "read line; exit 6", open_stdin=True)
        child = os.fork()
        if not child:
            engine.store.index.close()
            os._exit(0 if engine.wait(container) == (6, "") else 1)
        with engine.running(container) as contact:
            contact.tell("attach", True)
            _, fds = contact.hear()
            os.write(fds[0], b"go\n")
            os.close(fds[0])
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return [status, engine.wait(container)]
    assert scene.do(play) == [0, (6, "")]


def test_policy_starts_it_again(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sh", "-c", "echo run; exit 1", restart=Restart("on-failure", 2))
        state = await_state(engine, container, lambda state: state.status == EXITED)
        return [state.restarts, state.exit_code, output(engine, container)]
    assert scene.do(play) == [2, 1, "run\n" * 3]


def test_stop_ends_a_restarting_container(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "false", restart=Restart("always", delay=1000 * SECOND))
        await_state(engine, container, lambda state: state.status == RESTARTING)
        engine.stop(container)
        state = engine.state(container)
        return [state.status, state.manual, state.restarts]
    assert scene.do(play) == [EXITED, True, 0]


def test_stopped_by_hand_is_not_started_again(scene: Scene) -> None:
    def play(engine: Engine) -> str:
        container = run(engine, "/bin/sleep", "1000", restart=Restart("always"))
        engine.stop(container, timeout_s=0)
        return engine.state(container).status
    assert scene.do(play) == EXITED


def test_killed_from_inside_is_started_again(scene: Scene) -> None:
    def play(engine: Engine) -> bool:
        container = run(engine, "/bin/sleep", "1000", restart=Restart("unless-stopped"))
        first = engine.state(container)
        os.kill(first.pid, signal.SIGKILL)
        return bool(await_state(engine, container, lambda state: state.status == RUNNING and state.pid != first.pid).restarts)
    assert scene.do(play)


def test_environment_directory_user_and_host_name(scene: Scene) -> None:
    code, out = scene.do(
        _shell_with, {"env": ("A=b",), "hostname": "box", "working_dir": "/srv/new", "user": "1000:1001"}, "echo $A $HOSTNAME; hostname; pwd; id -u; id -g")
    assert (code, out) == (0, "b box\nbox\n/srv/new\n1000\n1001\n")


def _shell_with(engine: Engine, fields: "dict[str, Any]", script: str) -> "tuple[int, str]":
    return shell(engine, script, **fields)


def test_host_name_is_the_short_id(scene: Scene) -> None:
    def play(engine: Engine) -> bool:
        container = run(engine, "/bin/sh", "-c", "cat /etc/hostname; hostname")
        engine.wait(container)
        return output(engine, container) == f"{container.short_id}\n" * 2
    assert scene.do(play)


def test_init_reaps_and_passes_signals(scene: Scene) -> None:
    code, out = scene.do(_shell_with, {"init": True}, "(sleep 0.01 &) ; sleep 0.05; ps -o pid,comm | grep -c sleep; echo $$ | grep -vx 1 >/dev/null && echo child")
    assert (code, out.split()[-1]) == (0, "child")


def test_read_only_root(scene: Scene) -> None:
    assert scene.do(_shell_with, {"read_only": True}, "touch /x 2>&1; touch /dev/shm/y && echo fine")[1].splitlines()[1:] == ["fine"]


def test_pid_namespace_of_another_container(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        first = run(engine, "/bin/sleep", "1001", name="first")
        code, out = finish(engine, "/bin/sh", "-c", "pidof sleep", pid_mode="container:first")
        return [code, out, engine.state(first).status]
    assert scene.do(play) == [0, "1\n", RUNNING]


def test_network_namespace_of_another_container(scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        run(engine, "/bin/sh", "-c", "httpd -f -p 127.0.0.1:8000", name="server", hostname="serverbox")
        code, out = finish(engine, "/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do nc 127.0.0.1 8000 </dev/null && break; sleep 0.05; done; hostname",
                           network_mode="container:server")
        return [code, out.split()[-1]]
    assert scene.do(play)[0] == 0


def test_listing_filters(root_scene: Scene) -> None:
    def play(engine: Engine) -> "list[Any]":
        runs = run(engine, "/bin/sleep", "1000", name="runs", labels=(("tier", "web"),))
        fails = run(engine, "false", name="fails")
        engine.wait(fails)
        make(engine, "true", name="waits")
        def names(**how: Any) -> "list[str]":
            return [one.container.name for one in list_containers(engine, **how)]
        return [names(), names(everything=True), names(last=2), names(filters={"status": ["exited"]}), names(filters={"label": ["tier=web"]}),
                names(everything=True, filters={"exited": ["1"]}), names(everything=True, filters={"since": ["runs"]}),
                names(everything=True, filters={"name": ["ai"]}), names(everything=True, filters={"ancestor": ["busybox"], "status": ["created"]}),
                error_of(names, filters={"colour": ["red"]})[0], error_of(names, filters={"status": ["red"]})[0], runs.name]
    assert root_scene.do(play) == [
        ["runs"], ["waits", "fails", "runs"], ["waits", "fails"], ["fails"], ["runs"], ["fails"], ["waits", "fails"], ["waits", "fails"], ["waits"],
        InvalidOption.__name__, InvalidOption.__name__, "runs"]


def test_limits_are_set_and_changed(root_scene: Scene) -> None:
    from sandbox.spec import Limits

    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sleep", "1000", limits=Limits(memory=64 << 20, pids=50))
        before = _limit(engine, container.id)
        engine.update(container, limits=Limits(memory=96 << 20))
        return [before, _limit(engine, container.id), engine.find(container.id).spec.limits.memory, engine.find(container.id).spec.limits.pids]
    before, after, recorded, pids = root_scene.do(play)
    if before is None:
        pytest.skip("this machine has no memory cgroup")
    assert (before, after, recorded, pids) == (64 << 20, 96 << 20, 96 << 20, 50)


def _limit(engine: Engine, id: str) -> "int | None":
    from sandbox import cgroup

    name = cgroup.name_of(engine.store.root.run)
    for path in (f"/sys/fs/cgroup/memory/{name}/{id[:12]}/memory.limit_in_bytes", f"/sys/fs/cgroup/{name}/{id[:12]}/memory.max"):
        if os.path.exists(path):
            with open(path) as file:
                return int(file.read())
    return None


def test_out_of_memory_is_told(root_scene: Scene) -> None:
    from sandbox.spec import Limits

    def play(engine: Engine) -> "list[Any]":
        container = run(engine, "/bin/sh", "-c", "x=a; while :; do x=$x$x; done", limits=Limits(memory=8 << 20, memory_swap=8 << 20))
        engine.wait(container)
        state = engine.state(container)
        return [state.warnings, state.oom_killed, state.exit_code]
    warnings, oom, code = root_scene.do(play)
    if warnings:
        pytest.skip(f"limits cannot be had here: {warnings}")
    assert (oom, code) == (True, 137)


def test_events_are_dockers(scene: Scene) -> None:
    import json

    def play(engine: Engine) -> "list[tuple[str, str]]":
        container = run(engine, "/bin/sh", "-c", "exit 2", name="eventful")
        engine.wait(container)
        engine.remove(container)
        found = [json.loads(line) for line in engine.store.events.lines()]
        return [(one["action"], one["attributes"].get("exitCode", "")) for one in found if one["id"] == container.id]
    assert scene.do(play) == [("create", ""), ("start", ""), ("die", "2"), ("destroy", "")]
