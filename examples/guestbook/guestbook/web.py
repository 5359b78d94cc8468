"""The page: shows the entries of the store, and takes new ones."""

import html
import json
import os
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><title>Guestbook</title><h1>Guestbook</h1><ul>{entries}</ul>
<form method=post><input name=name placeholder=Name> <input name=text placeholder=Words> <button>Sign</button></form>
"""


def store_url() -> str:
    return os.environ.get("STORE_URL", "http://store:8080")


def call(path: str, data: object = None) -> object:
    body = None if data is None else json.dumps(data).encode()
    with urllib.request.urlopen(urllib.request.Request(store_url() + path, data=body), timeout=5) as answer:
        return json.loads(answer.read())


def page(entries: list[dict]) -> str:
    rows = (f"<li><b>{html.escape(e['name'])}</b>: {html.escape(e['text'])} <i>{html.escape(e['greeting'] or '')}</i>" for e in entries)
    return PAGE.format(entries="\n".join(rows))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.reply(200, "ok" if self.path == "/health" else page(call("/entries")))

    def do_POST(self) -> None:
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        call("/entries", {"name": form.get("name", ["somebody"])[0], "text": form.get("text", [""])[0]})
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reply(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print(f"web: {format % args}", flush=True)


def serve() -> None:
    print("web: listening on 8080", flush=True)
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
