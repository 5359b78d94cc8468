"""Web sockets: handshake, messages whole and in pieces, pings, closes, limits, clients that break the protocol."""

import struct

import pytest

from engine.http.message import Request, Response, WebSocket
from engine.http.websocket import Socket
from tests.engine.serving import Client, Serving, request

HANDSHAKE = ("GET /attach/ws HTTP/1.1\nConnection: keep-alive, Upgrade\nUpgrade: WebSocket\nSec-WebSocket-Version: 13\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Protocol: a, b")


def echo(socket: Socket) -> None:
    while (message := socket.receive()) is not None:
        socket.send(message)


def handler(asked: Request) -> Response:
    return Response(101, (), WebSocket(echo, ("b",), 1000))


def frame(opcode: int, data: bytes, *, final: bool = True, masked: bool = True) -> bytes:
    size = bytes([len(data) | (0x80 if masked else 0)]) if len(data) < 126 else bytes([126 | (0x80 if masked else 0)]) + struct.pack(">H", len(data))
    return bytes([(0x80 if final else 0) | opcode]) + size + ((b"\0\0\0\0") if masked else b"") + data


def received(client: Client) -> tuple[int, bytes]:
    first, size = client.exactly(2)
    return first & 0x0F, client.exactly(struct.unpack(">H", client.exactly(2))[0] if size == 126 else size)


def opened(client: Client) -> None:
    client.send(request(HANDSHAKE))
    assert client.answer().status == 101


def test_handshake_chooses_a_protocol() -> None:
    with Serving(handler) as served, served.connect() as client:
        client.send(request(HANDSHAKE))
        found = client.answer()
        assert (found.status, found.headers["sec-websocket-accept"], found.headers["sec-websocket-protocol"], found.headers["upgrade"]) == (
            101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "b", "websocket")    # the key and its answer are those of RFC 6455


@pytest.mark.parametrize(("change", "status"), [
    (("Version: 13", "Version: 8"), 426), (("dGhlIHNhbXBsZSBub25jZQ==", "short"), 400), (("WebSocket\n", "tcp\n"), 400), (("GET", "POST"), 400),
    (("keep-alive, Upgrade", "close"), 400)])
def test_handshake_that_is_none(change: tuple[str, str], status: int) -> None:
    with Serving(handler) as served:
        assert served.ask(HANDSHAKE.replace(*change, 1)).status == status


def test_messages_come_back() -> None:
    with Serving(handler) as served, served.connect() as client:
        opened(client)
        client.send(frame(2, b"bytes") + frame(1, "täxt".encode()) + frame(2, b"x" * 500))
        assert [received(client) for _ in range(3)] == [(2, b"bytes"), (1, "täxt".encode()), (2, b"x" * 500)]


def test_message_in_pieces_is_one_with_a_ping_between() -> None:
    with Serving(handler) as served, served.connect() as client:
        opened(client)
        client.send(frame(2, b"one", final=False) + frame(9, b"ping") + frame(0, b"two"))
        assert received(client) == (10, b"ping")
        assert received(client) == (2, b"onetwo")


def test_close_is_answered() -> None:
    with Serving(handler) as served, served.connect() as client:
        opened(client)
        client.send(frame(8, struct.pack(">H", 1000)))
        assert received(client) == (8, struct.pack(">H", 1000))
        assert client.all() == b""


@pytest.mark.parametrize(("data", "code"), [
    (frame(2, b"x" * 600, final=False) + frame(0, b"x" * 600), 1009), (frame(2, b"x", masked=False), 1002), (frame(1, b"\xff\xfe"), 1007),
    (frame(0, b"nothing to go on with"), 1002)])
def test_broken_protocol_is_closed_with_its_code(data: bytes, code: int) -> None:
    with Serving(handler) as served, served.connect() as client:
        opened(client)
        client.send(data)
        opcode, reason = received(client)
        assert (opcode, struct.unpack(">H", reason[:2])[0]) == (8, code)


def test_client_that_vanishes_ends_the_handler() -> None:
    with Serving(handler) as served:
        with served.connect() as client:
            opened(client)
        done, = served.wait_done()
        assert done.status == 101
