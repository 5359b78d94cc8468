"""Connections that stop being HTTP: early bytes, half-closes of either side, plain and TLS; and requests that wait for something while clients leave."""

import os
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import ClientGone
from engine.http.channel import Channel, pump
from engine.http.message import Hijack, Request, Response
from tests.engine.serving import Client, Serving, request

UPGRADE = "POST /attach HTTP/1.1\nConnection: Upgrade\nUpgrade: tcp"


def upper(channel: Channel) -> None:
    """Give back what came, upper-case; "END" after the client's half-close."""
    pump(channel, lambda data: channel.send(data.upper()))
    channel.send(b"END")
    channel.half_close()


def hijacked(run: Callable[[Channel], None]) -> Any:
    def handler(asked: Request) -> Response:
        asked.body.read(100)
        return Response(101 if "upgrade" in asked.headers else 200, (("Content-Type", "application/vnd.docker.raw-stream"),), Hijack(run, reason=""))
    return handler


class TlsClient(Client):
    """TLS over memory buffers, so that it can close its half, which Python's SSLSocket cannot."""

    def __init__(self, plain: Client, context: ssl.SSLContext) -> None:
        super().__init__(plain.socket)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self._step(self._tls.do_handshake)

    def _step(self, what: Callable[[], Any]) -> Any:
        while True:
            try:
                result = what()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.socket.recv(65536)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
                continue
            except ssl.SSLZeroReturnError:
                return b""
            self._flush()
            return result

    def _flush(self) -> None:
        if data := self._out.read():
            self.socket.sendall(data)

    def send(self, data: bytes) -> None:
        self._step(lambda: self._tls.write(data))

    def half_close(self) -> None:
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._flush()

    def peer_name(self) -> str:
        """The common name in the server's certificate."""
        subject: Any = (self._tls.getpeercert() or {})["subject"]
        return str(dict(field[0] for field in subject)["commonName"])

    def _more(self) -> bytes:
        return bytes(self._step(lambda: self._tls.read(65536)))

    def head(self) -> bytes:
        while b"\r\n\r\n" not in self.rest:
            data = self._more()
            assert data
            self.rest += data
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        return head

    def exactly(self, count: int) -> bytes:
        while len(self.rest) < count:
            data = self._more()
            assert data
            self.rest += data
        found, self.rest = self.rest[:count], self.rest[count:]
        return found

    def all(self) -> bytes:
        found, self.rest = self.rest, b""
        while data := self._more():
            found += data
        return found


@pytest.fixture(params=["plain", "tls"])
def open_to(request: pytest.FixtureRequest) -> Any:
    """A function: handler -> (server, function that connects), over plain sockets and over TLS."""
    served: list[Serving] = []

    def make(handler: Any) -> tuple[Serving, Callable[[], Client]]:
        tls = request.getfixturevalue("tls") if request.param == "tls" else None
        serving = Serving(handler, tls=tls)
        serving.__enter__()
        served.append(serving)
        context = request.getfixturevalue("client_tls")
        return serving, (lambda: TlsClient(serving.connect(), context)) if tls else serving.connect

    yield make
    for serving in served:
        serving.__exit__(None, None, None)


def test_upgrade_is_answered_101(open_to: Any) -> None:
    _, connect = open_to(hijacked(upper))
    with connect() as client:
        client.send(request(UPGRADE))
        found = client.answer()
        assert found.status == 101 and found.headers["upgrade"] == "tcp" and found.headers["connection"] == "Upgrade"
        client.send(b"abc")
        assert client.exactly(3) == b"ABC"
        client.half_close()
        assert client.all() == b"END"


def test_without_upgrade_200_and_a_raw_stream(open_to: Any) -> None:
    _, connect = open_to(hijacked(upper))
    with connect() as client:
        client.send(request("POST /attach"))
        head = client.head()
        assert head.startswith(b"HTTP/1.1 200 ") and b"Content-Length" not in head and b"chunked" not in head and b"Connection: close" in head
        client.send(b"abc")
        client.half_close()
        assert client.all() == b"ABCEND"


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_early_bytes_are_kept(open_to: Any, body: bytes) -> None:
    """What a client sends in one packet with its request, before it has seen the answer."""
    _, connect = open_to(hijacked(upper))
    with connect() as client:
        client.send(request(f"{UPGRADE}\nContent-Length: {len(body)}") + body + b"early")
        client.send(b"late")
        client.half_close()
        client.head()
        assert client.all() == b"EARLYLATEEND"


def test_early_bytes_behind_a_chunked_body_are_kept(open_to: Any) -> None:
    _, connect = open_to(hijacked(upper))
    with connect() as client:
        client.send(request(f"{UPGRADE}\nTransfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\nearly")
        client.half_close()
        client.head()
        assert client.all() == b"EARLYEND"


def test_server_ends_its_half_and_goes_on_receiving(open_to: Any) -> None:
    taken: list[bytes] = []
    over = threading.Event()

    def run(channel: Channel) -> None:
        channel.send(b"bye")
        channel.half_close()
        pump(channel, taken.append)
        over.set()

    _, connect = open_to(hijacked(run))
    with connect() as client:
        client.send(request(UPGRADE))
        client.head()
        assert client.all() == b"bye"
        client.send(b"still ")
        client.send(b"here")
        client.half_close()
        assert over.wait(60)
        assert b"".join(taken) == b"still here"


def test_server_ends_its_half_with_bytes_still_unread(open_to: Any) -> None:
    """The client's bytes are there, and not yet decrypted, when the server closes its half."""
    go_on, over = threading.Event(), threading.Event()
    taken: list[bytes] = []

    def run(channel: Channel) -> None:
        taken.append(channel.receive(1))
        go_on.wait(60)
        channel.half_close()
        pump(channel, taken.append)
        over.set()

    _, connect = open_to(hijacked(run))
    with connect() as client:
        client.send(request(UPGRADE))
        client.head()
        client.send(b"a" + b"b" * 40_000)
        client.send(b"c")
        go_on.set()
        assert client.all() == b""
        client.half_close()
        assert over.wait(60)
        assert b"".join(taken) == b"a" + b"b" * 40_000 + b"c"


def test_much_both_ways_at_once(open_to: Any) -> None:
    data = os.urandom(5_000_000)

    def run(channel: Channel) -> None:
        sender = threading.Thread(target=lambda: channel.send(data))
        sender.start()
        taken = bytearray()
        pump(channel, taken.extend)
        sender.join()
        channel.send(b"same" if taken == data else b"not the same")
        channel.half_close()

    _, connect = open_to(hijacked(run))
    with connect() as client:
        client.send(request(UPGRADE))
        client.head()
        if isinstance(client, TlsClient):              # one thread: the server's kernel and ours hold what is under way
            for start in range(0, len(data), 100_000):
                client.send(data[start:start + 100_000])
                assert client.exactly(len(data[start:start + 100_000])) == data[start:start + 100_000]
        else:
            receiver: list[bytes] = []
            thread = threading.Thread(target=lambda: receiver.append(client.exactly(len(data))))
            thread.start()
            client.send(data)
            thread.join(60)
            assert receiver == [data]
        client.half_close()
        assert client.all() == b"same"


def test_channel_says_what_is_buffered() -> None:
    said: list[bool] = []

    def run(channel: Channel) -> None:
        said.append(channel.buffered())
        channel.receive()
        said.append(channel.buffered())

    with Serving(hijacked(run)) as served, served.connect() as client:
        client.send(request(UPGRADE) + b"early")
        client.head()
        client.all()
        assert said == [True, False]


def test_exception_in_a_hijack_ends_the_connection() -> None:
    def run(channel: Channel) -> None:
        raise ValueError("no")

    with Serving(hijacked(run)) as served, served.connect() as client:
        client.send(request(UPGRADE))
        client.head()
        assert client.all() == b""
        assert served.wait_done()[0].error == "ValueError: no"


def test_handler_is_told_when_the_client_leaves() -> None:
    told, reached = threading.Event(), threading.Event()

    def handler(asked: Request) -> Response:
        asked.on_gone(told.set)
        reached.set()
        assert told.wait(60) and asked.is_gone()
        return Response(200)

    with Serving(handler) as served:
        with served.connect() as client:
            client.send(request("POST /wait"))
            assert reached.wait(60) and not told.is_set()
        served.wait_done()
        assert told.is_set()


def test_handler_is_not_told_of_a_client_that_stays() -> None:
    told = threading.Event()

    def handler(asked: Request) -> Response:
        asked.on_gone(told.set)
        return Response(200)

    with Serving(handler) as served:
        with served.connect() as client:
            for _ in range(3):
                client.send(request("POST /wait"))
                assert client.answer().status == 200
        client = served.connect()
        client.send(request("GET /"))
        client.answer()
        assert not told.is_set()
        client.close()


def test_wait_returns_what_is_ready_and_ends_when_the_client_leaves() -> None:
    reading, writing = os.pipe()
    events: list[object] = []

    def handler(asked: Request) -> Response:
        events.append(asked.wait((reading,), 0.0))
        os.write(writing, b"x")
        events.append(asked.wait((reading,)))
        os.read(reading, 1)
        ready.set()
        try:
            asked.wait((reading,))
        except ClientGone as error:
            events.append(str(error))
            raise
        return Response(200)

    ready = threading.Event()
    with Serving(handler) as served:
        with served.connect() as client:
            client.send(request("POST /wait"))
            assert ready.wait(60)
        served.wait_done()
    assert events == [(), (reading,), "the client closed the connection"]
    os.close(reading)
    os.close(writing)
