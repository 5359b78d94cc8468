"""Trouble with connections and proxies, in words."""

import socket
import threading
from collections.abc import Iterator

import pytest

from store.reference import parse_reference
from store.registry.errors import RegistryUnreachable
from tests.store.registry.conftest import Sessions

LIMIT_S = 60.0


class Speaker:
    """Says the same to everybody who asks, and goes away. asked: how often."""

    def __init__(self) -> None:
        self.speech, self.asked = b"", 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(LIMIT_S)
                try:
                    if connection.recv(1 << 16):
                        self.asked += 1
                        connection.sendall(self.speech)
                        connection.shutdown(socket.SHUT_WR)
                        connection.recv(1)               # what was said is read before the connection is gone
                except OSError:
                    continue

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    made = Speaker()
    yield made
    made.close()


def reason(sessions: Sessions, name: str, proxy: str = "") -> RegistryUnreachable:
    session = sessions(environment={"https_proxy": proxy} if proxy else {}, attempts=3)
    with pytest.raises(RegistryUnreachable) as caught:
        session.repository(parse_reference(name)).manifest("1")
    return caught.value


def test_answer_that_breaks_off_says_where(sessions: Sessions, speaker: Speaker) -> None:
    speaker.speech = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789"
    assert reason(sessions, f"{speaker.host}/app:1").reason == "broke off after 10 of 100 bytes"


def test_connection_that_is_closed_without_an_answer_says_so(sessions: Sessions, speaker: Speaker) -> None:
    assert reason(sessions, f"{speaker.host}/app:1").reason == "closed the connection without an answer"


def test_proxy_that_wants_to_know_who_asks_is_asked_once(sessions: Sessions, speaker: Speaker) -> None:
    speaker.speech = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    error = reason(sessions, "registry.invalid/app:1", f"http://{speaker.host}")
    assert error.reason == "cannot be reached: the proxy says 407 Proxy Authentication Required" and "NAME:PASSWORD" in error.help
    assert speaker.asked == 1


def test_proxy_that_is_busy_is_asked_again(sessions: Sessions, speaker: Speaker) -> None:
    speaker.speech = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    assert reason(sessions, "registry.invalid/app:1", f"http://{speaker.host}").reason == "cannot be reached: the proxy says 503 Busy"
    assert speaker.asked == 3


@pytest.mark.parametrize("proxy", ["socks5://me:secret@proxy.invalid:1", "http://me:secret@proxy%:none"])
def test_proxy_that_cannot_be_used_is_named_without_its_password(sessions: Sessions, proxy: str) -> None:
    error = reason(sessions, "registry.invalid/app:1", proxy)
    assert "proxy" in error.reason and "secret" not in error.reason
