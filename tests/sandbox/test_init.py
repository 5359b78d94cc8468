"""The tiny first process, alone: on this machine, and under qemu where another one's code can be run."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.init import code, image, open_image

HERE = Path(__file__).resolve().parents[2] / "sandbox"
MACHINE = os.uname().machine
TOOLS = {MACHINE: "", "aarch64" if MACHINE == "x86_64" else "x86_64": "aarch64-linux-gnu-" if MACHINE == "x86_64" else "x86-64-linux-gnu-"}
EVERY = [number for number in range(1, 65) if number not in (32, 33)]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_code_is_its_source(machine: str, tmp_path: Path) -> None:
    tool = TOOLS[machine]
    if not shutil.which(f"{tool}as"):
        pytest.skip(f"{tool}as (package binutils) is not installed to assemble it")
    subprocess.run([f"{tool}as", "-o", tmp_path / "o", HERE / f"init_{machine}.s"], check=True)
    subprocess.run([f"{tool}objcopy", "-O", "binary", "-j", ".text", tmp_path / "o", tmp_path / "bin"], check=True)
    assert (tmp_path / "bin").read_bytes() == code(machine)


def test_image_cannot_be_written_to() -> None:
    fd = open_image()
    for attempt in (lambda: os.write(fd, b"x"), lambda: os.truncate(fd, 0)):
        with pytest.raises(PermissionError):
            attempt()
    os.close(fd)


@pytest.fixture(params=["x86_64", "aarch64"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> "Callable[..., None]":
    """execve of the program for a machine, in the calling process, with qemu if it is not this one's."""
    machine = request.param
    if machine != MACHINE and "join" in request.node.name:
        pytest.skip("qemu's user mode has no clone(CLONE_PARENT)")
    (tmp_path / "init").write_bytes(image(machine))
    (tmp_path / "init").chmod(0o755)
    prefix = [] if machine == MACHINE else [f"qemu-{machine}-static"]
    if prefix and not shutil.which(prefix[0]):
        pytest.skip(f"{prefix[0]} (package qemu-user-static) is not installed to run it")

    def execute(*arguments: str, environment: dict[str, str]) -> None:
        words = [*prefix, str(tmp_path / "init"), *arguments]
        os.execvpe(words[0], words, {"PATH": os.defpath, **environment})
    return execute


def run_init(start: "Callable[..., None]", script: str) -> int:
    """Pid of an init whose main process runs `script`."""
    pid = os.fork()
    if not pid:
        main = os.fork()
        if not main:
            os.execv("/bin/sh", ["sh", "-c", script])
        signal.pthread_sigmask(signal.SIG_BLOCK, EVERY)
        start(str(main), environment={})
    return pid


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("sleep 0.01 & exit 3", 3)])
def test_init_ends_as_its_main_process(start: "Callable[..., None]", script: str, code: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(run_init(start, script), 0)[1]) == code


def test_init_hands_signals_on(start: "Callable[..., None]", tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    pid = run_init(start, f"trap 'exit 9' TERM; echo > {tmp_path}/ready; while :; do sleep 0.01; done")
    (tmp_path / "ready").read_text()
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def test_join_starts_a_child_of_our_parent(start: "Callable[..., None]") -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        os.dup2(theirs.fileno(), 3)
        start("-", "/bin/sh", "sh", "-c", "exit $CODE", environment={"CODE": "6"})
    theirs.close()
    child = int.from_bytes(ours.recv(100), "little")
    assert os.waitpid(pid, 0) == (pid, 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 6
    assert ours.recv(100) == b""
    ours.close()


def test_join_tells_the_error(start: "Callable[..., None]") -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        os.dup2(theirs.fileno(), 3)
        start("-", "/no/such", "such", environment={})
    theirs.close()
    words = {len(word := ours.recv(100)): word, len(word := ours.recv(100)): word}
    assert int.from_bytes(words[8], "little") == 2
    for one in (pid, int.from_bytes(words[4], "little")):
        assert os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) == 0
    ours.close()


def test_join_killed_before_it_has_told_leaves_no_child(start: "Callable[..., None]", tmp_path: Path) -> None:
    """fd 3 is full, so that it cannot tell; its child waits then, and does not execute when it is killed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with pytest.raises(BlockingIOError):
        while True:
            theirs.send(b"x" * 1000, socket.MSG_DONTWAIT)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = set(children.read_text().split())            # of other tests
    pid = os.fork()
    if not pid:
        os.dup2(theirs.fileno(), 3)
        start("-", "/bin/touch", "touch", str(tmp_path / "ran"), environment={})
    theirs.close()
    while not (found := set(children.read_text().split()) - before - {str(pid)}):
        os.sched_yield()
    child = int(found.pop())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137
    assert not (tmp_path / "ran").exists()
    ours.close()
