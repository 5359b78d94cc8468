"""The server: listening sockets -> a thread a connection. `listen`, then `serve` until another thread or a signal handler calls `stop`.

A thread a connection is the plainest thing that keeps up: what is large is moved by calls that let go of the interpreter's lock (recv, sha256, write,
sendfile). The accepting thread also watches for clients that leave while their request is served.
"""

import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable

from engine.http.address import Address, listen, where
from engine.http.connection import Connection, Service
from engine.http.limits import Limits
from engine.http.message import Done, Handler, Peer, Request, Response
from engine.http.stream import Stream
from engine.http.tls import TlsStream

_RETRY_S = 1.0                                         # after the machine had no descriptor or no thread left for a connection


def plain_error(request: "Request | None", error: Exception) -> Response:
    """What a server says of errors if nobody says it better."""
    status = getattr(error, "status", 500)
    text = str(error) if status < 500 else "internal error"
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"),), f"{text}\n".encode())


class Server:
    def __init__(self, handler: "Handler", *, limits: "Limits | None" = None, on_done: "Callable[[Done], None]" = lambda done: None,
                 on_error: "Callable[[Request | None, Exception], Response]" = plain_error, product: str = "pybuild") -> None:
        self._limits = limits or Limits()
        self._service = Service(handler, on_error, on_done, self._limits, product)
        self._listening: "dict[int, tuple[socket.socket, ssl.SSLContext | None]]" = {}
        self._paths: "list[str]" = []
        self._connections: "set[Connection]" = set()
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)  # told when a connection ends
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._wake, select.EPOLLIN)
        self._watched: "dict[int, Callable[[], None]]" = {}
        self._accepting = False
        self._stopping = False

    # ------------------------------------------------------------ listening
    def listen(self, address: Address, tls: "ssl.SSLContext | None" = None) -> Address:
        """Listen there too; returns the address with the port it got. Raises CannotListen."""
        listening = listen(address)
        listening.setblocking(False)
        self._listening[listening.fileno()] = (listening, tls)
        if address.path:
            self._paths.append(address.path)
        return where(listening, address)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def serve(self) -> None:
        """Accept and serve until `stop`; returns when no connection is left."""
        self._accept(True)
        while not self._stopping:
            for fd, _ in self._poll.poll(-1 if self._accepting else _RETRY_S):
                if fd in self._listening:
                    self._welcome(*self._listening[fd])
                elif fd == self._wake:
                    os.eventfd_read(self._wake)
                elif call := self._watched.pop(fd, None):
                    self._unwatch(fd)
                    call()
            if not self._accepting and not self._stopping and (len(self._connections) < self._limits.connections or self._evict()):
                self._accept(True)
        self._finish()

    def _accept(self, on: bool) -> None:
        if on != self._accepting:
            self._accepting = on
            for fd in self._listening:
                (self._poll.register(fd, select.EPOLLIN) if on else self._poll.unregister(fd))

    def _welcome(self, listening: socket.socket, tls: "ssl.SSLContext | None") -> None:
        """Accept one connection and give it a thread; with too many of them, make room first."""
        if len(self._connections) >= self._limits.connections and not self._evict():
            self._accept(False)                        # they wait in the kernel's queue
            return
        try:
            connected, address = listening.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:                                # no descriptors left
            self._accept(False)
            return
        connected.setblocking(True)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = TlsStream(connected, tls) if tls else Stream(connected)
        connection = Connection(stream, _peer(connected, address), self._service, self._watch, self._has_idle)
        with self._lock:
            self._connections.add(connection)
        try:
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()
        except RuntimeError:                           # no thread left
            stream.interrupt()
            connected.close()
            self._forget(connection)
            self._accept(False)

    def _run(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            self._forget(connection)

    def _has_idle(self) -> None:
        """A connection has become idle: it can make room."""
        with self._lock:
            if not self._accepting:
                self._awake()

    def _forget(self, connection: Connection) -> None:
        with self._ended:
            self._connections.discard(connection)
            if not self._accepting:
                self._awake()                          # within the lock: afterwards the server may be closed
            self._ended.notify_all()

    def _evict(self) -> bool:
        """Close the connection that has been idle for longest; False if all are at work. Its place is free at once."""
        with self._lock:
            idle = [c for c in self._connections if c.idle_since]
            if not idle:
                return False
            longest = min(idle, key=lambda c: c.idle_since or time.monotonic())
            self._connections.discard(longest)
        longest.finish()
        return True

    # ------------------------------------------------------------ clients that leave
    def _watch(self, fd: int, call: "Callable[[], None] | None") -> None:
        """Call when the peer of `fd` hangs up; None: no longer."""
        if call is None:
            if self._watched.pop(fd, None) is not None:
                self._unwatch(fd)
            return
        if fd in self._watched:
            self._unwatch(fd)
        self._watched[fd] = call
        self._poll.register(fd, select.EPOLLRDHUP | select.EPOLLONESHOT)

    def _unwatch(self, fd: int) -> None:
        try:
            self._poll.unregister(fd)
        except OSError:
            pass                                       # it has fired already, or is closed

    # ------------------------------------------------------------ the end
    def stop(self) -> None:
        """Take no more connections and requests; those that are served may finish. Safe from signal handlers and threads."""
        self._stopping = True
        self._awake()

    def _awake(self) -> None:
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    def _finish(self) -> None:
        self._accept(False)
        for listening, _ in self._listening.values():
            listening.close()
        for path in self._paths:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
        with self._ended:
            for connection in self._connections:
                connection.finish()
            while self._connections:
                self._ended.wait()

    def abort(self) -> None:
        """End all connections now, whatever they do. After `stop`, by whoever has waited long enough."""
        for connection in list(self._connections):     # without the lock: a signal handler may have interrupted who holds it
            connection.interrupt()

    def close(self) -> None:
        """Let go of everything, after `serve` or instead of it."""
        for listening, _ in self._listening.values():
            listening.close()
        self._listening.clear()
        with self._lock:
            self._poll.close()
            os.close(self._wake)
            self._wake = -1


def _peer(connected: socket.socket, address: object) -> Peer:
    if connected.family == socket.AF_UNIX:
        pid, uid, _ = struct.unpack("iII", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return Peer("unix", uid=uid, pid=pid)
    assert isinstance(address, tuple)
    return Peer(str(address[0]).removeprefix("::ffff:"), address[1])
