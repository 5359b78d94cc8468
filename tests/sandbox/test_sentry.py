"""Signals that a watched process sends: to its own, to others, and by what cannot be looked at."""

import _socket
import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kernel.syscalls import PR_SET_CHILD_SUBREAPER, prctl
from sandbox import sentry
from sandbox.syscall_numbers import numbers

NUMBERS = numbers(os.uname().machine)
LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def watcher() -> "Iterator[_socket.socket]":
    """The sentry of this process's descendants."""
    with suppress(ChildProcessError):                     # of earlier tests in this process
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    before = _children()
    sock = sentry.begin()
    (pid,) = PIDS[sock.fileno()] = tuple(_children() - before)
    yield sock
    prctl(PR_SET_CHILD_SUBREAPER, 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    sock.close()


PIDS: "dict[int, tuple[int, ...]]" = {}                   # fd of a watcher -> the sentry behind it


def _children() -> "set[int]":
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def watched(watcher: "_socket.socket", act: "Callable[[], object]") -> int:
    """What becomes of `act` in a child that is watched: 0, an errno, or the signal that killed it, negative."""
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            sentry.watch(watcher)
            act()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 255)
        finally:
            os._exit(254)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def call(name: str, *arguments: int) -> None:
    if LIBC.syscall(ctypes.c_long(NUMBERS[name]), *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), name)


def queue(name: str, *whom: int) -> None:
    info = ctypes.create_string_buffer(struct.pack("iii", signal.SIGTERM, 0, -1) + bytes(116))
    call(name, *whom, signal.SIGTERM, ctypes.addressof(info))


def own_by_ioctl(whom: int) -> None:
    with socket.socket() as one:
        fcntl.ioctl(one, 0x8901, struct.pack("i", whom))


OTHERS: "dict[str, Callable[[], object]]" = {
    "kill": lambda: os.kill(os.getppid(), 0), "kill group": lambda: os.kill(-os.getpgid(os.getppid()), 0), "kill everybody": lambda: os.kill(-1, 0),
    "kill init": lambda: os.kill(1, 0), "tkill": lambda: call("tkill", os.getppid(), 0), "tgkill": lambda: call("tgkill", os.getppid(), os.getppid(), 0),
    "queue": lambda: queue("rt_sigqueueinfo", os.getppid()), "queue to a thread": lambda: queue("rt_tgsigqueueinfo", os.getppid(), os.getppid()),
    "own": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid()), "own a group": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, -os.getpgid(os.getppid())),
    "own by pointer": lambda: fcntl.fcntl(0, 15, struct.pack("ii", 1, os.getppid())), "own by ioctl": lambda: own_by_ioctl(os.getppid()),
    "upper half": lambda: call("kill", os.getppid() | 5 << 32, 0)}


@pytest.mark.parametrize("how", OTHERS)
def test_others_cannot_be_told(watcher: "_socket.socket", how: str) -> None:
    assert watched(watcher, OTHERS[how]) == errno.EPERM


def test_the_sentry_itself_cannot_be_told(watcher: "_socket.socket") -> None:
    (pid,) = PIDS[watcher.fileno()]
    assert watched(watcher, lambda: os.kill(pid, signal.SIGKILL)) == errno.EPERM


def test_a_descriptor_of_a_process_is_no_way(watcher: "_socket.socket") -> None:
    assert watched(watcher, lambda: signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)) == errno.ENOSYS


def test_nobody_is_nobody(watcher: "_socket.socket") -> None:
    assert watched(watcher, lambda: os.kill(2 ** 31 - 1, 0)) == errno.ESRCH
    assert watched(watcher, lambda: os.kill(-(2 ** 31 - 1), 0)) == errno.ESRCH


OWN: "dict[str, Callable[[], object]]" = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGTERM), "own group": lambda: os.kill(0, signal.SIGTERM), "group": lambda: os.kill(-os.getpid(), signal.SIGTERM),
    "thread": lambda: signal.raise_signal(signal.SIGTERM), "queue": lambda: queue("rt_sigqueueinfo", os.getpid())}


@pytest.mark.parametrize("how", OWN)
def test_own_processes_can(watcher: "_socket.socket", how: str) -> None:
    assert watched(watcher, OWN[how]) == -signal.SIGTERM


def test_grandchildren_can_whoever_they_belong_to_now(watcher: "_socket.socket") -> None:
    def act() -> None:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            if not os.fork():
                signal.alarm(60)
                os.write(write, b"%d" % os.getpid())
                signal.pause()
            os._exit(0)
        os.waitpid(child, 0)
        grandchild = int(os.read(read, 10))
        os.kill(grandchild, 0)
        fcntl.fcntl(read, fcntl.F_SETOWN, grandchild)
        fcntl.fcntl(read, fcntl.F_SETOWN, 0)
        os.kill(grandchild, signal.SIGKILL)

    assert watched(watcher, act) == 0
    assert os.waitstatus_to_exitcode(os.wait()[1]) == -signal.SIGKILL
