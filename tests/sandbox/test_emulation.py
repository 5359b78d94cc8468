"""What the supervisor of a single id answers when it has no answer: never what nobody has thought of."""

import ctypes
import mmap
import os
import resource
import socket
import struct
from errno import EIO
from pathlib import Path

import pytest

from kernel.notify import Listener, Notification
from sandbox.emulation import Emulation
from sandbox.syscall_numbers import numbers

NUMBERS = numbers(os.uname().machine)
SOL_SOCKET, SO_PEERCRED = 1, 17


class Recorder(Listener):
    """Keeps what it was told, by the id of the call: "go on", or (value, errno)."""

    __slots__ = ("answers",)

    def __init__(self) -> None:
        self.answers: "dict[int, str | tuple[int, int]]" = {}

    def answer(self, ident: int, value: int = 0, error: int = 0) -> None:
        self.answers[ident] = (value, error)

    def go_on(self, ident: int) -> None:
        self.answers[ident] = "go on"

    def answer_with_fd(self, ident: int, fd: int, flags: int) -> None:
        self.answers[ident] = "an fd"

    def is_valid(self, ident: int) -> bool:
        return True


class Supervision:
    """An Emulation that answers calls of this very process."""

    def __init__(self, log: Path) -> None:
        self.recorder = Recorder()
        self.path = log
        self.log = os.open(log, os.O_RDWR | os.O_CREAT, 0o600)
        self.emulation = Emulation(self.recorder, nnp=False, log=self.log)
        self._count = 0

    def call(self, number: "int | str", *arguments: int) -> "str | tuple[int, int]":
        self._count += 1
        number = number if isinstance(number, int) else NUMBERS[number]
        self.emulation.answer(Notification(self._count, os.getpid(), number, (*arguments, *(0,) * (6 - len(arguments)))))
        return self.recorder.answers[self._count]


@pytest.fixture
def supervision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervision:
    monkeypatch.chdir("/proc")                            # as the supervisor's
    return Supervision(tmp_path / "log")


def test_a_fault_of_ours_is_refused_and_written_down_once(supervision: Supervision) -> None:
    for _ in range(3):
        assert supervision.call(9999) == (0, EIO)         # a call that the filter never sends: nobody has written an answer
    assert supervision.path.read_text() == "pybuild: emulation of call 9999 failed, and it was refused: KeyError: 9999\n"


def test_a_shortage_of_ours_is_refused(supervision: Supervision) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/", os.O_PATH)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        answer = supervision.call("getsockopt", 0, SOL_SOCKET, SO_PEERCRED, 0, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert answer == (0, EIO) and "too many open files" in supervision.path.read_text()


def test_what_is_wrong_with_the_call_is_the_kernels_to_say(supervision: Supervision) -> None:
    assert supervision.call("newfstatat", -100 & 0xFFFFFFFF, 1, 1, 0) == "go on"       # no such address
    assert supervision.path.read_text() == ""


def test_an_open_how_at_the_end_of_the_memory_is_the_kernels_to_refuse(supervision: Supervision) -> None:
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(address + mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    assert supervision.call("openat2", -100 & 0xFFFFFFFF, address, address + mmap.PAGESIZE - 8, 24) == "go on"
    assert supervision.call("openat2", -100 & 0xFFFFFFFF, address, address, 8) == "go on"
    assert supervision.path.read_text() == ""
    libc.mprotect(ctypes.c_void_p(address + mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), 3)


def test_descriptors_that_are_no_sockets_leave_nothing_open(supervision: Supervision, tmp_path: Path) -> None:
    """Else a loop of calls uses up the supervisor's descriptors, and then it can answer nothing."""
    file = os.open(tmp_path, os.O_RDONLY)
    ours, theirs = socket.socketpair()
    before = len(os.listdir("/proc/self/fd"))
    for fd in (file, ours.fileno(), 9999):
        for _ in range(5):
            assert supervision.call("getsockopt", fd, SOL_SOCKET, SO_PEERCRED, 0, 0) == "go on"
    assert len(os.listdir("/proc/self/fd")) == before
    assert struct.unpack("=3i", ours.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))[0] == os.getpid()       # ours is as it was
    for one in (ours, theirs):
        one.close()
    os.close(file)
