"""A registry of the tests' own: the distribution spec in memory, and everything that can go wrong with one, on demand.

`with FakeRegistry() as registry:`; put images into it by `image`, or by pushing; add faults, each of which may answer a request in its own way;
look at `log` for what was asked.
"""

import hashlib
import json
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

from store.oci import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST

Fault = Callable[["Handler"], bool]      # True: the request is answered (or the connection gone)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Asked:
    """One request that came."""

    def __init__(self, method: str, path: str, headers: dict[str, str]) -> None:
        self.method, self.path, self.headers = method, path, headers

    def __repr__(self) -> str:
        return f"{self.method} {self.path}"


class FakeRegistry:
    def __init__(self, *, auth: str = "", user: str = "me", password: str = "secret", tls: "tuple[str, str] | None" = None,
                 referrers: bool = True, realm: str = "") -> None:
        """auth: "", "basic" or "token". tls: (certificate, key) files. realm: of another registry's token service."""
        self.auth, self.user, self.password, self.realm = auth, user, password, realm
        self.has_referrers = referrers
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.names = count()             # of upload sessions: never the same one twice
        self.faults: list[Fault] = []
        self.log: list[Asked] = []
        self.tokens: dict[str, str] = {}
        self.private: set[str] = set()   # repositories whose blobs are not given to mounts
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.registry = self     # type: ignore[attr-defined]
        self.scheme = "https" if tls else "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def __enter__(self) -> "FakeRegistry":
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # ------------------------------------------------------------ content
    def put_blob(self, repository: str, data: bytes) -> str:
        self.blobs.setdefault(repository, {})[digest_of(data)] = data
        return digest_of(data)

    def put_manifest(self, repository: str, reference: str, document: "dict[str, Any] | bytes", media_type: str = OCI_MANIFEST) -> str:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.manifests.setdefault(repository, {})[reference] = self.manifests[repository][digest_of(data)] = media_type, data
        return digest_of(data)

    def image(self, repository: str, tag: str, *layers: bytes, kind: str = OCI_LAYER, raw: "tuple[bytes, ...] | None" = None, architecture: str = "amd64",
              changes: "Callable[[dict[str, Any]], None] | None" = None) -> str:
        """Put an image of these tars; its manifest's digest. raw: what the layers are sent as; changes: made to the manifest before it is put."""
        blobs = raw or layers
        config = json.dumps({"architecture": architecture, "os": "linux", "config": {"Env": ["A=1"]},
                             "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}}).encode()
        self.put_blob(repository, config)
        manifest: dict[str, Any] = {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": kind, "digest": self.put_blob(repository, blob), "size": len(blob)} for blob in blobs]}
        if changes:
            changes(manifest)
        return self.put_manifest(repository, tag, manifest)

    def index(self, repository: str, tag: str, images: dict[str, str]) -> str:
        """images: platform -> digest of a manifest that is there."""
        entries = []
        for platform, digest in images.items():
            os, architecture, *variant = platform.split("/")
            entries.append({"mediaType": OCI_MANIFEST, "digest": digest, "size": len(self.manifests[repository][digest][1]),
                            "platform": {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}})
        return self.put_manifest(repository, tag, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, OCI_INDEX)

    # ------------------------------------------------------------ what was asked
    def asked(self, method: str, part: str = "") -> list[Asked]:
        return [a for a in self.log if a.method == method and part in a.path]

    # ------------------------------------------------------------ faults
    def fault(self, method: str, part: str, act: "Callable[[Handler], bool | None]", times: int = 1) -> None:
        """The next `times` requests of this method whose path has `part` are answered by `act`, unless it returns False."""
        left = [times]

        def fault(handler: "Handler") -> bool:
            with self.lock:
                if handler.command != method or part not in handler.path or not left[0]:
                    return False
                left[0] -= 1
            if act(handler) is not False:
                return True
            with self.lock:
                left[0] += 1
            return False

        self.faults.append(fault)

    def says(self, method: str, part: str, status: int, times: int = 1, headers: "dict[str, str] | None" = None, body: bytes = b"") -> None:
        self.fault(method, part, lambda handler: handler.reply(status, body, headers or {}), times)

    def drops(self, method: str, part: str, times: int = 1) -> None:
        """The connection is closed without a word."""
        self.fault(method, part, lambda handler: handler.drop(), times)

    def breaks(self, part: str, after: int, times: int = 1) -> None:
        """A GET is answered with its first `after` bytes, then the connection is gone."""
        self.fault("GET", part, lambda handler: handler.answer(limit=after), times)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def registry(self) -> FakeRegistry:
        return self.server.registry      # type: ignore[attr-defined, no-any-return]

    def log_message(self, *arguments: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ssl.SSLError):
            pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        with self.registry.lock:
            self.registry.log.append(Asked(self.command, self.path, dict(self.headers)))
        for fault in self.registry.faults:
            if fault(self):
                return
        if self.path.startswith("/token"):
            self._token()
        elif self._may():
            self.answer()

    # ------------------------------------------------------------ answering
    def reply(self, status: int, body: bytes = b"", headers: "dict[str, str] | None" = None, limit: "int | None" = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if limit is None else body[:limit])
        if limit is not None and limit < len(body):
            self.drop()

    def drop(self) -> None:
        self.close_connection = True
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def error(self, status: int, code: str, message: str = "") -> None:
        self.reply(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode())

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    # ------------------------------------------------------------ who asks
    def _may(self) -> bool:
        registry, said = self.registry, self.headers.get("Authorization", "")
        basic = "Basic " + b64encode(f"{registry.user}:{registry.password}".encode()).decode()
        if not registry.auth or said == basic or (registry.auth == "token" and said.removeprefix("Bearer ") in registry.tokens):
            return True
        self.body()
        realm = registry.realm or f"{registry.url}/token"
        challenge = f'Bearer realm="{realm}",service="fake",scope="repository:x:pull"' if registry.auth == "token" else 'Basic realm="fake"'
        self.reply(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {"WWW-Authenticate": challenge})
        return False

    def _token(self) -> None:
        registry = self.registry
        query = parse_qs(urlsplit(self.path).query)
        form = parse_qs(self.body().decode())
        basic = "Basic " + b64encode(f"{registry.user}:{registry.password}".encode()).decode()
        if form:
            if form.get("refresh_token") != ["identity"]:
                self.reply(401)
                return
        elif self.headers.get("Authorization") != basic:
            self.reply(401)
            return
        token = f"token{len(registry.tokens)}"
        registry.tokens[token] = " ".join(query.get("scope", form.get("scope", [])))
        self.reply(200, json.dumps({"token": token, "expires_in": 300}).encode())

    # ------------------------------------------------------------ the distribution spec
    def answer(self, limit: "int | None" = None) -> None:
        parts = urlsplit(self.path)
        words = parts.path.removeprefix("/v2/").split("/")
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        if words == [""]:
            self.reply(200, b"{}")
        elif words[-2:-1] == ["manifests"]:
            self._manifest("/".join(words[:-2]), words[-1], limit)
        elif words[-2:] == ["tags", "list"]:
            self._tags("/".join(words[:-2]), query)
        elif words[-2:-1] == ["referrers"]:
            self._referrers("/".join(words[:-2]), words[-1], query)
        elif words[-3:-1] == ["blobs", "uploads"]:
            self._upload("/".join(words[:-3]), words[-1], query)
        elif words[-2:-1] == ["blobs"]:
            self._blob("/".join(words[:-2]), words[-1], limit)
        else:
            self.error(404, "UNSUPPORTED")

    def _manifest(self, repository: str, reference: str, limit: "int | None") -> None:
        registry = self.registry
        if self.command == "PUT":
            data = self.body()
            digest = registry.put_manifest(repository, reference, data, self.headers["Content-Type"])
            headers = {"Docker-Content-Digest": digest}
            if registry.has_referrers and (subject := json.loads(data).get("subject")):
                headers["OCI-Subject"] = subject["digest"]
            self.reply(201, b"", headers)
            return
        found = registry.manifests.get(repository, {}).get(reference)
        if found is None:
            self.error(404, "MANIFEST_UNKNOWN")
            return
        headers = {"Content-Type": found[0], "Docker-Content-Digest": digest_of(found[1])}
        if self.command == "HEAD":
            headers["Content-Length"] = str(len(found[1]))
        self.reply(200, found[1], headers, limit)

    def _blob(self, repository: str, digest: str, limit: "int | None") -> None:
        data = self.registry.blobs.get(repository, {}).get(digest)
        if data is None:
            self.error(404, "BLOB_UNKNOWN")
            return
        if self.command == "HEAD":
            self.reply(200, b"", {"Content-Length": str(len(data))})
            return
        begin = self.headers.get("Range", "").removeprefix("bytes=").rstrip("-")
        if begin:
            rest = data[int(begin):]
            self.reply(206, rest, {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}, limit)
        else:
            self.reply(200, data, {}, limit)

    def _tags(self, repository: str, query: dict[str, str]) -> None:
        tags = sorted(t for t in self.registry.manifests.get(repository, {}) if ":" not in t and t > query.get("last", ""))
        page = tags[:2]
        headers = {"Link": f'</v2/{repository}/tags/list?last={page[-1]}&n=2>; rel="next"'} if len(tags) > 2 else {}
        self.reply(200, json.dumps({"name": repository, "tags": page}).encode(), headers)

    def _referrers(self, repository: str, digest: str, query: dict[str, str]) -> None:
        if not self.registry.has_referrers:
            self.error(404, "UNSUPPORTED")
            return
        found: dict[str, dict[str, Any]] = {}
        for kind, data in self.registry.manifests.get(repository, {}).values():
            document = json.loads(data)
            if document.get("subject", {}).get("digest") == digest:
                artifact = document.get("artifactType") or document["config"]["mediaType"]
                found[digest_of(data)] = {"mediaType": kind, "digest": digest_of(data), "size": len(data), "artifactType": artifact}
        entries = [e for e in found.values() if query.get("artifactType") in (None, e["artifactType"])]
        self.reply(200, json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode(), {"Content-Type": OCI_INDEX})

    def _upload(self, repository: str, session: str, query: dict[str, str]) -> None:
        registry = self.registry
        if self.command == "POST":
            other = query.get("from", "")
            data = registry.blobs.get(other, {}).get(query.get("mount", "")) if other not in registry.private else None
            self.body()
            if data is not None:
                registry.put_blob(repository, data)
                self.reply(201, b"", {"Location": f"/v2/{repository}/blobs/{query['mount']}"})
                return
            name = f"u{next(registry.names)}"
            registry.uploads[name] = bytearray()
            self.reply(202, b"", {"Location": f"/v2/{repository}/blobs/uploads/{name}?state=x", "Range": "0-0"})
            return
        upload = registry.uploads.get(session)
        if upload is None:
            self.body()
            self.error(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "PATCH":
            begin = self.headers.get("Content-Range", "").partition("-")[0]
            data = self.body()
            if begin and int(begin) != len(upload):
                self.reply(416)
                return
            upload += data
            self.reply(202, b"", self._where(repository, session, upload))
        elif self.command == "PUT":
            upload += self.body()
            if digest_of(bytes(upload)) != query["digest"]:
                self.error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
                return
            registry.put_blob(repository, bytes(upload))
            del registry.uploads[session]
            self.reply(201, b"", {"Docker-Content-Digest": query["digest"]})
        elif self.command == "GET":
            self.reply(204, b"", self._where(repository, session, upload))
        else:
            del registry.uploads[session]
            self.reply(204)

    def _where(self, repository: str, session: str, upload: bytearray) -> dict[str, str]:
        return {"Location": f"/v2/{repository}/blobs/uploads/{session}?state={len(upload)}", "Range": f"0-{max(len(upload) - 1, 0)}"}
