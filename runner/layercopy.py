"""The writable layer of a container, copied as it is: whiteouts, opaque directories, owners, hard links, what a layer's attributes are.

In: two open directories; out: files. Nothing is followed; a container that still writes gives a torn copy, as with any.
"""

import os
import stat

from store.tree import is_carried

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MARKS = ("trusted.overlay.opaque", "user.overlay.opaque", "user.pybuild.owner")
_BLOCK = 1 << 27


def copy_layer(source: int, target: int, skip: "Callable[[str], bool]" = lambda path: False) -> None:
    """Everything below `source` into the empty directory `target`. skip(path): leave that file or directory out; paths begin with "/"."""
    _Copy(target, skip).directory(source, target, "")


class _Copy:
    def __init__(self, root: int, skip: "Callable[[str], bool]") -> None:
        self._root = root
        self._skip = skip
        self._names: dict[tuple[int, int], str] = {}      # inode with several names -> the first of them in the copy

    def directory(self, source: int, target: int, path: str) -> None:
        for name in os.listdir(source):
            status = os.stat(name, dir_fd=source, follow_symlinks=False)
            where = f"{path}/{name}"
            if self._skip(where) or stat.S_ISSOCK(status.st_mode):
                continue
            if stat.S_ISDIR(status.st_mode):
                os.mkdir(name, 0o700, dir_fd=target)
                below = os.open(name, _DIRECTORY, dir_fd=source), os.open(name, _DIRECTORY, dir_fd=target)
                try:
                    self.directory(*below, where)
                finally:
                    os.close(below[0])
                    os.close(below[1])
            elif not self._linked(target, name, status):
                self._file(source, target, name, status)
                if status.st_nlink > 1:
                    self._names[status.st_dev, status.st_ino] = where[1:]
        _dress(source, target)

    def _linked(self, target: int, name: str, status: os.stat_result) -> bool:
        first = self._names.get((status.st_dev, status.st_ino))
        if first is None:
            return False
        try:
            os.link(first, name, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False)
        except OSError:
            return False                                  # a path too long: then it is a file of its own
        return True

    def _file(self, source: int, target: int, name: str, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            inner, outer = os.open(name, _READ, dir_fd=source), os.open(name, _MAKE, 0o600, dir_fd=target)
            try:
                while os.copy_file_range(inner, outer, _BLOCK):
                    pass
                _dress(inner, outer)
            finally:
                os.close(inner)
                os.close(outer)
            return
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _dress(source: int, target: int) -> None:
    """Owner, attributes, mode and times of an open file or directory."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    for name in os.listxattr(source):
        if is_carried(name) or name in _MARKS:
            os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
