"""Mount targets: found inside the root as the process would see them, made where they are missing, and what was made remembered.

Targets are handed out as fds, so that nothing can be swapped between looking and mounting; every walk stays in the root.
"""

import os
import stat

from kernel.paths import DIRECTORY, open_in_root, resolve
from kernel.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from kernel.value import Value
from sandbox.errors import SandboxError
from sandbox.stubs import Entry, Stubs, entry


class _Parent(Value):
    """A directory of the root in which a stub is made, or that lies above one: as it was before. own: it was in the upper already."""

    path: str
    fd: int
    own: bool
    times_ns: tuple[int, int]


class Targets:
    """Targets of one root: `root_fd` is its mount, `upper` the directory (in the current mount namespace) where what is made in it appears."""

    def __init__(self, root_fd: int, upper_fd: int, upper: str) -> None:
        self.root_fd = root_fd
        self._upper_fd = upper_fd
        self._upper = upper
        self._device = os.fstat(root_fd).st_dev
        self._made: list[str] = []
        self._parents: dict[str, _Parent] = {}

    def plain_directory(self, name: str) -> int:
        """Fd of the directory `name` directly below the root, made if missing; a symlink there is refused: it would mount somewhere else."""
        try:
            fd = openat2(self.root_fd, name, os.O_PATH | os.O_NOFOLLOW, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
        except FileNotFoundError:
            return self._make(name, directory=True)
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise SandboxError("mount", path=f"/{name}", reason="it is not a directory in the image")
        return fd

    def open(self, path: str, *, directory: bool) -> int:
        """Fd (O_PATH) of `path`, symlinks followed inside the root; made as an empty directory or file if missing."""
        try:
            return open_in_root(self.root_fd, path)
        except FileNotFoundError:
            return self._make(path, directory=directory)
        except OSError as error:
            raise SandboxError("find the mount point", error.errno or 0, path) from error

    def symlink(self, path: str, value: str) -> None:
        """A symlink at `path` unless something is there; parents are made."""
        parent, _, name = path.rstrip("/").rpartition("/")
        fd = self.open(parent or "/", directory=True)
        try:
            where = "/".join(self._resolve(parent))
            self._remember(where)
            os.symlink(value, name, dir_fd=fd)
        except FileExistsError:
            pass
        else:
            self._note(f"{where}/{name}".lstrip("/"), fd)
        finally:
            os.close(fd)

    def _resolve(self, path: str) -> list[str]:
        try:
            return resolve(self.root_fd, path)
        except OSError as error:
            raise SandboxError("find the mount point", error.errno or 0, path) from error

    def _make(self, path: str, *, directory: bool) -> int:
        parts = self._resolve(path)
        fd = os.open(".", DIRECTORY, dir_fd=self.root_fd)
        try:
            for index, part in enumerate(parts):
                where, last = "/".join(parts[:index]), index == len(parts) - 1
                try:
                    following = openat2(fd, part, os.O_PATH, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
                except FileNotFoundError:
                    if os.fstat(fd).st_dev == self._device:
                        self._remember(where)
                    if last and not directory:
                        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=fd))
                    else:
                        os.mkdir(part, 0o755, dir_fd=fd)
                    self._note("/".join(parts[:index + 1]), fd)
                    following = openat2(fd, part, os.O_PATH, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
                os.close(fd)
                fd = following
        except OSError as error:
            os.close(fd)
            raise SandboxError("make the mount point", error.errno or 0, path) from error
        return fd

    def _note(self, path: str, parent_fd: int) -> None:
        if self._upper_fd >= 0 and os.fstat(parent_fd).st_dev == self._device:
            self._made.append(path)

    def _remember(self, path: str) -> None:
        """Keep what the directory `path` and those above it are like before a stub appears in them."""
        if self._upper_fd < 0:
            return
        while True:
            if path not in self._parents and path not in self._made:
                fd = openat2(self.root_fd, path or ".", os.O_RDONLY | os.O_DIRECTORY, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
                status = os.fstat(fd)
                self._parents[path] = _Parent(path, fd, not path or entry(self._upper_fd, path) is not None, (status.st_atime_ns, status.st_mtime_ns))
            if not path:
                return
            path = path.rpartition("/")[0]

    def settle(self) -> Stubs | None:
        """When everything is mounted: give the parents their times back, and say what is to be removed later; None if nothing."""
        if not self._made:
            return None
        for parent in self._parents.values():
            os.utime(parent.fd, ns=parent.times_ns)
            os.close(parent.fd)
        copied = [entry(self._upper_fd, path) for path in sorted(self._parents) if not self._parents[path].own]
        made = [entry(self._upper_fd, path) for path in sorted(self._made)]
        return Stubs(self._upper, _present(made), _present(copied))


def _present(entries: list[Entry | None]) -> tuple[Entry, ...]:
    return tuple(one for one in entries if one)
