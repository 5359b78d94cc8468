"""When nothing of a project runs: whether that is the end, or only another command at work, as a restart is."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.stack.project import stack
    from runner.chorus import Chorus
    from runner.reactor import Reactor


def is_over(it: "stack", chorus: "Chorus", reactor: "Reactor") -> bool:
    """Whether nothing runs any more, once no other command changes the project. Signals are heard meanwhile."""
    if len(chorus):
        return False
    pid = os.fork()
    if not pid:
        try:
            it.lock(quiet=True)                           # gone again with this process
        finally:
            os._exit(0)
    waiter = os.pidfd_open(pid)
    ended = []
    reactor.watch(waiter, lambda: ended.append(True))
    try:
        while not ended:
            reactor.turn()
    finally:
        reactor.forget(waiter)
        os.close(waiter)
        if not ended:
            os.kill(pid, 9)
        os.waitpid(pid, 0)
    reactor.catch_up()
    return not len(chorus)
