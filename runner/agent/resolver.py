"""Queries about the world, passed on to the machine's resolvers byte for byte, over UDP and TCP, with what they answer passed back.

Every query has a socket of its own, with a source port that nobody can guess, made where the machine's own 127.0.0.53 is within reach.
"""

import _socket
import errno
import os
import struct

from runner.agent.address import family_of
from runner.agent.answer import fail, is_failure, matches
from runner.agent.loop import READABLE, WRITABLE, Loop
from runner.timers import Timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Reply = Callable[[bytes], None]
    MakeSocket = Callable[[int, int], "_socket.socket"]

PORT = 53
PATIENCE_S = 2.0                                          # with one server, before the next is asked
_ROUNDS = 2
_AT_ONCE = 1000
_RECEIVE_MAX = 65535
_RESOLV_MAX = 1 << 16


class ResolvConf:
    """The machine's /etc/resolv.conf, read again when it has changed."""

    __slots__ = ("_path", "_stamp", "options", "search", "servers")

    def __init__(self, path: str = "/etc/resolv.conf") -> None:
        self._path = path
        self._stamp: "tuple[int, int] | None" = None
        self.servers: tuple[str, ...] = ()
        self.search: tuple[str, ...] = ()
        self.options: tuple[str, ...] = ()

    def read(self) -> "ResolvConf":
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                with open(self._path, "rb") as file:
                    self._parse(file.read(_RESOLV_MAX).decode(errors="replace"))
                self._stamp = stamp
        except OSError:
            pass                                          # being replaced; what was known holds
        return self

    def _parse(self, text: str) -> None:
        servers: list[str] = []
        search: tuple[str, ...] = ()
        options: list[str] = []
        for line in text.splitlines():
            words = line.partition("#")[0].partition(";")[0].split()
            if len(words) < 2:
                continue
            if words[0] == "nameserver":
                servers.append(words[1])
            elif words[0] in ("search", "domain"):
                search = tuple(words[1:])
            elif words[0] == "options":
                options += words[1:]
        self.servers, self.search, self.options = tuple(servers), search, tuple(options)


class Resolver:
    """make_socket(family, kind): a socket, not blocking, in the machine's own network."""

    def __init__(self, loop: Loop, make_socket: "MakeSocket", port: int = PORT) -> None:
        self._loop = loop
        self._make_socket = make_socket
        self._port = port
        self._asked: "set[_Asked]" = set()

    def ask(self, query: bytes, servers: tuple[str, ...], reply: "Reply", *, udp: bool) -> None:
        """Call `reply` once, later, with the first good answer, or with SERVFAIL."""
        if not servers or len(self._asked) >= _AT_ONCE:
            reply(fail(query))
            return
        asked = (_AskedUdp if udp else _AskedTcp)(self._loop, self._make_socket, self._port, query, servers, reply, self._asked.discard)
        self._asked.add(asked)
        asked.try_next()


class _Asked:
    """One query under way. It goes through the servers, twice, until one answers."""

    kind = _socket.SOCK_DGRAM

    def __init__(self, loop: Loop, make_socket: "MakeSocket", port: int, query: bytes, servers: tuple[str, ...], reply: "Reply",
                 done: "Callable[[_Asked], None]") -> None:
        self._loop = loop
        self._make_socket = make_socket
        self._port = port
        self.query = query
        self._left = list(servers * _ROUNDS)[::-1]
        self._reply = reply
        self._done = done
        self._timer: "Timer | None" = None
        self._last = b""                                  # a failure that a server gave; better than one of our own
        self.socket: "_socket.socket | None" = None

    def try_next(self) -> None:
        self._drop()
        while self._left:
            server = self._left.pop()
            try:
                self._connect(server)
            except (OSError, ValueError):
                continue
            self._timer = self._loop.after(PATIENCE_S, self.try_next)
            return
        self._finish(self._last or fail(self.query))

    def _connect(self, server: str) -> None:
        address, _, scope = server.partition("%")
        family = _socket.AF_INET6 if family_of(address) == 6 else _socket.AF_INET
        where = (address, self._port, 0, _socket.if_nametoindex(scope) if scope else 0) if family == _socket.AF_INET6 else (address, self._port)
        self.socket = self._make_socket(family, self.kind)
        try:
            self.socket.connect(where)
        except BlockingIOError:
            pass
        self._begin(self.socket)

    def take(self, reply: bytes) -> None:
        """What a server said."""
        if is_failure(reply) and self._left:
            self._last = reply
            self.try_next()
        else:
            self._finish(reply)

    def _finish(self, reply: bytes) -> None:
        self._drop()
        self._done(self)
        self._reply(reply)

    def _drop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self.socket:
            self._loop.forget(self.socket.fileno())
            self.socket.close()
            self.socket = None

    def _begin(self, socket: "_socket.socket") -> None:
        raise NotImplementedError


class _AskedUdp(_Asked):
    def _begin(self, socket: "_socket.socket") -> None:
        socket.send(self.query)
        self._loop.watch(socket.fileno(), self._on_ready)

    def _on_ready(self, _: int) -> None:
        assert self.socket
        try:
            reply = self.socket.recv(_RECEIVE_MAX)
        except BlockingIOError:
            return
        except OSError:                                   # nobody listens there
            self.try_next()
            return
        if matches(self.query, reply):
            self.take(reply)


class _AskedTcp(_Asked):
    kind = _socket.SOCK_STREAM

    def _begin(self, socket: "_socket.socket") -> None:
        self._out = struct.pack(">H", len(self.query)) + self.query
        self._in = b""
        self._loop.watch(socket.fileno(), self._on_ready, WRITABLE)

    def _on_ready(self, events: int) -> None:
        assert self.socket
        try:
            if self._out:
                if failure := self.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR):
                    raise OSError(failure, errno.errorcode.get(failure, ""))
                self._out = self._out[self.socket.send(self._out):]
                if not self._out:
                    self._loop.change(self.socket.fileno(), READABLE)
                return
            data = self.socket.recv(_RECEIVE_MAX)
        except BlockingIOError:
            return
        except OSError:
            self.try_next()
            return
        self._in += data
        length = int.from_bytes(self._in[:2], "big")
        if len(self._in) >= 2 + length and length and matches(self.query, self._in[2:2 + length]):
            self.take(self._in[2:2 + length])
        elif not data or len(self._in) > 2 + length > 2:
            self.try_next()
