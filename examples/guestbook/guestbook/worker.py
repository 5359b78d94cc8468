"""The worker: greets whoever signed and was not greeted yet."""

import os
import time
import urllib.error

from guestbook.web import call

INTERVAL_S = float(os.environ.get("WORKER_INTERVAL", "1"))


def greeting(entry: dict) -> str:
    return f"Welcome, {entry['name']}!"


def greet_all() -> int:
    fresh = [e for e in call("/entries") if not e["greeting"]]
    for entry in fresh:
        call("/greet", {"id": entry["id"], "greeting": greeting(entry)})
        print(f"worker: greeted {entry['name']}", flush=True)
    return len(fresh)


def run() -> None:
    print("worker: ready", flush=True)
    while True:
        try:
            greet_all()
        except urllib.error.URLError as error:
            print(f"worker: the store does not answer: {error.reason}", flush=True)
        time.sleep(INTERVAL_S)
