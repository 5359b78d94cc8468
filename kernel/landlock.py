"""Landlock (landlock(7)): a process that gives up, for good and for its children, what it does not name.

By ctypes, as in kernel.syscalls; no policy.
"""

import ctypes
import os
from ctypes import byref, c_int, c_size_t, c_uint, c_uint64

from kernel.errors import failed
from kernel.release import PRETENDED, RELEASE

_NR_CREATE_RULESET = 444
_NR_ADD_RULE = 445
_NR_RESTRICT_SELF = 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

ACCESS_FS_EXECUTE = 1 << 0
ACCESS_FS_WRITE_FILE = 1 << 1
ACCESS_FS_READ_FILE = 1 << 2
ACCESS_FS_READ_DIR = 1 << 3
ACCESS_FS_REFER = 1 << 13                                # from ABI 2 on; before it, no file can be renamed into another directory
SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0
SCOPE_SIGNAL = 1 << 1
_RELEASES = ((5, 13), (5, 19), (6, 2), (6, 7), (6, 10), (6, 12), (6, 15))                # of Linux with ABI 1, 2, ..
FILES_ABI = 2                                            # the first that allows renames between directories
SCOPES_ABI = 6                                           # the first that scopes
_ACCESSES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}          # ABI -> how many kinds of access to files it handles

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


class _RulesetAttr(ctypes.Structure):
    _fields_ = [(name, c_uint64) for name in ("handled_access_fs", "handled_access_net", "scoped")]


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", c_uint64), ("parent_fd", ctypes.c_int32)]


def _check(result: int, syscall: str) -> int:
    if result < 0:
        raise failed(ctypes.get_errno(), syscall)
    return result


def version() -> int:
    """The kernel's ABI of Landlock; 0 where there is none, or it is switched off, or a filter refuses to tell."""
    found = max(0, int(_syscall(_NR_CREATE_RULESET, None, c_size_t(0), c_uint(_CREATE_RULESET_VERSION))))
    return min(found, sum(release <= RELEASE for release in _RELEASES)) if PRETENDED else found


def every_access(abi: int) -> int:
    """All accesses to files that `abi` knows."""
    return (1 << _ACCESSES.get(abi, 16)) - 1


def create_ruleset(access_fs: int, scoped: int = 0) -> int:
    """fd of a ruleset that forbids `access_fs` except where a rule allows it. scoped: SCOPE_*, from ABI 6 on."""
    attributes = _RulesetAttr(access_fs, 0, scoped)
    size = 24 if scoped else 8                           # an older kernel refuses fields that it does not know
    return _check(_syscall(_NR_CREATE_RULESET, byref(attributes), c_size_t(size), c_uint(0)), "landlock_create_ruleset")


def add_rule(ruleset: int, directory_fd: int, access_fs: int) -> None:
    """Allow `access_fs` to what is, at the moment of the access, below the directory."""
    rule = _PathBeneathAttr(access_fs, directory_fd)
    _check(_syscall(_NR_ADD_RULE, c_int(ruleset), c_uint(_RULE_PATH_BENEATH), byref(rule), c_uint(0)), "landlock_add_rule")


def restrict_self(ruleset: int) -> None:
    """Needs no_new_privs, or CAP_SYS_ADMIN."""
    _check(_syscall(_NR_RESTRICT_SELF, c_int(ruleset), c_uint(0)), "landlock_restrict_self")


def confine(roots: "tuple[tuple[int, int], ...]", abi: int) -> None:
    """Allow the caller nothing of the file system but what `roots`, pairs of (fd of a directory, accesses), allow; from ABI 6 on also no signals to
    and no abstract sockets of processes outside. abi: what `version` says, at least 1."""
    known = every_access(abi)
    scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL if abi >= SCOPES_ABI else 0
    ruleset = create_ruleset(known, scoped)
    try:
        for fd, access in roots:
            add_rule(ruleset, fd, access & known)
        restrict_self(ruleset)
    finally:
        os.close(ruleset)
