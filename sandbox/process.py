"""Units and what becomes of them, seen from the process that made them: prepare one, start a spec in it, learn how it ended.

The maker must have a single thread. Used by the zygote for build steps, and by a shim for its container: both are then the parent.
"""

import marshal
import os
import sys

from kernel.syscalls import CLONE_NEWNET, CLONE_PARENT, clone3, pidfd_open, pidfd_send_signal
from kernel.value import Value
from sandbox import labels, wire
from sandbox.capabilities import ALL, SYS_ADMIN
from sandbox.cgroup import NAMED, V1, Cgroups, Group
from sandbox.command import failure
from sandbox.errors import SandboxError
from sandbox.inside import live
from sandbox.machine import Machine
from sandbox.mapped import live as live_as_mapped
from sandbox.namespaces import Shape, held_by, shape_of, visitor_of
from sandbox.network import NO_LOOPBACK
from sandbox.seccomp_profile import default_program
from sandbox.spec import NO_LIMITS, ExecSpec, SandboxSpec
from sandbox.stubs import Entry, Stubs, remove_stubs
from sandbox.visit import live as live_as_visitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Sequence
    from resource import struct_rusage
    from typing import Any, NoReturn

    from sandbox.emulation import Supervisor
    from sandbox.guardian import Guardian

    Reaped = tuple[int, struct_rusage, bool]              # wait status, what was used, whether memory is known to have run out


_SIGKILL = 9
_PID_SIZE, _ERROR_SIZE = 4, 8      # what the program of init.py says


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
    """A process in its namespaces, waiting for a request or running one. `control` becomes readable when it starts, fails or ends.

    unborn: its command is to be started in another pid namespace, by a process that ends then ("" otherwise, else the command's name): `pid` and
    `pidfd` change when `hear` says "born".
    """

    __slots__ = ("_doomed", "_guardian", "_name", "control", "group", "pid", "pidfd", "stubs", "supervisor", "unborn")

    def __init__(self, pid: int, pidfd: int, control: "_socket.socket", guardian: "Guardian | None" = None) -> None:
        self._guardian = guardian                             # its parent, if we are not
        self.pid = pid
        self.pidfd = pidfd
        self.control = control
        self.unborn = self._name = ""
        self._doomed = False
        self.stubs: Stubs | None = None
        self.group: Group | None = None
        self.supervisor: Supervisor | None = None         # who emulates ids for it

    @property
    def is_guarded(self) -> bool:
        """Whether it outlives us: it is a child of our guardian."""
        return self._guardian is not None and self.supervisor is None

    def name(self, command: str) -> None:
        """It will start `command` in another pid namespace."""
        self.unborn = self._name = command

    def kill(self, signal: int = _SIGKILL) -> None:
        """Signal its first process; with SIGKILL the whole pid namespace dies, and what is still to be born. Fine if it is gone already."""
        self._doomed = self._doomed or signal == _SIGKILL
        try:
            pidfd_send_signal(self.pidfd, signal)
        except ProcessLookupError:
            pass

    def hear(self) -> "tuple[tuple[Any, ...] | None, list[int]]":
        """Next word of the unit: ("failed", ...), ("terminal",) with its outer end, ("born",); None once the command runs, or nothing does.
        Stubs are kept for `bury`."""
        data, fds = wire.receive_bytes(self.control)
        if self.unborn and len(data) == _PID_SIZE:
            self._bear(int.from_bytes(data, sys.byteorder))
            return ("born",), fds
        if len(data) == _ERROR_SIZE:
            error = failure(self._name, int.from_bytes(data, sys.byteorder))
            return ("failed", type(error).__name__, error.step, error.number, error.path, error.reason, error.help), fds
        message = marshal.loads(data) if data else None
        if message is not None and message[0] == "stubs":
            _, upper, made, copied = message[1]
            self.stubs = Stubs(upper, tuple(Entry(*one[1:]) for one in made), tuple(Entry(*one[1:]) for one in copied))
            return ("stubs",), fds
        return message, fds

    def _bear(self, pid: int) -> None:
        """The process that prepared it ends; the command's is our child too."""
        self._wait()
        os.close(self.pidfd)
        self.pid, self.pidfd = pid, pidfd_open(pid)
        self.unborn = ""
        if self._doomed:
            self.kill()

    def _wait(self) -> "tuple[int, struct_rusage]":
        if self._guardian:
            return self._guardian.reap(self.pid)
        _, status, usage = os.wait4(self.pid, 0)
        return status, usage

    def _meet(self) -> None:
        """Who was to bear it has ended: it will not be born any more, or has been and was not heard of yet; then it is ours to end."""
        while self.unborn:
            message, fds = self.hear()
            for fd in fds:
                os.close(fd)
            if message is None:
                return
        self.kill()

    def bury(self) -> Ended:
        """Wait for its end (at once if the pidfd is readable), free what it held, and take its stubs out of the upper directory."""
        if self.unborn:
            self._meet()
        status, usage, oom = self._reap()
        os.close(self.pidfd)
        self.control.close()
        if self.supervisor:
            self.supervisor.finish()
        if self.stubs:
            try:
                remove_stubs(self.stubs)
            except FileNotFoundError:
                pass                                      # the upper directory itself is gone
        if self.group:
            oom = oom or self.group.oom_kills() > 0
            self.group.remove()
        return Ended(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                     usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024, oom)

    def _reap(self) -> "Reaped":
        status, usage = self._wait()
        return status, usage, False


class Maker:
    """Makes units for one process: the zygote, or the mind of a shim. It must have a single thread, and is their parent; or else its guardian is
    that of all but visitors."""

    __slots__ = ("_serial", "_warm", "cgroups", "guardian", "machine")

    def __init__(self, machine: Machine, cgroups: Cgroups, guardian: "Guardian | None" = None) -> None:
        self.guardian = guardian
        self.machine = machine
        self.cgroups = cgroups
        self._serial = 0
        self._warm: dict[Shape, list[Unit]] = {}

    def prepare(self, shape: Shape, *, cgroup_fd: int = -1) -> Unit:
        """A new unit of `shape`. It prepares itself while the caller goes on."""
        life = _life_of(shape)
        ours, theirs = wire.pair()
        guardian = self.guardian if shape.namespaces else None
        flags = 0 if shape.mapped else shape.namespaces
        pid, pidfd = clone3(flags | (CLONE_PARENT if guardian else 0), cgroup_fd)
        if not pid:
            life(theirs, self.machine, shape)
        theirs.close()
        return Unit(pid, pidfd, ours, guardian)

    def recall(self, pid: int, pidfd: int, stubs: Stubs | None, group: Group | None) -> Unit:
        """The unit of an earlier mind of this guardian, in which a command runs."""
        control, theirs = wire.pair()
        theirs.close()                                    # it has nothing more to say
        unit = Unit(pid, pidfd, control, self.guardian)
        unit.stubs, unit.group = stubs, group
        return unit

    def keep(self, shape: Shape, unit: Unit) -> None:
        """Have `unit` ready for the next spec of its shape."""
        self._warm.setdefault(shape, []).insert(0, unit)

    def take(self, shape: Shape) -> "Unit | None":
        """A unit that was kept, the oldest first."""
        ready = self._warm.get(shape)
        return ready.pop() if ready else None

    def start(self, packed: "tuple[Any, ...]", fds: "Sequence[int]", *, take: "Callable[[Shape], Unit | None] | None" = None) -> "tuple[Unit, str]":
        """(unit in which a packed spec is being started, warning or "").

        fds: as sent along with it: stdin, stdout, stderr, the caller's mount namespace, then those of the spec. They stay the caller's to close.
        What the unit says next (`hear`) is how it went. Raises SandboxError or OSError, and nothing is left.
        """
        spec = wire.unpack(packed, fds)
        shape = shape_of(spec)
        group, warning = self._group(spec)
        if shape.namespaces & CLONE_NEWNET and not (self.machine.loopback or shape.mapped):
            warning = f"{warning}; {NO_LOOPBACK}" if warning else NO_LOOPBACK
        if word := labels.unused(spec, self.machine.modules):
            warning = f"{warning}; {word}" if warning else word
        unit: Unit | None = None
        try:
            if spec.runtime:
                from sandbox import runtime

                unit = runtime.begin(spec, packed, fds, self.machine, self.cgroups.path_of(group) if group else "")
                unit.group = group
                return unit, warning
            if isinstance(spec.pid, int) or shape.mapped or (group and group.fd >= 0):
                unit = self.prepare(shape, cgroup_fd=group.fd if group else -1)
                if isinstance(spec.pid, int) or shape.mapped:
                    unit.name(spec.argv[0])
            else:
                unit = (take or self.take)(shape) or self.prepare(shape)
            if group and group.fd < 0:
                group.enter(unit.pid)
            self._hand_over(unit, (packed, program_of(spec)), fds, spec.owners if isinstance(spec.owners, int) else -1)
        except BaseException:
            if unit:
                unit.kill()
                unit.bury()
            if group:
                group.remove()
            raise
        unit.group = group
        return unit, warning

    def visit(self, packed: "tuple[Any, ...]", fds: "Sequence[int]", *, take: "Callable[[Shape], Unit | None] | None" = None) -> Unit:
        """The unit in which a plain ExecSpec is being started. fds: stdin, stdout, stderr, the pidfd of the sandbox's first process.

        Raises SandboxError or OSError, and nothing is left.
        """
        spec = wire.unpack_exec(packed)
        group = self.cgroups.open(spec.cgroup) if spec.cgroup else None
        shape = visitor_of(spec)
        born_inside = group.fd if group else -1
        unit = None if born_inside >= 0 else (take or self.take)(shape)
        unit = unit or self.prepare(shape, cgroup_fd=born_inside)
        unit.name(spec.argv[0])
        try:
            if group and group.fd < 0:
                group.enter(unit.pid)
            self._hand_over(unit, (packed, program_of(spec)), fds)
        except BaseException:
            unit.kill()
            unit.bury()
            raise
        finally:
            if group:
                group.close()
        return unit

    def _group(self, spec: SandboxSpec) -> "tuple[Group | None, str]":
        """(the cgroup that `spec` needs, what of its limits cannot be had here)."""
        powerful, partial = not self.machine.rootless and can_mount_devices(spec), gives_in_part(spec)
        if not spec.cgroup and spec.limits == NO_LIMITS and not powerful and not partial and not spec.runtime:
            return None, ""
        self._serial += 1
        # another runtime makes groups in every hierarchy of version 1: so all are ours, and none is left
        also: tuple[str, ...] = (*V1, NAMED) if spec.runtime else ("freezer", "memory", "cpuacct", "pids", "blkio") if spec.cgroup else ()
        name = spec.cgroup or f"{os.getpid()}-{self._serial}"
        group = self.cgroups.create(name, spec.limits, (*also, *(("devices",) if powerful or partial else ())))
        held = (powerful or partial) and group is not None and group.allow_only(spec.devices, spec.device_rules)
        if powerful and not held:
            if group:
                group.remove()
            raise SandboxError("give the capability SYS_ADMIN", reason="without a device cgroup it opens every disk of this machine",
                               help="use --privileged if that is what you want")
        said = ["devices can be read and written, whatever is permitted of them: there is no device cgroup"] if partial and not held else []
        if spec.limits == NO_LIMITS:
            if "/" in spec.cgroup and group is None:
                said.append(f"there is no control group for it below `{spec.cgroup.rpartition('/')[0]}`: {self.cgroups.reason}")
            return group, "; ".join(said)
        if group is None:
            return None, "; ".join((*said, f"limits are not enforced: {self.cgroups.reason}"))
        said += [f"limits of {', '.join(group.missing)} are not enforced: this machine does not offer that controller"] if group.missing else []
        if "blkio.bfq.weight" in group.absent or "blkio.bfq.weight_device" in group.absent or {"io.bfq.weight", "io.weight"} <= group.absent:
            said.append("weights of block devices are not enforced: no scheduler that knows them is in use")
        if spec.limits.oom_kill_disable and group.version == 2:
            said.append("who runs out of memory is killed all the same: control groups of version 2 cannot be told not to")
        return group, "; ".join(said)


    def _hand_over(self, unit: Unit, request: "tuple[Any, ...]", fds: "Sequence[int]", table: int = -1) -> None:
        """table: as sandbox.emulation.begin takes it."""
        meeting = None
        if self.machine.single:
            from sandbox import emulation

            unit.supervisor, meeting = emulation.begin(unit.pid, unit.pidfd, table)
            fds = (*fds, meeting.fileno())
        try:
            wire.send(unit.control, request, fds)
        except BrokenPipeError:
            pass                                          # it could not prepare itself, and has said why: that is what is heard next
        finally:
            if meeting:
                meeting.close()


def can_mount_devices(spec: SandboxSpec) -> bool:
    """Whether it may open any device of the machine, unless a control group forbids it. (In a user namespace what it can do ends there.)"""
    return not isinstance(spec.user_namespace, int) and not spec.privileged and bool(held_by(spec) & SYS_ADMIN)


def gives_in_part(spec: SandboxSpec) -> bool:
    """Whether a device is only to be read, or only to be written: a node cannot say that to root."""
    return not spec.privileged and any(not {"r", "w"} <= set(one.permissions) for one in spec.devices)


def _life_of(shape: Shape) -> "Callable[[_socket.socket, Machine, Shape], NoReturn]":
    if shape.mapped:
        return live_as_mapped
    return live if shape.namespaces else live_as_visitor


_programs: dict[int, bytes] = {}


def program_of(spec: SandboxSpec | ExecSpec) -> bytes:
    """The seccomp program of `spec`, b"" for none; the default one is compiled once for each set of capabilities."""
    if isinstance(spec.seccomp, bytes):
        return spec.seccomp
    if spec.privileged or spec.seccomp == "unconfined":
        return b""
    held = ALL if spec.privileged else spec.capabilities
    if held not in _programs:
        _programs[held] = default_program(held)
    return _programs[held]
