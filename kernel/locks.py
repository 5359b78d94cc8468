"""Locks and leases that vanish with their holder: flock on a file, also after kill -9.

A lock file may be removed by its last user, so taking one means: open, flock, look whether the name still leads to what was locked.
"""

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class Lock:
    """An flock on `path`, made if missing; `with Lock(path):` or take()/release(). Not inherited by exec, shared by fork."""

    def __init__(self, path: str, *, shared: bool = False) -> None:
        self.path = path
        self._shared = shared
        self.fd = -1

    def take(self, *, wait: bool = True) -> bool:
        """False if somebody else holds it and `wait` is not wanted."""
        kind = (fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, kind)
            except BlockingIOError:
                os.close(fd)
                return False
            except BaseException:
                os.close(fd)
                raise
            if _leads_to(self.path, fd):
                self.fd = fd
                return True
            os.close(fd)

    def release(self, *, remove: bool = False) -> None:
        """remove: unlink the file too; whoever waits for it notices and makes a new one."""
        if self.fd < 0:
            return
        if remove:
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
        os.close(self.fd)
        self.fd = -1

    def __enter__(self) -> "Lock":
        self.take()
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        self.release()


def mark(path: str) -> str:
    """What tells the file at `path` from another that gets its name. Raises OSError."""
    status = os.stat(path, follow_symlinks=False)
    return f"{status.st_dev}:{status.st_ino}"


def _leads_to(path: str, fd: int) -> bool:
    try:
        named, held = os.stat(path, follow_symlinks=False), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def is_held(path: str) -> bool:
    """Whether some process holds an flock on `path`; a missing file is held by nobody."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
