"""The process: started by a command (client.py), detached from it, gone when nothing needs it. In: argv and a listening socket at fd 3.

argv: run directory, root directory, path of the socket, fingerprint of the code, seconds to stay idle.
"""

import gc
import os
import resource
import sys

from kernel.locks import Lock
from runner.agent.errors import NetworkError
from runner.agent.loop import Loop
from runner.agent.outside import Here
from runner.agent.server import Server
from runner.agent.service import Service
from sandbox import wire

IDLE_S = 60.0
_DOOR = 3


def main() -> None:
    """Does not return."""
    run_directory, root, path, fingerprint, idle_s = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])
    if os.fork():
        os._exit(0)                                       # whoever started us reaps that one; we belong to nobody
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    alive = Lock(f"{run_directory}/agent.alive")
    alive.take()                                          # an agent that is on its way out finishes first
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    serve(run_directory, root, path, fingerprint, idle_s)
    os._exit(0)


def serve(run_directory: str, root: str, path: str, fingerprint: int, idle_s: float) -> None:
    """Until it is not needed."""
    loop = Loop()
    notices: list[str] = []

    def say(text: str) -> None:
        notices.append(text)
        print(text, file=sys.stderr, flush=True)

    service = Service(root, run_directory, loop, Here(), say)
    service.start()
    gc.collect()
    gc.freeze()
    if Server(wire.socket_of(_DOOR), path, fingerprint, idle_s, loop, service, notices).run():
        try:
            service.stop()
        except (OSError, NetworkError) as error:
            print(f"cannot tidy up: {error}", file=sys.stderr, flush=True)
