"""The fork server: a small process without threads that keeps sandboxes half made and finishes one in a millisecond when it is asked to.

One per user and run directory, started on demand by sandbox.client, gone when idle. A connection is one sandbox: it ends with it, and closing
it kills it. Read `Server.run`, then the `_on_...` methods in the order of a request.
"""

import gc
import os
import select
import sys
import time

from kernel.errors import PROCESS_LIMIT
from kernel.locks import Lock, mark
from kernel.syscalls import CLONE_NEWNS, MNT_DETACH, MS_REC, MS_SLAVE, mount, pidfd_open, umount2, unshare
from kernel.value import Value
from sandbox import cgroup, sharing, wire
from sandbox.errors import SandboxError
from sandbox.guardian import Guardian, close_all_but
from sandbox.machine import Machine, look
from sandbox.namespaces import JOINED, PRIVATE, VISITOR, Shape
from sandbox.nursery import Nursery
from sandbox.process import Maker, Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import Any

    # the mind of a shim is given (maker of its units, connection to whoever asked, request, fds); when it returns, that ends. One that goes on after
    # a rest (sandbox.guardian) has no connection, no fds, and the request ("wake", fd of what was left for it)
    Shim = Callable[[Maker, "_socket.socket | None", tuple[Any, ...], list[int]], None]

IDLE_S = 60.0
WARM = 2                      # units kept ready of a shape that has been asked for
PATIENCE_S = 0.1              # how long a sandbox may run before spare units are made beside it: forks and mounts would slow it down
PAUSE_S = 0.005               # how long after its end nothing is made: the next request may be on its way
PAIRS = 1                     # shims kept ready once one has been asked for
_SO_PEERCRED, _SOL_SOCKET = 17, 1


class Setting(Value):
    """What the zygote found out about itself: `failure` says why it can make no sandbox; `maker` is None if its shims can make none either."""

    maker: Maker | None
    failure: SandboxError | None


def main() -> None:
    """Entry of the process that sandbox.client starts: arguments are the run directory, the path and fd of the listening socket, the shim's
    module or "", the idle time in seconds, and the mark (kernel.locks) of the socket's file."""
    run_directory, path, door, shim, idle_s, own = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], float(sys.argv[5]), sys.argv[6]
    try:
        parent = os.fork()
    except OSError as error:
        sys.exit(f"{(error.strerror or '').lower()}; {PROCESS_LIMIT}")      # the last words, which whoever waits will find in the log
    if parent:
        os._exit(0)                                       # whoever started us reaps that one; we belong to nobody
    os.setsid()
    serve(wire.socket_of(door), path, run_directory, _load(shim), idle_s, own)
    os._exit(0)


def main_privately() -> None:
    """Entry of a server of one process: arguments are the run directory, the fd of the socket to it, and the shim's module or ""."""
    run_directory, door, shim = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.set_inheritable(door, False)
    serve_privately(wire.socket_of(door), run_directory, shim)


def serve_privately(door: "_socket.socket", run_directory: str, shim: str) -> None:
    """As `main`, in a child of the only process that is served, and for as long as that lives."""
    os.setsid()                                           # ^C at the terminal is for our master to answer
    serve(door, "", run_directory, _load(shim))
    os._exit(0)


def _load(module: str) -> "Shim | None":
    """`main` of the shim's module: everything is imported before the first fork."""
    if not module:
        return None
    __import__(module)
    return sys.modules[module].main  # type: ignore[no-any-return]


def serve(door: "_socket.socket", path: str, run_directory: str, shim: "Shim | None" = None, idle_s: float = IDLE_S, own: str = "") -> None:
    """Serve connections until idle. door: a socket that listens at `path`, whose file has the mark `own`; or, without path, to our one master."""
    with open("/proc/self/comm", "w") as file:
        file.write("pybuild-zygote")                      # it was executed by an fd, and would be called by its number
    setting = _settle(run_directory)
    gc.collect()
    gc.freeze()
    gc.disable()
    Server(door, path, own, setting, shim, idle_s).run()


def _settle(run_directory: str) -> Setting:
    """Become root of a user namespace if need be, and get a mount namespace with little to copy."""
    os.chdir("/")
    os.umask(0o022)
    stage = f"{run_directory}/stage"
    try:
        os.makedirs(stage, 0o700, exist_ok=True)
        if os.geteuid():
            sharing.settle(run_directory)
        unshare(CLONE_NEWNS)
        mount(None, b"/", None, MS_REC | MS_SLAVE)
        machine = look(stage)
        cgroups = cgroup.look(cgroup.name_of(run_directory))
        if machine.single:
            __import__("sandbox.emulation")
        __import__("sandbox.runtime")                     # later there may be no file to import it from
        if not machine.rootless:
            _trim(run_directory)
        return Setting(Maker(machine, cgroups), None)
    except SandboxError as error:
        return Setting(None, error)
    except OSError as failure:
        reason = SandboxError("use namespaces", failure.errno or 0, reason=str(failure), help=getattr(failure, "hint", ""))
        if os.geteuid():
            return Setting(None, reason)
        __import__("sandbox.enclosed")                    # root may still have containers without any: shims need no more than facts for that
        return Setting(Maker(look(stage), cgroup.look(cgroup.name_of(run_directory))), reason)


def _trim(run_directory: str) -> None:
    """Unmount what no unit looks at here: every clone of the namespace copies each mount. Sources are opened in the caller's namespace."""
    with open("/proc/self/mountinfo") as file:
        targets = [line.split(" ", 5)[4].encode().decode("unicode_escape") for line in file]
    for target in reversed(targets):
        if target not in ("/", "/proc", "/dev") and not f"{run_directory}/".startswith(f"{target}/"):
            try:
                umount2(os.fsencode(target), MNT_DETACH)
            except OSError:
                pass                                      # below one that is gone already


class _Connection:
    """One sandbox and who asked for it."""

    __slots__ = ("failure", "socket", "started", "unit")

    def __init__(self, socket: "_socket.socket") -> None:
        self.socket = socket
        self.unit: Unit | None = None
        self.started = False
        self.failure: tuple[Any, ...] = ()                # told when the unit is gone and has left nothing

    def say(self, *message: "Any", fds: tuple[int, ...] = ()) -> None:
        try:
            wire.send(self.socket, message, fds)
        except OSError:
            pass                                          # gone: its end of file is on the way


class _Pair:
    """A shim forked ahead, with a unit of its own: only a parent learns how a process ended."""

    __slots__ = ("control", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, control: "_socket.socket") -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.control = control


class Server:
    """The event loop. Every fd it watches has a handler that is called when it is readable."""

    def __init__(self, door: "_socket.socket", path: str, own: str, setting: Setting, shim: "Shim | None", idle_s: float) -> None:
        self._door = door
        self._path = path
        self._own = own                                   # mark of the file there
        self._maker = setting.maker
        self._failure = setting.failure
        self._shim = shim
        self._idle_s = idle_s
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._warm: dict[Shape, dict[int, Unit]] = {}     # pidfd -> unit, oldest first, of the shapes that have been asked for
        self._nursery: Nursery | None = None              # of shims, since the first was asked for
        self._pairs: dict[int, _Pair] | None = None       # pidfd -> pair; None until somebody has asked for a shim
        self._busy = 0                                    # connections, and shims that live
        self._patient_until = 0.0                         # until when nothing is refilled, by the monotonic clock
        self._ended = 0.0                                 # when the last sandbox ended

    def run(self) -> None:
        self._watch(self._door.fileno(), self._on_door)
        while True:
            refill = self._refill()
            patience_s = max(0.0, self._patient_until - time.monotonic()) if refill else None
            events = self._epoll.poll(patience_s if refill else None if self._busy else self._idle_s)
            for fd, _ in events:
                handler = self._handlers.get(fd)          # an earlier event may have unregistered it
                if handler:
                    handler()
            if events:
                continue
            if refill:
                refill()
            elif not self._busy and not self._retire():
                return

    def _watch(self, fd: int, handler: "Callable[[], None]") -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def _forget(self, fd: int) -> None:
        del self._handlers[fd]
        self._epoll.unregister(fd)

    # ---------------------------------------------------------------- connections
    def _on_door(self) -> None:
        """A new connection: accepted from a listener, or received as an fd from our one master, whose end is ours too."""
        if self._path:
            try:
                fd = self._door._accept()[0]              # type: ignore[attr-defined]
            except BlockingIOError:
                return
        else:
            message, fds = wire.receive(self._door)
            if message is None:
                os._exit(0)
            fd = fds[0]
        connection = _Connection(wire.socket_of(fd))
        if _peer(connection.socket) != os.geteuid():
            connection.socket.close()
            return
        self._busy += 1
        connection.say("hello", wire.PROTOCOL, os.getpid())
        self._watch(fd, lambda: self._on_message(connection))

    def _close(self, connection: _Connection) -> None:
        self._forget(connection.socket.fileno())
        connection.socket.close()
        self._busy -= 1

    def _on_message(self, connection: _Connection) -> None:
        message, fds = wire.receive(connection.socket)
        try:
            if message is None:
                self._on_hang_up(connection)
            elif message[0] == "retire":
                self._idle_s = 0
            elif self._maker is None or (self._failure and message[0] != "shim"):
                self._refuse(connection, self._failure or SandboxError("make sandboxes"))
            elif message[0] == "spawn" and not connection.unit:
                unit, warning = self._maker.start(message[1], fds, take=self._take)
                if warning:
                    connection.say("warning", warning)
                self._follow(connection, unit)
            elif message[0] == "exec" and not connection.unit:
                self._follow(connection, self._maker.visit(message[1], fds, take=self._take))
            elif message[0] == "namespaces":
                self._show_namespaces(connection, self._maker.machine)
            elif message[0] == "shim" and self._shim:
                self._give_to_shim(connection, message, fds)
            else:
                self._refuse(connection, SandboxError("understand the request", path=str(message[0])))
        except SandboxError as error:
            self._refuse(connection, error)
        except OSError as error:
            self._refuse(connection, SandboxError("start the sandbox", error.errno or 0, reason=str(error), help=getattr(error, "hint", "")))
        finally:
            for fd in fds:
                os.close(fd)

    def _refuse(self, connection: _Connection, error: SandboxError) -> None:
        connection.say("failed", type(error).__name__, error.step, error.number, error.path, error.reason, error.help)

    def _on_hang_up(self, connection: _Connection) -> None:
        if connection.unit:
            connection.unit.kill()                        # its end comes as an event of its pidfd
        self._close(connection)

    # ---------------------------------------------------------------- sandboxes
    def _follow(self, connection: _Connection, unit: Unit) -> None:
        connection.unit = unit
        now = time.monotonic()
        self._patient_until = now + (PATIENCE_S if now - self._ended > PAUSE_S else 0.0)     # 0: requests come one after the other
        self._watch(unit.control.fileno(), lambda: self._on_word(connection, unit))
        if unit.supervisor:
            self._watch(unit.supervisor.pidfd, unit.kill)                  # nothing of it works any more
        if not unit.unborn:
            self._watch(unit.pidfd, lambda: self._on_end(connection, unit))

    def _on_word(self, connection: _Connection, unit: Unit) -> None:
        """The unit says something, or says by closing its control socket that it has become the command."""
        message, fds = unit.hear()
        if message is None:
            self._forget(unit.control.fileno())
            connection.started = True
            if unit.unborn:                               # what was to start it is gone, and has said why if it could
                connection.failure = connection.failure or ("failed", "SandboxError", "start the command", 0, "", "it was killed before", "")
                self._watch(unit.pidfd, lambda: self._on_end(connection, unit))
            if not connection.failure:
                connection.say("started", unit.pid, fds=(unit.pidfd,))
        elif message[0] == "born":
            self._watch(unit.pidfd, lambda: self._on_end(connection, unit))
        elif message[0] == "failed":
            connection.failure = message
        elif message[0] == "terminal":
            connection.say("terminal", fds=(fds[0],))
        for fd in fds:
            os.close(fd)

    def _on_end(self, connection: _Connection, unit: Unit) -> None:
        while not connection.started:                     # what it said before it ended comes first
            self._on_word(connection, unit)
        self._forget(unit.pidfd)
        if unit.supervisor:
            self._forget(unit.supervisor.pidfd)
        ended = unit.bury()
        connection.unit = None
        connection.say(*(connection.failure or ("exit", *ended)))
        self._ended = time.monotonic()
        self._patient_until = self._ended + PAUSE_S

    # ---------------------------------------------------------------- what is kept ready
    def _take(self, shape: Shape) -> Unit | None:
        """A warm unit if there is one; from now on some of this shape are kept, if it is one of the usual three."""
        ready = self._warm.setdefault(shape, {}) if shape in (PRIVATE, JOINED, VISITOR) else {}
        if not ready:
            return None
        unit = ready.pop(next(iter(ready)))
        self._forget(unit.pidfd)
        return unit

    def _refill(self) -> "Callable[[], None] | None":
        """What is missing and should be made when nothing else is to be done."""
        for shape, ready in self._warm.items():
            if len(ready) < WARM:
                return lambda: self._warm_up(shape)
        if self._pairs is not None and len(self._pairs) < PAIRS:
            return self._pair_up_early
        return None

    def _warm_up(self, shape: Shape) -> None:
        """In a row: after a fork, each page that is written to is copied, once for as many forks as there were."""
        assert self._maker
        units: list[Unit] = []
        failed = False
        try:
            while len(units) < WARM - len(self._warm[shape]):
                units.append(self._maker.prepare(shape))
        except OSError:
            failed = True                                 # no room for spare ones; the next request will say so itself if it matters
        for unit in units:
            self._keep_warm(shape, unit)
        if failed:
            self._keep_none(shape)

    def _keep_warm(self, shape: Shape, unit: Unit) -> None:
        self._warm[shape][unit.pidfd] = unit
        self._watch(unit.pidfd, lambda: self._keep_none(shape))

    def _keep_none(self, shape: Shape) -> None:
        """A warm unit died, or could not be made or prepare itself: keep none of this shape, a request will meet the same trouble and report it."""
        for one in self._warm.pop(shape).values():
            self._forget(one.pidfd)
            one.kill()
            one.bury()

    # ---------------------------------------------------------------- shims
    def _pair_up_early(self) -> None:
        try:
            self._pair_up()
        except OSError:
            self._pairs = None                            # no room for spare ones, as above

    def _pair_up(self) -> None:
        """Fork a shim that waits for its request."""
        assert self._maker
        self._maker.cgroups.prepare()                     # a shim has to be born there: it cannot be moved later
        if self._nursery is None or self._nursery.is_gone():
            self._nursery = Nursery(self._live_as_mind)
        ours, theirs = wire.pair()
        try:
            pid = self._nursery.bear(theirs.fileno())
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        pidfd = pidfd_open(pid)
        pair = _Pair(pid, pidfd, ours)
        self._pairs = {**(self._pairs or {}), pidfd: pair}
        self._watch(pidfd, lambda: self._on_pair_end(pair))

    def _on_pair_end(self, pair: _Pair) -> None:
        """A shim has ended, or one that still waited has died (then no more are kept)."""
        self._forget(pair.pidfd)
        os.waitpid(pair.pid, 0)
        os.close(pair.pidfd)
        if self._pairs and self._pairs.pop(pair.pidfd, None):
            self._pairs = None
        else:
            self._busy -= 1
        pair.control.close()

    def _give_to_shim(self, connection: _Connection, request: "tuple[Any, ...]", fds: list[int]) -> None:
        """Hand a request, its fds and the connection to a shim: they are its own from here on."""
        if not self._pairs:
            self._pair_up()
        assert self._pairs
        pair = self._pairs.pop(next(iter(self._pairs)))
        self._busy += 1
        wire.send(pair.control, request, [*fds, connection.socket.fileno()])
        self._close(connection)

    def _live_as_mind(self, guardian: "Guardian | None", order: bytes, memory: int) -> None:
        """The first one keeps nothing open of the zygote's but what makes sandboxes. order: fd of the socket on which its request comes."""
        assert self._shim and self._maker
        maker = Maker(self._maker.machine, self._maker.cgroups, guardian)
        if memory >= 0:
            self._shim(maker, None, ("wake", memory), [])
            return
        control = wire.socket_of(int.from_bytes(order, "little"))
        close_all_but((*(guardian.fds() if guardian else ()), control.fileno(), *maker.cgroups.fds()))
        try:
            maker.keep(JOINED, maker.prepare(JOINED))
        except OSError:
            pass                                          # the request will meet it too, and there is somebody to tell
        request, fds = wire.receive(control)
        if request is not None:
            self._shim(maker, wire.socket_of(fds.pop()), request, fds)

    # ---------------------------------------------------------------- the rest
    def _show_namespaces(self, connection: _Connection, machine: Machine) -> None:
        """Fds of our user namespace, for a command that wants to be in it (sandbox.userns.enter)."""
        fd = os.open("/proc/self/ns/user", os.O_RDONLY)
        connection.say("namespaces", machine.rootless, machine.single, fds=(fd,))
        os.close(fd)

    def _retire(self) -> bool:
        """Stop listening; whether somebody came in at the last moment (then they are still served, and it is tried again later).

        The run directory may have been removed or covered while we lived: then the path is that of a successor, whose socket stays.
        """
        if not self._path:
            return False
        try:
            with Lock(wire.lock_of(self._path)):               # nobody binds it meanwhile
                if mark(self._path) == self._own:
                    os.unlink(self._path)
        except OSError:
            pass                                          # removed with its directory, or by an earlier try
        self._door.setblocking(False)
        before = self._busy
        self._on_door()
        if self._busy == before and self._maker:
            self._maker.cgroups.sweep()
        return self._busy > before


def _peer(socket: "_socket.socket") -> int:
    """User id of who connected."""
    return int.from_bytes(socket.getsockopt(_SOL_SOCKET, _SO_PEERCRED, 12)[4:8], sys.byteorder)
