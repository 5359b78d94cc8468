"""Commands of a stack that are told to end, or are killed, in the middle of a build or of a wait: nothing goes on behind their backs, what runs stays or
is stopped as the command says, and the next one gets there."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pybuild.stacking import PATIENCE_S, Stack, Stacks, services, sleeping

pytestmark = pytest.mark.userns

NEVER = "healthcheck: {test: exit 1, interval: 100ms, retries: 1000}"
WAITING = services(sleeping(NEVER, name="db"), sleeping("depends_on: {db: {condition: service_healthy}}"))


@contextmanager
def begun(it: Stack, *words: str) -> "Iterator[subprocess.Popen[str]]":
    """The command, in a process group of its own, as a shell starts it."""
    process = subprocess.Popen(it.tool.argv("pyup", *words), cwd=it.directory, env={**it.tool.env, **it.env}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: "subprocess.Popen[str]", wanted: Callable[[str], bool]) -> None:
    assert process.stdout
    found = []
    for line in process.stdout:
        found.append(line)
        if wanted(line):
            return
    pytest.fail(f"it has ended, and has printed {''.join(found)}")


def runs(words: str) -> bool:
    """Whether anything with these words as its command runs on this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words == path.read_text().replace("\0", " ").strip():
                return True
        except OSError:
            continue                                      # it has just ended
    return False


# ---------------------------------------------------------------- in the middle of a build
@pytest.mark.parametrize("how", ["^C", "^C twice", "TERM", "HUP", "KILL"])
@pytest.mark.parametrize("words", [("up", "-d"), ("up",), ("build",), ("run", "a", "true")], ids=" ".join)
def test_a_build_ends_with_its_command(stack: Stacks, words: "tuple[str, ...]", how: str) -> None:
    sleep = f"sleep 7{os.urandom(3).hex()}".translate(str.maketrans("abcdef", "123456"))
    text = services(f'  a: {{build: {{dockerfile_inline: "FROM busybox\\nRUN echo begun; {sleep}"}}, command: sleep 1000, stop_grace_period: 0s}}\n')
    it = stack(text)
    with begun(it, *words) as process:
        read_until(process, lambda line: line.rstrip().endswith(" begun"))
        if how.startswith("^C"):
            os.killpg(process.pid, signal.SIGINT)
            if how != "^C":
                time.sleep(0.05)                          # as fast as somebody presses it
                os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(getattr(signal, f"SIG{how}"))
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in out
    if how.startswith("^C"):
        assert process.returncode == 130
    it.until(lambda: not runs(sleep))
    it.write("compose.yaml", text.replace(f"; {sleep}", ""))
    it("up", "-d", "--wait")
    assert it.states("a") == ["running"]


# ---------------------------------------------------------------- in the middle of a wait
@pytest.mark.parametrize("words", [("up", "-d"), ("up", "-d", "--wait"), ("start",)], ids=" ".join)
def test_an_interrupted_wait_leaves_what_runs(stack: Stacks, words: "tuple[str, ...]") -> None:
    it = stack(WAITING)
    if words == ("start",):
        it("create")
    with begun(it, *words) as process:
        read_until(process, lambda line: line.split()[1:] == [f"{it.name}-db-1", "Waiting"])
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and "interrupted" in out and "Traceback" not in out
    assert (it.states("db"), it.states("a")) == (["running"], ["created"])
    before = it.ids("db")
    it.write("compose.yaml", WAITING.replace("exit 1", "exit 0"))
    it("up", "-d", "--wait")
    assert (it.states("db"), it.states("a")) == (["running"], ["running"]) and it.ids("db") != before
    assert it("up", "-d").err.count("Running") == 2


def test_an_interrupted_wait_in_the_foreground_stops_what_it_has_started(stack: Stacks) -> None:
    it = stack(WAITING)
    with begun(it, "up") as process:
        read_until(process, lambda line: line.split()[1:] == [f"{it.name}-db-1", "Waiting"])
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and "Gracefully" in out
    assert (it.states("db"), it.states("a")) == (["exited"], ["created"])


def test_a_second_interrupt_in_a_wait_kills_what_takes_its_time(stack: Stacks) -> None:
    slow = "  db:\n    image: busybox\n    command: ['sh', '-c', 'trap \"\" TERM; while :; do sleep 0.1; done']\n    stop_grace_period: 60s\n"
    it = stack(services(slow + f"    {NEVER}\n", sleeping("depends_on: {db: {condition: service_healthy}}")))
    with begun(it, "up") as process:
        read_until(process, lambda line: line.split()[1:] == [f"{it.name}-db-1", "Waiting"])
        os.killpg(process.pid, signal.SIGINT)
        read_until(process, lambda line: line.split()[1:] == [f"{it.name}-db-1", "Stopping"])
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert [row["ExitCode"] for row in it.rows("db")] == [137]


# ---------------------------------------------------------------- in the middle of starts
@pytest.mark.parametrize("times", [1, 2])
def test_nothing_runs_after_an_interrupt_in_the_foreground_while_all_starts(stack: Stacks, times: int) -> None:
    it = stack(services(*(sleeping(name=f"s{number}") for number in range(12))))
    with begun(it, "up") as process:
        read_until(process, lambda line: line.split()[2:] == ["Starting"])
        os.killpg(process.pid, signal.SIGINT)
        if times == 2:
            read_until(process, lambda line: "Gracefully" in line)
            os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=3 * PATIENCE_S)
    assert process.returncode == 130 and "Traceback" not in out
    assert not {row["State"] for row in it.rows()} & {"running", "restarting"}
