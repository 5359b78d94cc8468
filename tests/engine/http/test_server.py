"""The server as a whole: many connections, too many of them, peers, a graceful end."""

import os
import select
import threading
from pathlib import Path

from engine.http.address import Address
from engine.http.limits import Limits
from engine.http.message import Request, Response
from tests.engine.serving import Serving, request


def hello(asked: Request) -> Response:
    return Response(200, (), str(asked.peer).encode())


def test_unix_peer_is_known(tmp_path: Path) -> None:
    with Serving(hello, address=Address(path=str(tmp_path / "s.sock"))) as served:
        assert served.ask("GET /").body == f"uid={os.geteuid()}".encode()
        served.stop()
        assert not (tmp_path / "s.sock").exists()


def test_many_connections_at_once() -> None:
    with Serving(hello) as served:
        clients = [served.connect() for _ in range(50)]
        for client in clients:
            client.send(request("GET /"))
        assert [client.answer().status for client in clients] == [200] * 50
        for client in clients:
            client.close()


def test_too_many_connections_close_the_longest_idle() -> None:
    with Serving(hello, Limits(connections=3)) as served:
        clients = []
        for _ in range(5):
            client = served.connect()
            client.send(request("GET /"))
            assert client.answer().status == 200
            clients.append(client)
        assert served.server.connections == 3
        clients[4].send(request("GET /"))
        assert clients[4].answer().status == 200       # the last one has its place
        poll = select.poll()
        for client in clients[:4]:                     # two of these were idle for longest
            poll.register(client.socket, select.POLLIN)
        while len(closed := poll.poll(10_000)) < 2:
            assert closed
        for client in clients:
            client.close()


def test_connections_at_work_are_not_closed_for_new_ones() -> None:
    release = threading.Event()

    def handler(asked: Request) -> Response:
        assert release.wait(60)
        return Response(200)

    with Serving(handler, Limits(connections=2)) as served:
        working = [served.connect() for _ in range(2)]
        for client in working:
            client.send(request("GET /"))
        waiting = served.connect()                     # in the kernel's queue
        waiting.send(request("GET /"))
        release.set()
        for client in (*working, waiting):
            assert client.answer().status == 200
            client.close()


def test_stop_lets_requests_finish_and_closes_idle_connections() -> None:
    reached, release = threading.Event(), threading.Event()

    def handler(asked: Request) -> Response:
        if asked.path == "/slow":
            reached.set()
            assert release.wait(60)
        return Response(200, (), b"done")

    with Serving(handler) as served:
        idle, fresh, busy = served.connect(), served.connect(), served.connect()
        idle.send(request("GET /"))
        idle.answer()
        busy.send(request("GET /slow"))
        assert reached.wait(60)
        served.server.stop()
        assert idle.all() == b"" and fresh.all() == b""
        release.set()
        found = busy.answer()
        assert (found.body, found.headers["connection"]) == (b"done", "close")
        served.stop()
        for client in (idle, fresh, busy):
            client.close()


def test_abort_ends_what_does_not_end() -> None:
    reached = threading.Event()

    def handler(asked: Request) -> Response:
        reached.set()
        asked.body.read(100)
        return Response(200)

    with Serving(handler) as served, served.connect() as client:
        client.send(request("PUT /\nContent-Length: 10"))
        assert reached.wait(60)
        served.server.stop()
        served.server.abort()
        served.stop()
        assert client.all() == b""


def test_descriptors_are_given_back() -> None:
    with Serving(hello) as served:
        served.ask("GET /")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            served.ask("GET /")
        served.wait_done(21)
        served.stop()
        assert len(os.listdir("/proc/self/fd")) <= before
