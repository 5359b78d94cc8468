"""Make every attempt in a process of its own, for a few seconds at most. Arguments are NAME=VALUE facts about the host (outcome.FACTS).

A line each, `NAME: VERDICT DETAIL`:
held  refused, or there is nothing to reach;
OUT   it worked, or got further than a permission check;
hung  it did not come back.

Nothing here does harm where it works: so a privileged run can show that the attempts are real ones.
"""

import errno
import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

from tests.security.probe import files, kernel, processes
from tests.security.probe.outcome import FACTS, Out

PATIENCE_S = 5


def attempt(function: Callable[..., None], arguments: tuple[Any, ...]) -> str:
    """What came of it."""
    try:
        function(*arguments)
    except Out as found:
        return f"OUT {found}"
    except TimeoutError:
        return "held no answer"
    except OSError as error:
        return f"held {errno.errorcode.get(error.errno or 0, error)}"
    except Exception as error:
        return f"OUT the probe failed: {type(error).__name__}: {error}"
    return "held"


def verdict(function: Callable[..., None], arguments: tuple[Any, ...]) -> str:
    """`attempt` in a child."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        FACTS["result"] = str(write)
        signal.alarm(PATIENCE_S)
        os.write(write, attempt(function, arguments).encode(errors="replace"))
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        answer = file.read().decode()
    _, ended = os.waitpid(pid, 0)
    if os.WIFSIGNALED(ended):
        return "hung" if os.WTERMSIG(ended) == signal.SIGALRM else f"held by signal {os.WTERMSIG(ended)}"
    return answer


if __name__ == "__main__":
    for name, function, arguments in itertools.chain(files.attempts(), processes.attempts(), kernel.attempts()):
        print(f"{name}: {verdict(function, arguments)}", flush=True)
