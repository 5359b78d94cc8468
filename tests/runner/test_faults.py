"""What goes wrong in a stack, and what its user sees: services that die, flap, never get healthy, have no room or no memory left, or whose port
is taken. Whatever it was, the next `up` or `down` gets the stack where it should be."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pybuild.stacking import Stack, Stacks, services, sleeping, with_busybox
from tests.tool import Tool
from tests.users import needs_root

pytestmark = pytest.mark.userns


@pytest.fixture(scope="module")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return with_busybox(tmp_path_factory.mktemp("faults") / "r")


@pytest.fixture
def stack(busybox: Tool, tmp_path: Path) -> Iterator[Stacks]:
    made = Stacks(busybox, tmp_path)
    yield made
    made.close()


UNKNOWN = "healthcheck: {test: exit 1, interval: 1h, start_period: 1h, start_interval: 1h}"


def running(line: str, more: str = "", name: str = "a") -> str:
    """The text of a service that runs a shell line."""
    return f"  {name}:\n    image: busybox\n    command: ['sh', '-c', {json.dumps(line)}]\n    stop_grace_period: 0s\n" + "".join(
        f"    {one}\n" for one in more.splitlines())


# ---------------------------------------------------------------- dying and flapping
def test_one_that_died_is_started_again_by_the_next_up(stack: Stacks) -> None:
    it = stack(services(running("sleep 1000"), sleeping(name="b")))
    it("up", "-d", "--wait")
    others = it.ids("b")
    it("kill", "-s", "KILL", "a")
    it.until(lambda: it.states("a") == ["exited"])
    it("up", "-d", "--wait")
    assert (it.states("a"), it.ids("b")) == (["running"], others)


def test_waiting_for_one_that_dies_says_so(stack: Stacks) -> None:
    it = stack(services(running("echo why it died >&2; sleep 0.5; exit 3", UNKNOWN), sleeping(name="b")))
    done = it.fails("up", "-d", "--wait")
    assert done.status == 1
    assert f"{it.name}-a-1" in done.err and "3" in done.err.rpartition("error:")[2]
    assert it.states("b") == ["running"]
    assert "why it died" in it("logs", "a").err


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_one_that_flaps_can_be_looked_at_and_taken_down(stack: Stacks, policy: str) -> None:
    it = stack(services(running("echo begun; exit 4", f"restart: {policy}")))
    it("up", "-d")
    it.until(lambda: it.logs("a").count("begun") >= 3)
    assert it.rows("a")[0]["State"] in ("restarting", "running")
    assert it.inspect("a")["RestartCount"] >= 2
    it("up", "-d")
    it("stop")
    assert it.states("a") == ["exited"]
    it("down")
    assert it.rows() == []


def test_one_that_flaps_is_not_ready(stack: Stacks) -> None:
    it = stack(services(running("exit 4", "deploy: {restart_policy: {condition: any, delay: 1h}}")))
    it("up", "-d")
    it.until(lambda: it.states("a") == ["restarting"])
    assert "not healthy after 1s" in it.fails("up", "-d", "--wait", "--wait-timeout", "1").err


def test_attempts_come_to_an_end(stack: Stacks) -> None:
    it = stack(services(running("echo begun; exit 4", "restart: on-failure:2")))
    it("up", "-d")
    it.until(lambda: it.states("a") == ["exited"])
    assert it.logs("a").count("begun") == 3


# ---------------------------------------------------------------- never healthy
NEVER = "healthcheck: {test: 'echo the reason; exit 1', interval: 50ms, retries: 2}"


def test_one_that_never_gets_healthy_is_told_with_its_last_words(stack: Stacks) -> None:
    it = stack(services(sleeping(NEVER), sleeping("depends_on: {a: {condition: service_healthy}}", name="b")))
    done = it.fails("up", "-d")
    assert f"{it.name}-a-1" in done.err and "unhealthy" in done.err and "the reason" in done.err
    assert (it.states("a"), it.states("b")) == (["running"], ["created"])
    it.write("compose.yaml", services(sleeping(), sleeping("depends_on: {a: {condition: service_started}}", name="b")))
    it("up", "-d", "--wait")
    assert it.states("b") == ["running"]


def test_waiting_for_one_that_never_gets_healthy(stack: Stacks) -> None:
    it = stack(services(sleeping(NEVER)))
    done = it.fails("up", "-d", "--wait")
    assert "unhealthy" in done.err and "the reason" in done.err


def test_waiting_no_longer_than_that(stack: Stacks) -> None:
    it = stack(services(sleeping(UNKNOWN)))
    done = it.fails("up", "-d", "--wait", "--wait-timeout", "1")
    assert done.status == 1 and "1" in done.err and it.states("a") == ["running"]


# ---------------------------------------------------------------- no room, no memory, no port
def test_one_that_fills_its_disk(stack: Stacks) -> None:
    it = stack(services(running("dd if=/dev/zero of=/data/f bs=64k count=64; echo status $?; exec sleep 1000", "tmpfs: ['/data:size=1m']"),
                        sleeping(name="b")))
    it("up", "-d", "--wait")
    it.until(lambda: "status 1" in it.logs("a"))
    assert "No space left" in it("logs", "a").err
    assert (it.states("a"), it.states("b")) == (["running"], ["running"])


@needs_root
def test_one_that_uses_all_its_memory(stack: Stacks) -> None:
    it = stack(services(running("x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo not reached", "mem_limit: 16m\nmemswap_limit: 16m")))
    if "memory" not in it.tool.pyup("container", "run", "--rm", "--network", "none", "busybox", "cat", "/proc/cgroups", "/proc/filesystems").out:
        pytest.skip("this kernel has no memory controller")
    it("up", "-d")
    it.until(lambda: it.states("a") == ["exited"])
    found = it.inspect("a")["State"]
    assert (found["OOMKilled"], found["ExitCode"]) == (True, 137)
    assert "not reached" not in it.logs("a")
    assert "oom" in it("events", "--since", "5m", "--until", "0s").out


def test_one_whose_port_is_taken_until_it_is_free(stack: Stacks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        it = stack(services(sleeping(f"ports: ['127.0.0.1:{port}:80']"), sleeping(name="b")))
        done = it.fails("up", "-d")
        whose = "" if os.geteuid() else f" by process {os.getpid()} ("        # from a user namespace no process outside may be looked into
        assert f"port `127.0.0.1:{port}/tcp` is already in use{whose}" in done.err and "a-1" in done.err
        assert (it.states("a"), it.states("b")) == (["created"], ["running"])
    before = it.ids("b")
    it("up", "-d", "--wait")
    assert (it.states("a"), it.ids("b")) == (["running"], before)


def test_one_whose_port_another_container_has(stack: Stacks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    text = services(sleeping(f"ports: ['127.0.0.1:{port}:80']"))
    first, second = stack(text), stack(text)
    first("up", "-d")
    assert f"is already in use by container `{first.name}-a-1`" in second.fails("up", "-d").err
    first("down", "-t", "0")
    second("up", "-d")
    assert second.states("a") == ["running"]


# ---------------------------------------------------------------- a full disk
@pytest.fixture
def small(tmp_path: Path) -> Iterator[Tool]:
    """A root directory with room for 24 MB."""
    room = tmp_path / "small"
    room.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(room)], check=True)
    tool = Tool(room / "r")
    tool.pybuild("base", "busybox", "-t", "busybox")
    yield tool
    subprocess.run(["umount", "-l", str(room)], check=True)


def fill(tool: Tool) -> Path:
    """Take what room is left."""
    path = tool.root.parent / "filling"
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            return path


@needs_root
def test_a_full_disk_is_told_and_the_next_up_goes_on(small: Tool, tmp_path: Path) -> None:
    it = Stack(small, tmp_path / "s", services(sleeping("scale: 3"), sleeping("volumes: ['v:/v']", name="b")) + "volumes: {v: }\n")
    fill(small)
    it("ps")                                              # gives the reserve up
    full = fill(small)
    done = it.fails("up", "-d")
    assert "no space left" in done.err.lower() or "disk is full" in done.err.lower(), done
    full.unlink()
    it("up", "-d", "--wait")
    assert (it.states("a"), it.states("b")) == (["running"] * 3, ["running"])
    it("down", "-v", "-t", "0")


@needs_root
def test_on_a_full_disk_a_stack_is_seen_and_taken_down(small: Tool, tmp_path: Path) -> None:
    it = Stack(small, tmp_path / "s", services(sleeping("scale: 2"), sleeping("volumes: ['v:/v']", name="b")) + "volumes: {v: }\n")
    it("up", "-d")
    full = fill(small)
    assert it.states("a") == ["running"] * 2
    it("down", "-v", "-t", "0")
    assert (it.ids("a"), it.ids("b")) == ([], [])
    full.unlink()
    it("up", "-d", "--wait")
    it("down", "-v", "-t", "0")


@needs_root
def test_on_a_full_disk_without_its_reserve_a_stack_is_seen_and_taken_down(small: Tool, tmp_path: Path) -> None:
    it = Stack(small, tmp_path / "s", services(sleeping("scale: 2"), sleeping("restart: always", name="b")))
    it("up", "-d")
    fill(small)
    it("ps")                                              # gives the reserve up
    full = fill(small)
    assert it.states("a") == ["running"] * 2
    it("down", "-t", "0")
    assert it.rows() == []
    full.unlink()
    it("up", "-d", "--wait")
    it("down", "-t", "0")
    assert (small.root / "runner.db").read_bytes()[18:20] == b"\2\2"


FILLING = ("while :; do dd if=/dev/zero of=/big bs=64k conv=notrunc oflag=append; done 2>/dev/null", f"while :; do echo {'x' * 200}; done")


@needs_root
def test_a_stack_that_goes_on_filling_the_disk_is_seen_and_taken_down(small: Tool, tmp_path: Path) -> None:
    it = Stack(small, tmp_path / "s", services(running(FILLING[0], "depends_on: [c]"), running(FILLING[1], name="b"), sleeping("restart: always", name="c")))
    it("up", "-d")
    fill(small)
    it("ps")                                              # gives the reserve up, for which they wait
    fill(small)
    assert it.states("c") == ["running"]
    it("up", "-d")
    it("down", "-t", "0")
    assert it.rows() == []
    (small.root.parent / "filling").unlink()
    it("up", "-d", "--wait", "c")
    it("down", "-t", "0")
    assert os.listdir(small.root / "containers") == []


@needs_root
def test_a_stack_is_taken_down_while_others_fill_the_disk(small: Tool, tmp_path: Path) -> None:
    it = Stack(small, tmp_path / "s", services(sleeping("volumes: ['v:/v']"), sleeping(name="b")) + "volumes: {v: }\n")
    it("up", "-d")
    path = small.root.parent / "filling"
    line = f"while :; do dd if=/dev/zero of={path} bs=4k conv=notrunc oflag=append 2>/dev/null; done"
    with subprocess.Popen(["sh", "-c", line], start_new_session=True) as filling:
        try:
            done = it.run("down", "-t", "0")
            assert it.rows() == []
            assert not done.status, done
        finally:
            os.killpg(filling.pid, 9)
    path.unlink()
    it("up", "-d", "--wait")
    it("down", "-v", "-t", "0")
    assert (os.listdir(small.root / "containers"), os.listdir(small.root / "volumes")) == ([], [])


@needs_root
def test_a_network_is_removed_without_room_to_write_that_down(small: Tool) -> None:
    small.pyup("network", "create", "n")
    fill(small)
    small.pyup("network", "ls")                           # gives the reserve up
    full = fill(small)
    small.pyup("network", "rm", "n")
    assert "n" not in small.pyup("network", "ls", "--format", "{{.Name}}").out.split()
    full.unlink()
    small.pyup("network", "create", "n")
    small.pyup("network", "rm", "n")
