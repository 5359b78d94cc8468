"""A process of ours and all that descend from it: a pid enters, and they are killed."""

import os
import select
import time

_SIGKILL, _SIGSTOP = 9, 19
_PATIENCE_S = 5.0                # one that hangs in the kernel is left to it


def kill_tree(pid: int) -> None:
    """SIGKILL to `pid`, a child that nobody has waited for yet, and to everything below it; all have let go of their files when it returns.

    Each is stopped before its children are listed: it can neither have more of them nor reap one, so no number is another's by then. None is
    killed before all are found: one whose parent's death is its own (PR_SET_PDEATHSIG) would be gone before its children are listed.
    """
    found, ends = [pid], []
    for one in found:                                     # grows meanwhile
        _signal(one, _SIGSTOP)
        found += _children(one)
        ends += _end_of(one)
    for one in found:
        _signal(one, _SIGKILL)
    deadline = time.monotonic() + _PATIENCE_S
    for fd in ends:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.poll(max(deadline - time.monotonic(), 0) * 1000)
        os.close(fd)


def _children(pid: int) -> "list[int]":
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except (OSError, ValueError):                        # it is gone, or this kernel does not list children
        return []


def _end_of(pid: int) -> "list[int]":
    """A descriptor that can be read from when the process has ended."""
    try:
        return [os.pidfd_open(pid)]
    except OSError:                                      # it has
        return []


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):        # it is gone, or has become another user's
        return
