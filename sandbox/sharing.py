"""One user namespace for all that an ordinary user runs out of one run directory: a new zygote joins the one that shims, an agent or an older zygote
are still in. From a sibling namespace nobody could reach their networks.

Which one it is lies in a file. A number of a namespace is given again one day, so only a process that was started for this very run directory
counts, and only a namespace made directly out of ours: none that something in a container has made.
"""

import os

from kernel.syscalls import CLONE_NEWUSER, PR_SET_DUMPABLE, prctl, setns
from sandbox import userns

_OWN = "/proc/self/ns/user"
_GET_PARENT = 0xB702                                      # NS_GET_PARENT


def settle(run_directory: str) -> None:
    """Put the calling process, of a single thread, into that namespace, or else into a new one. Raises SandboxError as userns.create does."""
    path = f"{run_directory}/userns"
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    if not _join(path, boot, run_directory):
        userns.create()
        with open(f"{path}.new", "w") as file:
            file.write(f"{boot} {os.stat(_OWN).st_ino}")
        os.rename(f"{path}.new", path)


def _join(path: str, boot: str, run_directory: str) -> bool:
    try:
        with open(path) as file:
            of_boot, _, inode = file.read().partition(" ")
    except FileNotFoundError:
        return False
    if of_boot != boot or not inode.isdigit():
        return False
    fd = find(int(inode), run_directory)
    if fd < 0:
        return False
    try:
        setns(fd, CLONE_NEWUSER)
    except OSError:
        return False                                      # whoever held it has ended just now, or it is not ours after all
    finally:
        os.close(fd)
    prctl(PR_SET_DUMPABLE, 1)                             # entering made /proc/self the host root's
    return True


def find(inode: int, run_directory: str) -> int:
    """An fd of the user namespace, held by a process of this run directory and made out of the caller's; -1 if there is none."""
    own, word = os.stat(_OWN).st_ino, os.fsencode(run_directory)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if word not in file.read().split(b"\0"):
                    continue
            fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:                                   # another user's, or it has ended
            continue
        if os.fstat(fd).st_ino == inode and _parent(fd) == own:
            return fd
        os.close(fd)
    return -1


def _parent(fd: int) -> int:
    import fcntl

    try:
        parent = fcntl.ioctl(fd, _GET_PARENT)
    except OSError:
        return -1
    inode = os.fstat(parent).st_ino
    os.close(parent)
    return inode
