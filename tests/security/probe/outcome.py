"""How an attempt calls the kernel, and how it says what came of it: `Out` is raised by what worked; OSError means that it was refused."""

import ctypes
import errno
import os
import stat
import sys
from typing import Any, NoReturn

from sandbox.syscall_numbers import numbers

MACHINE = os.uname().machine
NUMBERS = numbers(MACHINE)
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS}
AT_FDCWD = -100
ZEROS = bytes(256)
# what the test says about the host: things that must stay out of reach
FACTS = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)


class Out(Exception):
    """An attempt worked, or got further than a permission check; the message is what it got."""


def call(name: str | int, *arguments: int | bytes | None) -> int:
    """The system call, by name or number; its result, or OSError."""
    number = NUMBERS[name] if isinstance(name, str) else name
    words: list[Any] = [ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(one) for one in arguments]
    result: int = LIBC.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise failure()
    return result


def failure() -> OSError:
    """The error that the last call of the C library left."""
    number = ctypes.get_errno()
    return OSError(number, errno.errorcode.get(number, str(number)))


def must_refuse(name: str | int, *arguments: int | bytes | None) -> NoReturn:
    """Raises Out unless the call is refused."""
    try:
        result = call(name, *arguments)
    except OSError as error:
        if error.errno in REFUSED:
            raise
        raise Out(f"got to {error}") from error
    raise Out(f"gave {result}")


def must_not_open(path: str, flags: int) -> None:
    """Raises Out if the file can be opened, unless it is an ordinary one of our own root."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not is_own(fd):
        raise Out("opened")


def is_own(fd: int) -> bool:
    """Whether it is an ordinary file of the root itself: a stand-in where there is no /proc."""
    status = os.fstat(fd)
    return stat.S_ISREG(status.st_mode) and status.st_dev == os.stat("/").st_dev
