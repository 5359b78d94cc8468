"""Servers for the tests, on the loopback: files over HTTP that behave as they are told, git over HTTP and git://."""

import gzip
import os
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

OLD = 1_500_000_000                      # a time that is long ago: 2017-07-14T02:40:00Z


@dataclass
class Page:
    """What a path answers. etag, modified: validators, heeded unless `stubborn`; broken: how many bytes of the first answers come before
    the connection breaks; statuses: of the first answers; auth: the Authorization that is wanted."""

    body: bytes = b""
    etag: str = ""
    modified: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    statuses: list[int] = field(default_factory=list)
    stubborn: bool = False
    ranges: bool = True
    broken: list[int] = field(default_factory=list)
    auth: str = ""
    before: Callable[[], None] | None = None


@dataclass
class Asked:
    path: str
    status: int
    headers: dict[str, str]


class Web:
    """`pages`: path -> Page. `asked`: what was asked, in order."""

    def __init__(self, git: Path | None = None, certificate: Path | None = None) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.git = git
        self.git_auth = ""
        web = self

        class Handler(_Handler):
            server_pages = web

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "https" if certificate else "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def statuses(self, path: str) -> list[int]:
        return [one.status for one in self.asked if one.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_pages: Web
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/git/"):
            self._git()
            return
        if self.path.startswith("/dumb/"):               # a repository as plain files: git's oldest protocol
            assert self.server_pages.git is not None
            file = self.server_pages.git / self.path.partition("?")[0].removeprefix("/dumb/")
            self._answer(200, {}, file.read_bytes()) if file.is_file() else self._answer(404, {}, b"")
            return
        page = self.server_pages.pages.get(self.path)
        if page is None:
            self._answer(404, {}, b"")
            return
        if page.before is not None:
            page.before()
        if page.auth and self.headers.get("Authorization") != page.auth:
            self._answer(401, {}, b"")
            return
        if page.statuses:
            self._answer(page.statuses.pop(0), page.headers, b"")
            return
        headers = {**({"ETag": page.etag} if page.etag else {}), **page.headers}
        if page.modified:
            headers["Last-Modified"] = formatdate(page.modified, usegmt=True)
        if page.status == 200 and not page.stubborn and self._unchanged(page, headers):
            self._answer(304, headers, b"")
            return
        self._send(page, headers)

    do_POST = do_GET

    def _unchanged(self, page: Page, headers: dict[str, str]) -> bool:
        wanted = self.headers.get("If-None-Match")
        if wanted:
            return bool(page.etag) and page.etag.removeprefix("W/") in wanted
        return bool(page.modified) and self.headers.get("If-Modified-Since") == headers["Last-Modified"]

    def _send(self, page: Page, headers: dict[str, str]) -> None:
        body, status = page.body, page.status
        begin = self.headers.get("Range", "").removeprefix("bytes=").rstrip("-")
        if begin and page.ranges and self.headers.get("If-Range") in (None, page.etag, headers.get("Last-Modified")):
            if int(begin) >= len(body):
                self._answer(416, headers, b"")
                return
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
            body, status = body[int(begin):], 206
        cut = page.broken.pop(0) if page.broken else None
        self._answer(status, headers, body, cut)

    def _answer(self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None) -> None:
        self.server_pages.asked.append(Asked(self.path, status, {name.title(): value for name, value in self.headers.items()}))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304 and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.connection.close()
            self.close_connection = True

    # ------------------------------------------------------------ git
    def _git(self) -> None:
        """`git http-backend`, as a CGI program."""
        web = self.server_pages
        assert web.git is not None
        if web.git_auth and self.headers.get("Authorization") != web.git_auth:
            self._answer(401, {"WWW-Authenticate": 'Basic realm="here"'}, b"")
            return
        path, _, query = self.path.partition("?")
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(web.git), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path.removeprefix("/git"),
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"}
        done = subprocess.run(["git", "http-backend"], input=data, env=environment, capture_output=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self._answer(int(headers.pop("Status", "200").split()[0]), headers, body)


@contextmanager
def web(git: Path | None = None, certificate: Path | None = None) -> Iterator[Web]:
    server = Web(git, certificate)
    try:
        yield server
    finally:
        server.close()


def certificate(place: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed but itself, with its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime.now(UTC) - timedelta(days=1)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(begin).not_valid_after(begin + timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256()))
    path = place / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return path


@contextmanager
def git_daemon(base: Path) -> Iterator[str]:
    """Address of a git:// server for the repositories in `base`."""
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            subprocess.run(["git", "daemon", "--inetd", "--export-all", f"--base-path={base}", str(base)], stdin=self.request, stdout=self.request,
                           stderr=subprocess.DEVNULL)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"git://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Repository:
    """A repository with a work tree at `place`/work, published as the bare one that servers give."""

    def __init__(self, base: Path, name: str) -> None:
        self.work, self.bare = base / f"{name}.work", base / f"{name}.git"
        self.work.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare)], check=True, env=_environment(OLD))

    def git(self, *words: str, moment: int = OLD, cwd: Path | None = None) -> str:
        done = subprocess.run(["git", "-c", "protocol.file.allow=always", *words], cwd=cwd or self.work, env=_environment(moment), capture_output=True,
                              text=True)
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    def commit(self, files: dict[str, str], moment: int = OLD, message: str = "change") -> str:
        """Write the files (a name that ends in `*` is executable), commit and publish; the commit."""
        for name, text in files.items():
            path = self.work / name.rstrip("*")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if name.endswith("*"):
                path.chmod(0o755)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message, moment=moment)
        self.publish()
        return self.git("rev-parse", "HEAD")

    def publish(self) -> None:
        self.git("push", "--quiet", "--force", "--all", str(self.bare))
        self.git("push", "--quiet", "--force", "--tags", str(self.bare))
        self.git("update-server-info", cwd=self.bare)


def _environment(moment: int) -> dict[str, str]:
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in
           (("NAME", "Somebody"), ("EMAIL", "somebody@example.org"), ("DATE", f"{moment} +0000"))}
    return {**who, "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that another process or thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
