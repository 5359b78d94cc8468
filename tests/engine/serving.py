"""A server in a thread, and a client that writes bytes and reads them."""

import socket
import ssl
import threading
from collections.abc import Callable

from engine.http.address import Address
from engine.http.limits import Limits
from engine.http.message import Done, Handler, Request, Response
from engine.http.server import Server, plain_error


class Serving:
    """`with Serving(handler) as served:` listens on a free port of 127.0.0.1; `done` are the requests that are over."""

    def __init__(self, handler: "Handler", limits: Limits | None = None, tls: ssl.SSLContext | None = None, address: Address | None = None,
                 on_error: Callable[[Request | None, Exception], Response] = plain_error, on_done: "Callable[[Done], None] | None" = None) -> None:
        self.done: list[Done] = []
        self._over = threading.Condition()
        self._also = on_done
        self.server = Server(handler, limits=limits, on_done=self._note, on_error=on_error)
        self.address = self.server.listen(address or Address("127.0.0.1", 0), tls)
        self.thread = threading.Thread(target=self.server.serve, daemon=True)

    def _note(self, done: Done) -> None:
        if self._also:
            self._also(done)
        with self._over:
            self.done.append(done)
            self._over.notify_all()

    def wait_done(self, count: int = 1) -> list[Done]:
        """Wait until so many requests are over."""
        with self._over:
            assert self._over.wait_for(lambda: len(self.done) >= count, 10), f"only {len(self.done)} of {count} requests are over"
            return list(self.done)

    def connect(self) -> "Client":
        if self.address.path:
            connected = socket.socket(socket.AF_UNIX)
            connected.connect(self.address.path)
        else:
            connected = socket.create_connection((self.address.host, self.address.port))
        return Client(connected)

    def ask(self, head: str, body: bytes = b"") -> "Answer":
        """One request on a connection of its own. head: request line and headers, without Host."""
        with self.connect() as client:
            client.send(request(head) + body)
            return client.answer()

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(60)
        assert not self.thread.is_alive(), "the server does not end"

    def __enter__(self) -> "Serving":
        self.thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self.server.stop()
        self.server.abort()
        self.thread.join(60)
        self.server.close()


class Answer:
    def __init__(self, head: bytes, body: bytes) -> None:
        line, *fields = head.decode("latin-1").split("\r\n")
        self.status = int(line.split()[1])
        self.reason = line.split(" ", 2)[2]
        self.headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        self.body = body

    def __repr__(self) -> str:
        return f"{self.status} {self.headers} {self.body[:300]!r}"


class Client:
    """One connection."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.socket.settimeout(60)                     # a limit for what hangs, not a measure: the machine may be busy
        self.rest = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def head(self) -> bytes:
        while b"\r\n\r\n" not in self.rest:
            data = self.socket.recv(65536)
            assert data, f"the connection ended within a head: {self.rest!r}"
            self.rest += data
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        return head

    def exactly(self, count: int) -> bytes:
        while len(self.rest) < count:
            data = self.socket.recv(65536)
            assert data, f"the connection ended {count - len(self.rest)} bytes too early"
            self.rest += data
        found, self.rest = self.rest[:count], self.rest[count:]
        return found

    def line(self) -> bytes:
        while b"\r\n" not in self.rest:
            data = self.socket.recv(65536)
            assert data
            self.rest += data
        found, _, self.rest = self.rest.partition(b"\r\n")
        return found

    def all(self) -> bytes:
        """Everything until the server ends the connection."""
        found, self.rest = self.rest, b""
        while data := self.socket.recv(65536):
            found += data
        return found

    def answer(self, method: str = "GET") -> Answer:
        """The next response; method: HEAD has no body whatever its headers say."""
        head = self.head()
        headers = Answer(head, b"")
        if method == "HEAD" or headers.status in (204, 304) or headers.status < 200:
            return headers
        if headers.headers.get("transfer-encoding") == "chunked":
            return Answer(head, self._chunks())
        if "content-length" in headers.headers:
            return Answer(head, self.exactly(int(headers.headers["content-length"])))
        return Answer(head, self.all())

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.line(), 16):
            found += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        assert self.line() == b""
        return found

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()


def request(head: str, host: str = "test") -> bytes:
    """The bytes of a request's head: `request("GET / HTTP/1.1\\nAccept: x")`."""
    line, *fields = head.split("\n")
    if "HTTP/" not in line:
        line += " HTTP/1.1"
    return "\r\n".join([line, f"Host: {host}", *fields, "", ""]).encode("latin-1")
