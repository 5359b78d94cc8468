"""Facts about the machine and the user that every sandbox of one zygote shares; looked up once, before the first fork."""

import os

from kernel.syscalls import capget
from kernel.value import Value
from sandbox import labels
from sandbox.capabilities import NET_ADMIN
from sandbox.cgroup import hierarchies

READ_ONLY = ("proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger")
HIDDEN = (
    "proc/acpi", "proc/asound", "proc/interrupts", "proc/kcore", "proc/keys", "proc/kpagecgroup", "proc/kpagecount", "proc/kpageflags",
    "proc/latency_stats", "proc/sched_debug", "proc/scsi", "proc/timer_list", "proc/timer_stats", "sys/firmware", "sys/devices/virtual/powercap")


class Machine(Value):
    """stage: an empty directory that each unit mounts its own scratch tmpfs on.
    rootless: in a user namespace of an ordinary user: overlay keeps its marks in user.* xattrs, devices and host-owned file systems are out of reach.
    single: only one uid and gid are mapped there.
    cgroups: mount options of the control group hierarchies that the host shows.
    loopback: new network namespaces can be given one.
    modules: security modules in use (sandbox.labels).
    The paths are those that exist here, relative to a root: cloning a mount for one that does not costs an RCU grace period."""

    stage: str
    rootless: bool
    single: bool
    last_capability: int
    cgroups: tuple[str, ...]
    read_only: tuple[str, ...]
    hidden_files: tuple[str, ...]
    hidden_directories: tuple[str, ...]
    loopback: bool
    modules: tuple[str, ...] = ()


def look(stage: str) -> Machine:
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    uids, gids = _mapped("/proc/self/uid_map"), _mapped("/proc/self/gid_map")
    hidden = tuple(path for path in HIDDEN if os.path.exists(f"/{path}"))
    return Machine(
        stage, rootless=uids < 1 << 32 - 1, single=min(uids, gids) == 1, last_capability=last,
        cgroups=hierarchies(), read_only=tuple(path for path in READ_ONLY if os.path.exists(f"/{path}")),
        hidden_files=tuple(path for path in hidden if not os.path.isdir(f"/{path}")),
        hidden_directories=tuple(path for path in hidden if os.path.isdir(f"/{path}")),
        loopback=bool(capget()[0] & NET_ADMIN), modules=labels.modules())


def _mapped(path: str) -> int:
    """How many ids the user namespace maps; 2**32 - 1 in the initial one."""
    with open(path) as file:
        return sum(int(line.split()[2]) for line in file)
