"""Paths that cannot leave their root: every walk is by directory fd and openat2, so that no symlink, `..` or rename leads outside.

`root_fd` is an open directory (O_PATH will do for lookups). `path` is relative to it; a leading `/` means the root itself.
Two rules of walking: *in root* (symlinks are followed, but resolve inside: what a process chrooted there would see) and *beneath, no
symlinks* (any symlink or `..` that leaves is an error).
"""

import os
import stat

from kernel.errors import SyscallFailed
from kernel.syscalls import RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_IN_ROOT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS


def open_in_root(root_fd: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open `path` as a process chrooted to the root would see it."""
    return openat2(root_fd, path or ".", flags, mode, _IN_ROOT)


def open_beneath(root_fd: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open `path` below the root; a symlink anywhere in it, or a step outside, is an error (ELOOP, EXDEV)."""
    return openat2(root_fd, path.lstrip("/") or ".", flags, mode, _BENEATH)


def read_regular(root_fd: int, path: str, limit: int) -> bytes:
    """Bytes of the regular file `path` (followed in root); raises OSError if it is none, or larger than `limit` bytes.

    For files that an image controls, such as /etc/passwd: a FIFO does not hang, a huge file does not fill the memory.
    """
    fd = open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise SyscallFailed(22, "read", path)
    with open(fd, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise SyscallFailed(27, "read", path)
    return data


def make_directories(root_fd: int, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> int:
    """`mkdir -p` as seen in root; returns an fd of the last directory. New ones get mode and owner; existing ones are left alone.

    A dangling symlink on the way is followed and its target made, inside the root. Raises NotADirectoryError where a file is in the way.
    """
    fd = os.open(".", DIRECTORY, dir_fd=root_fd)
    walked = ""
    try:
        for part in resolve(root_fd, path):
            walked = f"{walked}/{part}"
            try:
                os.mkdir(part, 0o700, dir_fd=fd)
            except FileExistsError:
                following = openat2(root_fd, walked, os.O_RDONLY | os.O_DIRECTORY, 0, _IN_ROOT)
            else:
                following = os.open(part, DIRECTORY, dir_fd=fd)
                if uid or gid:
                    os.fchown(following, uid, gid)
                os.fchmod(following, mode)
            os.close(fd)
            fd = following
    except BaseException:
        os.close(fd)
        raise
    return fd


def resolve(root_fd: int, path: str) -> list[str]:
    """Components of `path` with every symlink replaced by where it leads in root, so that a dangling one can be made.

    A statement about now: what is opened by them must be opened with no symlinks allowed.
    """
    done: list[str] = []
    todo = _reversed_parts(path)
    budget = 40                                        # symlinks followed before it counts as a loop, as in the kernel
    while todo:
        part = todo.pop()
        if part == "..":
            done = done[:-1]
            continue
        target = _link(root_fd, "/".join(done), part)
        if target:
            budget -= 1
            if not budget:
                raise SyscallFailed(40, "mkdir", path)
            if target.startswith("/"):
                done = []
            todo += _reversed_parts(target)
        else:
            done.append(part)
    return done


def _reversed_parts(path: str) -> list[str]:
    return [p for p in path.split("/") if p and p != "."][::-1]


def _link(root_fd: int, parent: str, name: str) -> str:
    """Target of the symlink `parent/name`; "" if it is something else or missing."""
    try:
        fd = openat2(root_fd, parent or ".", os.O_PATH | os.O_DIRECTORY, 0, _IN_ROOT)
    except FileNotFoundError:
        return ""
    try:
        return os.readlink(name, dir_fd=fd)
    except FileNotFoundError:
        return ""
    except OSError as error:
        if error.errno == 22:                          # EINVAL: no symlink
            return ""
        raise
    finally:
        os.close(fd)


def remove_tree(dir_fd: int, name: str) -> None:
    """Remove `name` below `dir_fd` and everything in it; never follows a symlink, needs no long path and no deep stack. Missing is fine.

    Directories without write permission are made writable first (a build step may leave some). Interrupted, it can be run again.
    """
    if _unlinked(dir_fd, name):
        return
    top = _open_writable(dir_fd, name)
    try:
        pending = _sweep(top)
        taken, serial = set(pending), 0
        while pending:
            below = pending.pop()
            fd = _open_writable(top, below)
            try:
                for child in _sweep(fd):
                    # lifted to the top: however deep a hostile tree is, two open directories are enough
                    while (lifted := f".{serial}") in taken:
                        serial += 1
                    serial += 1
                    os.close(_open_writable(fd, child))
                    os.rename(child, lifted, src_dir_fd=fd, dst_dir_fd=top)
                    pending.append(lifted)
            finally:
                os.close(fd)
            os.rmdir(below, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=dir_fd)


def _sweep(fd: int) -> list[str]:
    """Unlink what is no directory in `fd`; the names of the directories."""
    return [child for child in os.listdir(fd) if not _unlinked(fd, child)]


def _unlinked(dir_fd: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=dir_fd)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        pass
    return True


def _open_writable(dir_fd: int, name: str) -> int:
    try:
        fd = os.open(name, DIRECTORY, dir_fd=dir_fd)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=dir_fd)
        fd = os.open(name, DIRECTORY, dir_fd=dir_fd)
    if os.fstat(fd).st_mode & 0o700 != 0o700:
        os.fchmod(fd, 0o700)
    return fd
