"""Which system calls are not the kernel's to answer where a user namespace has one id only: the filter that makes them notifications.

It is installed beside the sandbox's own profile; what that one refuses stays refused.
"""

import os

from sandbox.seccomp import ALLOW, NOTIFY, Condition, Rule, Rules, compile
from sandbox.seccomp_profile import numbered

CHOWN = "chown fchown lchown fchownat"
STAT = "stat fstat lstat newfstatat statx"
CREATE = "creat openat2 mkdir mkdirat symlink symlinkat mknod mknodat"
SET_IDS = "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups"
GET_IDS = "getuid getgid geteuid getegid getresuid getresgid getgroups"
ALWAYS = f"{CHOWN} {STAT} {CREATE} {SET_IDS} {GET_IDS} execve execveat chroot".split()
RLIMIT_RTTIME = 15                    # where a process keeps the number of its credentials: see sandbox.emulation
PR_SET_KEEPCAPS = 8
SO_PEERCRED = 17
_SOL_SOCKET = 1
_O_TMPFILE = 0o20000000               # without O_DIRECTORY, which is part of the kernel's
_INT = 0xFFFFFFFF


def rules(machine: str) -> Rules:
    """By number, for `machine` as in uname -m."""
    always: tuple[Rule, ...] = (Rule(NOTIFY),)
    found = dict.fromkeys(ALWAYS, always)
    for name, flags in (("open", 1), ("openat", 2)):
        found[name] = tuple(Rule(NOTIFY, (Condition(flags, "masked", one, one),)) for one in (os.O_CREAT, _O_TMPFILE))
    for name, resource in (("prlimit64", 1), ("setrlimit", 0), ("getrlimit", 0)):
        found[name] = (_if(resource, RLIMIT_RTTIME),)
    found["prctl"] = (_if(0, PR_SET_KEEPCAPS),)
    found["getsockopt"] = (Rule(NOTIFY, (Condition(1, "masked", _SOL_SOCKET, _INT), Condition(2, "masked", SO_PEERCRED, _INT))),)
    return numbered(found, machine)


def _if(argument: int, value: int) -> Rule:
    return Rule(NOTIFY, (Condition(argument, "masked", value, _INT),))


def program() -> bytes:
    machine = os.uname().machine
    return compile(rules(machine), ALLOW, machine)
