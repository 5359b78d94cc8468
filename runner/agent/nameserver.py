"""127.0.0.11 of every container: takes queries on the sockets of its cell, answers those about containers, has the others resolved."""

import _socket
import struct

from runner.agent.answer import Query, answer
from runner.agent.cell import Cell
from runner.agent.loop import READABLE, WRITABLE, Loop
from runner.agent.names import Names
from runner.agent.resolver import Resolver
from runner.timers import Timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BATCH = 32                                               # datagrams of one container before the others have their turn
_CONNECTIONS = 32                                         # at once, of one container
_IDLE_S = 10.0
_RECEIVE_MAX = 65535


class _Desk:
    """What is served to one container. servers: whom it has asked, when it is not one of ours."""

    __slots__ = ("cell", "connections", "query", "servers")

    def __init__(self, cell: Cell, query: Query, servers: "Callable[[], tuple[str, ...]]") -> None:
        self.cell = cell
        self.query = query
        self.servers = servers
        self.connections: "set[_Connection]" = set()


class Nameserver:
    def __init__(self, loop: Loop, names: Names, resolver: Resolver) -> None:
        self._loop = loop
        self._names = names
        self._resolver = resolver
        self._desks: "dict[str, _Desk]" = {}

    def serve(self, cell: Cell, query: Query, servers: "Callable[[], tuple[str, ...]]") -> None:
        """Answer whoever is in the cell; again for the same asker: with these settings from now on."""
        desk = self._desks.get(query.asker)
        if desk:
            desk.query, desk.servers = query, servers
            return
        desk = self._desks[query.asker] = _Desk(cell, query, servers)
        self._loop.watch(cell.udp.fileno(), lambda _: self._on_datagrams(desk))
        self._loop.watch(cell.tcp.fileno(), lambda _: self._on_connection(desk))

    def stop(self, asker: str) -> None:
        """Before its cell is closed. Idempotent."""
        desk = self._desks.pop(asker, None)
        if desk:
            self._loop.forget(desk.cell.udp.fileno())
            self._loop.forget(desk.cell.tcp.fileno())
            for connection in list(desk.connections):
                connection.close()

    # ---------------------------------------------------------------- UDP
    def _on_datagrams(self, desk: _Desk) -> None:
        for _ in range(_BATCH):
            try:
                data, sender = desk.cell.udp.recvfrom(_RECEIVE_MAX)
            except OSError:
                return                                    # no more, or an ICMP error of an earlier answer
            self._settle(desk, data, _replier(desk.cell.udp, sender), udp=True)

    def _settle(self, desk: _Desk, data: bytes, reply: "Callable[[bytes], None]", *, udp: bool) -> None:
        own = answer(data, desk.query, self._names, udp=udp)
        if own is None:
            self._resolver.ask(data, desk.servers(), reply, udp=udp)
        else:
            reply(own)

    # ---------------------------------------------------------------- TCP
    def _on_connection(self, desk: _Desk) -> None:
        try:
            fd = desk.cell.tcp._accept()[0]  # type: ignore[attr-defined]
        except OSError:
            return
        socket = _socket.socket(fileno=fd)
        if len(desk.connections) >= _CONNECTIONS:
            socket.close()
            return
        socket.setblocking(False)
        connection = _Connection(self._loop, socket, lambda data, reply: self._settle(desk, data, reply, udp=False), desk.connections.discard)
        desk.connections.add(connection)


class _Connection:
    """Queries with a length before them, one after the other, until the other end has had enough."""

    def __init__(self, loop: Loop, socket: "_socket.socket", settle: "Callable[[bytes, Callable[[bytes], None]], None]",
                 done: "Callable[[_Connection], None]") -> None:
        self._loop = loop
        self._socket: "_socket.socket | None" = socket
        self._settle = settle
        self._done = done
        self._in = b""
        self._out = b""
        self._waiting = False                             # for an answer
        self._working = False
        self._timer: Timer = loop.after(_IDLE_S, self.close)
        loop.watch(socket.fileno(), self._on_ready)

    def _on_ready(self, events: int) -> None:
        assert self._socket
        try:
            if events & WRITABLE and self._out:
                self._flush()
                return
            data = self._socket.recv(_RECEIVE_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._in += data
        if len(self._in) > 2 * _RECEIVE_MAX:
            self.close()
        else:
            self._work()

    def _work(self) -> None:
        """Settle what has come in whole, in order. An answer may come at once, from within `_settle`, so it only sets things down."""
        self._working = True
        while self._socket and not self._waiting and len(self._in) >= 2 and len(self._in) >= (end := 2 + int.from_bytes(self._in[:2], "big")):
            data, self._in = self._in[2:end], self._in[end:]
            self._waiting = True
            self._timer.cancel()
            self._settle(data, self._answer)
        self._working = False
        if self._socket and self._out:
            self._flush()

    def _answer(self, reply: bytes) -> None:
        if not self._socket:
            return
        if not reply:
            self.close()
            return
        self._waiting = False
        self._timer = self._loop.after(_IDLE_S, self.close)
        self._out += struct.pack(">H", len(reply)) + reply
        if not self._working:
            self._work()

    def _flush(self) -> None:
        assert self._socket
        try:
            self._out = self._out[self._socket.send(self._out):]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._loop.change(self._socket.fileno(), READABLE | WRITABLE if self._out else READABLE)

    def close(self) -> None:
        """Idempotent."""
        self._timer.cancel()
        if self._socket:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
            self._done(self)


def _replier(socket: "_socket.socket", receiver: "Any") -> "Callable[[bytes], None]":
    def send(data: bytes) -> None:
        try:
            if data:
                socket.sendto(data, receiver)
        except (OSError, ValueError):
            pass                                          # gone with its container, or slow to take answers

    return send
