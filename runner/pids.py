"""Which processes are a container's, as /proc here shows them: those in its pid namespace, or those with its mark (sandbox.marks)."""

import os

from sandbox import marks


def processes(first: int) -> "list[int]":
    """Pids of all in the container whose first process is `first`. Raises FileNotFoundError if that is gone."""
    if mark := marks.read(first):
        return marks.marked(mark)
    wanted = os.stat(f"/proc/{first}/ns/pid").st_ino
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if os.stat(f"/proc/{name}/ns/pid").st_ino == wanted:
                    found.append(int(name))
            except OSError:
                pass                                      # it has ended meanwhile, or is somebody else's
    return found
