"""What a refused system call becomes: an OSError that knows the call, the path and, where there is one, the way out."""

import errno
import os

PROCESS_LIMIT = "the limit of processes is reached: see `ulimit -u` and the cgroup's pids.max"
_HINTS = {
    ("unshare", errno.EPERM): "user namespaces are forbidden on this machine; `pybuild doctor` shows what would allow them",
    ("unshare", errno.ENOSPC): "the limit of namespaces is reached: see /proc/sys/user/max_user_namespaces",
    ("clone3", errno.EPERM): "namespaces are forbidden on this machine; `pybuild doctor` shows what would allow them",
    ("clone3", errno.EAGAIN): PROCESS_LIMIT,
    ("clone", errno.EAGAIN): PROCESS_LIMIT,
}


class SyscallFailed(OSError):
    """A system call said no. `syscall` is its man page's name, `path` what it was about, `hint` a way out or ""."""

    def __init__(self, number: int, syscall: str, path: str = "") -> None:
        super().__init__(number, os.strerror(number), path or None)
        self.syscall = syscall
        self.path = path
        self.hint = _HINTS.get((syscall, number), "")

    def __str__(self) -> str:
        about = f" `{self.path}`" if self.path else ""
        return f"{self.syscall}{about}: {(self.strerror or '').lower()}"


class NotPermitted(SyscallFailed, PermissionError):
    """EPERM or EACCES."""


class Unsupported(SyscallFailed):
    """ENOSYS or EOPNOTSUPP: this kernel, or this file system, cannot do it."""


class _Missing(SyscallFailed, FileNotFoundError):
    pass


class _Exists(SyscallFailed, FileExistsError):
    pass


class _NotDirectory(SyscallFailed, NotADirectoryError):
    pass


class _Gone(SyscallFailed, ProcessLookupError):
    pass


_KINDS: "dict[int, type[SyscallFailed]]" = {
    errno.EPERM: NotPermitted, errno.EACCES: NotPermitted, errno.ENOSYS: Unsupported, errno.EOPNOTSUPP: Unsupported,
    errno.ENOENT: _Missing, errno.EEXIST: _Exists, errno.ENOTDIR: _NotDirectory, errno.ESRCH: _Gone}


def failed(number: int, syscall: str, path: str = "") -> SyscallFailed:
    """The exception for errno `number`; the single place where a number becomes an exception. It is Python's own kind too."""
    return _KINDS.get(number, SyscallFailed)(number, syscall, path)
