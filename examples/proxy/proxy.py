"""Hands each GET to the next address that NAME has; to the one after that if it does not answer. python3 proxy.py NAME PORT"""

import itertools
import socket
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, PORT = sys.argv[1], int(sys.argv[2])
turn = itertools.count()


def upstreams() -> list[str]:
    """All addresses of the replicas that run now, beginning with the one whose turn it is."""
    found = sorted({one[4][0] for one in socket.getaddrinfo(NAME, PORT, socket.AF_INET, socket.SOCK_STREAM)})
    first = next(turn) % len(found)
    return found[first:] + found[:first]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            self.reply(200, self.ask())
        except OSError as error:
            self.reply(502, f"no replica answers: {error}\n".encode())

    def ask(self) -> bytes:
        for address in (every := upstreams()):
            try:
                with urllib.request.urlopen(f"http://{address}:{PORT}{self.path}", timeout=5) as answer:
                    return answer.read()
            except urllib.error.URLError:
                if address == every[-1]:
                    raise
        return b""

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


ThreadingHTTPServer(("", 8080), Handler).serve_forever()
