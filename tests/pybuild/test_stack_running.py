"""Stacks while they run: order and conditions, the foreground, one-off commands, logs, hooks, and the commands about containers that there are."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.pybuild.stacking import Stack, Stacks, services, sleeping

pytestmark = pytest.mark.userns


def once(name: str, line: str, more: str = "") -> str:
    """The text of a service that runs a shell line."""
    return f"  {name}:\n    image: busybox\n    command: ['sh', '-c', {json.dumps(line)}]\n    stop_grace_period: 1s\n" + "".join(
        f"    {one}\n" for one in more.splitlines())


HEALTHY = "healthcheck: {test: test -f /ready, interval: 200ms, retries: 30}"


# ---------------------------------------------------------------- order and conditions
def test_a_service_waits_for_a_healthy_one(stack: Stacks) -> None:
    it = stack(services(once("db", "sleep 0.5; touch /ready; sleep 1000", HEALTHY), sleeping("depends_on: {db: {condition: service_healthy}}")))
    done = it("up", "-d")
    lines = [line.split()[1:] for line in done.err.splitlines()]
    assert lines.index([f"{it.name}-db-1", "Healthy"]) < lines.index([f"{it.name}-a-1", "Starting"])
    assert [row["Health"] for row in it.rows("db")] == ["healthy"]


def test_a_service_waits_until_another_has_ended_well(stack: Stacks) -> None:
    it = stack(services(once("job", "sleep 0.3; echo done > /out/f", "volumes: [v:/out]"),
                        once("a", "cat /in/f; sleep 1000", "volumes: [v:/in]\ndepends_on: {job: {condition: service_completed_successfully}}"))
               + "volumes: {v: }\n")
    it("up", "-d")
    it.until(lambda: it.logs("--no-log-prefix", "a") == "done\n")


@pytest.mark.parametrize(("dependency", "condition", "words"), [
    (once("d", "exit 3"), "service_completed_successfully", ["d-1", "exit 3"]),
    (once("d", "sleep 1000", "healthcheck: {test: 'echo broken; exit 1', interval: 100ms, retries: 2}"), "service_healthy", ["d-1 is unhealthy", "broken"]),
    (once("d", "sleep 0.2; exit 4", "healthcheck: {test: exit 1, interval: 10s}"), "service_healthy", ["d-1 exited (4)"]),
    (sleeping(name="d"), "service_healthy", ["no healthcheck"])])
def test_what_depends_on_something_that_fails_is_not_started(stack: Stacks, dependency: str, condition: str, words: list[str]) -> None:
    it = stack(services(dependency, sleeping(f"depends_on: {{d: {{condition: {condition}}}}}"), sleeping(name="other")))
    done = it.fails("up", "-d")
    assert all(word in done.err for word in words), done
    assert (it.states("a"), it.states("other")) == (["created"], ["running"])


def test_a_dependency_that_is_not_required(stack: Stacks) -> None:
    it = stack(services(once("d", "exit 3"), sleeping("depends_on: {d: {condition: service_completed_successfully, required: false}}")))
    done = it("up", "-d")
    assert "optional" in done.err
    assert it.states("a") == ["running"]


def test_dependents_restart_with_what_they_depend_on(stack: Stacks) -> None:
    it = stack(services(sleeping("environment: {V: '${V:-1}'}", "db"), once("a", "echo began; sleep 1000", "depends_on: {db: {condition: service_started, restart: true}}"),
                        once("b", "echo began; sleep 1000", "depends_on: [db]")))
    it("up", "-d")
    a, b = it.ids("a"), it.ids("b")
    it("up", "-d", env={"V": "2"})
    assert (it.ids("a"), it.ids("b"), it.states("a")) == (a, b, ["running"])
    it.until(lambda: it.logs("--no-log-prefix", "a") == "began\nbegan\n")
    it("restart", "-t", "0", "db")
    it.until(lambda: it.logs("--no-log-prefix", "a") == "began\n" * 3)
    assert it.logs("--no-log-prefix", "b") == "began\n"
    it("restart", "-t", "0", "--no-deps", "db")
    assert it.logs("--no-log-prefix", "a") == "began\n" * 3


def test_stop_goes_from_dependents_to_dependencies(stack: Stacks) -> None:
    it = stack(services(sleeping(name="c"), sleeping("depends_on: [c]", "b"), sleeping("depends_on: [b]")))
    it("up", "-d")
    done = it("stop")
    order = [line.split()[1].removeprefix(f"{it.name}-") for line in done.err.splitlines() if line.endswith(" Stopped")]
    assert order == ["a-1", "b-1", "c-1"]


def test_wait_knows_services_that_run_once(stack: Stacks) -> None:
    it = stack(services(once("migrate", "sleep 0.3; exit 0"), sleeping(), once("db", "sleep 0.4; touch /ready; sleep 1000", HEALTHY)))
    it("up", "-d", "--wait")
    assert [row["Health"] for row in it.rows("db")] == ["healthy"]


def test_wait_fails_with_what_fails(stack: Stacks) -> None:
    it = stack(services(once("a", "sleep 1000", "healthcheck: {test: exit 1, interval: 100ms, retries: 2}")))
    assert "unhealthy" in it.fails("up", "--wait").err
    it.write("compose.yaml", services(once("a", "sleep 1000", "healthcheck: {test: exit 1, interval: 60s, start_period: 60s}")))
    assert "not healthy after 1s" in it.fails("up", "--wait", "--wait-timeout", "1").err


def test_restart_policies(stack: Stacks) -> None:
    it = stack(services(once("a", "echo x; exit 1", "restart: on-failure:2"), once("b", "echo x; exit 0", "restart: on-failure"),
                        once("c", "echo x; exit 1", "deploy: {restart_policy: {condition: on-failure, max_attempts: 1, delay: 10ms}}")))
    it("up", "-d")
    it.until(lambda: [it.logs("--no-log-prefix", name).count("x") for name in "abc"] == [3, 1, 2] and it.states("a") == ["exited"])


def test_restart_on_unhealthy_is_asked_for(stack: Stacks) -> None:
    check = "healthcheck: {test: test ! -e /bad, interval: 100ms, retries: 1}"
    it = stack(services(once("a", "trap 'exit 1' TERM; echo began; rm -f /bad; while true; do sleep 0.1; done", f"{check}\nrestart: always\nx-pyup: {{restart_on_unhealthy: true}}")))
    it("up", "-d", "--wait")
    it.sh("a", "touch /bad")
    it.until(lambda: it.logs("--no-log-prefix", "a") == "began\nbegan\n")


# ---------------------------------------------------------------- the foreground
@contextmanager
def running(it: Stack, *words: str) -> "Iterator[subprocess.Popen[str]]":
    """pyup beside the test, killed if it is still there at the end."""
    process = subprocess.Popen(it.tool.argv("pyup", *words), cwd=it.directory, env={**it.tool.env, **it.env}, text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_foreground_shows_output_with_names(stack: Stacks) -> None:
    it = stack(services(once("one", "echo out; echo err >&2"), once("longer", "sleep 0.1; echo out")))
    done = it("up")
    assert "one-1     | out\n" in done.out
    assert "longer-1  | out\n" in done.out
    assert "one-1     | err\n" in done.err
    assert "one-1 exited with code 0\n" in done.out
    assert "Attaching to longer-1, one-1\n" in done.out


def test_foreground_colours_and_no_prefix(stack: Stacks) -> None:
    it = stack(services(once("a", "echo out")))
    assert "\x1b[36ma-1  | \x1b[0mout\n" in it("--ansi", "always", "up", env={"NO_COLOR": ""}).out
    assert "\x1b" not in it("--ansi", "always", "up", "--no-color").out
    assert "\nout\n" in it("up", "--no-log-prefix").out


def test_foreground_shows_what_was_asked_for(stack: Stacks) -> None:
    text = services(once("a", "echo from-a", "depends_on: [b]"), once("b", "echo from-b"), once("c", "echo from-c", "attach: false"))
    it = stack(text)
    shown = [name for name in "abc" if f"from-{name}" in it("up").out]
    assert shown == ["a", "b"]
    assert "from-b" not in it("up", "a").out
    assert "from-b" in it("up", "--attach-dependencies", "a").out
    assert "from-b" not in it("up", "--attach", "a").out
    assert "from-a" not in it("up", "--no-attach", "a").out
    it.fails("up", "--attach", "nothing")


def test_exit_code_from(stack: Stacks) -> None:
    it = stack(services(once("a", "sleep 0.3; exit 42"), once("b", "trap 'exit 7' TERM; while true; do sleep 0.1; done")))
    assert it.run("up", "--exit-code-from", "a").status == 42
    assert it.run("up", "--exit-code-from", "b").status == 7
    assert it.states("b") == ["exited"]


def test_abort_on_exit_and_on_failure(stack: Stacks) -> None:
    it = stack(services(once("good", "exit 0"), once("bad", "sleep 0.5; exit 3"), sleeping()))
    assert it.run("up", "--abort-on-container-failure").status == 3
    assert it.run("up", "--abort-on-container-exit").status == 0
    assert it.states("a") == ["exited"]


@pytest.mark.parametrize("option", ["--abort-on-container-exit", "--abort-on-container-failure"])
def test_what_could_not_be_begun_is_not_waited_for(stack: Stacks, option: str) -> None:
    it = stack(services(sleeping("networks: [n]")) + "networks: {n: {driver: bogus}}\n")
    done = it.fails("up", option)
    assert done.status == 1 and "bogus" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_gracefully(stack: Stacks, number: signal.Signals) -> None:
    it = stack(services(once("a", "trap 'echo bye; exit 0' TERM; echo ready; while true; do sleep 0.1; done")))
    with running(it, "up") as process:
        it.until(lambda: "ready" in it.logs("a"))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "bye" in out and "Gracefully" in err
    assert it.states("a") == ["exited"]


def test_a_second_signal_kills(stack: Stacks) -> None:
    it = stack("services:\n  a:\n    image: busybox\n    command: ['sh', '-c', 'trap \"\" TERM; echo ready; while true; do sleep 0.1; done']\n"
               "    stop_grace_period: 60s\n")
    with running(it, "up") as process:
        it.until(lambda: "ready" in it.logs("a"))
        process.send_signal(signal.SIGINT)
        assert process.stderr
        for line in process.stderr:
            if " Stopping" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert [row["ExitCode"] for row in it.rows("a")] == [137]


def test_foreground_goes_on_across_restarts_and_new_containers(stack: Stacks) -> None:
    it = stack(services(once("a", "echo began $$V; sleep 1000", "environment: {V: '${V:-1}'}")))
    with running(it, "up") as process:
        it.until(lambda: "began 1" in it.logs("a"))
        it("restart", "-t", "0", "a")
        it.until(lambda: it.logs("a").count("began") == 2)
        it("up", "-d", env={"V": "2"})
        it.until(lambda: it.logs("a").count("began 2") == 1)
        it("down", "-t", "0")
        out, _ = process.communicate(timeout=60)
    assert [line for line in out.splitlines() if "began" in line] == ["a-1  | began 1", "a-1  | began 1", "a-1  | began 2"]


# ---------------------------------------------------------------- one-off commands
def test_run_gives_output_and_status(stack: Stacks) -> None:
    it = stack(services(sleeping("ports: ['18975:80']\nenvironment: {A: '1', B: '1'}\ndepends_on: [db]"), sleeping(name="db")))
    done = it.run("run", "--rm", "-T", "-e", "B=2", "a", "sh", "-c", "echo $A$B; echo err >&2; exit 5")
    assert (done.status, done.out) == (5, "12\n")
    assert "err\n" in done.err
    assert it.states("db") == ["running"]
    assert it.rows("a") == []
    assert it.run("run", "--rm", "a", "nothing-of-that-name").status == 127


def test_run_options(stack: Stacks) -> None:
    it = stack(services(sleeping("entrypoint: [echo, entry]\nuser: '5'")))
    assert it("run", "--rm", "a", "word").out == "entry word\n"
    assert it("run", "--rm", "--entrypoint", "sh -c", "a", "id -u").out == "5\n"
    assert it("run", "--rm", "--entrypoint", "id", "-u", "7", "a", "-u").out == "7\n"
    assert it("run", "--rm", "--entrypoint", "pwd", "-w", "/tmp", "a").out == "/tmp\n"
    it.write("f", "mounted")
    assert it("run", "--rm", "--entrypoint", "cat", "-v", "./f:/m:ro", "a", "/m").out == "mounted"
    assert it("run", "--rm", "-T", "--entrypoint", "cat", "a", stdin=b"typed").out == "typed"


def test_run_detached_and_named(stack: Stacks) -> None:
    it = stack(services(sleeping("labels: {x: '1'}")))
    id = it("run", "-d", "--name", f"{it.name}-own", "-l", "y=2", "a", "sleep", "100").out.strip()
    found = json.loads(it.tool.pyup("container", "inspect", id).out)[0]
    assert found["Name"] == f"/{it.name}-own"
    own = found["Config"]["Labels"]
    assert (own["x"], own["y"], own["com.docker.compose.oneoff"]) == ("1", "2", "True")
    assert it("ps").out.count("\n") == 1
    it.tool.pyup("container", "rm", "-f", id)


def test_run_without_dependencies_and_with_ports(stack: Stacks) -> None:
    it = stack(services(sleeping("depends_on: [db]\nports: ['18976:80']"), sleeping(name="db")))
    it("run", "--rm", "--no-deps", "a", "true")
    assert it.rows("db") == []
    id = it("run", "-d", "--no-deps", "-P", "a", "sleep", "100").out.strip()
    assert "18976" in it.tool.pyup("container", "port", id).out
    it("up", "-d", "db")


def test_exec(stack: Stacks) -> None:
    it = stack(services(sleeping("scale: 2\nenvironment: {A: '1'}")))
    it("up", "-d")
    assert it("exec", "-T", "-e", "B=2", "-w", "/tmp", "-u", "9", "a", "sh", "-c", "echo $A$B $PWD $(id -u)").out == "12 /tmp 9\n"
    assert it.run("exec", "-T", "a", "sh", "-c", "exit 6").status == 6
    assert it.run("exec", "-T", "a", "nothing-of-that-name").status == 127
    names = {it("exec", "-T", "--index", str(number), "a", "hostname").out for number in (1, 2)}
    assert len(names) == 2
    assert it("exec", "-T", "a", "cat", stdin=b"typed").out == "typed"
    it("exec", "-d", "a", "touch", "/made")
    it.until(lambda: it.run("exec", "-T", "a", "test", "-e", "/made").status == 0)
    it.fails("exec", "-T", "--index", "9", "a", "true")
    it.fails("exec", "-T", "nothing", "true")


# ---------------------------------------------------------------- logs
def test_logs_in_the_order_in_which_they_came(stack: Stacks) -> None:
    it = stack(services(once("a", "echo 1; sleep 0.4; echo 3"), once("b", "sleep 0.2; echo 2")))
    it("up", "-d")
    it.until(lambda: it.states("a") == ["exited"])
    assert it.logs() == "a-1  | 1\nb-1  | 2\na-1  | 3\n"
    assert it.logs("--no-log-prefix", "--tail", "1", "a") == "3\n"
    assert it.logs("--tail", "0") == ""
    stamped = it.logs("-t", "--no-log-prefix", "b")
    assert stamped.endswith("Z 2\n") and stamped[:2] == "20"
    assert it.logs("--since", stamped.split()[0], "--no-log-prefix") == "2\n3\n"


def test_logs_follow_until_all_have_ended(stack: Stacks) -> None:
    it = stack(services(once("a", "echo 1; sleep 0.5; echo 2"), once("b", "echo x")))
    it("up", "-d")
    out = it.logs("-f", "--no-log-prefix", "a")
    assert out.splitlines()[:2] == ["1", "2"]


def test_logs_of_a_service_that_is_not_there(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    assert "no such service" in it.fails("logs", "nothing").err


# ---------------------------------------------------------------- hooks
def test_hooks_run_when_they_should(stack: Stacks) -> None:
    it = stack(services(sleeping(
        "volumes: [v:/v]\npost_start: [{command: [sh, -c, 'echo post $$A $$PWD $$(id -u) >> /v/log'], environment: {A: x}, working_dir: /tmp, user: '0'}]\n"
        "pre_stop: [{command: [sh, -c, 'echo stopping >> /v/log']}]\npre_start: [{command: [sh, -c, 'echo before >> /v/log']}]\nscale: 2"))
        + "volumes: {v: }\n")
    it("up", "-d")
    log = it.tool.root / "volumes" / f"{it.name}_v" / "_data" / "log"
    assert sorted(log.read_text().splitlines()) == ["before", "post x /tmp 0", "post x /tmp 0"]
    it("stop", "-t", "0")
    assert log.read_text().splitlines().count("stopping") == 2
    assert len(it.rows()) == 2


@pytest.mark.parametrize("kind", ["post_start", "pre_start"])
def test_a_hook_that_fails(stack: Stacks, kind: str) -> None:
    it = stack(services(sleeping(f"{kind}: [{{command: [sh, -c, 'echo why >&2; exit 4']}}]")))
    done = it.fails("up", "-d")
    assert f"services.a.{kind}[0]" in done.err and "status 4" in done.err and "why" in done.err
    assert it.states("a") == (["running"] if kind == "post_start" else ["created"])


# ---------------------------------------------------------------- containers that there are
def test_ps(stack: Stacks) -> None:
    it = stack(services(sleeping(), once("b", "exit 3")))
    it("up", "-d")
    it.until(lambda: it.states("b") == ["exited"])
    assert it("ps", "--services").out == "a\n"
    assert it("ps", "-a", "--services").out == "a\nb\n"
    assert it("ps", "-a", "--format", "{{.Service}} {{.State}} {{.ExitCode}}").out == "a running 0\nb exited 3\n"
    assert it("ps", "--status", "exited", "-q").out.strip() == it.ids("b")[0]
    assert it("ps", "--filter", "status=running", "-q").out.strip() == it.ids("a")[0]
    assert it("ps", "b").out.count("\n") == 1
    assert it("ps").out.startswith("NAME ")
    it.fails("ps", "--filter", "status=nothing")
    assert json.loads(it("ps", "-a", "--format", "json", "b").out)["ExitCode"] == 3


def test_pause_kill_rm_and_their_kin(stack: Stacks) -> None:
    it = stack(services(sleeping(), sleeping(name="b")))
    it("up", "-d")
    it("pause", "a")
    assert (it.states("a"), it.states("b")) == (["paused"], ["running"])
    it("unpause")
    assert it.states("a") == ["running"]
    it("kill", "-s", "KILL", "a")
    it.until(lambda: it.states("a") == ["exited"])
    assert [row["ExitCode"] for row in it.rows("a")] == [137]
    it("rm", "-f")
    assert (it.rows("a"), it.states("b")) == ([], ["running"])
    assert "No stopped containers" in it("rm", "-f").err
    it("rm", "-sf")
    assert it.rows() == []


def test_stop_signal_and_grace(stack: Stacks) -> None:
    it = stack("services:\n  a:\n    image: busybox\n    command: ['sh', '-c', 'trap \"exit 9\" USR1; echo ready; while true; do sleep 0.1; done']\n"
               "    stop_signal: SIGUSR1\n  b:\n    image: busybox\n    command: ['sh', '-c', 'trap \"\" TERM; echo ready; sleep 1000']\n    stop_grace_period: 0.3s\n")
    it("up", "-d")
    it.until(lambda: it.logs().count("ready") == 2)
    it("stop")
    assert [row["ExitCode"] for row in it.rows()] == [9, 137]


def test_cp_export_top_stats_images(stack: Stacks) -> None:
    it = stack(services(sleeping("scale: 2")))
    it("up", "-d")
    it.write("f", "text")
    it("cp", "f", "a:/f")
    assert it("exec", "-T", "--index", "2", "a", "cat", "/f").out == "text"
    it("cp", "a:/f", "g")
    assert (it.directory / "g").read_text() == "text"
    it("export", "-o", "a.tar", "a")
    assert (it.directory / "a.tar").stat().st_size > 1 << 20
    assert it("top").out.count("sleep 1000") == 2
    assert it("stats", "--no-stream", "a").out.count(f"{it.name}-a-") == 2
    assert {row["Repository"] for row in json.loads(it("images", "--format", "json").out)} == {"busybox"}
    assert len(it("images", "-q").out.split()) == 1


def test_events_as_they_happen(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    found = []
    with running(it, "events", "--json") as process:
        assert process.stdout
        it("up", "-d")
        for line in process.stdout:
            found.append(json.loads(line))
            if found[-1]["action"] == "start":
                break
    assert found[-1]["service"] == "a" and found[-1]["type"] == "container"
    text = it("events", "--since", "1m", "--until", "0s").out
    assert f"container create {it.ids('a')[0]}" in text and "container start" in text


def test_wait(stack: Stacks) -> None:
    it = stack(services(once("a", "sleep 0.3; exit 5"), sleeping(name="b")))
    it("up", "-d")
    done = it.run("wait", "a")
    assert done.status == 5 and "status code 5" in done.out
    it.run("wait", "--down-project", "a")
    assert it.rows() == []


def test_attach_shows_output_and_passes_signals(stack: Stacks) -> None:
    it = stack(services(once("a", "trap 'echo bye; exit 3' TERM; echo ready; while true; do echo tick; sleep 0.1; done")))
    it("up", "-d")
    with running(it, "attach", "a") as process:
        assert process.stdout
        assert process.stdout.readline() == "tick\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 3 and out.endswith("bye\n")


def test_dry_run_changes_nothing(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    for words in (("up", "--dry-run"), ("--dry-run", "up", "-d"), ("--dry-run", "create")):
        assert "create container" in it(*words).out
    assert it.rows() == []
    it("up", "-d")
    for words in (("down", "--dry-run"), ("--dry-run", "stop"), ("--dry-run", "kill"), ("--dry-run", "rm", "-sf"), ("--dry-run", "restart"),
                  ("stop", "--dry-run"), ("pause", "--dry-run"), ("scale", "--dry-run", "a=2"), ("pull", "--dry-run"), ("push", "--dry-run")):
        it(*words)
    assert it("exec", "--dry-run", "a", "touch", "/made").out == f"would run touch /made in container {it.name}-a-1\n"
    assert "would run touch /made" in it("run", "--dry-run", "a", "touch", "/made").out
    assert "would copy" in it("cp", "--dry-run", "compose.yaml", "a:/made").out
    assert "would make the image x" in it("commit", "--dry-run", "a", "x").out
    assert it.sh("a", "test -e /made || echo none") == "none\n"
    assert it.states("a") == ["running"] and len(it.rows()) == 1


def test_commit_makes_an_image_of_a_container(stack: Stacks) -> None:
    it = stack(services(sleeping("scale: 2")))
    it("up", "-d")
    it("exec", "-T", "--index", "2", "a", "sh", "-c", "echo changed > /f")
    image = it("commit", "--index", "2", "-a", "me", "-m", "why", "-c", "CMD [\"cat\", \"/f\"]", "a", "committed:1").out
    assert image.startswith("sha256:")
    it.write("compose.yaml", services("  b: {image: 'committed:1'}\n"))
    it("up", "-d")
    it.until(lambda: it.logs("--no-log-prefix", "b") == "changed\n")
    assert "b" in it.fails("commit", "--index", "7", "b").err


# ---------------------------------------------------------------- watching sources
WATCHED = """services:
  a:
    build: {dockerfile_inline: "FROM busybox\\nRUN mkdir /app && chown 7 /app\\nCOPY lock /lock"}
    command: sh -c 'echo began; trap "exit 0" TERM; while true; do sleep 0.1; done'
    develop:
      watch:
        - {path: src, action: sync, target: /app, ignore: ["*.md"], initial_sync: true}
        - {path: conf, action: sync+restart, target: /conf}
        - {path: hook, action: sync+exec, target: /hook, exec: {command: [sh, -c, "echo ran >> /ran"]}}
        - {path: lock, action: rebuild}
"""


def test_watch_brings_changes_into_containers(stack: Stacks) -> None:
    it = stack(WATCHED)
    it.write("lock", "1")
    it.write("src/first", "first")
    it.write("conf/c", "1")
    it.write("hook", "1")
    with running(it, "watch") as process:
        assert process.stderr
        for line in process.stderr:
            if "Watch enabled" in line:
                break
        assert it.sh("a", "cat /app/first; stat -c %u /app/first") == "first7\n"
        it.write("src/deep/new", "new")
        it.write("src/x.md", "no")
        (it.directory / "src" / "first").unlink()
        it.until(lambda: it.run("exec", "-T", "a", "sh", "-c", "test ! -e /app/first -a ! -e /app/x.md && grep -q new /app/deep/new").status == 0)
        it.write("conf/c", "2")
        it.until(lambda: it.run("exec", "-T", "a", "grep", "-q", "2", "/conf/c").status == 0 and it.logs("a").count("began") == 2)
        it.write("hook", "2")
        it.until(lambda: it.run("exec", "-T", "a", "grep", "-q", "ran", "/ran").status == 0)
        before = it.ids("a")
        it.write("lock", "2")
        it.until(lambda: it.ids("a") not in ([], before) and it.run("exec", "-T", "a", "grep", "-q", "2", "/lock").status == 0)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130


def test_watch_of_nothing(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    assert "develop.watch" in it.fails("watch", "--no-up").err


def test_up_watches_too(stack: Stacks) -> None:
    it = stack(WATCHED)
    for name in ("lock", "src/first", "conf/c", "hook"):
        it.write(name, "1")
    with running(it, "up", "--watch") as process:
        it.until(lambda: it.run("exec", "-T", "a", "test", "-e", "/app/first").status == 0)
        it.write("src/first", "2")
        it.until(lambda: it.run("exec", "-T", "a", "grep", "-q", "2", "/app/first").status == 0)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert "a-1  | began" in out
