"""The Python that sandboxes are forked from, opened so that nothing inside one can write to it.

A command may be `/proc/self/exe`, or a script that names it: the kernel then executes, with libraries of the image, what the process ran before,
and that is ours. Who executes a file can also open it again, to write to it when nobody runs it any more (CVE-2019-5736). So the file is reached
through a mount of its own that is read-only, or is a sealed copy in memory.
"""

import fcntl
import os
import sys

from kernel.release import RELEASE
from kernel.syscalls import AT_FDCWD, MOUNT_ATTR_RDONLY, mount_setattr, open_tree
from sandbox.init import sealed_memory

_ABOVE = 10                        # the lower fds are what a child is given


def open_interpreter() -> int:
    """Fd by which this Python is to be executed, as /proc/self/fd/N; it closes on exec."""
    path = os.path.realpath(sys.executable)
    if not os.access(path, os.W_OK) and os.stat(path).st_uid != os.geteuid():
        fd = os.open(path, os.O_PATH)                     # somebody else's: neither we nor root inside can change it
    else:
        fd = _behind_a_read_only_mount(path) if RELEASE >= (5, 12) else -1
        if fd < 0:
            fd = _copy(path)
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
    os.close(fd)
    return high


def _behind_a_read_only_mount(path: str) -> int:
    """-1 if we may not mount."""
    try:
        tree = open_tree(AT_FDCWD, os.fsencode(path))
    except OSError:
        return -1
    try:
        mount_setattr(tree, set_=MOUNT_ATTR_RDONLY)
    except OSError:
        os.close(tree)
        return -1
    return tree


def _copy(path: str) -> int:
    with open(path, "rb") as file:
        return sealed_memory("python", file.read())
