"""Keeps values under names. PUT /name, GET /name."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

values: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        values[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(201)

    def do_GET(self) -> None:
        if self.path in values:
            self.reply(200, values[self.path])
        else:
            self.reply(404)

    def reply(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
