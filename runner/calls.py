"""The shim's socket: commands that want to see a container's output, wait for its end, change it, or run something in it.

A message is a tuple, its first word the name of a method here; answers begin with "ok", "failed" or a word of their own. A caller that does not
read keeps nobody waiting: it is told that there is output only when it has said ("more", ...), and reads the log itself.
"""

import _socket
import os

from runner.execution import Execution
from runner.form import from_plain, kinds
from runner.upkeep import PAUSED, RUNNING, Restart
from sandbox import terminal, wire
from sandbox.errors import SandboxError
from sandbox.spec import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.shim import Shim

_KINDS = kinds(Limits, Restart)
_EXECUTIONS_KEPT = 64                                     # of those that have ended
_BACKLOG = 64


class Caller:
    """A connection. hungry: wants to be told of output; generation, offset: how far it has read the log, generation -1 if it does not.

    waits: for the end of the container; starts: for its start; stops: its "stop" is not answered yet; reaper: it will remove the container.
    """

    __slots__ = ("generation", "hungry", "offset", "reaper", "socket", "starts", "stops", "waits")

    def __init__(self, socket: "_socket.socket") -> None:
        socket.setblocking(False)
        self.socket = socket
        self.hungry = False
        self.generation, self.offset = -1, 0
        self.reaper = self.starts = self.stops = self.waits = False

    def say(self, *message: "Any", fds: "tuple[int, ...]" = ()) -> None:
        try:
            wire.send(self.socket, message, fds)
        except OSError:
            pass                                          # gone, or far behind: then its end of file will tell it


class Calls:
    __slots__ = ("_callers", "_executions", "_listener", "_shim")

    def __init__(self, shim: "Shim") -> None:
        self._shim = shim
        self._callers: dict[int, Caller] = {}
        self._executions: dict[str, Execution] = {}
        self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)

    # ---------------------------------------------------------------- connections
    def listen(self) -> None:
        place = self._shim.place
        with place.socket() as path:
            try:
                os.unlink(path)                           # of a shim that was killed: we hold the container's lock
            except FileNotFoundError:
                pass
            self._listener.bind(path)
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self._shim.loop.watch(self._listener.fileno(), self._on_door)

    def go_on(self, listener: int, ended: "tuple[tuple[str, int], ...]") -> None:
        """After a rest, with what `fileno` and `ended` gave before."""
        self._listener = wire.socket_of(listener)
        self._executions = {id: Execution(self._shim, None, id, (), code) for id, code in ended}
        self._shim.loop.watch(listener, self._on_door)

    def fileno(self) -> int:
        """Readable when somebody calls."""
        return self._listener.fileno()

    @property
    def is_idle(self) -> bool:
        """Nobody calls, and nothing runs for those who did."""
        return not self._callers and not any(one.running for one in self._executions.values())

    def ended(self) -> "tuple[tuple[str, int], ...]":
        """(id, exit code) of executions that are still remembered."""
        return tuple((id, one.exit_code) for id, one in self._executions.items())

    def _on_door(self, _: int) -> None:
        try:
            fd = self._listener._accept()[0]              # type: ignore[attr-defined]
        except BlockingIOError:
            return
        self._add(Caller(wire.socket_of(fd)))

    def _add(self, caller: Caller) -> None:
        fd = caller.socket.fileno()
        self._callers[fd] = caller
        self._shim.loop.watch(fd, lambda _: self._on_message(fd))

    def _on_message(self, fd: int) -> None:
        caller = self._callers[fd]
        try:
            message, fds = wire.receive(caller.socket)
        except BlockingIOError:
            return
        if message is None:
            self._hang_up(fd)
            return
        method = getattr(self, f"on_{message[0].replace('-', '_')}", None)
        try:
            if method is None:
                caller.say("failed", "SandboxError", "understand the request", 0, str(message[0]), "", "")
            else:
                method(caller, fds, *message[1:])
        except SandboxError as error:
            caller.say("failed", type(error).__name__, error.step, error.number, error.path, error.reason, error.help)
        except OSError as error:
            caller.say("failed", "SandboxError", f"do `{message[0]}`", error.errno or 0, error.filename or "", "", "")
        finally:
            for one in fds:
                os.close(one)

    def _hang_up(self, fd: int) -> None:
        self._shim.loop.forget(fd)
        self._callers.pop(fd).socket.close()
        self._shim.output.resume()
        self._shim.settle()

    def welcome(self, connection: "_socket.socket", *, attached: bool, reaper: bool) -> None:
        """Whoever asked for the container learns that it runs."""
        caller = Caller(connection)
        caller.reaper = reaper
        self._add(caller)
        caller.say("started", self._shim.pid, self._shim.state.warnings)
        if attached:
            self._attach(caller, True, self._shim.begin)

    @staticmethod
    def say(connection: "_socket.socket", *message: "Any") -> None:
        Caller(connection).say(*message)

    def silence(self) -> None:
        """Nobody can call any more."""
        self._shim.loop.forget(self._listener.fileno())
        self._listener.close()
        with self._shim.place.socket() as path:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass

    def close(self) -> None:
        """Tell those who still wait for it that all is over."""
        for fd, caller in list(self._callers.items()):
            if caller.stops:
                caller.say("ok")
            self._shim.loop.forget(fd)
            caller.socket.close()
        self._callers.clear()

    # ---------------------------------------------------------------- output and end
    def may_drop(self, generation: int) -> bool:
        end = (self._shim.log.generation, self._shim.log.size)
        return all(caller.generation < 0 or caller.generation > generation or (caller.generation, caller.offset) == end
                   for caller in self._callers.values())

    def tell_output(self) -> None:
        for caller in self._callers.values():
            if caller.hungry:
                caller.hungry = False
                caller.say("data")

    def tell_exit(self, *, restarting: bool) -> None:
        state = self._shim.state
        for caller in self._callers.values():
            if caller.waits:
                caller.say("exit", state.exit_code, state.error, state.oom_killed, restarting)
                caller.waits = restarting and caller.generation >= 0

    def has_reaper(self) -> bool:
        return any(caller.reaper for caller in self._callers.values())

    def on_attach(self, caller: Caller, _: list[int], wants_input: bool) -> None:
        """Answer: ("attached", generation, offset, tty), with an fd to write the container's stdin to if that is wanted and it has one."""
        self._attach(caller, wants_input, (self._shim.log.generation, self._shim.log.size))

    def _attach(self, caller: Caller, wants_input: bool, start: "tuple[int, int]") -> None:
        """start: place in the log from which on the caller reads."""
        shim = self._shim
        caller.generation, caller.offset = start
        caller.waits = True
        fds = (shim.console,) if wants_input and shim.console >= 0 and shim.order.open_stdin else ()
        caller.say("attached", *start, shim.order.spec.terminal is not None, fds=fds)
        caller.hungry = start == (shim.log.generation, shim.log.size)
        if not caller.hungry:
            caller.say("data")
        if fds and shim.order.stdin_once and not shim.order.spec.terminal:
            os.close(shim.console)                        # its end is now when the caller lets go of it
            shim.console = -1

    def on_more(self, caller: Caller, _: list[int], generation: int, offset: int) -> None:
        """The caller has read up to here; it is told ("data",) when there is more."""
        log = self._shim.log
        caller.generation, caller.offset = generation, offset
        if (generation, offset) == (log.generation, log.size):
            caller.hungry = True
        else:
            caller.say("data")
        self._shim.output.resume()

    def on_started(self, caller: Caller, _: list[int]) -> None:
        """Answered once it runs."""
        if self._shim.state.is_running:
            caller.say("ok")
        else:
            caller.starts = True

    def tell_started(self) -> None:
        for caller in self._callers.values():
            if caller.starts:
                caller.starts = False
                caller.say("ok")

    def on_wait(self, caller: Caller, _: list[int]) -> None:
        """Answered ("exit", code, error, oom, restarting) when the container ends the next time."""
        caller.waits = True

    # ---------------------------------------------------------------- changes
    def on_stop(self, caller: Caller, _: list[int], signal: int, timeout_s: float) -> None:
        caller.stops = True
        self._shim.stop(signal, timeout_s)

    def on_kill(self, caller: Caller, _: list[int], signal: int) -> None:
        self._shim.kill(signal)
        caller.say("ok")

    def on_pause(self, caller: Caller, _: list[int]) -> None:
        self._freeze(caller, RUNNING, frozen=True)

    def on_unpause(self, caller: Caller, _: list[int]) -> None:
        self._freeze(caller, PAUSED, frozen=False)

    def _freeze(self, caller: Caller, wanted: str, *, frozen: bool) -> None:
        if self._shim.state.status != wanted:
            raise SandboxError("pause" if frozen else "unpause", reason=f"it is {self._shim.state.status}")
        self._shim.freeze(frozen)
        caller.say("ok")

    def on_update(self, caller: Caller, _: list[int], limits: "Any", restart: "Any") -> None:
        """limits: a plain Limits with what changes; restart: a plain Restart; None for what stays."""
        if limits is not None:
            self._shim.limit(from_plain(limits, _KINDS))
        if restart is not None:
            self._shim.policy = from_plain(restart, _KINDS)
        caller.say("ok")

    def on_rename(self, caller: Caller, _: list[int], name: str) -> None:
        """It is called so in the events from now on."""
        self._shim.rename(name)
        caller.say("ok")

    def on_resize(self, caller: Caller, _: list[int], rows: int, columns: int) -> None:
        if self._shim.console < 0 or not self._shim.order.spec.terminal:
            raise SandboxError("resize the terminal", reason="there is none")
        terminal.resize(self._shim.console, rows, columns)
        self._shim.emit("resize", height=str(rows), width=str(columns))
        caller.say("ok")

    def on_group(self, caller: Caller, _: list[int]) -> None:
        """Make sure that the container has a cgroup, and tell its name."""
        self._shim.group()
        caller.say("ok", self._shim.state.cgroup)

    # ---------------------------------------------------------------- exec
    def on_exec(self, caller: Caller, fds: list[int], id: str, packed: "Any") -> None:
        """Run a plain ExecSpec with fds as stdin, stdout, stderr.

        Told: ("terminal",) with its outer end if it has one, ("started", pid), ("exit", code).
        """
        shim = self._shim
        if shim.state.status == PAUSED or shim.pidfd < 0:
            raise SandboxError("exec", reason=f"the container is {shim.state.status}")
        execution = Execution(shim, caller, id, packed[1])
        shim.emit(f"exec_create: {' '.join(packed[1])}", execID=id)
        execution.start(packed, fds)
        self._executions[id] = execution
        ended = [key for key, one in self._executions.items() if not one.running]
        for key in ended[:-_EXECUTIONS_KEPT]:
            del self._executions[key]

    def on_exec_inspect(self, caller: Caller, _: list[int], id: str) -> None:
        """Answer: ("ok", running, exit code, pid); ("missing",)."""
        execution = self._executions.get(id)
        caller.say(*(("ok", execution.running, execution.exit_code, execution.pid) if execution else ("missing",)))

    def on_exec_kill(self, caller: Caller, _: list[int], id: str, signal: int) -> None:
        execution = self._executions.get(id)
        if execution:
            execution.kill(signal)
        caller.say("ok" if execution else "missing")
