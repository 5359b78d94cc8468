"""The process that keeps one container: its parent, its log, its restarts, its health, and the socket on which commands talk to it.

`main` runs in a fork of the zygote, with everything imported before; it has one thread, and no way back to the command that asked for it. Read
Shim.launch and what follows on it (_started, ended, _finish); what callers want is in runner.calls, probes in runner.checkup. When nothing happens
this process ends, and its guardian (sandbox.guardian), whose child the container is, starts it again when something does: runner.resting.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import gc
import os
import time

from kernel.syscalls import CLONE_NEWNET, CLONE_NEWNS, setns, unshare
from runner import resting
from runner.agent.client import Agent
from runner.agent.errors import NetworkError
from runner.agent.loop import Loop
from runner.calls import Calls
from runner.checkup import Checkup
from runner.child import Child
from runner.log import STDERR, STDOUT, LogWriter
from runner.order import Order, unpack
from runner.output import Output
from runner.pids import processes
from runner.restart import Attempts, decide
from runner.state import UNHEALTHY, Health, Place
from runner.timers import Timer
from runner.upkeep import CREATED, EXITED, PAUSED, RESTARTING, RUNNING, SECOND
from sandbox import wire
from sandbox.cgroup import Group
from sandbox.errors import KINDS, SandboxError
from sandbox.marks import mark_of
from sandbox.namespaces import JOINED
from sandbox.network import NO_LOOPBACK, bring_up_loopback
from sandbox.spec import NO_LIMITS, Limits
from store.events import Events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.agent.forwarder import Forwarder
    from runner.resting import Rest
    from sandbox.process import Ended, Maker, Unit

_SIGTERM, _SIGKILL, _SIGSTOP, _SIGCONT = 15, 9, 19, 18
_CANNOT_START = 128
_BACKLOG = 128


def main(maker: "Maker", connection: "_socket.socket | None", request: "tuple[Any, ...]", fds: list[int]) -> None:
    """request: ("shim", what runner.order.pack made), fds: those of that; or, without a connection, ("wake", file of what was left before a rest).
    Returns when the container is no longer kept."""
    gc.enable()
    yard = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    rest = None if connection else resting.recall(request[1])
    order = rest.order if rest else unpack(request[1], fds)
    if os.fstat(yard).st_ino != os.fstat(order.home).st_ino:      # the same one where none can be made
        setns(order.home, CLONE_NEWNS)
    shim = Shim(maker, order, yard)
    _signal.signal(_SIGTERM, lambda number, frame: shim.leave())
    if rest:
        shim.go_on(rest)
    elif connection:
        shim.run(connection)


class Shim:
    """One container. `state` is what is in its state.json; everything that changes it writes that."""

    __slots__ = ("_calm", "_deadline", "_forwarder", "_leaving", "_requester", "_restart", "_yard", "attempts", "begin", "calls", "checkup", "child",
                 "console", "events", "late_group", "log", "loop", "maker", "network", "order", "output", "place", "policy", "state")

    def __init__(self, maker: "Maker", order: Order, yard: int) -> None:
        self.maker = maker
        self.order = order
        self.policy = order.restart
        self.place = Place(order.root, order.run, order.id)
        self.state = order.state
        self.loop = Loop()
        self.events = Events(f"{order.root}/logs")
        self.calls = Calls(self)
        keep = order.log.driver != "none"
        self.log = LogWriter(self.place.log, order.log.max_size if keep else 1 << 20, order.log.max_file if keep else 2, self.calls.may_drop)
        self.begin = (self.log.generation, self.log.size)  # a command may have written, and ended, before we hear that it runs
        self.output = Output(self.loop, self.log, self.calls.tell_output)
        self.console = -1                                 # where stdin goes: a pipe, or the terminal's outer end
        self._yard = yard                                 # the zygote's mount namespace, in which units are made
        self.network = -1                                 # a namespace of our own making
        self.attempts = Attempts(order.state.restarts)
        self.checkup: "Checkup | None" = None
        self.child: "Child | None" = None
        self.late_group: "Group | None" = None            # made later than the container
        self._restart: "Timer | None" = None
        self._deadline: "Timer | None" = None
        self._requester: "_socket.socket | None" = None
        self._leaving = False
        self._forwarder: "Forwarder | None" = None
        self._calm: "Timer | None" = None                 # until it is seen whether to rest

    def run(self, connection: "_socket.socket") -> None:
        self._be_alert()
        self._requester = connection
        try:
            self.calls.listen()
            self.launch()
        except SandboxError as error:
            self.failed(_told(error))
        except OSError as error:
            self.failed(("failed", "SandboxError", "start the container", error.errno or 0, error.filename or "", "", getattr(error, "hint", "")))
        self.loop.run()

    # ---------------------------------------------------------------- resting
    def go_on(self, rest: "Rest") -> None:
        """As `run`, after a rest."""
        self.attempts, self.console, self.network = rest.attempts, rest.console, rest.network
        group = self.maker.cgroups.adopt(self.state.cgroup) if self.state.cgroup else None
        if rest.late_group:
            self.late_group, group = group, None
        self.calls.go_on(rest.listener, rest.executions)
        for fd, stream in rest.streams:
            self.output.add(fd, stream)
        self.child = Child(self.loop, self.maker.recall(self.state.pid, rest.pidfd, rest.stubs, group), self, runs=True)
        if rest.probes[1] and self.order.check and self.order.probe:
            self.checkup = Checkup(self, self.order.check, self.order.probe, self.state.started_at, rest.probes)
        self.settle()
        self._be_alert()                                  # not before there is somebody to hand a signal on to
        self.loop.run()

    def _be_alert(self) -> None:
        if self.maker.guardian:
            self.maker.guardian.alert(f"shim-{self.order.id[:10]}")

    def settle(self) -> None:
        """Something is done: if nothing else comes for a while, rest. Whatever keeps us from that calls this again when it is over."""
        if self._calm is None:
            spot = self.log.generation, self.log.size
            self._calm = self.loop.after(resting.QUIET_S, lambda: self._on_calm(spot))

    def _on_calm(self, spot: "tuple[int, int]") -> None:
        self._calm = None
        if not resting.may_rest(self):
            return
        if spot == (self.log.generation, self.log.size):
            resting.rest(self)
        self.settle()

    @property
    def awaits_nothing(self) -> bool:
        """Neither its start nor its end."""
        return not (self._requester or self._restart or self._deadline or self._leaving)

    # ---------------------------------------------------------------- starting
    def launch(self) -> None:
        """Begin to start the container; how it went is told to `started` or `failed`."""
        order, streams = self.order, []
        spec = order.spec
        if not self._needs_group():
            spec = spec._replace(cgroup="")
        if spec.network == "none" and spec.user_namespace == "host":      # else it is to belong to that namespace
            spec = spec._replace(network=self._own_network())
        opened: list[int] = []
        if spec.tree:
            self._launch_confined()
            return
        try:
            streams = self._make_streams()
            packed, fds, opened = wire.pack(spec, first=4)
            setns(self._yard, CLONE_NEWNS)                # whose mounts are private and few: a unit begins with a copy of them
            try:
                unit, warning = self.maker.start(packed, [*streams, order.home, *fds])
            finally:
                setns(order.home, CLONE_NEWNS)
        finally:
            for fd in (*streams, *opened):
                os.close(fd)
        self._spare()
        if warning and warning not in self.state.warnings:
            self.state = self.state._replace(warnings=(*self.state.warnings, warning))
        self.child = Child(self.loop, unit, self)

    def _launch_confined(self) -> None:
        """Without namespaces."""
        from sandbox import enclosed  # loaded already where there are none to be had

        order = self.order
        self._forward()
        streams = self._make_streams()
        try:
            unit = enclosed.begin(order.spec, mark_of(order.id), streams, self.maker.machine, (order.lock,))
        finally:
            for fd in streams:
                os.close(fd)
        self._spare()
        self.child = Child(self.loop, unit, self)

    def _forward(self) -> None:
        """Have ports that are published by another number carried to the process's own, as long as this shim lives."""
        wanted = [one for one in self.state.ports if one.host_port != one.container_port]
        if not wanted or self._forwarder:
            return
        from runner.agent.forwarder import Forwarder

        self._forwarder = Forwarder(loop=self.loop)
        for one in wanted:
            family = _socket.AF_INET6 if ":" in one.host_ip else _socket.AF_INET
            socket = _socket.socket(family, _socket.SOCK_DGRAM if one.protocol == "udp" else _socket.SOCK_STREAM)
            try:
                socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
                socket.bind((one.host_ip or "0.0.0.0", one.host_port))
                if one.protocol != "udp":
                    socket.listen(_BACKLOG)
                self._forwarder.open(socket, ("127.0.0.1", one.container_port))
            except OSError as error:
                raise SandboxError("publish the port", error.errno or 0, str(one.host_port)) from error
            finally:
                socket.close()

    def visit(self, packed: "Any", fds: list[int]) -> "Unit":
        """The unit in which a further process of the container is being started. packed: a plain ExecSpec; fds: its streams.

        Raises SandboxError, OSError."""
        if self.order.spec.tree and self.child:
            return self.child.unit.visit(wire.unpack_exec(packed), fds)  # type: ignore[attr-defined, no-any-return]  # it is Enclosed
        return self.maker.visit(packed, [*fds, self.pidfd])

    def _needs_group(self) -> bool:
        """A cgroup is cheap in version 2. In version 1 it costs ten milliseconds, so it is made only for limits, or when it is asked for."""
        from sandbox.process import can_mount_devices, gives_in_part

        spec = self.order.spec
        if can_mount_devices(spec) or gives_in_part(spec):
            return True                                   # by its name those find it that are executed in there later
        return self.maker.cgroups.version == 2 or spec.limits != NO_LIMITS or spec.pid != "private" or bool(spec.runtime) or "/" in spec.cgroup

    def _own_network(self) -> int:
        """fd of a network namespace with nothing but a loopback. This process stays in it too: going back is not for ordinary users."""
        if self.network < 0:
            unshare(CLONE_NEWNET)
            if not bring_up_loopback():
                self.state = self.state._replace(warnings=(*self.state.warnings, NO_LOOPBACK))
            _permit_low_ports()
            self.network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return self.network

    def _make_streams(self) -> list[int]:
        """The container's stdin, stdout, stderr; our ends go to the output pump, or are kept as `console`."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if self.order.spec.terminal:
            return [null, os.dup(null), os.dup(null)]
        streams = []
        if self.order.open_stdin:
            read, self.console = os.pipe2(os.O_CLOEXEC)
            os.close(null)
            streams.append(read)
        else:
            streams.append(null)
        for stream in (STDOUT, STDERR):
            read, write = os.pipe2(os.O_CLOEXEC)
            self.output.add(read, stream)
            streams.append(write)
        return streams

    def _spare(self) -> None:
        """End the unit that was kept for us, if the container had no use for it."""
        while (unit := self.maker.take(JOINED)) is not None:
            unit.kill()
            unit.bury()

    def terminal(self, fd: int) -> None:
        self.console = os.dup(fd)
        self.output.add(fd)

    def streams(self, fds: list[int]) -> None:
        for fd, stream in zip(fds, (STDOUT, STDERR)):
            self.output.add(fd, stream)

    def started(self, child: Child) -> None:
        now = time.time_ns()
        group = child.unit.group
        self.change(status=RUNNING, pid=child.pid, started_at=now, error="", exit_code=0, oom_killed=False,
                    health=Health() if self.order.check else None, cgroup=group.name if group else "", restarts=self.attempts.total)
        self.emit("start")
        if self.order.check and self.order.probe:
            self.checkup = Checkup(self, self.order.check, self.order.probe, now)
        self.calls.tell_started()
        connection, self._requester = self._requester, None
        if connection:
            self.calls.welcome(connection, attached=self.order.attached, reaper=self.order.reaper)
        self.settle()

    # ---------------------------------------------------------------- ending
    def failed(self, failure: "tuple[Any, ...]") -> None:
        """It could not be started."""
        self.child = None
        self.output.drain()
        self._close_console()
        error = KINDS[failure[1]](*failure[2:])
        code = int(getattr(error, "exit_status", _CANNOT_START))
        if not self._requester:                           # it has run before
            self._ended(code, oom=False, reason=str(error))
            return
        self.change(status=self.state.status if self.state.finished_at else CREATED, exit_code=code, error=str(error), pid=0)
        self.calls.say(self._requester, *failure)
        self._finish(removed=True)

    def ended(self, ended: "Ended") -> None:
        self.child = None
        self.output.drain()
        self._close_console()
        if self.late_group:
            self.late_group.remove()
            self.late_group = None
        self._ended(128 + ended.signal if ended.signal else ended.status, oom=ended.oom, reason="")

    def _ended(self, code: int, *, oom: bool, reason: str) -> None:
        now = time.time_ns()
        was_unhealthy = bool(self.state.health and self.state.health.status == UNHEALTHY)
        if self.checkup:
            self.checkup.stop()
            self.checkup = None
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        verdict = None if self._leaving else decide(
            self.policy, self.attempts, exit_code=code, manual=self.state.manual, ran=max(0, now - self.state.started_at), unhealthy=was_unhealthy)
        self.change(status=RESTARTING if verdict else EXITED, pid=0, finished_at=now, exit_code=code, oom_killed=oom, error=reason,
                    health=self.state.health._replace(status=UNHEALTHY) if self.state.health else None)
        if oom:
            self.emit("oom")
        self.emit("die", exitCode=str(code), execDuration=str((now - self.state.started_at) // SECOND))
        self.calls.tell_exit(restarting=verdict is not None)
        if verdict:
            self.attempts = verdict.attempts
            self._restart = self.loop.after(verdict.delay / SECOND, self._again)
        else:
            self._finish(removed=self.order.reaper and self.calls.has_reaper())

    def _again(self) -> None:
        self._restart = None
        try:
            self.launch()
        except SandboxError as error:
            self.failed(_told(error))
        except OSError as error:
            self.failed(_told(SandboxError("start the container", error.errno or 0, error.filename or "")))

    def _finish(self, *, removed: bool) -> None:
        """Nothing more to keep. removed: whoever asked for the container removes it."""
        if self.order.networks:
            self._leave_networks()
        if self.order.cleanup and not removed:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)]
            os.posix_spawn(self.order.cleanup[0], self.order.cleanup, os.environ, file_actions=actions, setsigdef=(_SIGTERM,))
        self.calls.silence()
        self.log.close()
        os.close(self.order.lock)                         # from here on it can be started again, and removed
        self.calls.close()
        self.loop.stop()

    def _leave_networks(self) -> None:
        try:
            Agent(self.order.root, self.order.run).detach(self.order.id)
        except (OSError, NetworkError):
            pass                                          # the next command frees it

    def _close_console(self) -> None:
        if self.console >= 0:
            os.close(self.console)
            self.console = -1

    # ---------------------------------------------------------------- what callers can do
    def stop(self, signal: int, timeout_s: float) -> None:
        """Ask the container to end, and make it after `timeout_s` (negative: never). It is not restarted then."""
        self.change(manual=True)
        if self._restart:
            self._restart.cancel()
            self._restart = None
            self.change(status=EXITED)
            self._finish(removed=False)
        else:
            self.put_down(signal, timeout_s)

    def put_down(self, signal: int, timeout_s: float) -> None:
        """As `stop`, but what happens afterwards is for the restart policy to say."""
        self.kill(signal)
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.after(timeout_s, self._kill_all) if timeout_s >= 0 else None

    def kill(self, signal: int) -> None:
        """Signal the first process; a frozen container is let go first, so that it can take notice."""
        if self.child:
            self.emit("kill", signal=str(signal))
            self.child.kill(signal)
            if self.state.status == PAUSED:
                self.freeze(False)

    def _kill_all(self) -> None:
        self._deadline = None
        self.kill(_SIGKILL)

    def leave(self) -> None:
        """The machine goes down: let the container end by itself, and do not start it again."""
        self._leaving = True
        if self._restart:
            self._restart.cancel()
            self._restart = self.loop.after(0, lambda: self._finish(removed=False))
        elif self.child:
            self.child.kill(self.order.stop_signal)

    def freeze(self, frozen: bool) -> None:
        """By the freezer; where there is none by signals, which its processes can notice."""
        if not self.order.spec.tree and (self.maker.cgroups.version == 2 or "freezer" in self.maker.cgroups.controllers):
            self.group().freeze(frozen)
        else:
            self._signal_all(_SIGSTOP if frozen else _SIGCONT)
        self.change(status=PAUSED if frozen else RUNNING)
        self.emit("pause" if frozen else "unpause")

    def limit(self, limits: Limits) -> None:
        self.group().update(limits)

    def _signal_all(self, signal: int) -> None:
        """To every process of the container, those too that are born meanwhile."""
        told: set[int] = set()
        while new := [pid for pid in processes(self.pid) if pid not in told]:
            for pid in new:
                told.add(pid)
                try:
                    os.kill(pid, signal)
                except ProcessLookupError:
                    pass

    def group(self) -> Group:
        """The container's cgroup, made now if it has none. Raises SandboxError."""
        assert self.child
        group = self.child.unit.group or self.late_group
        if group is None:
            if self.order.spec.tree:
                raise SandboxError("use a cgroup", reason="a container without namespaces has none")
            group = self.maker.cgroups.create(self.order.spec.cgroup, NO_LIMITS, ("freezer", "memory", "cpuacct", "cpu", "cpuset", "pids", "blkio"))
            if group is None:
                raise SandboxError("use a cgroup", reason=self.maker.cgroups.reason)
            self.late_group = group
            self._move_in(group)
            self.change(cgroup=group.name)
        return group

    def _move_in(self, group: Group) -> None:
        """Every process of the container, those too that are born meanwhile."""
        assert self.child
        moved: set[int] = set()
        while new := [pid for pid in processes(self.child.pid) if pid not in moved]:
            for pid in new:
                moved.add(pid)
                try:
                    group.enter(pid)
                except ProcessLookupError:
                    pass

    @property
    def pid(self) -> int:
        return self.child.pid if self.child else 0

    @property
    def pidfd(self) -> int:
        return self.child.unit.pidfd if self.child else -1

    # ---------------------------------------------------------------- state and events
    def rename(self, name: str) -> None:
        self.order = self.order._replace(events=tuple({**dict(self.order.events), "name": name}.items()))

    def change(self, **fields: "Any") -> None:
        """Change the state and write it. On a full disk an earlier one stays there until the next change."""
        self.state = self.state._replace(**fields)
        try:
            self.place.write(self.state)
        except OSError:
            pass

    def emit(self, action: str, **attributes: str) -> None:
        """Into the event log. A full disk must not end a container."""
        try:
            self.events.emit("container", action, self.order.id, {**dict(self.order.events), **attributes})
        except OSError:
            pass


def _permit_low_ports() -> None:
    """In the network namespace that we are in: as in docker, whoever a process is, it may listen on port 80."""
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as file:
            file.write("0")
    except OSError:
        pass


def _told(error: SandboxError) -> "tuple[Any, ...]":
    return ("failed", type(error).__name__, error.step, error.number, error.path, error.reason, error.help)
