"""The last part of every way into a sandbox, when the process already is in its root: directory, streams, privileges, and the command."""

import _signal  # type: ignore[import-not-found]
import os
import stat
import sys

from kernel.release import RELEASE
from kernel.syscalls import (
    AT_FDCWD,
    CLONE_PARENT,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    RESOLVE_NO_MAGICLINKS,
    capget,
    clone,
    close_range,
    openat2,
    prctl,
)
from sandbox import command, privileges
from sandbox.account import Account
from sandbox.capabilities import SYS_PTRACE
from sandbox.errors import SandboxError
from sandbox.limits import adjust_oom_score, set_rlimits
from sandbox.machine import Machine
from sandbox.terminal import make_controlling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.spec import ExecSpec, SandboxSpec

CONTROL = 3                           # the control socket's fd in every unit
_CLOSE_RANGE_CLOEXEC = 4
_SIGKILL = 9
_FDS = 1024                           # a unit begins with four
_EVERY_SIGNAL = tuple(number for number in range(1, 65) if number not in (32, 33))


def enter_directory(path: str) -> None:
    """Go to the working directory: no magic link may lead out (CVE-2024-21626), and where we are must have a name in the root."""
    fd = openat2(AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS)
    os.fchdir(fd)
    os.close(fd)
    if not os.getcwd().startswith("/"):
        raise SandboxError("enter the working directory", path=path, reason="it is outside of the root")


def become(spec: "SandboxSpec | ExecSpec", who: Account, streams: list[int], program: bytes, machine: Machine, held: int, bounding: int,
           supervision: int = -1, upper_fd: int = -1) -> None:
    """Limits, streams, signals, ids, capabilities and seccomp of the process to be. What is open besides streams and control closes on exec.

    supervision: fd of the socket to who emulates ids, -1 for nobody; upper_fd: as sandbox.emulation.meet takes it.
    """
    set_rlimits(spec.rlimits)
    if spec.oom_score_adj:
        adjust_oom_score(spec.oom_score_adj)
    streams = [own_null(fd) for fd in streams]
    privileges.own_streams(streams, who.uid, who.gid)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    _close_on_exec()
    os.umask(spec.umask)
    meet = None
    if supervision >= 0:
        from sandbox.emulation import meet as meet_supervisor

        def meet() -> None:
            meet_supervisor(supervision, who, upper_fd, nnp=spec.no_new_privileges)
    privileges.become(who, held, spec.ambient, program, no_new_privileges=spec.no_new_privileges, machine=machine, bounding=bounding, meet=meet)


def own_null(fd: int, path: str = "/dev/null") -> int:
    """In the place of the machine's /dev/null, whose mode root could change by it, the sandbox's at `path`; if that is hidden, what is empty."""
    outer = os.fstat(fd)
    if not _is_null(outer):
        return fd
    try:
        own = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        if _is_null(os.fstat(own)):
            os.set_blocking(own, True)
            return own
        os.close(own)
    except OSError:
        pass                                              # something is mounted over /dev
    read, write = os.pipe()
    os.close(write)
    return read


def _is_null(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)


def _close_on_exec() -> None:
    """All but the streams and the control socket. (Python and the kernel have done so already; this is for what we do not know of.)"""
    if RELEASE >= (5, 11):
        close_range(CONTROL + 1, flags=_CLOSE_RANGE_CLOEXEC)
        return
    for fd in range(CONTROL + 1, _FDS):
        try:
            os.set_inheritable(fd, False)
        except OSError:
            pass


def environment_of(spec: "SandboxSpec | ExecSpec", who: Account) -> dict[bytes, bytes]:
    """As bytes, with HOME."""
    found = {name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape") for name, value in spec.env}
    found.setdefault(b"HOME", who.home.encode())
    return found


def execute(spec: "SandboxSpec | ExecSpec", environment: dict[bytes, bytes]) -> "NoReturn":
    """Become the command itself."""
    if spec.terminal:
        make_controlling(0)
    command.execute(spec.argv, environment)


def execute_below_init(spec: "SandboxSpec", environment: dict[bytes, bytes], image: int) -> "NoReturn":
    """Become the tiny init (`image`: its fd) whose only child becomes the command."""
    if spec.terminal:
        make_controlling(0)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _EVERY_SIGNAL)
    replaced_r, replaced_w = os.pipe()
    pid = os.fork()
    if pid:
        os.execve(image, ["init", str(pid)], {})
    os.close(replaced_w)
    os.read(replaced_r, 1)                                # ends when execve has closed the other end: nobody is to see a Python before us
    os.setpgid(0, 0)
    if spec.terminal:
        os.tcsetpgrp(0, os.getpid())
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    command.execute(spec.argv, environment)


def execute_in_joined_pids(spec: "SandboxSpec | ExecSpec", environment: dict[bytes, bytes], image: int) -> "NoReturn":
    """The caller has set the pid namespace of its children: the tiny program starts the command there, and tells its pid on the control socket."""
    path = command.find(spec.argv[0], environment)
    os.set_inheritable(CONTROL, True)
    words = ["init", "t" if spec.terminal else "-", path, *spec.argv]
    try:
        os.execve(image, [word.encode("utf-8", "surrogateescape") for word in words], environment)
    except FileNotFoundError:
        os.set_inheritable(CONTROL, False)
        _execute_by_fork(spec, environment)


def _execute_by_fork(spec: "SandboxSpec | ExecSpec", environment: dict[bytes, bytes]) -> "NoReturn":
    """TOMOYO, in Debian 11's kernel, wants to see what it executes below /dev/fd, where whoever is in no pid namespace has nothing. So this process
    itself goes inside for a moment; undumpable, its memory and program are out of reach but for CAP_SYS_PTRACE."""
    held = capget()[1]
    if held & SYS_PTRACE:
        raise SandboxError("enter the sandbox", reason="this kernel's TOMOYO does not let us in safely beside CAP_SYS_PTRACE",
                           help="boot with `lsm=` without tomoyo, or drop the capability")
    prctl(PR_SET_DUMPABLE, 0)
    if pid := clone(CLONE_PARENT):
        os.write(CONTROL, pid.to_bytes(4, sys.byteorder))
        os._exit(0)
    os.setsid()
    if spec.terminal:
        make_controlling(0)
    prctl(PR_SET_PDEATHSIG, _SIGKILL)
    command.execute(spec.argv, environment)
