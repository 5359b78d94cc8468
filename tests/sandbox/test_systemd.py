"""The one D-Bus call, against a bus of our own making: real systemd is asked in tests/sandbox/test_guest.py."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import systemd
from sandbox.errors import SandboxError


def error(text: str) -> bytes:
    body = struct.pack("<I", len(text)) + text.encode() + b"\0"
    return struct.pack("<cBBBIII", b"l", 3, 0, 1, len(body), 1, 0) + body


class Bus:
    """Answers a login, keeps what is called, and says `answer` then."""

    def __init__(self, path: Path, answer: bytes, welcome: bytes = b"OK 1234\r\n") -> None:
        self.heard = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._answer, self._welcome = answer, welcome
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        self._listener.close()
        with connection:
            connection.settimeout(5)
            self.heard += connection.recv(4096)
            connection.sendall(self._welcome)
            while b"BEGIN" in self.heard[20:] or b"BEGIN" not in self.heard:
                data = connection.recv(1 << 16)
                self.heard += data
                if not data or b"StartTransientUnit" in self.heard:
                    break
            if self._answer:
                connection.sendall(self._answer)
                connection.recv(1)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Callable[..., Bus]]:
    made: list[Bus] = []

    def make(*arguments: bytes) -> Bus:
        made.append(Bus(tmp_path / "bus", *arguments))
        return made[-1]

    yield make
    for one in made:
        one.thread.join()


def test_refusal_is_told(bus: Callable[..., Bus], tmp_path: Path) -> None:
    made = bus(error("Unit x.scope already exists."))
    with pytest.raises(SandboxError, match=r"cannot ask systemd for a cgroup: unit x\.scope already exists"):
        systemd.enter_scope(47, "x.scope", str(tmp_path / "bus"))
    assert made.heard.startswith(b"\0AUTH EXTERNAL 3437\r\n")
    assert b"\1o\0" in made.heard and struct.pack("<II", 4, os.getpid()) in made.heard


def test_login_that_is_refused(bus: Callable[..., Bus], tmp_path: Path) -> None:
    bus(b"", b"REJECTED EXTERNAL\r\n")
    with pytest.raises(SandboxError, match="its bus does not let us in"):
        systemd.enter_scope(47, "x.scope", str(tmp_path / "bus"))


def test_no_bus(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="cannot ask systemd for a cgroup: no such file or directory"):
        systemd.enter_scope(47, "x.scope", str(tmp_path / "nothing"))
    assert systemd.bus_of(987654) == ""
