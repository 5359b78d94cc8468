"""Owners of files where the file system can give them one only: kept in an attribute of the file itself, so that renames, links and overlay's
copies carry it; for links, fifos and sockets, which cannot have one, and where there are none (tmpfs before Linux 6.6), in a table of this process.

Only what is not root's is marked. The same form is read and written by the room that keeps layers.
"""

import marshal
import os
import stat
from errno import EINVAL, ENODATA, EOPNOTSUPP, EPERM, EROFS

from kernel.notify import fchownat, identity
from kernel.value import Value
from sandbox.ids import KEEP

MARK = "user.pybuild.owner"           # "uid:gid", or "uid:gid:c:major:minor" on an empty file that stands for a device
_UNMARKABLE = (EOPNOTSUPP, EPERM, EINVAL, EROFS)
_CAN_BE_MARKED = (stat.S_IFREG, stat.S_IFDIR)


class Owner(Value):
    """device: "" or ":c:major:minor", ":b:major:minor"."""

    uid: int
    gid: int
    device: str = ""


NOBODY_ELSE = Owner(0, 0)


def parsed(mark: bytes) -> Owner:
    """Raises ValueError."""
    uid, gid, *device = mark.decode("ascii").split(":", 2)
    return Owner(int(uid), int(gid), f":{device[0]}" if device else "")


def device_of(owner: Owner) -> tuple[int, int, int]:
    """(type of the node, major, minor)."""
    _, kind, major, minor = owner.device.split(":")
    return stat.S_IFCHR if kind == "c" else stat.S_IFBLK, int(major), int(minor)


def mark(path: str, uid: int, gid: int) -> None:
    """Of a new file, for a sandbox to see. A file system without attributes (tmpfs before Linux 6.6) keeps it root's."""
    try:
        os.setxattr(path, MARK, f"{uid}:{gid}".encode())
    except OSError as error:
        if error.errno not in _UNMARKABLE:
            raise


class Owners:
    """`special`: of what has no attributes, by identity; `below`: the same by inode, of what lay there before, whose inodes nobody else can get."""

    __slots__ = ("_below", "_special")

    def __init__(self) -> None:
        self._below: dict[int, Owner] = {}
        self._special: dict[tuple[int, bytes], Owner] = {}

    # ------------------------------------------------------------ asking
    def marked(self, path: bytes, follow: bool) -> "Owner | None":
        """Whose `path` is, None for root's. Raises OSError if there is nothing."""
        try:
            return parsed(os.getxattr(path, MARK, follow_symlinks=follow))
        except ValueError:
            return None
        except OSError as error:
            if error.errno != ENODATA and error.errno not in _UNMARKABLE:
                raise
            without = error.errno == EOPNOTSUPP           # the whole file system is
        if not self._special and not self._below:
            return None
        if not without and stat.S_IFMT(os.stat(path, follow_symlinks=follow).st_mode) in _CAN_BE_MARKED:
            return None
        fd = os.open(path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            return self._unmarkable(fd)
        finally:
            os.close(fd)

    def of_fd(self, fd: int) -> Owner:
        """Of what an O_PATH descriptor leads to."""
        try:
            return parsed(os.getxattr(f"self/fd/{fd}", MARK))
        except (OSError, ValueError):
            return self._unmarkable(fd) or NOBODY_ELSE

    def _unmarkable(self, fd: int) -> "Owner | None":
        key = identity(fd)
        return self._special.get(key) or self._below.get(key[0])

    # ------------------------------------------------------------ giving
    def change(self, fd: int, uid: int, gid: int) -> None:
        """chown(2), of what an O_PATH descriptor leads to; KEEP leaves an id. The kernel's own comes first: it copies the file up, drops set-ID
        bits and capabilities, and refuses what is not ours."""
        fchownat(fd, 0, 0)
        before = self.of_fd(fd)
        self.give(fd, Owner(before.uid if uid == KEEP else uid, before.gid if gid == KEEP else gid, before.device))

    def give(self, fd: int, owner: Owner) -> None:
        """Mark what the descriptor (O_PATH will do) leads to."""
        path = f"self/fd/{fd}"
        try:
            if owner != NOBODY_ELSE:
                os.setxattr(path, MARK, f"{owner.uid}:{owner.gid}{owner.device}".encode())
            else:
                os.removexattr(path, MARK)
        except OSError as error:
            if error.errno == ENODATA:
                return
            if error.errno not in _UNMARKABLE:
                raise
            key = identity(fd)
            if owner != NOBODY_ELSE or self._special or self._below:
                self._special[key] = owner

    # ------------------------------------------------------------ handing in and out
    def learn(self, known: "dict[str, tuple[int, int]]") -> None:
        """Owners of links, fifos and sockets in the root directory, by path without the leading slash."""
        for path, (uid, gid) in known.items():
            try:
                status = os.lstat(f"/{path}")
            except OSError:
                continue
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                self._below[status.st_ino] = Owner(uid, gid)

    def tell(self, upper_fd: int) -> "dict[str, tuple[int, int]]":
        """The same of what is in the upper directory and somebody else's."""
        found: dict[str, tuple[int, int]] = {}
        todo = [""] if self._special or self._below else []
        while todo:
            directory = todo.pop()
            fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=upper_fd)
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        path = f"{directory}/{entry.name}" if directory else entry.name
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(path)
                        elif not entry.is_file(follow_symlinks=False):
                            owner = self._seen(path)
                            if owner and owner != NOBODY_ELSE:
                                found[path] = owner.uid, owner.gid
            finally:
                os.close(fd)
        return found

    def _seen(self, path: str) -> "Owner | None":
        try:
            fd = os.open(f"/{path}", os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return None                                   # a whiteout
        try:
            return self._unmarkable(fd)
        finally:
            os.close(fd)


def read_table(fd: int) -> "dict[str, tuple[int, int]]":
    """A table of owners from a file that is handed about; {} for an empty one."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    found: dict[str, tuple[int, int]] = marshal.loads(data) if data else {}
    return found


def write_table(fd: int, table: "dict[str, tuple[int, int]]") -> None:
    data = memoryview(marshal.dumps(table))
    os.ftruncate(fd, 0)
    at = 0
    while at < len(data):
        at += os.pwrite(fd, data[at:], at)
