"""A build that is told to stop: it says so at once, and leaves nothing: no process, no mount, no unfinished file, no connection."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builder.conftest import Builds
from tests.tool import Tool
from tests.users import needs_root

RUN = "FROM busybox\nRUN --network=none trap '' INT TERM HUP; touch /started; echo begun; sleep 4321\n"


def started(builds: Builds, dockerfile: str, said: str) -> "subprocess.Popen[str]":
    """The build, once it has said that."""
    (builds.context / "Dockerfile").write_text(dockerfile)
    process = subprocess.Popen(builds.tool.argv("pybuild", "build", "--no-cache", str(builds.context)), env=builds.tool.env, stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if said in line:
            return process
    raise AssertionError(f"it ended with {process.wait()}")


def end_of(process: "subprocess.Popen[str]") -> str:
    _, err = process.communicate(timeout=60)
    return err


def left(builds: Builds) -> list[str]:
    return os.listdir(Path(builds.tool.root) / "tmp")


def sleepers() -> list[str]:
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and re.search(rb"sleep[ \0]4321\b", _cmdline(pid))]


def _cmdline(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_the_step_and_leaves_nothing(as_root: Builds, number: signal.Signals) -> None:
    process = started(as_root, RUN, "begun")
    os.kill(process.pid, number)
    err = end_of(process)
    assert process.returncode == 130 and "cancelled" in err and err.endswith("\ninterrupted\n") and "Traceback" not in err
    assert left(as_root) == [] and sleepers() == []


def test_second_signal_does_not_keep_it_from_clearing_up(as_root: Builds) -> None:
    process = started(as_root, RUN, "begun")
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    err = end_of(process)
    assert process.returncode == 130 and err.endswith("\ninterrupted\n") and "Traceback" not in err
    assert left(as_root) == [] and sleepers() == []


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


@pytest.mark.parametrize(("dockerfile", "words"), [
    ("FROM {}/a/b\n", ()), ("FROM scratch\nADD http://{}/x /x\n", ()), ("FROM scratch\nADD http://{}/x.git /x\n", ()),
    ("FROM busybox\nRUN --network=none echo {}\n", ("--cache-from", "type=registry,ref={}/c")), ("FROM busybox\n", ("--push", "-t", "{}/a/b")),
    ("FROM scratch\nCOPY --from=x / /\n", ("--build-context", "x=http://{}/x.git")), ("FROM busybox\nCOPY . /\n", ("--cache-to", "type=registry,ref={}/c"))],
    ids=["pull", "ADD of a file", "ADD of a repository", "cache-from", "push", "named context", "cache-to"])
def test_signal_ends_it_while_a_server_is_silent(as_root: Builds, silent: socket.socket, dockerfile: str, words: tuple[str, ...]) -> None:
    address = f"127.0.0.1:{silent.getsockname()[1]}"
    (as_root.context / "Dockerfile").write_text(dockerfile.format(address))
    words = tuple(word.format(address) for word in words)
    process = subprocess.Popen(as_root.tool.argv("pybuild", "build", *words, str(as_root.context)), env=as_root.tool.env,
                               stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True)
    connection, _ = silent.accept()
    with connection:
        os.kill(process.pid, signal.SIGINT)
        err = end_of(process)
        connection.settimeout(60)
        while connection.recv(1 << 16):                  # to its end: nobody has it open any more
            pass
    assert process.returncode == 130 and err.splitlines()[-1] == "interrupted" and "Traceback" not in err
    assert left(as_root) == []


@pytest.mark.parametrize("how", ["built", "cached"])
def test_signal_while_an_output_is_written(as_root: Builds, how: str) -> None:
    """To a pipe that nobody empties."""
    (as_root.context / "big").write_bytes(bytes(4 << 20))
    if how == "cached":
        as_root.ok("FROM scratch\nCOPY big /\n")
    (as_root.context / "Dockerfile").write_text("FROM scratch\nCOPY big /\n")
    process = subprocess.Popen(as_root.tool.argv("pybuild", "build", "-o", "type=tar,dest=-", str(as_root.context)), env=as_root.tool.env,
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None and process.stdout.read(1)
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err.endswith(b"interrupted\n") and left(as_root) == []


def test_signal_while_files_are_copied_leaves_nothing(as_root: Builds) -> None:
    for number in range(1500):                           # enough that a second process helps
        (as_root.context / str(number)).write_bytes(b"x" * 20000)
    process = started(as_root, "FROM scratch\nCOPY . /x/\n", "COPY")
    os.killpg(process.pid, signal.SIGINT)
    err = end_of(process)
    assert process.returncode == 130 and err.endswith("interrupted\n") and left(as_root) == []


def test_next_build_clears_up_after_one_that_was_killed(as_root: Builds) -> None:
    process = started(as_root, RUN, "begun")
    process.kill()
    end_of(process)
    deadline = time.monotonic() + 60
    while sleepers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sleepers() == []
    as_root.ok("FROM busybox\nRUN --network=none true\n", "--no-cache")
    assert left(as_root) == []


def test_failing_step_stops_the_others_and_leaves_nothing(as_root: Builds) -> None:
    done = as_root.build("FROM busybox AS a\nRUN --network=none sleep 4321\nFROM busybox AS b\nRUN --network=none exit 3\nFROM scratch\n"
                         "COPY --from=a /x /\nCOPY --from=b /x /\n", "--no-cache")
    assert done.status == 1 and "status 3" in done.err and "Dockerfile:4:1" in done.err and left(as_root) == [] and sleepers() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """24 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)      # the zygote stays there for its minute of idleness


@needs_root
def test_full_disk_is_one_error_with_its_place_and_leaves_nothing(as_root: Builds, small_disk: Path) -> None:
    archive = str(as_root.context.parent / "busybox.tar")
    as_root.tool.pybuild("save", "-o", archive, "busybox")
    as_root.tool = Tool(small_disk / "root")
    as_root.tool.pybuild("load", "-i", archive)
    (as_root.context / "big").write_bytes(os.urandom(1 << 20) * 40)
    for step in ("RUN --network=none dd if=/dev/zero of=/x bs=1M count=40; echo y > /y", "COPY big /x"):
        done = as_root.build(f"FROM busybox\n{step}\n")
        assert done.status == 1 and "no space left on device" in done.err.lower() and "Dockerfile:2:1" in done.err and "Traceback" not in done.err
        assert left(as_root) == []
    as_root.ok("FROM busybox\nRUN --network=none true\n")
