"""TLS: whole requests, client certificates, files that are wrong, peers that are not TLS."""

import os
import ssl
import threading
from pathlib import Path

import pytest

from engine.errors import InvalidCertificate
from engine.http.limits import Limits
from engine.http.message import File, Request, Response
from engine.http.tls import load_certificate, server_context
from tests.engine.http.conftest import Authority
from tests.engine.http.test_hijack import TlsClient
from tests.engine.serving import Client, Serving, request


def who(asked: Request) -> Response:
    return Response(200, (), f"{asked.scheme} {dict(asked.peer.certificate).get('commonName', 'nobody')} {len(asked.body.read(1 << 24))}".encode())


def test_requests_over_tls(tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with Serving(who, tls=tls) as served, TlsClient(served.connect(), client_tls) as client:
        client.send(request("PUT /\nContent-Length: 3000000") + b"x" * 3_000_000)
        assert client.answer().body == b"https nobody 3000000"
        client.send(request("GET /"))
        assert client.answer().status == 200


def test_file_over_tls(tls: ssl.SSLContext, client_tls: ssl.SSLContext, tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    (tmp_path / "f").write_bytes(data)
    with Serving(lambda asked: Response(200, (), File(os.open(tmp_path / "f", os.O_RDONLY), 1, 1_999_999)), tls=tls) as served:
        with TlsClient(served.connect(), client_tls) as client:
            client.send(request("GET /"))
            assert client.answer().body == data[1:]


def test_client_certificate_is_asked_for_and_known(authority: Authority, server_files: tuple[str, str]) -> None:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(*authority.issue("alice"))
    with Serving(who, tls=server_context(*server_files, str(authority.certificate))) as served:
        with TlsClient(served.connect(), context) as client:
            client.send(request("GET /"))
            assert client.answer().body == b"https alice 0"


def test_client_without_certificate_is_turned_away(authority: Authority, server_files: tuple[str, str], client_tls: ssl.SSLContext) -> None:
    with Serving(who, tls=server_context(*server_files, str(authority.certificate))) as served, served.connect() as plain:
        with pytest.raises((ssl.SSLError, OSError)):
            client = TlsClient(plain, client_tls)
            client.send(request("GET /"))
            client.answer()
    assert not served.done


def test_plain_client_is_told_to_speak_tls(tls: ssl.SSLContext) -> None:
    with Serving(who, tls=tls) as served, served.connect() as client:
        client.send(request("GET /"))
        answer = client.answer()
        assert answer.status == 400 and b"TLS" in answer.body
    assert not served.done


def test_client_that_speaks_neither_is_cut_off(tls: ssl.SSLContext) -> None:
    with Serving(who, tls=tls) as served, served.connect() as client:
        client.send(b"\0" * 100)
        assert b"HTTP" not in client.all()
    assert not served.done


def test_handshake_that_stops_is_cut_off(tls: ssl.SSLContext) -> None:
    with Serving(who, Limits(head_s=0.2), tls=tls) as served, served.connect() as client:
        for byte in b"\x16\x03\x01\x02\x00":
            try:
                client.send(bytes([byte]))
            except OSError:
                break
            threading.Event().wait(0.1)
        assert client.all() == b""


def test_server_says_goodbye(tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """A close_notify, so that the client can tell an end from a cut."""
    with Serving(who, tls=tls) as served, TlsClient(served.connect(), client_tls) as client:
        client.send(request("GET / HTTP/1.1\nConnection: close"))
        client.answer()
        assert client.all() == b""                     # else SSLEOFError


def test_certificate_is_renewed_while_serving(authority: Authority, tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    def subject(client: Client) -> object:
        assert isinstance(client, TlsClient)
        return client.peer_name()

    with Serving(who, tls=tls) as served:
        with TlsClient(served.connect(), client_tls) as client:
            assert subject(client) == "server"
        load_certificate(tls, *authority.issue("renewed"))
        with TlsClient(served.connect(), client_tls) as client:
            assert subject(client) == "renewed"


def test_files_that_are_wrong(tmp_path: Path, server_files: tuple[str, str], authority: Authority) -> None:
    certificate, key = server_files
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    with pytest.raises(InvalidCertificate, match=r"missing.pem` cannot be used: no such file"):
        server_context(str(tmp_path / "missing.pem"), key)
    with pytest.raises(InvalidCertificate, match=r"nonsense` cannot be used: "):
        server_context(str(nonsense), key)
    with pytest.raises(InvalidCertificate, match="key values mismatch"):
        server_context(certificate, authority.issue("other")[1])
    with pytest.raises(InvalidCertificate, match=r"nonsense` cannot be used: "):
        server_context(certificate, key, str(nonsense))
