"""The TTY of a sandbox: made on its own devpts, so that it has a name inside; the other end goes to whoever started it."""

import fcntl
import os
import struct
import termios

from kernel.syscalls import AT_EMPTY_PATH, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, open_tree, openat2
from sandbox.errors import SandboxError
from sandbox.tree import attach

_TIOCGPTPEER = 0x5441
_TIOCSPTLCK = 0x40045431
_PTMX = os.makedev(5, 2)


def open_terminal(dev_fd: int, rows: int, columns: int, *, console: bool) -> tuple[int, int]:
    """(outer end, inner end) of a new terminal of the devpts on `dev_fd`/pts. console: it is also bound on /dev/console.

    The inner end is asked of the outer one, never looked up by path (CVE-2025-52565).
    """
    outer = openat2(dev_fd, "pts/ptmx", os.O_RDWR | os.O_NOCTTY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    if os.fstat(outer).st_rdev != _PTMX:
        os.close(outer)
        raise SandboxError("make the terminal", path="/dev/pts/ptmx", reason="it is no terminal multiplexer")
    fcntl.ioctl(outer, _TIOCSPTLCK, struct.pack("i", 0))
    inner = fcntl.ioctl(outer, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    resize(outer, rows, columns)
    if console:
        _bind_console(inner, dev_fd)
    return outer, inner


def _bind_console(inner: int, dev_fd: int) -> None:
    os.close(os.open("console", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600, dir_fd=dev_fd))
    attach(open_tree(inner, b"", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH), dev_fd, b"console")


def resize(terminal: int, rows: int, columns: int) -> None:
    """Tell the terminal its size; the processes in it get SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def make_controlling(inner: int) -> None:
    """The caller, a session leader, gets the terminal as its controlling one."""
    fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
