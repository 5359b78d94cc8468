"""Mount points that had to be made in a root, remembered so exactly that afterwards the upper directory shows only what the process did.

Made through the mounted root before the process runs; removed from the upper directory itself once nothing of the sandbox is left. The
process may have put anything in their place: nothing is removed that is not the same inode, unchanged, and no symlink is followed.
"""

import os
import stat

from kernel.paths import DIRECTORY, open_beneath
from kernel.value import Value


class Entry(Value):
    """A name below the upper directory and the inode it led to. ctime_ns, mode, uid, gid tell whether somebody has touched it since."""

    path: str
    inode: int
    ctime_ns: int
    mode: int
    uid: int
    gid: int


class Stubs(Value):
    """made: stubs, outermost first. copied: directories that exist in the upper only because a stub was made below them, outermost first."""

    upper: str
    made: tuple[Entry, ...]
    copied: tuple[Entry, ...]


def entry(upper_fd: int, path: str) -> Entry | None:
    """What is at `path` below the upper directory now; None if nothing, or if a symlink is on the way."""
    parent, _, name = path.rpartition("/")
    try:
        fd = open_beneath(upper_fd, parent, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        status = os.stat(name or ".", dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)
    return Entry(path, status.st_ino, status.st_ctime_ns, status.st_mode, status.st_uid, status.st_gid)


def remove_stubs(stubs: Stubs) -> None:
    """Take the stubs out of the upper directory; directories that only they caused go with them. Interrupted, it can be run again.

    The sandbox must be gone, its root unmounted: whoever looks at the overlay during this may see either state.
    """
    upper_fd = os.open(stubs.upper, DIRECTORY)
    try:
        # decided before anything is removed: removing a stub touches the directory it is in
        untouched = [copied for copied in stubs.copied if entry(upper_fd, copied.path) == copied]
        for made in reversed(stubs.made):
            _remove(upper_fd, made)
        for copied in reversed(untouched):
            _remove(upper_fd, copied)
    finally:
        os.close(upper_fd)


def _remove(upper_fd: int, stub: Entry) -> None:
    parent, _, name = stub.path.rpartition("/")
    try:
        parent_fd = open_beneath(upper_fd, parent, DIRECTORY & ~os.O_NOFOLLOW)
    except OSError:
        return                                         # renamed, or replaced by something else: not ours any more
    try:
        status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        if (status.st_ino, stat.S_IFMT(status.st_mode)) != (stub.inode, stat.S_IFMT(stub.mode)):
            return
        before = os.fstat(parent_fd)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=parent_fd)
        elif status.st_size == 0 or stat.S_ISLNK(status.st_mode):
            os.unlink(name, dir_fd=parent_fd)
        os.utime(parent_fd, ns=(before.st_atime_ns, before.st_mtime_ns))
    except OSError:
        pass                                           # gone, or a directory that the process has put something in
    finally:
        os.close(parent_fd)
