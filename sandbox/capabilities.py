"""Capability sets as bit masks (bit n = capability n of capability(7)); docker's default set, and adding to or dropping from it."""

from sandbox.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE",
    "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE",
    "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE")

ALL = (1 << len(NAMES)) - 1
# CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP
DEFAULT = 0xA80425FB
NET_ADMIN = 1 << 12
SYS_PTRACE = 1 << 19
SYS_ADMIN = 1 << 21


def bit(name: str) -> int:
    """Mask of the capability called `name`, with or without CAP_, in any case; ALL for "ALL"."""
    short = name.upper().removeprefix("CAP_")
    if short == "ALL":
        return ALL
    if short not in NAMES:
        raise InvalidSpec("capability", path=name, reason="is unknown")
    return 1 << NAMES.index(short)


def select(add: tuple[str, ...] = (), drop: tuple[str, ...] = (), base: int = DEFAULT) -> int:
    """`base` without `drop`, with `add`, as `--cap-drop` and `--cap-add` combine: a name in both is added, ALL gives way to single names."""
    added, dropped = [bit(name) for name in add], [bit(name) for name in drop]
    taken = _union(one for one in dropped if one != ALL)
    if ALL in added:
        return ALL & ~taken
    return (0 if ALL in dropped else base & ~taken) | _union(added)


def _union(masks: "Iterable[int]") -> int:
    whole = 0
    for mask in masks:
        whole |= mask
    return whole


def names(mask: int) -> tuple[str, ...]:
    """CAP_ names of the bits of `mask`, in the kernel's order."""
    return tuple(f"CAP_{name}" for number, name in enumerate(NAMES) if mask >> number & 1)
