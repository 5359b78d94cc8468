"""Processes of the agent's: given a name that shows in `ps`, and told from others that have their number by now."""

import ctypes
import os

from kernel.syscalls import PR_SET_NAME, prctl

SIGKILL = 9                                               # the module `signal` is made of enums: half a megabyte for a process that stays


def rename(name: str) -> None:
    """What `ps` and /proc/PID/comm show of the calling process; at most 15 bytes count."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    prctl(PR_SET_NAME, ctypes.addressof(buffer))


def give_back_memory() -> None:
    """To the machine, what is free: the C library keeps it, and a listing of the firewall's rules takes many times what is left of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)          # musl has none, and keeps nothing
    if trim:
        trim(0)


def name_of(pid: int) -> str:
    """"" if there is no such process."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def end(pid: int, *names: str) -> None:
    """Kill it if it has one of these names. Fine if it has not, or is gone."""
    if pid > 0 and name_of(pid) in names:
        try:
            os.kill(pid, SIGKILL)
        except ProcessLookupError:
            pass
