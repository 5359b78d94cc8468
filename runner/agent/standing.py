"""Where an agent stands: whether the socket at its path is the one that it listens on, and who holds the lock that says that an agent lives.

A run directory can be removed, or another file system mounted over it, while an agent lives; then its path leads to nobody, or to somebody else.
"""

import os
import time

from kernel.locks import Lock, mark

OURS, GONE, REPLACED, ELSEWHERE = "ours", "gone", "replaced", "elsewhere"
_PAUSE_S = 0.005


def standing(path: str, own: str, alive: str, fd: int) -> str:
    """Of an agent whose socket was made at `path` with the mark `own`, and that holds the lock `alive` by `fd`.

    REPLACED: another agent listens there and waits for us to end. ELSEWHERE: it is of another directory, which has nothing to do with ours.
    """
    try:
        if mark(path) == own:
            return OURS
    except OSError:
        return GONE
    try:
        held = os.fstat(fd)
        return REPLACED if mark(alive) == f"{held.st_dev}:{held.st_ino}" else ELSEWHERE
    except OSError:
        return ELSEWHERE


def take_within(lock: Lock, patience_s: float) -> bool:
    """False if somebody else holds it all the while."""
    deadline = time.monotonic() + patience_s
    while not lock.take(wait=False):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True


def holder(path: str) -> int:
    """ID of the process that has locked `path`; 0 if none that can be seen from here has."""
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks") as file:
            found = [line.split() for line in file if " FLOCK " in line and " -> " not in line]
    except OSError:
        return 0
    pid = next((int(words[4]) for words in found if words[5].endswith(f":{inode}")), 0)
    return pid if os.path.exists(f"/proc/{pid}") else 0


def way_out(pid: int) -> str:
    """Help for who waits for an agent in vain."""
    return f"if it hangs, end it with `kill -9 {pid}`: containers are left to run" if pid else ""
