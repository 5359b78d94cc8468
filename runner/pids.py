"""Which processes are in a pid namespace, as /proc here shows them."""

import os


def processes(first: int) -> "list[int]":
    """Pids of all in the pid namespace of process `first`. Raises FileNotFoundError if that is gone."""
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
