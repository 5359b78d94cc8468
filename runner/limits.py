"""Limits as they are changed, and words of users that mean limits. Pure but for a look at how many CPUs this machine has."""

import os

from runner.errors import InvalidOption
from sandbox.spec import NO_LIMITS, Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PERIOD_US = 100_000
_QUOTA_LEAST_US = 1000
MEMORY_LEAST = 6 << 20                                    # as in docker: less than this starts nothing


def merge(limits: Limits, changes: Limits) -> Limits:
    """`limits` with those of `changes` that say something."""
    said: dict[str, Any] = {name: value for name, value, default in zip(changes._fields, changes, NO_LIMITS) if value != default}
    return limits._replace(**said)


def cpu_quota(cpus: float) -> "tuple[int, int]":
    """(quota, period) in microseconds for a number of CPUs, as 1.5."""
    return max(_QUOTA_LEAST_US, int(cpus * _PERIOD_US)), _PERIOD_US


def cpus_fault(nano_cpus: int) -> str:
    """Why a container cannot have so many CPUs (in billionths) on this machine, "" if it can. As docker has it."""
    there = len(os.sched_getaffinity(0))
    if not nano_cpus or 10_000_000 <= nano_cpus <= there * 1_000_000_000:
        return ""
    return f"is not from 0.01 to {there}, which is what this machine has"


def checked(limits: Limits, nano_cpus: int = 0) -> Limits:
    """Itself; raises InvalidOption for what makes no sense together."""
    if fault := cpus_fault(nano_cpus):
        raise InvalidOption("number of CPUs", f"{nano_cpus / 1_000_000_000:g}", fault)
    if 0 < limits.memory < MEMORY_LEAST:
        raise InvalidOption("memory limit", str(limits.memory), f"is less than {MEMORY_LEAST >> 20} MiB")
    if 0 < limits.memory_swap < limits.memory:
        raise InvalidOption("memory-swap limit", str(limits.memory_swap), "is less than the memory limit, which it includes")
    if limits.memory_swap and not limits.memory:
        raise InvalidOption("memory-swap limit", str(limits.memory_swap), "needs a memory limit beside it")
    if limits.memory and limits.memory_reservation > limits.memory:
        raise InvalidOption("memory reservation", str(limits.memory_reservation), "is more than the memory limit")
    return limits
