"""A plan -> files in a directory: the only part of a base image's making that writes.

Owner, times and modes are the same whoever makes it: everything belongs to the maker (root, in the view of an image), has the mtime 0, no
extended attributes, and no set-user-ID or set-group-ID bit.
"""

import errno
import os
import stat

from builder.base.bytecode import compiled
from builder.base.errors import NotReadable, NotUsable, NotWritten
from builder.base.host import Host
from builder.base.plan import Directory, File, Link, Plan, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.base.plan import Entry

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 8 << 20                 # bytes copied by one call


def write_tree(plan: Plan, host: Host, directory: str) -> int:
    """Write `plan` into the empty directory; the bytes of all its files.

    Raises NotReadable (with all paths), NotUsable (a file is not any more what it was when the plan was made), NotWritten.
    """
    os.chmod(directory, 0o755)
    fds = {"/": os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)}
    closed: dict[str, None] = {}
    total = 0
    try:
        for entry in plan.entries:
            try:
                total += _write_entry(entry, host, fds)
            except NotReadable as error:
                closed.update(dict.fromkeys(error.paths))
            except OSError as error:
                raise NotWritten(entry.path, error.strerror or str(error)) from error
        for fd in fds.values():
            os.utime(fd, ns=(0, 0))
    finally:
        for fd in fds.values():
            os.close(fd)
    if closed:
        raise NotReadable(tuple(closed))
    return total


def _write_entry(entry: "Entry", host: Host, fds: dict[str, int]) -> int:
    above, name = os.path.split(entry.path)
    fd = fds[above]
    if isinstance(entry, Directory):
        os.mkdir(name, 0o700, dir_fd=fd)
        fds[entry.path] = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        os.fchmod(fds[entry.path], entry.mode)
        return 0
    if isinstance(entry, Link):
        os.symlink(entry.target, name, dir_fd=fd)
        os.utime(name, ns=(0, 0), dir_fd=fd, follow_symlinks=False)
        return 0
    if isinstance(entry, Text):
        return _write(fd, name, entry.data, entry.mode)
    source = _open(host, entry.source)
    try:
        if isinstance(entry, File):
            return _copy(source, fd, name)
        code = compiled(source, host.outer(entry.source), entry.module)
        return _write(fd, name, code, 0o644) if code else 0
    finally:
        os.close(source)


def _open(host: Host, path: str) -> int:
    """The regular file `path`, to be read."""
    try:
        fd = os.open(host.outer(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError as error:
        raise NotReadable((path,)) from error
    except OSError as error:
        raise NotUsable(path, "has changed while the image was made", help="run it again") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotUsable(path, "is no regular file any more", help="run it again")
    return fd


def _write(fd: int, name: str, data: bytes, mode: int) -> int:
    with open(os.open(name, _NEW, 0o600, dir_fd=fd), "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view):]
        os.fchmod(file.fileno(), mode)
        os.utime(file.fileno(), ns=(0, 0))
    return len(data)


def _copy(source: int, fd: int, name: str) -> int:
    target = os.open(name, _NEW, 0o600, dir_fd=fd)
    try:
        size = _pour(source, target)
        os.fchmod(target, 0o755 if os.fstat(source).st_mode & 0o111 else 0o644)
        os.utime(target, ns=(0, 0))
    finally:
        os.close(target)
    return size


def _pour(source: int, target: int) -> int:
    """Copy to the end of `source`: in the kernel, by reference where the file system can; bytes copied."""
    size = 0
    try:
        while count := os.copy_file_range(source, target, _PIECE):
            size += count
    except OSError as error:
        if size or error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM):
            raise
        while count := os.sendfile(target, source, None, _PIECE):
            size += count
    return size
