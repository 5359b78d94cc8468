"""The mark of a container's processes: inherited by all that descends from them, found by anybody, and the end of them all."""

import os
import resource
import subprocess
import sys
from typing import Any

import pytest

from sandbox import marks, warding
from sandbox.seccomp import ALLOW, EPERM, ERRNO
from sandbox.spec import Rlimit

Call = tuple[Any, ...]                                    # name, arguments
ID = "fedcba9876543210" * 4
SCRIPT = "import os, resource, sys; resource.setrlimit(15, (int(sys.argv[1]),) * 2); os.execvp('sh', ['sh', '-c', sys.argv[2]])"


def started(mark: int, script: str) -> "subprocess.Popen[str]":
    """Once it has said something."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(mark), script], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    return process


def test_a_mark_is_the_id_s() -> None:
    assert marks.mark_of(ID) == marks.mark_of(ID[:16] + "0" * 48) != marks.mark_of("0" * 64)


def test_who_has_none_has_none() -> None:
    assert marks.read("self") == 0


@pytest.mark.parametrize("value", [resource.RLIM_INFINITY, 1_000_000])
def test_a_usual_limit_is_no_mark(value: int) -> None:
    with started(value, "echo up; exec sleep 100") as process:
        try:
            assert marks.read(process.pid) == 0
        finally:
            process.kill()


def test_the_mark_takes_the_place_of_that_limit() -> None:
    asked = (Rlimit("rttime", 1, 1), Rlimit("nofile", 5, 6))
    assert marks.limits_with(7, asked) == (Rlimit("nofile", 5, 6), Rlimit("rttime", 7, 7))


def test_all_that_descends_is_found_and_stopped() -> None:
    mark = marks.mark_of(os.urandom(32).hex())
    with started(mark, "(setsid sh -c 'sleep 100 & sleep 100' &); sleep 100 & echo up; exec sleep 100") as process:
        assert process.pid in marks.marked(mark)
        marks.stop(mark)
        assert marks.marked(mark) == []
        assert process.wait() == -9


def test_a_fork_storm_is_stopped() -> None:
    mark = marks.mark_of(os.urandom(32).hex())
    with started(mark, "echo up; ulimit -u 4000; i=0; while [ $i -lt 8 ]; do (while :; do (:) & wait; done) & i=$((i+1)); done; wait") as process:
        marks.stop(mark)
        assert marks.marked(mark) == []
        process.wait()


def test_a_warden_s_filter_refuses_signals_to_it_alone() -> None:
    from sandbox.seccomp import answer
    from sandbox.syscall_numbers import numbers

    names = numbers(os.uname().machine)
    rules = {names[name]: rule for name, rule in warding.rules(100, 90).items()}

    def said(call: Call) -> int:
        name, *arguments = call
        return answer(rules, ALLOW, names[name], (*(one & 0xFFFFFFFFFFFFFFFF for one in arguments), *(0,) * 6)[:6])

    refused: list[Call] = [("kill", 100, 9), ("kill", -90, 9), ("kill", -1, 9), ("tgkill", 100, 100, 9), ("tgkill", 5, 100, 9), ("tkill", 100, 9),
               ("rt_sigqueueinfo", 100, 9), ("pidfd_open", 100), ("fcntl", 3, 8, 100), ("fcntl", 3, 15, 0), ("ioctl", 3, 0x8901)]
    permitted: list[Call] = [("kill", 101, 9), ("kill", -100, 9), ("kill", 0, 9), ("tgkill", 101, 101, 9), ("pidfd_open", 101), ("fcntl", 3, 8, 101),
                 ("fcntl", 100, 3, 0), ("ioctl", 100, 0x5401)]
    assert [said(one) for one in refused] == [ERRNO | EPERM] * len(refused)
    assert [said(one) for one in permitted] == [ALLOW] * len(permitted)
