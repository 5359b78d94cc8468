"""Layers as plain files, for machines that mount nothing: directories in overlay's form are copied on top of each other, as they would be seen.

What enters: open directories. Nothing is followed, and nothing is linked between the source and the copy. Hard links within a layer stay.
"""

import fcntl
import os
import stat
from errno import EEXIST, ENXIO

from kernel import whiteout
from kernel.paths import DIRECTORY, remove_tree
from sandbox.errors import SandboxError

DEPTH_MAX = 400                                          # of directories in each other: a level is an open one
_FICLONE = 0x40049409
_CHUNK = 1 << 30
_NO_DRIVER = 1 << 11
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_OVERLAY = ("trusted.overlay.", "user.overlay.")
_CARRIED = ("user.", "security.capability")


class Copier:
    """Copies entries to below `root_fd`; remembers the inodes that have several names.

    swap_devices: devices are copied as ones that cannot be opened, and such ones as what they were."""

    __slots__ = ("_clones", "_links", "_root_fd", "_swap_devices")

    def __init__(self, root_fd: int, *, swap_devices: bool = False) -> None:
        self._root_fd = root_fd
        self._swap_devices = swap_devices
        self._links: dict[tuple[int, int], str] = {}
        self._clones = True                              # until a file system says that it cannot share blocks

    def copy(self, source_fd: int, name: str, target_fd: int, path: str) -> None:
        """Anything but a directory, to the new name `path` below the root, whose directory is `target_fd`. A socket is not copied."""
        status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        here = path.rpartition("/")[2]
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                os.link(first, here, src_dir_fd=self._root_fd, dst_dir_fd=target_fd, follow_symlinks=False)
                return
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self._file(source_fd, name, target_fd, here, status)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source_fd), here, dir_fd=target_fd)
            _own(here, target_fd, status)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO):
            device = _swapped(status.st_rdev) if self._swap_devices and kind != stat.S_IFIFO else status.st_rdev
            os.mknod(here, kind | 0o600, device, dir_fd=target_fd)
            _own(here, target_fd, status)
            os.chmod(here, stat.S_IMODE(status.st_mode), dir_fd=target_fd)
        else:
            return
        os.utime(here, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target_fd, follow_symlinks=False)

    def _file(self, source_fd: int, name: str, target_fd: int, here: str, status: os.stat_result) -> None:
        read = os.open(name, _FILE, dir_fd=source_fd)
        try:
            write = os.open(here, _NEW, 0o600, dir_fd=target_fd)
            try:
                if status.st_size:
                    self._content(read, write, status.st_size)
                _dress(read, write, status)
            finally:
                os.close(write)
        finally:
            os.close(read)

    def _content(self, read: int, write: int, size: int) -> None:
        if self._clones:
            try:
                fcntl.ioctl(write, _FICLONE, read)
                return
            except OSError:
                self._clones = False
        at = 0
        while at < size:                                 # holes stay holes
            try:
                at = os.lseek(read, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != ENXIO:
                    raise
                break
            end = os.lseek(read, at, os.SEEK_HOLE)
            while at < end:
                copied = os.copy_file_range(read, write, min(end - at, _CHUNK), at, at)
                if not copied:
                    return
                at += copied
        os.ftruncate(write, size)


def _swapped(device: int) -> int:
    """A device number that no driver can have, and back: Linux gives out major numbers below 512."""
    return os.makedev(os.major(device) ^ _NO_DRIVER, os.minor(device))


def dress_directory(source_fd: int, target_fd: int) -> None:
    """Give a directory mode, owner, attributes and times of another one; its mark of being opaque is its own affair."""
    _dress(source_fd, target_fd, os.fstat(source_fd))


def _own(name: str, dir_fd: int, status: os.stat_result) -> None:
    os.chown(name, status.st_uid, status.st_gid, dir_fd=dir_fd, follow_symlinks=False)


def _dress(source_fd: int, target_fd: int, status: os.stat_result) -> None:
    os.fchown(target_fd, status.st_uid, status.st_gid)
    os.fchmod(target_fd, stat.S_IMODE(status.st_mode))
    there = _carried(target_fd)
    for name in _carried(source_fd):
        os.setxattr(target_fd, name, os.getxattr(source_fd, name))
        there.discard(name)
    for name in there:
        os.removexattr(target_fd, name)
    os.utime(target_fd, ns=(status.st_atime_ns, status.st_mtime_ns))


def _carried(fd: int) -> set[str]:
    """Names of the attributes that belong to the file, not to overlay."""
    try:
        return {name for name in os.listxattr(fd) if name.startswith(_CARRIED) and not name.startswith(_OVERLAY)}
    except OSError:
        return set()                                     # a file system without any


def is_opaque(fd: int) -> bool:
    """Whether the open directory hides what lies below it."""
    for name in _OPAQUE:
        try:
            if os.getxattr(fd, name) == b"y":
                return True
        except OSError:
            continue
    return False


def apply(layer: str, root_fd: int, *, swap_devices: bool = False) -> None:
    """Put the layer in the directory `layer` on top of the tree behind `root_fd`. swap_devices: as Copier takes it. Raises OSError, SandboxError."""
    source_fd = os.open(layer, DIRECTORY)
    try:
        _merge(source_fd, root_fd, "", Copier(root_fd, swap_devices=swap_devices), 0)
        dress_directory(source_fd, root_fd)
    finally:
        os.close(source_fd)


def _merge(source_fd: int, target_fd: int, where: str, copier: Copier, depth: int, fresh: bool = False) -> None:
    """fresh: the target is a new directory, in which nothing can be in the way."""
    if depth > DEPTH_MAX:
        raise SandboxError("copy the layers", path=where[-80:], reason=f"directories lie more than {DEPTH_MAX} deep in each other")
    for name in os.listdir(source_fd):
        status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        if whiteout.is_whiteout(status.st_mode, status.st_rdev):
            remove_tree(target_fd, name)
        elif not stat.S_ISDIR(status.st_mode):
            if not fresh:
                remove_tree(target_fd, name)
            copier.copy(source_fd, name, target_fd, f"{where}{name}")
        else:
            below = os.open(name, DIRECTORY, dir_fd=source_fd)
            try:
                _merge_directory(below, name, target_fd, f"{where}{name}/", copier, depth, fresh)
            finally:
                os.close(below)


def _merge_directory(source_fd: int, name: str, parent_fd: int, where: str, copier: Copier, depth: int, fresh: bool) -> None:
    new = fresh or make_directory(parent_fd, name, anew=is_opaque(source_fd))
    if fresh:
        os.mkdir(name, 0o700, dir_fd=parent_fd)
    target_fd = os.open(name, DIRECTORY, dir_fd=parent_fd)
    try:
        _merge(source_fd, target_fd, where, copier, depth + 1, new)
        dress_directory(source_fd, target_fd)
    finally:
        os.close(target_fd)


def make_directory(parent_fd: int, name: str, *, anew: bool = False) -> bool:
    """See that `name` is a directory: whatever else is there is removed. anew: it is to be an empty one. Whether it was made."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent_fd)
        return True
    except OSError as error:
        if error.errno != EEXIST:
            raise
    if not anew and stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
        return False
    remove_tree(parent_fd, name)
    os.mkdir(name, 0o700, dir_fd=parent_fd)
    return True
