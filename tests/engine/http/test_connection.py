"""Requests and responses as bytes: framing, pipelining, keep-alive, limits, what clients do wrong."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import ClientGone
from engine.http.limits import Limits
from engine.http.message import Empty, File, Request, Response, Stream
from tests.engine.serving import Serving, request


def echo(asked: Request) -> Response:
    """What was asked, as text."""
    body = asked.body.read(1 << 20)
    return Response(200, (("Content-Type", "text/plain"),), f"{asked.method} {asked.path} {sorted(asked.query.items())} {len(body)}".encode())


@pytest.fixture(scope="module")
def echoing() -> Iterator[Serving]:
    with Serving(echo) as served:
        yield served


# ---------------------------------------------------------------- requests
def test_get_is_answered_and_kept_alive(echoing: Serving) -> None:
    with echoing.connect() as client:
        for _ in range(2):
            client.send(request("GET /a%20b?x=1&y="))
            found = client.answer()
            assert (found.status, found.body) == (200, b"GET /a b [('x', '1'), ('y', '')] 0")
            assert found.headers["server"] == "pybuild" and "date" in found.headers


def test_http_1_0_closes(echoing: Serving) -> None:
    with echoing.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.answer().headers["connection"] == "close"
        assert client.all() == b""


def test_pipelined_requests_are_answered_in_order(echoing: Serving) -> None:
    with echoing.connect() as client:
        client.send(request("GET /1") + request("POST /2\nContent-Length: 3") + b"abc" + request("GET /3"))
        assert [client.answer().body.split()[1] for _ in range(3)] == [b"/1", b"/2", b"/3"]


def test_pipelined_requests_after_half_close_are_answered(echoing: Serving) -> None:
    with echoing.connect() as client:
        client.send(request("GET /1") + request("GET /2"))
        client.half_close()
        assert client.answer().body.startswith(b"GET /1") and client.answer().body.startswith(b"GET /2")
        assert client.all() == b""


def test_head_byte_by_byte(echoing: Serving) -> None:
    with echoing.connect() as client:
        for byte in request("GET /slow"):
            client.send(bytes([byte]))
        assert client.answer().status == 200


def test_absolute_target(echoing: Serving) -> None:
    assert echoing.ask("GET http://other/x?y=1").body == b"GET /x [('y', '1')] 0"


@pytest.mark.parametrize("target", ["ftp://a/b", "a/b", "?x"])
def test_target_that_is_none(echoing: Serving, target: str) -> None:
    assert echoing.ask(f"GET {target}").status == 400


@pytest.mark.parametrize("raw", [
    b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"])
def test_malformed_head_is_refused_and_the_connection_closed(echoing: Serving, raw: bytes) -> None:
    with echoing.connect() as client:
        client.send(raw)
        found = client.answer()
        assert found.status in (400, 501, 505) and found.headers["connection"] == "close"
        client.half_close()
        assert client.all() == b""


@pytest.mark.parametrize("head", [
    "POST / HTTP/1.1\nContent-Length: 4\nTransfer-Encoding: chunked", "POST / HTTP/1.0\nTransfer-Encoding: chunked"])
def test_request_with_two_framings_is_refused(echoing: Serving, head: str) -> None:
    assert echoing.ask(head, b"0\r\n\r\n").status == 400


def test_huge_headers_are_refused(echoing: Serving) -> None:
    with echoing.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000)
        assert client.answer().status == 431


def test_query_with_very_many_fields_is_refused(echoing: Serving) -> None:
    assert echoing.ask("GET /?" + "&".join("a=1" for _ in range(2000))).status == 400


# ---------------------------------------------------------------- bodies of requests
def test_chunked_body_with_trailers(echoing: Serving) -> None:
    with echoing.connect() as client:
        client.send(request("POST /t\nTransfer-Encoding: chunked\nTrailer: X-Sum") + b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n" + request("GET /next"))
        assert client.answer().body.endswith(b" 5")
        assert client.answer().body.startswith(b"GET /next")


def test_chunk_that_is_none_is_refused(echoing: Serving) -> None:
    found = echoing.ask("POST /t\nTransfer-Encoding: chunked", b"zz\r\nabc\r\n")
    assert found.status == 400 and b"chunked" in found.body


def test_body_above_the_limit_is_413() -> None:
    with Serving(lambda asked: Response(200, (), asked.body.read(10))) as served:
        assert served.ask("POST /\nContent-Length: 11", b"x" * 11).status == 413
        assert served.ask("POST /\nTransfer-Encoding: chunked", b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n").status == 413
        assert served.ask("POST /\nContent-Length: 10", b"x" * 10).body == b"x" * 10


def test_continue_is_said_only_when_the_body_is_wanted() -> None:
    def handler(asked: Request) -> Response:
        return Response(401) if asked.path == "/no" else Response(200, (), asked.body.read(100))

    with Serving(handler) as served:
        with served.connect() as client:
            client.send(request("PUT /yes\nContent-Length: 3\nExpect: 100-continue"))
            assert client.answer().status == 100
            client.send(b"abc")
            assert client.answer().body == b"abc"
            client.send(request("PUT /no\nContent-Length: 3\nExpect: 100-continue"))
            found = client.answer()
            assert found.status == 401 and found.headers["connection"] == "close"


def test_unread_small_body_keeps_the_connection() -> None:
    with Serving(lambda asked: Response(404, (), b"no")) as served, served.connect() as client:
        client.send(request("PUT /\nContent-Length: 50000") + b"x" * 50_000 + request("PUT /\nTransfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n")
        assert client.answer().status == 404
        assert client.answer().status == 404


def test_unread_large_body_is_answered_before_the_connection_ends() -> None:
    """A reset would destroy the answer: the server has to listen for a while after it."""
    with Serving(lambda asked: Response(401, (), b"who are you")) as served, served.connect() as client:
        client.send(request("PUT /\nContent-Length: 100000000"))
        sent = threading.Event()

        def push() -> None:
            try:
                for _ in range(64):
                    client.send(b"x" * 65536)
            except OSError:
                pass
            sent.set()

        threading.Thread(target=push).start()
        found = client.answer()
        assert (found.status, found.headers["connection"], found.body) == (401, "close", b"who are you")
        assert sent.wait(60)


def test_client_that_leaves_within_a_body_is_noted() -> None:
    seen: list[str] = []

    def handler(asked: Request) -> Response:
        try:
            asked.body.read(1000)
        except ClientGone as error:
            seen.append(type(error).__name__)
            raise
        return Response(200)

    with Serving(handler) as served:
        with served.connect() as client:
            client.send(request("PUT /\nContent-Length: 100") + b"x" * 10)
        done, = served.wait_done()
        assert seen == ["ClientGone"] and (done.status, done.received, done.error) == (0, 10, "")


# ---------------------------------------------------------------- responses
def test_file_is_sent_whole_and_in_part(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "f").write_bytes(data)

    def handler(asked: Request) -> Response:
        first, count = int(asked.query["first"]), int(asked.query["count"])
        return Response(200, (), File(os.open(tmp_path / "f", os.O_RDONLY), first, count))

    with Serving(handler) as served, served.connect() as client:
        for first, count in ((0, 3_000_000), (17, 100_000), (5, 0)):
            client.send(request(f"GET /?first={first}&count={count}"))
            assert client.answer().body == data[first:first + count]


def test_file_that_became_shorter_breaks_the_connection(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    with Serving(lambda asked: Response(200, (), File(os.open(tmp_path / "f", os.O_RDONLY), 0, 10))) as served, served.connect() as client:
        client.send(request("GET /"))
        assert b"200" in client.head()
        assert client.all() == b"abc"


def test_stream_is_chunked_and_its_head_comes_first() -> None:
    go_on = threading.Event()

    def chunks() -> Iterator[bytes]:
        go_on.wait(60)
        yield b"one"
        yield b""
        yield b"two" * 10_000

    with Serving(lambda asked: Response(200, (), Stream(chunks()))) as served, served.connect() as client:
        client.send(request("GET /"))
        head = client.head()
        assert b"chunked" in head and client.rest == b""
        go_on.set()
        assert client._chunks() == b"one" + b"two" * 10_000


def test_stream_to_http_1_0_ends_with_the_connection() -> None:
    with Serving(lambda asked: Response(200, (), Stream(iter([b"a", b"b"])))) as served, served.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        found = client.answer()
        assert "transfer-encoding" not in found.headers and found.body == b"ab"


def test_stream_that_fails_ends_without_its_end() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise ValueError("broken")

    with Serving(lambda asked: Response(200, (), Stream(chunks()))) as served, served.connect() as client:
        client.send(request("GET /"))
        client.head()
        assert client.all() == b"3\r\none\r\n"
        assert served.wait_done()[0].error == "ValueError: broken"


def test_stream_is_closed_when_the_client_leaves() -> None:
    closed = threading.Event()

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    with Serving(lambda asked: Response(200, (), Stream(chunks()))) as served:
        with served.connect() as client:
            client.send(request("GET /"))
            client.head()
        assert closed.wait(60)


def test_head_has_the_length_and_no_body(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")

    def handler(asked: Request) -> Response:
        if asked.path == "/file":
            return Response(200, (), File(os.open(tmp_path / "f", os.O_RDONLY), 0, 3))
        return Response(200, (), Empty(1 << 40) if asked.path == "/empty" else b"abcd")

    with Serving(handler) as served, served.connect() as client:
        for path, length in (("/file", 3), ("/empty", 1 << 40), ("/bytes", 4)):
            client.send(request(f"HEAD {path}"))
            assert client.answer("HEAD").headers["content-length"] == str(length)


@pytest.mark.parametrize("status", [204, 304])
def test_bodiless_status_has_no_length(status: int) -> None:
    with Serving(lambda asked: Response(status)) as served, served.connect() as client:
        client.send(request("GET /"))
        assert "content-length" not in client.answer().headers
        client.send(request("GET /"))
        assert client.answer().status == status


def test_exception_of_a_handler_is_an_answer_that_says_nothing() -> None:
    with Serving(lambda asked: Response(200, (), str(1 // 0).encode())) as served:
        found = served.ask("GET /")
        assert (found.status, found.body) == (500, b"internal error\n")
        assert "ZeroDivisionError" in served.wait_done()[0].error


def test_header_with_a_line_break_is_never_sent() -> None:
    with Serving(lambda asked: Response(200, (("X", "a\r\nSet-Cookie: b"),))) as served, served.connect() as client:
        client.send(request("GET /"))
        assert client.all() == b""
        assert "LocalProtocolError" in served.wait_done()[0].error


def test_done_counts_bytes_and_status(echoing: Serving) -> None:
    before = len(echoing.done)
    body = echoing.ask("POST /count\nContent-Length: 7", b"1234567").body
    done = echoing.wait_done(before + 1)[-1]
    assert (done.status, done.received, done.sent, done.request.path) == (200, 7, len(body), "/count")


# ---------------------------------------------------------------- slow clients
def test_slow_head_is_cut_off() -> None:
    with Serving(echo, Limits(head_s=0.3)) as served, served.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(5):
            threading.Event().wait(0.1)
            try:
                client.send(b"X: y\r\n")
            except OSError:
                break
        assert client.answer().status == 408


def test_idle_connection_is_closed_silently() -> None:
    with Serving(echo, Limits(idle_s=0.1)) as served, served.connect() as client:
        client.send(request("GET /"))
        client.answer()
        assert client.all() == b""


def test_body_that_stops_is_408() -> None:
    with Serving(echo, Limits(body_s=0.1)) as served:
        with served.connect() as client:
            client.send(request("PUT /\nContent-Length: 10") + b"abc")
            assert client.answer().status == 408
        with served.connect() as client:
            client.send(request("PUT /\nTransfer-Encoding: chunked") + b"3\r\nabc\r\n")
            assert client.answer().status == 408


def test_body_that_trickles_is_cut_off() -> None:
    with Serving(echo, Limits(body_s=0.2, body_rate=1000, linger_s=0.1)) as served, served.connect() as client:
        client.send(request("PUT /\nContent-Length: 100000"))
        for _ in range(20):
            try:
                client.send(b"x")
            except OSError:
                break
            threading.Event().wait(0.05)
        assert client.answer().status == 408


def test_client_that_does_not_read_is_cut_off() -> None:
    with Serving(lambda asked: Response(200, (), b"x" * 50_000_000), Limits(send_s=0.2)) as served, served.connect() as client:
        client.send(request("GET /"))
        done, = served.wait_done()
        assert done.error == ""
