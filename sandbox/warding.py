"""A filter for system calls that keeps a process out of reach of its own descendants' signals, which Landlock permits: it is in their domain."""

import os

from sandbox.seccomp import ALLOW, EPERM, ERRNO, Condition, Rule, compile
from sandbox.seccomp_profile import numbered

_INT = 0xFFFFFFFF
_EVERYBODY = -1
_F_SETOWN, _F_SETOWN_EX, _FIOSETOWN, _SIOCSPGRP = 8, 15, 0x8901, 0x8902      # a file's owner is signalled too


def program(pid: int, group: int) -> bytes:
    """For whoever descends from `pid`, which is in this process group; beside any other filter."""
    machine = os.uname().machine
    return compile(numbered(rules(pid, group), machine), ALLOW, machine)


def rules(pid: int, group: int) -> "dict[str, tuple[Rule, ...]]":
    """What it refuses, by names of calls."""
    refuse = ERRNO | EPERM

    def kept(*arguments: int) -> tuple[Rule, ...]:
        return (*(Rule(refuse, (_is(argument, pid),)) for argument in arguments), Rule(ALLOW))

    return {
        "kill": (*(Rule(refuse, (_is(0, whom),)) for whom in (pid, -group, _EVERYBODY)), Rule(ALLOW)),
        "tkill": kept(0), "tgkill": kept(0, 1), "rt_sigqueueinfo": kept(0), "rt_tgsigqueueinfo": kept(0, 1), "pidfd_open": kept(0),
        "fcntl": (*(Rule(refuse, (_is(1, _F_SETOWN), _is(2, whom))) for whom in (pid, -group)), Rule(refuse, (_is(1, _F_SETOWN_EX),)), Rule(ALLOW)),
        "ioctl": (Rule(refuse, (_is(1, _FIOSETOWN),)), Rule(refuse, (_is(1, _SIOCSPGRP),)), Rule(ALLOW))}


def _is(argument: int, value: int) -> Condition:
    return Condition(argument, "masked", value & _INT, _INT)
