"""The process that carries what comes to published ports on to containers: a fork of the agent, so that heavy traffic does not keep names waiting.

It is told ("open", key, kind, address, port) with a bound socket, ("retarget", key, address, port), ("close", key) and ("relay",) with the
sockets that catch what goes out, and says ("done",) to each.
"""

import _socket
import gc
import os
import select
import sys
import time

from kernel.syscalls import PR_SET_PDEATHSIG, close_range, prctl
from runner.agent import process
from runner.agent.datagram import IDLE_S, Datagrams
from runner.agent.errors import NetworkFailed
from runner.agent.outgoing import OutgoingDatagrams, is_outside
from runner.agent.outside import Here
from runner.agent.relay import Pipes, Relay
from sandbox import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.agent.loop import Loop
    from runner.agent.outside import Outpost

    MakeSocket = Callable[[int, int], "_socket.socket"]

_EDGE = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_ACCEPTS = 64


class Forwarder:
    """The agent's end: the process is started when it is first needed. outside: makes it a door to the machine's network, for a relay.

    kept: an fd that it keeps open too: a lock, so that the next agent finds its ports free. loop: sees when somebody kills it; on_loss is called
    then, and has to open everything again.
    """

    def __init__(self, outside: "Callable[[], Outpost] | None" = None, kept: int = -1, loop: "Loop | None" = None,
                 on_loss: "Callable[[], None]" = lambda: None) -> None:
        self._outside = outside
        self._kept = kept
        self._loop = loop
        self._on_loss = on_loss
        self._socket: "_socket.socket | None" = None
        self._pid = 0
        self._next = 0

    def open(self, socket: "_socket.socket", target: tuple[str, int]) -> int:
        """Carry what comes to `socket`, which listens (or is UDP), on to `target`; a key for it. The socket may be closed here then."""
        self._next += 1
        kind = "udp" if socket.type & 0xF == _socket.SOCK_DGRAM else "tcp"
        self._tell(("open", self._next, kind, *target), (socket.fileno(),))
        return self._next

    def relay(self, nets: "tuple[_socket.socket, ...]") -> None:
        """Carry what these catch (outgoing.py) on to the outside."""
        self._tell(("relay", 0), tuple(net.fileno() for net in nets))

    def retarget(self, key: int, target: tuple[str, int]) -> None:
        """New connections go there."""
        self._tell(("retarget", key, *target))

    def close(self, key: int) -> None:
        """The port is free when this returns; connections that are open go on."""
        try:
            if self._socket:
                self._tell(("close", key))
        except NetworkFailed:
            pass                                          # whoever had it is gone

    def _tell(self, message: "tuple[Any, ...]", fds: tuple[int, ...] = ()) -> None:
        try:
            if self._socket is None:
                self._socket, self._pid = _fork(self._outside() if self._outside else None, self._kept)
                if self._loop:
                    self._loop.watch(self._socket.fileno(), self._on_end)
            wire.send(self._socket, message, fds)
            answer, _ = wire.receive(self._socket)
        except OSError as error:
            raise NetworkFailed("publish a port", str(error)) from error
        if answer is None:
            raise NetworkFailed("publish a port", "the process that forwards ports is gone")

    def _on_end(self, _: int) -> None:
        """Its answers are read where they are awaited; so this is its end."""
        assert self._socket and self._loop
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._socket = None
        os.waitpid(self._pid, 0)
        self._on_loss()


def _fork(outside: "Outpost | None", kept: int) -> "tuple[_socket.socket, int]":
    ours, theirs = wire.pair()
    agent = os.getpid()
    pid = os.fork()
    if not pid:
        try:
            prctl(PR_SET_PDEATHSIG, process.SIGKILL)
            if os.getppid() != agent:
                os._exit(0)
            _become(theirs, outside, kept)
        finally:
            os._exit(1)
    theirs.close()
    return ours, pid


def _become(control: "_socket.socket", outside: "Outpost | None", kept: int) -> None:
    open_ones = sorted(fd for fd in (control.fileno(), outside.fileno() if outside else -1, kept) if fd >= 0)
    for low, high in zip((2, *open_ones), (*open_ones, 1 << 31)):
        if high > low + 1:
            close_range(low + 1, high - 1)
    process.rename("pyup-ports")
    gc.disable()                                          # it would write to pages that are the agent's too
    Carrier(control, outside).run()


class Carrier:
    """The process itself."""

    def __init__(self, control: "_socket.socket", outside: "Outpost | None" = None) -> None:
        self._control = control
        self._outside = outside
        self._epoll = select.epoll()
        self._handlers: "dict[int, Callable[[], None]]" = {}
        self._doors: "dict[int, _Door | Datagrams]" = {}
        self._outgoing: list[OutgoingDatagrams] = []
        self._hungry: "dict[int, _Connection]" = {}       # by identity: connections that had not moved everything when their turn was over
        self._pipes = Pipes()
        self._watch(control.fileno(), self._on_control)

    def run(self) -> None:
        """Until the agent is gone."""
        swept = time.monotonic()
        while True:
            timeout = 0.0 if self._hungry else IDLE_S / 3
            for fd, _ in self._epoll.poll(timeout):
                handler = self._handlers.get(fd)
                if handler:
                    self._guarded(handler)
            hungry, self._hungry = self._hungry, {}
            for connection in hungry.values():
                self._guarded(connection.pump)
            if time.monotonic() - swept > IDLE_S / 3:
                swept = time.monotonic()
                for door in self._doors.values():
                    if isinstance(door, Datagrams):
                        door.expire()
                for flows in self._outgoing:
                    flows.expire()

    def _guarded(self, call: "Callable[[], None]") -> None:
        try:
            call()
        except Exception:
            sys.excepthook(*sys.exc_info())

    def _watch(self, fd: int, handler: "Callable[[], None]", events: int = select.EPOLLIN) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def _forget(self, fd: int) -> None:
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def _on_control(self) -> None:
        message, fds = wire.receive(self._control)
        if message is None:
            os._exit(0)
        verb, key, *rest = message
        if verb == "open":
            socket = wire.socket_of(fds[0])
            socket.setblocking(False)
            target = (rest[1], rest[2])
            self._doors[key] = Datagrams(socket, target, self._watch, self._forget) if rest[0] == "udp" else \
                _Door(self, socket, target, Here().socket)
        elif verb == "relay":
            self._relay([wire.socket_of(fd) for fd in fds])
        elif verb == "retarget":
            self._doors[key].retarget((rest[0], rest[1]))
        elif verb == "close" and key in self._doors:
            self._doors.pop(key).close()
        wire.send(self._control, ("done",))

    def _relay(self, nets: "list[_socket.socket]") -> None:
        assert self._outside
        for net in nets:
            if net.type & 0xF == _socket.SOCK_DGRAM:
                self._outgoing.append(OutgoingDatagrams(net, self._outside.socket, self._watch, self._forget))
            else:
                _Door(self, net, None, self._outside.socket)

    # ---------------------------------------------------------------- for doors and connections
    def add_door(self, door: "_Door") -> None:
        self._watch(door.socket.fileno(), door.on_ready)

    def drop_door(self, door: "_Door") -> None:
        self._forget(door.socket.fileno())

    def add(self, connection: "_Connection") -> None:
        for socket in (connection.relay.client, connection.relay.server):
            self._watch(socket.fileno(), connection.pump, _EDGE)

    def pump(self, connection: "_Connection") -> None:
        more = connection.relay.pump(self._pipes)
        if more is None:
            self._hungry.pop(id(connection), None)
            for socket in (connection.relay.client, connection.relay.server):
                self._forget(socket.fileno())
            connection.relay.close()
        elif more:
            self._hungry[id(connection)] = connection


class _Door:
    """A listening socket. target None: what it accepts was meant for somebody outside, who is dialled there."""

    def __init__(self, carrier: Carrier, socket: "_socket.socket", target: tuple[str, int] | None, make: "MakeSocket") -> None:
        self.socket = socket
        self._carrier = carrier
        self._target = target
        self._make = make
        carrier.add_door(self)

    def retarget(self, target: tuple[str, int]) -> None:
        self._target = target

    def close(self) -> None:
        self._carrier.drop_door(self)
        self.socket.close()

    def on_ready(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                fd = self.socket._accept()[0]  # type: ignore[attr-defined]
            except OSError:
                return                                    # no more; or no descriptors left, then those that wait have to
            client = _socket.socket(fileno=fd)
            client.setblocking(False)
            self._carry(client)

    def _carry(self, client: "_socket.socket") -> None:
        target = self._target or client.getsockname()[:2]
        if not self._target and not is_outside(target[0]):
            client.close()
            return
        try:
            server = self._make(_socket.AF_INET6 if ":" in target[0] else _socket.AF_INET, _socket.SOCK_STREAM)
        except OSError:
            client.close()
            return
        for socket in (client, server):
            socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        relay = Relay(client, server)
        try:
            server.connect(target)
        except BlockingIOError:
            pass
        except OSError:
            relay.refuse()
            return
        self._carrier.add(_Connection(self._carrier, relay))


class _Connection:
    __slots__ = ("_carrier", "relay")

    def __init__(self, carrier: Carrier, relay: Relay) -> None:
        self._carrier = carrier
        self.relay = relay

    def pump(self) -> None:
        self._carrier.pump(self)
