"""Locks and leases that vanish with their holder: flock on a file, also after kill -9.

A lock file may be removed by its last user, so taking one means: open, flock, look whether the name still leads to what was locked.
"""

import fcntl
import os
from _thread import allocate_lock, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_LONG_S = 5.0
_told: "tuple[Callable[[str, int], None], float] | None" = None


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
        if not self.take(wait=False):
            waiting = _Waiting(self.path, *_told) if _told else None
            try:
                self.take()
            finally:
                if waiting:
                    waiting.end()
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        self.release()


def mark(path: str) -> str:
    """What tells the file at `path` from another that gets its name. Raises OSError."""
    status = os.stat(path, follow_symlinks=False)
    return f"{status.st_dev}:{status.st_ino}"


def tell_of_waits(tell: "Callable[[str, int], None] | None", after: float = _LONG_S) -> None:
    """Have `tell` called once, with (path, the holder's process or 0), where a `with Lock(..)`, which is for short work, waits longer than that."""
    global _told
    _told = (tell, after) if tell else None


class _Waiting:
    """A thread that tells of a wait once it is long, and is gone when `end` returns."""

    def __init__(self, path: str, tell: "Callable[[str, int], None]", after: float) -> None:
        self._over, self._gone = allocate_lock(), allocate_lock()
        self._over.acquire()
        self._gone.acquire()
        start_new_thread(self._watch, (path, tell, after))

    def _watch(self, path: str, tell: "Callable[[str, int], None]", after: float) -> None:
        try:
            if not self._over.acquire(timeout=after):
                tell(path, holder_of(path))
        finally:
            self._gone.release()

    def end(self) -> None:
        self._over.release()
        self._gone.acquire()


def holder_of(path: str) -> int:
    """The process that holds an flock on `path`, as far as this one can see it; else 0. Source: proc_locks(5)."""
    try:
        inode = str(os.stat(path, follow_symlinks=False).st_ino)
        with open("/proc/locks") as file:
            for line in file:
                fields = line.split()                    # NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END; `->` is who waits
                if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode:
                    return int(fields[4])
    except (OSError, ValueError, IndexError):
        pass
    return 0


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
