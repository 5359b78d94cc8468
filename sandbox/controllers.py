"""Limits as the files of the kernel's controllers: pure, one function for each version of cgroups.

Files are (controller, name, value) in the order they are to be written; a name that starts with `?` may be missing on a kernel.
"""

import os

from kernel.value import Value
from sandbox.errors import InvalidSpec
from sandbox.spec import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD_US = 100_000
_UNLIMITED = "max"


class File(Value):
    controller: str
    name: str
    value: str


def files_v2(limits: Limits, device: "Callable[[str], str]") -> tuple[File, ...]:
    """device: path -> "major:minor"."""
    found = []
    if limits.memory:
        found.append(File("memory", "memory.max", str(limits.memory)))
    if limits.memory_swap < 0:
        found.append(File("memory", "?memory.swap.max", _UNLIMITED))
    elif limits.memory_swap or limits.memory:
        # as docker: twice the memory in all if nothing is said
        found.append(File("memory", "?memory.swap.max", str(_swap(limits) - limits.memory)))
    if limits.memory_reservation:
        found.append(File("memory", "memory.low", str(limits.memory_reservation)))
    if limits.cpu_shares:
        found.append(File("cpu", "cpu.weight", str(weight(limits.cpu_shares))))
    if limits.cpu_quota_us or limits.cpu_period_us:
        quota = str(limits.cpu_quota_us) if limits.cpu_quota_us > 0 else _UNLIMITED
        found.append(File("cpu", "cpu.max", f"{quota} {limits.cpu_period_us or PERIOD_US}"))
    found += [File("cpuset", f"cpuset.{kind}", value) for kind, value in (("cpus", limits.cpuset_cpus), ("mems", limits.cpuset_mems)) if value]
    if limits.pids:
        found.append(File("pids", "pids.max", _UNLIMITED if limits.pids < 0 else str(limits.pids)))
    if limits.io_weight:
        found += [File("io", "?io.bfq.weight", str(limits.io_weight)), File("io", "?io.weight", str(_cost_weight(limits.io_weight)))]
    for path, weight_there in limits.io_weights:
        found += [File("io", "?io.bfq.weight", f"{device(path)} {weight_there}"),
                  File("io", "?io.weight", f"{device(path)} {_cost_weight(weight_there)}")]
    for key, rates in (("rbps", limits.read_bps), ("wbps", limits.write_bps), ("riops", limits.read_iops), ("wiops", limits.write_iops)):
        found += [File("io", "io.max", f"{device(path)} {key}={rate}") for path, rate in rates]
    return tuple(found)


def files_v1(limits: Limits, device: "Callable[[str], str]") -> tuple[File, ...]:
    """device: path -> "major:minor"."""
    found = []
    if limits.memory:
        found.append(File("memory", "memory.limit_in_bytes", str(limits.memory)))
    if limits.memory_swap or limits.memory:
        swap = -1 if limits.memory_swap < 0 else _swap(limits)
        found.append(File("memory", "?memory.memsw.limit_in_bytes", str(swap)))
    if limits.memory_reservation:
        found.append(File("memory", "memory.soft_limit_in_bytes", str(limits.memory_reservation)))
    if limits.memory and limits.oom_kill_disable:
        found.append(File("memory", "memory.oom_control", "1"))
    if limits.swappiness >= 0:
        found.append(File("memory", "memory.swappiness", str(limits.swappiness)))
    if limits.cpu_shares:
        found.append(File("cpu", "cpu.shares", str(limits.cpu_shares)))
    if limits.cpu_period_us:
        found.append(File("cpu", "?cpu.cfs_period_us", str(limits.cpu_period_us)))
    if limits.cpu_quota_us:
        found.append(File("cpu", "?cpu.cfs_quota_us", str(limits.cpu_quota_us)))
    found += [File("cpuset", f"cpuset.{kind}", value) for kind, value in (("cpus", limits.cpuset_cpus), ("mems", limits.cpuset_mems)) if value]
    if limits.pids:
        found.append(File("pids", "pids.max", _UNLIMITED if limits.pids < 0 else str(limits.pids)))
    if limits.io_weight:
        found.append(File("blkio", "?blkio.bfq.weight", str(limits.io_weight)))
    found += [File("blkio", "?blkio.bfq.weight_device", f"{device(path)} {weight_there}") for path, weight_there in limits.io_weights]
    for name, rates in (("read_bps", limits.read_bps), ("write_bps", limits.write_bps),
                        ("read_iops", limits.read_iops), ("write_iops", limits.write_iops)):
        found += [File("blkio", f"blkio.throttle.{name}_device", f"{device(path)} {rate}") for path, rate in rates]
    return tuple(found)


def _swap(limits: Limits) -> int:
    swap = limits.memory_swap or 2 * limits.memory
    if swap < limits.memory:
        raise InvalidSpec("memory and swap together", reason="are less than the memory alone")
    return swap


def _cost_weight(weight: int) -> int:
    """io.weight (1..10000) for a weight of 10..1000, as runc converts them."""
    return 1 + (weight - 10) * 9999 // 990


def weight(shares: int) -> int:
    """cpu.weight (1..10000) for cpu.shares (2..262144), as runc converts them."""
    return 1 + (max(2, min(shares, 262144)) - 2) * 9999 // 262142


def number_of(path: str) -> str:
    """"major:minor" of the block device at `path`."""
    try:
        device = os.stat(path).st_rdev
    except OSError as error:
        raise InvalidSpec("device", path=path, reason=f"cannot be looked at: {(error.strerror or '').lower()}") from error
    return f"{os.major(device)}:{os.minor(device)}"
