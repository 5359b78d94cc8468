"""HTTP against a real server: validators, redirects, what breaks and is taken up again, limits."""

import gzip
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.remote.address import parse_address
from builder.remote.body import Body
from builder.remote.errors import BadAddress, DownloadFailed
from builder.remote.transfer import NOTHING, Answer, Http, Known, Limits, seconds_of
from tests.builder.remote.servers import OLD, Page, Web, certificate, web

HASTY = Limits(pause_s=0.01, idle_s=5.0, connect_s=5.0)
BODY = os.urandom(300_000)


class Download:
    """One download into a file, and what came."""

    def __init__(self, place: Path) -> None:
        self.path = place / "body"
        self.notes: list[str] = []
        self.body = Body(str(self.path))

    def __call__(self, url: str, *, known: Known = NOTHING, authorization: str = "", limits: Limits = HASTY, environment: dict[str, str] | None = None) -> Answer:
        http = Http(environment or {}, limits, self.notes.append)
        try:
            return http.download(parse_address(url), self.body, known=known, authorization=authorization)
        finally:
            http.close()

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def download(tmp_path: Path) -> Iterator[Download]:
    made = Download(tmp_path)
    yield made
    made.body.close()


def test_body_and_its_validators(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, etag='"1"', modified=OLD)
    answer = download(f"{site.url}/f")
    assert download.data == BODY and download.body.size == len(BODY)
    assert answer.last_modified == OLD and answer.known.etag == '"1"' and answer.known.last_modified


def test_request_asks_for_the_body_as_it_is(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(b"x")
    download(f"{site.url}/f")
    assert site.asked[0].headers["Accept-Encoding"] == "identity" and "Authorization" not in site.asked[0].headers


# ---------------------------------------------------------------- asking again
def test_unchanged_by_etag_and_by_time(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, etag='"1"', modified=OLD)
    assert download(f"{site.url}/f", known=Known('"1"')).status == 304
    known = Known("", "Fri, 14 Jul 2017 02:40:00 GMT")
    assert seconds_of(known.last_modified) == OLD
    assert download(f"{site.url}/f", known=known).status == 304
    assert download.body.size == 0


def test_changed_gives_the_new_body(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, etag='"2"')
    assert download(f"{site.url}/f", known=Known('"1"')) == Answer(200, Known('"2"'), 0)
    assert download.data == BODY


def test_server_that_heeds_no_condition_is_told_by_its_etag(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, etag='"1"', stubborn=True)
    assert download(f"{site.url}/f", known=Known('"1"')).status == 304
    assert download.body.size == 0


def test_weak_etag_of_a_full_answer_says_nothing(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, etag='W/"1"', stubborn=True)
    assert download(f"{site.url}/f", known=Known('W/"1"')).status == 200
    assert download.data == BODY


def test_time_of_a_file_that_had_just_changed_is_no_validator(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(b"x", modified=int(time.time()) - 5)
    answer = download(f"{site.url}/f")
    assert answer.last_modified and not answer.known.last_modified


@pytest.mark.parametrize("text", ["", "yesterday", "Mon, 99 Jan 2020 00:00:00 GMT", "Fri, 01 Jan 1960 00:00:00 GMT", "Thu, 01 Jan 99999 00:00:00 GMT"])
def test_dates_that_do_not_read_are_none(text: str) -> None:
    assert seconds_of(text) == 0


# ---------------------------------------------------------------- redirects
def test_redirect_is_followed_to_the_body(site: Web, download: Download) -> None:
    site.pages["/a"] = Page(status=302, headers={"Location": "b/c"})
    site.pages["/b/c"] = Page(status=308, headers={"Location": f"{site.url}/d?e=f"})
    site.pages["/d?e=f"] = Page(BODY)
    download(f"{site.url}/a")
    assert download.data == BODY


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "unix:/run/docker.sock"])
def test_redirect_to_another_scheme_is_refused(site: Web, download: Download, location: str) -> None:
    site.pages["/a"] = Page(status=302, headers={"Location": location})
    with pytest.raises(DownloadFailed, match="it redirects to"):
        download(f"{site.url}/a")
    assert download.body.size == 0


def test_redirect_in_a_circle_ends(site: Web, download: Download) -> None:
    site.pages["/a"] = Page(status=302, headers={"Location": "/a"})
    with pytest.raises(DownloadFailed, match="more than 10 times"):
        download(f"{site.url}/a")
    assert len(site.asked) == 10


def test_authorization_goes_to_its_own_origin_only(site: Web, download: Download) -> None:
    with web() as other:
        site.pages["/a"] = Page(status=302, headers={"Location": "/b"})
        site.pages["/b"] = Page(status=302, headers={"Location": f"http://user:pass@127.0.0.1:{other.port}/c"})
        other.pages["/c"] = Page(BODY)
        download(f"{site.url}/a", authorization="Bearer t")
        assert [one.headers.get("Authorization") for one in site.asked] == ["Bearer t", "Bearer t"]
        assert "Authorization" not in other.asked[0].headers


# ---------------------------------------------------------------- what breaks
def test_broken_transfer_is_taken_up_where_it_ended(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, etag='"1"', broken=[100_000, 50_000])
    download(f"{site.url}/f")
    assert download.data == BODY
    assert site.statuses("/f") == [200, 206, 206]
    assert site.asked[1].headers["If-Range"] == '"1"'


def test_broken_transfer_of_a_file_that_changed_begins_anew(site: Web, download: Download) -> None:
    page = site.pages["/f"] = Page(b"o" * 200_000, etag='"1"', broken=[100_000])

    def change() -> None:
        if len(site.asked) == 1:
            page.body, page.etag = BODY, '"2"'

    page.before = change
    assert download(f"{site.url}/f").known.etag == '"2"'
    assert download.data == BODY and site.statuses("/f") == [200, 200]


def test_broken_transfer_from_a_server_without_ranges_begins_anew(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, etag='"1"', broken=[100_000], ranges=False)
    download(f"{site.url}/f")
    assert download.data == BODY and site.statuses("/f") == [200, 200]


def test_broken_transfer_without_a_strong_validator_begins_anew(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, etag='W/"1"', broken=[100_000])
    download(f"{site.url}/f")
    assert download.data == BODY and "Range" not in site.asked[1].headers


def test_transfer_that_breaks_every_time_fails_with_a_reason(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, broken=[1, 1, 1, 1, 1])
    with pytest.raises(DownloadFailed, match="the transfer broke off"):
        download(f"{site.url}/f")
    assert len(site.asked) == 4 and len(download.notes) == 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_trouble_is_waited_out(site: Web, download: Download, status: int) -> None:
    site.pages["/f"] = Page(BODY, statuses=[status, status], headers={"Retry-After": "0"})
    download(f"{site.url}/f")
    assert download.data == BODY and site.statuses("/f") == [status, status, 200]


def test_server_that_asks_for_a_long_wait_is_not_waited_for(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY, statuses=[503], headers={"Retry-After": "3600"})
    with pytest.raises(DownloadFailed, match="the server says 503"):
        download(f"{site.url}/f")


def test_refusal_is_final_and_says_what_helps(site: Web, download: Download) -> None:
    with pytest.raises(DownloadFailed) as missing:
        download(f"{site.url}/missing")
    assert missing.value.status == 404 and len(site.asked) == 1 and not missing.value.help
    site.pages["/f"] = Page(auth="Bearer t")
    with pytest.raises(DownloadFailed) as closed:
        download(f"{site.url}/f")
    assert closed.value.status == 401 and f"HTTP_AUTH_TOKEN_127.0.0.1:{site.port}" in closed.value.help


def test_nobody_listens_or_no_such_host(download: Download) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(DownloadFailed, match=rf"`127.0.0.1:{port}` does not answer \(connection refused\)"):
        download(f"http://127.0.0.1:{port}/")
    with pytest.raises(DownloadFailed, match=r"there is no host `nowhere\.invalid`"):
        download("http://nowhere.invalid/")


def test_silent_server_is_given_up(download: Download) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(DownloadFailed, match="takes too long"):
            download(f"http://127.0.0.1:{silent.getsockname()[1]}/", limits=HASTY._replace(idle_s=0.05, attempts=2))


def test_certificate_that_nobody_signed_is_refused_at_once(download: Download, tmp_path: Path) -> None:
    with web(certificate=certificate(tmp_path)) as server:
        server.pages["/f"] = Page(BODY)
        with pytest.raises(DownloadFailed, match="the connection is not secure"):
            download(f"{server.url}/f")
        assert not server.asked and not download.notes


def test_server_that_speaks_no_http(download: Download) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        def talk() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(b"\x00\x1b[2J nonsense\r\n\r\n")
                connection.close()

        threading.Thread(target=talk, daemon=True).start()
        with pytest.raises(DownloadFailed) as failed:
            download(f"http://127.0.0.1:{server.getsockname()[1]}/")
        assert "\x1b" not in str(failed.value)


# ---------------------------------------------------------------- limits, encodings, proxies
def test_too_large_by_its_own_word_and_in_truth(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY)
    with pytest.raises(DownloadFailed, match="300000 bytes, more than the 1000"):
        download(f"{site.url}/f", limits=HASTY._replace(size=1000))
    assert download.body.size == 0
    site.pages["/g"] = Page(gzip.compress(b"0" * 2_000_000), headers={"Content-Encoding": "gzip"})
    with pytest.raises(DownloadFailed, match="more than the 1000000 bytes"):
        download(f"{site.url}/g", limits=HASTY._replace(size=1_000_000))


def test_download_that_takes_too_long_ends(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(BODY)
    with pytest.raises(DownloadFailed, match="takes longer than 0 s"):
        download(f"{site.url}/f", limits=HASTY._replace(total_s=0.0))


def test_encoding_that_nobody_asked_for(site: Web, download: Download) -> None:
    site.pages["/f"] = Page(gzip.compress(BODY), etag='"1"', headers={"Content-Encoding": "gzip"})
    assert download(f"{site.url}/f").known == NOTHING
    assert download.data == BODY
    site.pages["/g"] = Page(b"?", headers={"Content-Encoding": "br"})
    with pytest.raises(DownloadFailed, match="encoded as `br`"):
        download(f"{site.url}/g")
    site.pages["/h"] = Page(b"no gzip at all, but long enough", headers={"Content-Encoding": "gzip"})
    with pytest.raises(DownloadFailed, match="damaged gzip"):
        download(f"{site.url}/h")


def test_proxy_of_the_environment_is_asked(site: Web, download: Download) -> None:
    site.pages["http://files.example/f"] = Page(BODY)
    download("http://files.example/f", environment={"http_proxy": f"http://user:pw@127.0.0.1:{site.port}"})
    assert download.data == BODY
    assert site.asked[0].headers["Proxy-Authorization"] == "Basic dXNlcjpwdw=="


def test_proxy_that_is_none(download: Download) -> None:
    with pytest.raises(BadAddress, match="only http and https proxies"):
        download("http://files.example/f", environment={"all_proxy": "socks5://127.0.0.1:1"})
    with pytest.raises(DownloadFailed, match="the proxy cannot be used"):
        download("http://files.example/f", environment={"http_proxy": "http://127.0.0.1:9"})
