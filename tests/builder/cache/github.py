"""GitHub's cache service (version 2) in memory: Twirp calls and the blob store behind its signed URLs, as far as caches use them."""

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SERVICE = "/twirp/github.actions.results.api.v1.CacheService/"


class FakeGithub:
    """entries: (key, version) -> bytes, in the order in which they were finished; faults: may answer a request first."""

    token = "runtime-token"

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], bytes] = {}
        self.reserved: dict[tuple[str, str], str] = {}
        self.uploads: dict[str, bytes] = {}
        self.blocks: dict[str, dict[str, bytes]] = {}
        self.faults: list[Callable[[Handler], bool]] = []
        self.calls: list[str] = []
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.github = self       # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeGithub":
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # ------------------------------------------------------------ the service
    def call(self, name: str, message: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        key = (message["key"], message["version"])
        if name == "CreateCacheEntry":
            if key in self.entries or key in self.reserved:
                return 409, {"code": "already_exists", "msg": "cache entry with the same key, version, and scope already exists"}
            self.reserved[key] = f"upload{len(self.reserved)}"
            return 200, {"ok": True, "signed_upload_url": f"{self.url}/blob/{self.reserved[key]}?sig=abc%3D"}
        if name == "FinalizeCacheEntryUpload":
            data = self.uploads[self.reserved[key]]
            if len(data) != int(message["size_bytes"]):
                return 400, {"code": "invalid_argument", "msg": "size"}
            self.entries[key] = data
            return 200, {"ok": True, "entry_id": "1"}
        if name == "GetCacheEntryDownloadURL":
            found = [k for k in self.entries if k[1] == message["version"] and (k[0] == message["key"] or any(k[0].startswith(r) for r in message.get("restore_keys", ())))]
            if not found:
                return 200, {"ok": False, "signed_download_url": "", "matched_key": ""}
            exact = [k for k in found if k[0] == message["key"]]
            chosen = exact[0] if exact else found[-1]
            return 200, {"ok": True, "signed_download_url": f"{self.url}/entry/{list(self.entries).index(chosen)}?sig=abc%3D", "matched_key": chosen[0]}
        return 404, {"code": "bad_route"}

    def put(self, name: str, query: dict[str, list[str]], body: bytes, kind: str) -> int:
        """A write to the blob store."""
        if query.get("sig") != ["abc="]:
            return 403
        what = query.get("comp", [""])[0]
        if what == "block":
            self.blocks.setdefault(name, {})[query["blockid"][0]] = body
        elif what == "blocklist":
            self.uploads[name] = b"".join(self.blocks[name][block] for block in re.findall("<Latest>(.*?)</Latest>", body.decode()))
        elif kind != "BlockBlob":
            return 400
        else:
            self.uploads[name] = body
        return 201


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def github(self) -> FakeGithub:
        found: FakeGithub = self.server.github       # type: ignore[attr-defined]
        return found

    def log_message(self, *what: object) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fault(self) -> bool:
        with self.github.lock:
            return any(fault(self) for fault in list(self.github.faults))

    def do_POST(self) -> None:
        body = self._body()
        if self._fault():
            return
        if self.headers.get("Authorization") != f"Bearer {FakeGithub.token}":
            self.reply(401, b'{"code":"unauthenticated"}')
            return
        name = self.path.removeprefix(SERVICE)
        with self.github.lock:
            self.github.calls.append(name)
            status, answer = self.github.call(name, json.loads(body))
        self.reply(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def do_PUT(self) -> None:
        body = self._body()
        if self._fault():
            return
        parts = urlsplit(self.path)
        with self.github.lock:
            assert "Authorization" not in self.headers, "the blob store is told a token that is not for it"
            self.reply(self.github.put(parts.path.removeprefix("/blob/"), parse_qs(parts.query), body, self.headers.get("x-ms-blob-type", "")))

    def do_GET(self) -> None:
        if self._fault():
            return
        with self.github.lock:
            data = list(self.github.entries.values())[int(urlsplit(self.path).path.removeprefix("/entry/"))]
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.reply(206 if begin else 200, data[begin:])
