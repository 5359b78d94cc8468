"""All that descends from a process, killed."""

import os
import signal
import subprocess

from kernel.descent import kill_tree


def test_grandchildren_are_gone_when_it_returns() -> None:
    script = "trap '' TERM; (trap '' TERM; sh -c 'echo started; sleep 4323' & wait) & wait"
    read, write = os.pipe()
    process = subprocess.Popen(["sh", "-c", script], stdout=write)
    os.close(write)
    assert os.read(read, 100) == b"started\n"
    kill_tree(process.pid)
    assert os.read(read, 100) == b""                     # nobody has the other end any more
    os.close(read)
    assert process.wait() == -signal.SIGKILL


def test_those_whose_parents_death_is_their_own_are_listed_before() -> None:
    script = "setpriv --pdeathsig KILL sh -c 'sleep 4324 & echo started; wait' & wait"
    for _ in range(10):                                   # it takes two CPUs to lose one
        read, write = os.pipe()
        with subprocess.Popen(["sh", "-c", script], stdout=write) as process:
            os.close(write)
            assert os.read(read, 100) == b"started\n"
            kill_tree(process.pid)
            assert os.read(read, 100) == b""
            os.close(read)


def test_one_that_has_ended_is_no_error() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    kill_tree(process.pid)
    assert process.wait() == 0
