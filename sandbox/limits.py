"""Limits a process sets for itself: rlimits, the OOM score, sysctls of its own namespaces. (cgroup.py has those of the kernel's controllers.)"""

import os
import resource

from kernel.syscalls import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from sandbox.errors import InvalidSpec, SandboxError
from sandbox.spec import Rlimit, SandboxSpec
from sandbox.tree import new_mount

_IPC_SYSCTLS = ("kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
                "kernel/shm_rmid_forced")
_SYSCTL_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")


def set_rlimits(rlimits: tuple[Rlimit, ...]) -> None:
    """Set them; what is above the hard limit that we may not raise is clamped to it."""
    for limit in rlimits:
        number = getattr(resource, f"RLIMIT_{limit.name.upper()}", None)
        if number is None:
            raise InvalidSpec("ulimit", path=limit.name, reason="is unknown")
        soft, hard = (resource.RLIM_INFINITY if value < 0 else value for value in (limit.soft, limit.hard))
        if _least(soft, hard) != soft:
            raise InvalidSpec("ulimit", path=limit.name, reason="has a soft limit above its hard one")
        try:
            resource.setrlimit(number, (soft, hard))
        except (ValueError, OSError):                     # Python's word for EPERM here is ValueError
            top = resource.getrlimit(number)[1]
            resource.setrlimit(number, (_least(soft, top), _least(hard, top)))


def _least(value: int, top: int) -> int:
    if top == resource.RLIM_INFINITY:
        return value
    return top if value == resource.RLIM_INFINITY else min(value, top)


def clamped(rlimits: tuple[Rlimit, ...]) -> tuple[Rlimit, ...]:
    """As `set_rlimits` would set them for this process, for somebody else to set: what is above a hard limit that it may not raise is that."""
    found = []
    for limit in rlimits:
        number = getattr(resource, f"RLIMIT_{limit.name.upper()}", None)
        if number is None:
            raise InvalidSpec("ulimit", path=limit.name, reason="is unknown")
        before = resource.getrlimit(number)
        set_rlimits((limit,))
        soft, hard = resource.getrlimit(number)
        resource.setrlimit(number, (before[0], hard) if before[0] <= hard else (soft, hard))
        found.append(Rlimit(limit.name, soft, hard))
    return tuple(found)


def adjust_oom_score(score: int) -> None:
    """-1000..1000; a lower one than we have needs CAP_SYS_RESOURCE: refused, it stays as it is."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except PermissionError:
        pass


def check_sysctl(spec: SandboxSpec, name: str) -> str:
    """Path of the sysctl `name` below /proc/sys; raises InvalidSpec unless it belongs to a namespace that is the sandbox's own."""
    path = _path_of(name)
    if not set(path) <= _SYSCTL_LETTERS or any(part in ("", ".", "..") for part in path.split("/")):
        raise InvalidSpec("sysctl", path=name, reason="is no name of one")
    if path.startswith("net/"):
        if spec.network == "host":
            raise InvalidSpec("sysctl", path=name, reason="belongs to the host's network, which this sandbox shares")
    elif path in _IPC_SYSCTLS or path.startswith("fs/mqueue/"):
        if spec.ipc == "host":
            raise InvalidSpec("sysctl", path=name, reason="belongs to the host's ipc namespace, which this sandbox shares")
    elif not spec.privileged:
        raise InvalidSpec("sysctl", path=name, reason="belongs to the whole machine, not to the sandbox")
    return path


def _path_of(name: str) -> str:
    """As sysctl(8): the separator that comes first separates, the other one is then a dot in a name (`net.ipv4.conf.eth0/1.forwarding`)."""
    if "/" in name.partition(".")[0]:
        return name
    return name.replace(".", "\0").replace("/", ".").replace("\0", "/")


def set_sysctls(spec: SandboxSpec) -> None:
    """Write them through a procfs of our own, which nothing of the image can have been mounted over."""
    if not spec.sysctls:
        return
    proc = new_mount(b"proc", 0)
    try:
        for name, value in spec.sysctls:
            path = check_sysctl(spec, name)
            try:
                fd = openat2(proc, f"sys/{path}", os.O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
                with open(fd, "wb", buffering=0) as file:
                    file.write(value.encode())
            except OSError as error:
                raise SandboxError("set the sysctl", error.errno or 0, name) from error
    finally:
        os.close(proc)
