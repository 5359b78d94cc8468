"""A little room on the disk that is kept, and given up when the disk is full: what makes room, stopping and removing, has to be recorded too.

In: the store's directory; out: a file in it, there or not. Looked at whenever an index is opened, which is before anything else is done.
"""

import os

FULL = (28, 122)                                          # ENOSPC, EDQUOT: there is no room on the disk, or none for this user
NAME = "reserve"
SIZE = 1 << 20
_NOTHING = SIZE // 2                                      # what SQLite needs beside an index may be gone in a moment
_PLENTY = 8 << 20                                         # from here on it is made anew


def tend(directory: str) -> None:
    """Give the reserve up if less is free than it holds; make it if it is missing and there is room."""
    path = f"{directory}/{NAME}"
    try:
        free = free_bytes(directory)
        if free < SIZE:
            os.unlink(path)
        elif free >= _PLENTY and not os.access(path, os.F_OK):
            _make(path)
    except OSError:
        pass                                              # no reserve then: a full disk is met as it is


def is_full(directory: str) -> bool:
    """Whether the reserve is used up too."""
    return free_bytes(directory) < _NOTHING


def free_bytes(directory: str) -> int:
    """What whoever asks may still write there."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _make(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, SIZE)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(fd)
