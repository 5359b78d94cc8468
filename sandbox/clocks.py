"""A time namespace: clocks that count from another beginning for a sandbox, and for what is executed in it later."""

import os

from kernel.syscalls import CLONE_NEWTIME, setns, unshare
from sandbox.errors import SandboxError

_NUMBERS = {"monotonic": 1, "boottime": 7}               # linux/time.h


def is_available() -> bool:
    """Since Linux 5.6, where it was not left out."""
    return os.path.exists("/proc/self/ns/time")


def shift(seconds: int) -> None:
    """The calling process's CLOCK_MONOTONIC and CLOCK_BOOTTIME are so much ahead of the machine's from now on. Raises SandboxError."""
    if not is_available():
        raise SandboxError("shift the clocks", reason="this kernel has no time namespaces")
    try:
        unshare(CLONE_NEWTIME)                            # for children only; and so the offsets can still be set
        with open("/proc/self/timens_offsets", "w") as file:
            file.write("".join(f"{number} {seconds} 0\n" for number in _NUMBERS.values()))
        fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(fd, CLONE_NEWTIME)
        finally:
            os.close(fd)
    except OSError as error:
        raise SandboxError("shift the clocks", error.errno or 0, f"{seconds}", getattr(error, "hint", "")) from error
