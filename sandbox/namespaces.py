"""The shape of a unit: which namespaces it is born with, and what else cannot be changed after the request has come.

A unit is prepared before anybody asks for it, so it can serve every spec of its shape; other shapes are prepared when they are asked for.
"""

from kernel.syscalls import CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS
from kernel.value import Value
from sandbox.capabilities import ALL, DEFAULT
from sandbox.spec import ExecSpec, SandboxSpec


class Shape(Value):
    """namespaces: CLONE_NEW* flags, 0 for a visitor. bounding: the capability bounding set. masked: paths of /proc and /sys are hidden.
    mapped: in a user namespace of its own, which owns the others."""

    namespaces: int
    bounding: int = DEFAULT
    masked: bool = True
    mapped: bool = False


PRIVATE = Shape(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)
JOINED = Shape(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)      # the network comes by fd, or is the host's
VISITOR = Shape(0)                                                             # joins those of a sandbox that runs
_CHOICES = (("pid", CLONE_NEWPID), ("ipc", CLONE_NEWIPC), ("uts", CLONE_NEWUTS))


def shape_of(spec: SandboxSpec) -> Shape:
    """The shape that `spec` needs."""
    bounding = _bounding(held_by(spec))
    flags = CLONE_NEWNS | (CLONE_NEWNET if spec.network == "none" else 0)
    for name, flag in _CHOICES:
        flags |= flag if getattr(spec, name) == "private" else 0
    return Shape(flags, bounding, spec.masked and not spec.privileged, isinstance(spec.user_namespace, int))


def visitor_of(spec: ExecSpec) -> Shape:
    """The shape of what starts `spec` in a sandbox that runs."""
    return Shape(0, _bounding(held_by(spec)))


def _bounding(held: int) -> int:
    return DEFAULT if held & ~DEFAULT == 0 else held


def held_by(spec: SandboxSpec | ExecSpec) -> int:
    """The capabilities that root has inside."""
    return ALL if spec.privileged else spec.capabilities


def joined(spec: SandboxSpec) -> list[tuple[int, int]]:
    """(fd, CLONE_NEW* flag) of the namespaces that a unit enters; the pid namespace is its parent's to enter."""
    choices = (("network", CLONE_NEWNET), ("ipc", CLONE_NEWIPC), ("uts", CLONE_NEWUTS), ("cgroup_namespace", CLONE_NEWCGROUP))
    return [(fd, flag) for name, flag in choices if isinstance(fd := getattr(spec, name), int)]
