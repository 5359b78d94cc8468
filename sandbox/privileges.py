"""Giving up: bounding set, ids, seccomp, capabilities, in the order in which each is still permitted."""

import _signal  # type: ignore[import-not-found]
import os
import stat

from kernel.syscalls import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    capget,
    capset,
    prctl,
    seccomp,
)
from sandbox.account import Account
from sandbox.machine import Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_KEEPCAPS = 8
_SIGKILL = 9
# what can be set: Python ignores SIGPIPE and SIGXFSZ, a shell may have had SIGINT ignored, and being ignored survives execve
_SIGNALS = tuple(number for number in range(1, 65) if number not in (9, 19, 32, 33))


def bound(mask: int, last: int) -> None:
    """Drop from the bounding set what is not in `mask`."""
    for number in range(last + 1):
        if not mask >> number & 1:
            prctl(PR_CAPBSET_DROP, number)


def become_root() -> None:
    """Of a user namespace that was just entered, in which we are nobody yet."""
    os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def own_streams(fds: list[int], uid: int, gid: int) -> None:
    """Pipes and terminals become the user's, so that it can open /dev/stdout; files and foreign terminals stay what they are."""
    if not uid:
        return
    for fd in set(fds):
        status = os.fstat(fd)
        if stat.S_ISFIFO(status.st_mode):
            try:
                os.fchown(fd, uid, gid)
            except OSError:
                pass


def default_signals() -> None:
    """Every signal as a new program expects it."""
    for number in _SIGNALS:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def become(who: Account, held: int, ambient: int, program: bytes, *, no_new_privileges: bool, machine: Machine, bounding: int,
           meet: "Callable[[], None] | None" = None) -> None:
    """The caller becomes `who` with the capabilities `held` at most, and no way back. `program`: seccomp filter, b"" for none.

    Without no_new_privs a filter may only be installed by who has CAP_SYS_ADMIN: so it comes before the capabilities go, and must itself
    permit the few calls that follow. Inheritable capabilities stay empty (CVE-2022-29162).

    meet: where there is one id only, has the ids emulated from here on; for the kernel the process stays root of its namespace.
    """
    bound(held | ~bounding, machine.last_capability)
    if meet:
        who = who._replace(uid=0, gid=0)
        if no_new_privileges:
            prctl(PR_SET_NO_NEW_PRIVS, 1)
        meet()
    elif not machine.single:
        os.setgroups(who.groups)
    if who.gid:
        os.setresgid(who.gid, who.gid, who.gid)
    if who.uid:
        prctl(_PR_SET_KEEPCAPS, 1)
        os.setresuid(who.uid, who.uid, who.uid)
        prctl(_PR_SET_KEEPCAPS, 0)
    prctl(PR_SET_PDEATHSIG, _SIGKILL)                 # forgotten when ids change
    permitted = capget()[1]
    if program and not no_new_privileges:
        capset(permitted, permitted, 0)
        seccomp(program)
    kept = (held if not who.uid else ambient) & permitted
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    capset(kept, kept, ambient & kept)
    for number in range(machine.last_capability + 1):
        if (ambient & kept) >> number & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
    if no_new_privileges:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if program:
            seccomp(program)
