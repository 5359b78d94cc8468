"""Owner, mode, attributes and time of a file that was just made. In: an open file and how it is to look; out: nothing but the effect.

Where files can have one owner only (single-uid user namespace) an attribute tells the real one; `marked` says so.
"""

import errno
import os

from kernel.value import Value
from store.errors import StoreError
from store.tree import GID, MODE, MTIME, OWNER, UID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.tree import Stat, Xattrs


class Look(Value):
    """mode: permission bits."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: "tuple[tuple[str, bytes], ...]" = ()


def look_of(stat: "Stat", xattrs: "Xattrs") -> Look:
    return Look(stat[MODE] & 0o7777, stat[UID], stat[GID], stat[MTIME], xattrs)


def dress(fd: int, look: Look, marked: bool, device: str = "") -> None:
    """In this order: a change of the owner takes set-ID bits and capabilities away, and the time comes when nothing else changes it.

    device: what an empty file stands for where no device can be made: ":c:major:minor".
    """
    if marked:
        if device or look.uid or look.gid:
            os.setxattr(fd, OWNER, f"{look.uid}:{look.gid}{device}".encode())
    else:
        give(fd, look.uid, look.gid)
    os.fchmod(fd, look.mode)
    for name, value in look.xattrs:
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
                raise                    # else: this file system or user cannot have it, and docker goes on too
    os.utime(fd, ns=(look.mtime_ns, look.mtime_ns))


def give_marked(fd: int, uid: int, gid: int, marked: bool, device: str = "") -> None:
    """The owner alone, of an open file or directory that may have been somebody else's. device: as in `dress`."""
    if not marked:
        os.fchown(fd, uid, gid)
    elif uid or gid or device:
        os.setxattr(fd, OWNER, f"{uid}:{gid}{device}".encode())
    else:
        try:
            os.removexattr(fd, OWNER)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise


def give(what: "int | str", uid: int, gid: int, dir_fd: "int | None" = None) -> None:
    """chown, of an fd or of a name that is not followed."""
    try:
        if isinstance(what, int):
            os.fchown(what, uid, gid)
        else:
            os.chown(what, uid, gid, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise StoreError(f"the archive has files of {uid}:{gid}, and this user namespace has no such user (see /etc/subuid)") from error
