"""What an image has where a new volume is mounted, copied into the volume: once, while that is empty. In: a view of layers; out: files.

Nothing is mounted, and no link of the image is followed by the system: the view walks the layers, and the volume is written by descriptors.
"""

import os
import stat

from store.tree import DEVICE, GID, MODE, MTIME, UID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.view import Entry, View

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 27


def copy_up(view: "View", path: str, volume: str) -> bool:
    """Fill the directory `volume` with what is at `path`, and make it look like that directory. False: there is none, or the volume is not empty."""
    entry = view.lookup(path)
    if entry is None or entry.kind != stat.S_IFDIR:
        return False
    fd = os.open(volume, _DIRECTORY)
    try:
        if os.listdir(fd):
            return False
        _fill(view, entry, fd)
    finally:
        os.close(fd)
    return True


def _fill(view: "View", entry: "Entry", fd: int) -> None:
    for name, *_ in view.rows(entry.path):
        child = view.lookup(f"{entry.path}/{name}".lstrip("/"), follow=False)
        assert child, "the view has just listed it"
        if child.kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=fd)
            below = os.open(name, _DIRECTORY, dir_fd=fd)
            try:
                _fill(view, child, below)
            finally:
                os.close(below)
        else:
            _copy(view, child, name, fd)
    _dress(view, entry, fd)


def _copy(view: "View", entry: "Entry", name: str, fd: int) -> None:
    if entry.kind == stat.S_IFLNK:
        os.symlink(entry.link, name, dir_fd=fd)
        os.chown(name, entry.stat[UID], entry.stat[GID], dir_fd=fd, follow_symlinks=False)
        os.utime(name, ns=(entry.stat[MTIME], entry.stat[MTIME]), dir_fd=fd, follow_symlinks=False)
        return
    if entry.kind == stat.S_IFREG:
        target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
        source = view.open_entry(entry)
        try:
            while os.copy_file_range(source, target, _BLOCK):
                pass
        finally:
            os.close(source)
    else:
        try:
            os.mknod(name, entry.stat[MODE], entry.stat[DEVICE], dir_fd=fd)
        except PermissionError:
            return                                        # a device, and we are in a user namespace
        target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        os.chown(name, entry.stat[UID], entry.stat[GID], dir_fd=fd, follow_symlinks=False)
        os.close(target)
        return
    try:
        _dress(view, entry, target)
    finally:
        os.close(target)


def _dress(view: "View", entry: "Entry", fd: int) -> None:
    """Owner, attributes, mode and time, in the order in which none undoes another."""
    os.fchown(fd, entry.stat[UID], entry.stat[GID])
    for name, value in view.xattrs(entry):
        os.setxattr(fd, name, value)
    os.fchmod(fd, entry.stat[MODE] & 0o7777)
    os.utime(fd, ns=(entry.stat[MTIME], entry.stat[MTIME]))
