"""python -m guestbook web|store|worker|health"""

import signal
import sys
import urllib.request

from guestbook import store, web, worker


def health() -> None:
    urllib.request.urlopen("http://127.0.0.1:8080/health", timeout=1).read()


def version() -> None:
    from guestbook import version as built

    print("guestbook", built.VERSION)


COMMANDS = {"web": web.serve, "store": store.serve, "worker": worker.run, "health": health, "version": version}

if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "web"
    if name not in COMMANDS:
        sys.exit(f"guestbook has no {name}: one of {', '.join(COMMANDS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))     # process 1 has no default for it: without this, stopping takes ten seconds
    COMMANDS[name]()
