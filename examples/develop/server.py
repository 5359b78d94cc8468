"""Serves the directory `site`, and says at / what it was built with."""

import os
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        body = f"{os.environ['GREETING']}, version 1\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


os.chdir("site")
ThreadingHTTPServer(("", 8080), Handler).serve_forever()
