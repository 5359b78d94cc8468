"""Shims: forked by the zygote, parents of their own sandboxes, independent of whoever asked and of the zygote itself."""

import _socket
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.value import plain
from sandbox import wire
from sandbox.client import Client, connect
from sandbox.spec import ExecSpec, Overlay, SandboxSpec
from tests.sandbox.harness import PATH
from tests.sandbox.test_visit import layers
from tests.sandbox.test_zygote import server, wait_for_end, zygotes

pytestmark = [pytest.mark.userns, pytest.mark.skipif(os.geteuid() != 0, reason="a sandbox as root needs root")]


@pytest.fixture
def client(run_directory: Path) -> Iterator[Client]:
    with connect(str(run_directory), shim="tests.sandbox.fake_shim") as client:
        yield client
        client.retire()


@pytest.fixture
def root(tmp_path: Path, rootfs: Path) -> Overlay:
    return layers(tmp_path, rootfs)._replace(volatile=False)


def ask(client: Client, root: Overlay, report: Path, *argv: str) -> "tuple[_socket.socket, int, str]":
    """(connection, pid, error class) of a sandbox under a shim."""
    packed, others, _ = wire.pack(SandboxSpec(root, argv, env=(PATH,)), first=4)
    null, caller = os.open("/dev/null", os.O_RDWR), os.open("/proc/self/ns/mnt", os.O_RDONLY)
    connection = client.ask_shim((packed, str(report)), [null, null, null, caller, *others])
    os.close(null)
    os.close(caller)
    message, _ = wire.receive(connection)
    assert message and message[0] == "running"
    return connection, message[1], message[2]


def test_shim_runs_a_sandbox_and_learns_its_end(client: Client, root: Overlay, tmp_path: Path) -> None:
    connection, _, failure = ask(client, root, tmp_path / "report", "/bin/sh", "-c", "sleep 0.5; exit 5")
    assert failure == ""
    wire.send(connection, ("exec", plain(ExecSpec(("/bin/sh", "-c", "exit 3"), env=(PATH,)))), (0, 1, 2))
    assert wire.receive(connection)[0] == ("visited", "", 3)
    assert wire.receive(connection)[0] is None
    connection.close()
    assert (tmp_path / "report").read_text() == "5 0"


def test_shim_reports_a_failed_start(client: Client, root: Overlay, tmp_path: Path) -> None:
    for _ in range(3):                                            # cold, then warm pairs
        connection, _, failure = ask(client, root, tmp_path / "report", "nope")
        connection.close()
        assert failure == "CommandMissing"


def test_sandbox_under_a_shim_outlives_client_and_zygote(client: Client, root: Overlay, run_directory: Path, tmp_path: Path) -> None:
    connection, pid, _ = ask(client, root, tmp_path / "report", "/bin/sleep", "1020")
    pidfd = os.pidfd_open(pid)
    zygote = os.pidfd_open(server(client))
    connection.close()
    signal.pidfd_send_signal(zygote, signal.SIGKILL)
    wait_for_end([zygote])
    assert not select.select([pidfd], [], [], 0.1)[0]
    shims = [os.pidfd_open(one) for one in zygotes(run_directory) if one != pid]
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)               # ignored: it is the first process of its pid namespace
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    wait_for_end([pidfd, *shims])
    assert (tmp_path / "report").read_text() == "0 9"
    assert zygotes(run_directory) == []


def test_killed_shim_takes_its_sandbox_along(client: Client, root: Overlay, tmp_path: Path) -> None:
    connection, pid, _ = ask(client, root, tmp_path / "report", "/bin/sleep", "1021")
    pidfd = os.pidfd_open(pid)
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    wait_for_end([pidfd])
    connection.close()


def test_shim_holds_nothing_of_the_zygote(client: Client, root: Overlay, run_directory: Path, tmp_path: Path) -> None:
    """Whoever talks to the zygote must learn of its death, although shims live that were forked meanwhile."""
    with connect(str(run_directory), shim="tests.sandbox.fake_shim") as other:
        connection, pid, _ = ask(client, root, tmp_path / "report", "/bin/sleep", "1022")
        zygote = server(client)
        waiting = other._spare
        os.kill(zygote, signal.SIGKILL)
        assert waiting and wire.receive(waiting)[0] == ("hello", wire.PROTOCOL, zygote)
        assert wire.receive(waiting)[0] is None
    connection.close()
    os.kill(pid, signal.SIGKILL)


def test_zygote_stays_while_a_shim_lives(run_directory: Path, root: Overlay, tmp_path: Path) -> None:
    with connect(str(run_directory), shim="tests.sandbox.fake_shim", idle_s=0.05) as client:
        connection, pid, _ = ask(client, root, tmp_path / "report", "/bin/sleep", "1023")
        zygote = os.pidfd_open(server(client))
        connection.close()
        assert not select.select([zygote], [], [], 0.2)[0]
        os.kill(pid, signal.SIGKILL)
        wait_for_end([zygote])
