"""What RUN --mount=type=ssh sees: an agent of the host, or one with private keys, passed on."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.agents import Agent, keys_of, source_of
from builder.errors import BuildError
from builder.remote.access import Access
from builder.remote.git import ssh_command
from tests.builder.conftest import Builds

needs_agent = pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="needs ssh-agent (package openssh-client)")
LIST, ANSWER = b"\x00\x00\x00\x01\x0b", 12                # request of identities; type of its answer


def key(path: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", path.name, "-f", str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def wait_for_end(path: str) -> None:
    """Until nobody listens there any more."""
    deadline = time.monotonic() + 60
    while os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not os.path.exists(path)


def ask(path: str, request: bytes = LIST) -> bytes:
    """The answer of an agent; b"" if it hangs up."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(path)
        client.sendall(request)
        with client.makefile("rb") as answer:
            return answer.read(int.from_bytes(answer.read(4), "big"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[str]:
    (made := tmp_path / "place").mkdir()
    yield str(made)


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[str]:
    """Socket of an agent that answers with what it was asked."""
    path, pid = str(tmp_path / "echo"), 0
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        pid = os.fork()
        if not pid:
            while True:
                came, _ = server.accept()
                while data := came.recv(1 << 16):
                    came.sendall(data)
                came.close()
    yield path
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_agent_is_passed_on_with_the_mode_and_owner_of_the_mount(echo: str, place: str) -> None:
    agent = Agent(source_of(echo), place, 0o640, os.getuid(), os.getgid())
    status = os.stat(agent.path)
    assert (status.st_mode & 0o777, status.st_uid) == (0o640, os.getuid())
    assert [ask(agent.path), ask(agent.path)] == [b"\x0b"] * 2
    agent.close()
    with pytest.raises(OSError, match="refused"):
        ask(agent.path)


def test_large_requests_pass(echo: str, place: str) -> None:
    agent = Agent(source_of(echo), place, 0o600, os.getuid(), os.getgid())
    request = (200_000).to_bytes(4, "big") + os.urandom(200_000)
    assert ask(agent.path, request) == request[4:]
    agent.close()


def test_place_with_a_long_name(echo: str, tmp_path: Path) -> None:
    (deep := tmp_path / ("d" * 120)).mkdir()
    agent = Agent(source_of(echo), str(deep), 0o600, os.getuid(), os.getgid())
    fd = os.open(deep, os.O_RDONLY)
    assert ask(f"/proc/self/fd/{fd}/socket") == b"\x0b"
    os.close(fd)
    agent.close()


def test_connection_ends_when_the_agent_has_gone(tmp_path: Path, place: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "gone"))
        source = source_of(str(tmp_path / "gone"))
    agent = Agent(source, place, 0o600, os.getuid(), os.getgid())
    try:
        assert ask(agent.path) == b""
    except ConnectionError:
        pass                                             # what was sent was thrown away
    agent.close()


@needs_agent
def test_keys_have_an_agent_that_ends_with_the_step(tmp_path: Path, place: str) -> None:
    one, two = key(tmp_path / "one"), key(tmp_path / "two")
    agent = Agent(source_of(f"{one},{two}"), place, 0o600, os.getuid(), os.getgid())
    answer = ask(agent.path)
    assert answer[0] == ANSWER and b"one" in answer and b"two" in answer
    agent.close()
    wait_for_end(f"{place}/keys")


@needs_agent
def test_key_with_a_passphrase_is_an_error_and_leaves_no_agent(tmp_path: Path, place: str) -> None:
    with pytest.raises(BuildError, match="cannot be used"):
        Agent(source_of(str(key(tmp_path / "locked", "secret words"))), place, 0o600, os.getuid(), os.getgid())
    wait_for_end(f"{place}/keys")


def test_machine_without_an_agent_is_an_error(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/bin/sh")
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(BuildError, match=r"`ssh-agent`, which does not start: .*not found"):
        Agent(source_of(str(tmp_path / "key")), place, 0o600, os.getuid(), os.getgid())


def test_what_is_neither_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("ssh-ed25519 AAAA")
    with pytest.raises(BuildError, match="neither an agent's socket nor a private key"):
        source_of(str(tmp_path / "file"))
    with pytest.raises(BuildError, match="no such file"):
        source_of(str(tmp_path / "none"))


def test_git_has_the_keys_themselves() -> None:
    command = ssh_command(Access((), (("default", "keys:/a b/k,/l"),)))
    assert "-o 'IdentityFile=\"/a b/k\"'" in command and "IdentityFile=\"/l\"" in command and "IdentityAgent=none" in command
    assert keys_of("/socket") == []


def test_run_sees_a_socket_of_the_owner_it_asked_for(as_root: Builds, echo: str) -> None:
    os.chmod(echo, 0o600)
    step = 'FROM busybox\nUSER 7:8\nRUN --network=none --mount=type=ssh,uid=7,gid=8,mode=0400 stat -c "%a %u %g" $SSH_AUTH_SOCK\n'
    assert " 400 7 8\n" in as_root.ok(step, "--no-cache", "--ssh", f"default={echo}").err
