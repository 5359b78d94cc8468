"""Units and what becomes of them, seen from the process that made them: prepare one, start a spec in it, learn how it ended.

The maker must have a single thread. Used by the zygote for build steps, and by a shim for its container: both are then the parent.
"""

import os

from kernel.syscalls import CLONE_NEWPID, clone3, pidfd_send_signal, setns
from kernel.value import Value
from sandbox import wire
from sandbox.capabilities import SYS_ADMIN
from sandbox.cgroup import Cgroups, Group
from sandbox.errors import SandboxError
from sandbox.inside import live
from sandbox.machine import Machine
from sandbox.namespaces import Shape, held_by, shape_of
from sandbox.seccomp_profile import default_program
from sandbox.spec import NO_LIMITS, SandboxSpec
from sandbox.stubs import Entry, Stubs, remove_stubs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Sequence
    from typing import Any


class Ended(Value):
    """How the first process of a sandbox ended. signal: 0 unless one killed it. Times in seconds of CPU, memory in bytes at its peak.
    oom: the kernel killed something in it because it had used up its memory limit."""

    status: int
    signal: int
    user_s: float
    system_s: float
    peak_memory: int
    oom: bool


class Unit:
    """A process in its namespaces, waiting for a request or running one. `control` becomes readable when it starts, fails or ends."""

    __slots__ = ("control", "group", "pid", "pidfd", "shape", "stubs")

    def __init__(self, pid: int, pidfd: int, control: "_socket.socket", shape: Shape) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.control = control
        self.shape = shape
        self.stubs: Stubs | None = None
        self.group: Group | None = None

    def kill(self, signal: int = 9) -> None:
        """Signal its first process; with SIGKILL the whole pid namespace dies. Fine if it is gone already."""
        try:
            pidfd_send_signal(self.pidfd, signal)
        except ProcessLookupError:
            pass

    def hear(self) -> "tuple[tuple[Any, ...] | None, list[int]]":
        """Next word of the unit: ("failed", ...), ("terminal",) with its outer end; None once the command runs. Stubs are kept for `bury`."""
        message, fds = wire.receive(self.control)
        if message is not None and message[0] == "stubs":
            _, upper, made, copied = message[1]
            self.stubs = Stubs(upper, tuple(Entry(*one[1:]) for one in made), tuple(Entry(*one[1:]) for one in copied))
            return ("stubs",), fds
        return message, fds

    def bury(self) -> Ended:
        """Wait for its end (at once if the pidfd is readable), free what it held, and take its stubs out of the upper directory."""
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self.pidfd)
        self.control.close()
        if self.stubs:
            try:
                remove_stubs(self.stubs)
            except FileNotFoundError:
                pass                                      # the upper directory itself is gone
        oom = False
        if self.group:
            oom = self.group.oom_kills() > 0
            self.group.remove()
        return Ended(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                     usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024, oom)


def prepare(machine: Machine, shape: Shape, *, pid_namespace: int = -1, cgroup_fd: int = -1) -> Unit:
    """A new unit of `shape`, in the pid namespace behind the fd if one is given. It prepares itself while the caller goes on."""
    ours, theirs = wire.pair()
    if pid_namespace >= 0:
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)
        try:
            setns(pid_namespace, CLONE_NEWPID)            # only for children: the caller stays where it is
            pid, pidfd = _clone(theirs, machine, shape, cgroup_fd)
        finally:
            setns(own, CLONE_NEWPID)
            os.close(own)
    else:
        pid, pidfd = _clone(theirs, machine, shape, cgroup_fd)
    theirs.close()
    return Unit(pid, pidfd, ours, shape)


def _clone(theirs: "_socket.socket", machine: Machine, shape: Shape, cgroup_fd: int) -> tuple[int, int]:
    pid, pidfd = clone3(shape.namespaces, cgroup_fd)
    if not pid:
        live(theirs, machine, shape)                      # does not return
    return pid, pidfd


def start(machine: Machine, cgroups: Cgroups, packed: "tuple[Any, ...]", fds: "Sequence[int]", *,
          take: "Callable[[Shape], Unit | None]" = lambda shape: None) -> "tuple[Unit, str]":
    """(unit in which a packed spec is being started, warning or "").

    fds: as sent along with it: stdin, stdout, stderr, the caller's mount namespace, then those of the spec. take: gives a warm unit of a shape
    if there is one. What the unit says next (`hear`) is how it went. Raises SandboxError or OSError, and nothing is left.
    """
    spec = wire.unpack(packed, fds)
    shape = shape_of(spec)
    group, warning = _group(machine, cgroups, spec)
    unit = None
    try:
        if isinstance(spec.pid, int) or (group and group.fd >= 0):
            unit = prepare(machine, shape, pid_namespace=spec.pid if isinstance(spec.pid, int) else -1, cgroup_fd=group.fd if group else -1)
        else:
            unit = take(shape) or prepare(machine, shape)
        if group and group.fd < 0:
            group.enter(unit.pid)
        wire.send(unit.control, (packed, program_of(spec)), fds)
    except BaseException:
        if unit:
            unit.kill()
            unit.bury()
        if group:
            group.remove()
        raise
    unit.group = group
    return unit, warning


_serial = 0


def _group(machine: Machine, cgroups: Cgroups, spec: SandboxSpec) -> "tuple[Group | None, str]":
    """(the cgroup that `spec` needs, what of its limits cannot be had here)."""
    global _serial
    powerful = not machine.rootless and not spec.privileged and bool(held_by(spec) & SYS_ADMIN)
    if not spec.cgroup and spec.limits == NO_LIMITS and not powerful:
        return None, ""
    _serial += 1
    also = ("freezer", "memory", "cpuacct", "pids", "blkio") if spec.cgroup else ()
    group = cgroups.create(spec.cgroup or f"{os.getpid()}-{_serial}", spec.limits, (*also, *(("devices",) if powerful else ())))
    if powerful and not (group and group.allow_only(spec.devices)):
        if group:
            group.remove()
        raise SandboxError("give the capability SYS_ADMIN", reason="without a device cgroup it opens every disk of this machine",
                           help="use --privileged if that is what you want")
    if spec.limits == NO_LIMITS:
        return group, ""
    if group is None:
        return None, f"limits are not enforced: {cgroups.reason}"
    return group, f"limits of {', '.join(group.missing)} are not enforced: this machine does not offer that controller" if group.missing else ""


_programs: dict[int, bytes] = {}


def program_of(spec: SandboxSpec) -> bytes:
    """The seccomp program of `spec`, b"" for none; the default one is compiled once for each set of capabilities."""
    if isinstance(spec.seccomp, bytes):
        return spec.seccomp
    if spec.privileged or spec.seccomp == "unconfined":
        return b""
    held = held_by(spec)
    if held not in _programs:
        _programs[held] = default_program(held)
    return _programs[held]
