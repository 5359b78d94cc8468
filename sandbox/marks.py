"""Which processes belong to a container that has no process numbers of its own: a mark that they are born with, and cannot lose.

The mark is the hard limit of their RLIMIT_RTTIME. Every descendant inherits it, whoever's child it becomes and whatever user it is; the filter of
such a container (sandbox.confinement) refuses to change it; anybody may read it. As a limit it means nothing: it is thousands of years.
"""

import os
import time

from sandbox.errors import SandboxError
from sandbox.spec import Rlimit

RLIMIT_RTTIME = 15
_DIGITS = 13                                              # of the container's ID; 52 bits of microseconds are 140 years at least, with what is added
_LEAST = 1 << 52
_LINE = b"Max realtime timeout"
_SIGKILL, _SIGSTOP = 9, 19
_PATIENCE_S = 20.0
_PAUSE_S = 0.002


def mark_of(id: str) -> int:
    """Of the container with this ID, whatever process asks."""
    return _LEAST + int(id[:_DIGITS], 16)


def limits_with(mark: int, rlimits: "tuple[Rlimit, ...]") -> "tuple[Rlimit, ...]":
    """`rlimits`, for a process that has the mark."""
    return (*(one for one in rlimits if one.name != "rttime"), Rlimit("rttime", mark, mark))


def read(pid: "int | str") -> int:
    """The mark of a process; 0 if it has none. Raises OSError if it is gone."""
    with open(f"/proc/{pid}/limits", "rb") as file:
        for line in file:
            if line.startswith(_LINE):
                word = line.split()[4]
                return int(word) if word.isdigit() and int(word) >= _LEAST else 0
    return 0


def marked(mark: int) -> "list[int]":
    """Pids of all that have it and are not dead."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if read(name) == mark and _lives(name):
                    found.append(int(name))
            except OSError:
                continue                                  # it has ended meanwhile
    return found


def stop(mark: int) -> None:
    """Kill them all. Stopped first, so that none is born while others are found. Raises SandboxError if one does not die."""
    deadline = time.monotonic() + _PATIENCE_S
    while found := marked(mark):
        if time.monotonic() > deadline:
            raise SandboxError("stop the processes of the container", reason=f"{len(found)} of them do not end")
        for signal in (_SIGSTOP, _SIGKILL):
            for pid in found:
                try:
                    os.kill(pid, signal)
                except ProcessLookupError:
                    pass
            if signal == _SIGSTOP and len(found) > 1:
                found = sorted({*found, *marked(mark)})
        time.sleep(_PAUSE_S)                              # the kernel takes a moment to take them down


def _lives(pid: str) -> bool:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
