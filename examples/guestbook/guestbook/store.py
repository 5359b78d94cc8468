"""The store: entries in SQLite, over HTTP. GET /entries, POST /entries {"name", "text"}, POST /greet {"id", "greeting"}."""

import json
import os
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCHEMA = "CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, greeting TEXT)"


class Book:
    def __init__(self, path: str) -> None:
        self.path = path
        with self.open() as db:
            db.execute(SCHEMA)

    def open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=10)

    def entries(self) -> list[dict]:
        with self.open() as db:
            rows = db.execute("SELECT id, name, text, greeting FROM entry ORDER BY id").fetchall()
        return [dict(zip(("id", "name", "text", "greeting"), row)) for row in rows]

    def add(self, name: str, text: str) -> int:
        with self.open() as db:
            return db.execute("INSERT INTO entry (name, text) VALUES (?, ?)", (name[:80], text[:1000])).lastrowid

    def greet(self, number: int, greeting: str) -> None:
        with self.open() as db:
            db.execute("UPDATE entry SET greeting = ? WHERE id = ?", (greeting, number))


def handler(book: Book) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                self.reply(200, "ok")
            elif self.path == "/entries":
                self.reply(200, book.entries())
            else:
                self.reply(404, "not found")

        def do_POST(self) -> None:
            data = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if self.path == "/entries":
                self.reply(201, {"id": book.add(data["name"], data["text"])})
            elif self.path == "/greet":
                book.greet(data["id"], data["greeting"])
                self.reply(200, "ok")
            else:
                self.reply(404, "not found")

        def reply(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            print(f"store: {format % args}", flush=True)

    return Handler


def serve() -> None:
    book = Book(os.environ.get("GUESTBOOK_DB", "/data/guestbook.db"))
    print("store: listening on 8080", flush=True)
    ThreadingHTTPServer(("", 8080), handler(book)).serve_forever()
