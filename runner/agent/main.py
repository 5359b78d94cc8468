"""The process: started by a command (client.py), detached from it, gone when nothing needs it. In: argv and a listening socket at fd 3.

argv: run directory, root directory, path of the socket, its mark (kernel.locks), fingerprint of the code, seconds to stay idle.
"""

import gc
import os
import resource
import sys

from kernel import locks
from kernel.errors import PROCESS_LIMIT
from kernel.locks import Lock
from runner.agent import process, standing
from sandbox import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.agent.outside import Outside
    from runner.agent.shared import Shared

_DOOR = 3
_PATIENCE_S = 15.0                                        # for an agent that is on its way out, or has to notice that it should be
_SHIM = "runner.shim"                                     # of the zygote that keeps the user namespace that containers are in


def main() -> None:
    """Does not return."""
    run_directory, root, path, mark = sys.argv[1:5]
    fingerprint, idle_s = int(sys.argv[5]), float(sys.argv[6])
    try:
        parent = os.fork()
    except OSError as error:
        sys.exit(f"{(error.strerror or '').lower()}; {PROCESS_LIMIT}")      # the last words, which whoever waits will find in the log
    if parent:
        os._exit(0)                                       # whoever started us reaps that one; we belong to nobody
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    process.rename("pyup-agent")
    alive = Lock(f"{run_directory}/agent.alive")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        succeed(alive)
        serve(run_directory, root, path, mark, fingerprint, idle_s, alive)
    except Exception as error:
        _refuse(path, mark, error)
        raise
    os._exit(0)


def succeed(alive: Lock, patience_s: float = _PATIENCE_S) -> None:
    """Take the lock: an agent that is on its way out finishes first. Raises AgentLost if it does not."""
    if not standing.take_within(alive, patience_s):
        from runner.agent.errors import AgentLost

        pid = standing.holder(alive.path)
        raise AgentLost(f"an earlier one{f', process {pid},' if pid else ''} does not make way", standing.way_out(pid))


def serve(run_directory: str, root: str, path: str, mark: str, fingerprint: int, idle_s: float, alive: Lock) -> None:
    """Until it is not needed. alive: the lock that says that we live, held."""
    notices: list[str] = []

    def say(text: str) -> None:
        notices.append(text)
        _log(text)

    outside, shared = _settle(run_directory, say)
    # after what has been forked off there: it shall be small
    from runner.agent.errors import NetworkError
    from runner.agent.loop import Loop
    from runner.agent.server import Server
    from runner.agent.service import Service

    loop = Loop()
    service = Service(root, run_directory, loop, outside, say, relay=shared is not None and shared.relay, alive=alive.fd)
    service.start()
    gc.collect()
    gc.freeze()

    def where() -> str:
        return standing.standing(path, mark, alive.path, alive.fd)

    if Server(wire.socket_of(_DOOR), path, where, fingerprint, idle_s, loop, service, notices).run():
        try:
            service.stop()
        except (OSError, NetworkError) as error:
            _log(f"cannot tidy up: {error}")
        if shared:
            shared.dissolve()


def _settle(run_directory: str, say: "Callable[[str], None]") -> "tuple[Outside, Shared | None]":
    """Be where the bridges shall be: in the machine's network if it is ours to change, else beside it."""
    if os.geteuid():
        from sandbox.client import connect
        from sandbox.userns import enter

        with connect(run_directory, shim=_SHIM) as client:
            enter(run_directory, client)
    from runner.agent.shared import Shared, is_ours

    if is_ours():
        from runner.agent.outside import Here

        return Here(), None
    shared = Shared(run_directory, say)
    return shared.outpost, shared


def _refuse(path: str, mark: str, error: Exception) -> None:
    """Tell those who wait for us why there will be no agent."""
    from runner.agent.errors import AgentLost, NetworkError, to_wire

    help = getattr(error, "help", "") or getattr(error, "hint", "")
    known = error if isinstance(error, NetworkError) else AgentLost(str(error) or type(error).__name__, help)
    try:
        if locks.mark(path) == mark:
            os.unlink(path)
    except OSError:
        pass                                              # removed with its directory
    try:
        door = wire.socket_of(os.dup(_DOOR))
        door.setblocking(False)
        while True:
            client = wire.socket_of(door._accept()[0])  # type: ignore[attr-defined]
            wire.receive(client)                          # what is unread when we close would take our answer with it
            wire.send(client, ("failed", *to_wire(known)))
            client.close()
    except OSError:
        pass                                              # all have been told


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
