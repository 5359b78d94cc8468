"""Counts visits by path. python3 app.py DATABASE"""

import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with sqlite3.connect(sys.argv[1]) as db:
            db.execute("INSERT INTO visit (at, path) VALUES (datetime('now'), ?)", (self.path,))
            (count,) = db.execute("SELECT count(*) FROM visit WHERE path = ?", (self.path,)).fetchone()
        body = f"{count} visits to {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
