"""Signals of confined processes where Landlock knows nothing of them (before Linux 6.12): a process of ours, the sentry, looks at each.

Whoever descends from the process that called `begin` may signal whoever does so too, but for the sentry. What else sends signals and cannot be looked
at, because whom it means is behind a pointer or a descriptor, is refused. `watch` is for the process that is to be confined, before it executes.
"""

import os
import select

from kernel.errors import SyscallFailed
from kernel.notify import SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Listener
from kernel.syscalls import PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, close_range, prctl, seccomp
from sandbox import privileges, wire
from sandbox.seccomp import ALLOW, ENOSYS, EPERM, ERRNO, NOTIFY, Condition, Rule, compile
from sandbox.seccomp_profile import numbered
from sandbox.syscall_numbers import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import NoReturn

    from kernel.notify import Notification

_INT = 0xFFFFFFFF
_F_SETOWN, _F_SETOWN_EX, _FIOSETOWN, _SIOCSPGRP = 8, 15, 0x8901, 0x8902
_WHOM = {"kill": 0, "tkill": 0, "tgkill": 1, "rt_sigqueueinfo": 0, "rt_tgsigqueueinfo": 1, "fcntl": 2}      # the argument that says so
_SIGKILL = 9
_ESRCH = 3
_ATTEMPTS = 5                         # to follow parents up, while some of them end


def program() -> bytes:
    """The filter: beside any other, since an answer that refuses comes before one that asks, and that before one that allows."""
    ask, refuse = Rule(NOTIFY), ERRNO | EPERM
    rules = dict.fromkeys(_WHOM, (ask,)) | {
        "kill": (Rule(ALLOW, (_is(0, 0),)), Rule(refuse, (_is(0, _INT),)), ask),               # 0: its own group, -1: everybody
        "fcntl": (Rule(NOTIFY, (_is(1, _F_SETOWN),)), Rule(refuse, (_is(1, _F_SETOWN_EX),))),
        "ioctl": (Rule(refuse, (_is(1, _FIOSETOWN),)), Rule(refuse, (_is(1, _SIOCSPGRP),))),
        "pidfd_send_signal": (Rule(ERRNO | ENOSYS),)}
    machine = os.uname().machine
    return compile(numbered(rules, machine), ALLOW, machine)


def _is(argument: int, value: int) -> Condition:
    return Condition(argument, "masked", value, _INT)


def begin() -> "_socket.socket":
    """Start the sentry of the caller's descendants, which is its child and ends with it. What is returned is for `watch`."""
    ours, theirs = wire.pair()
    above = os.getpid()
    if not os.fork():
        try:
            prctl(PR_SET_PDEATHSIG, _SIGKILL)
            if os.getppid() == above:
                os.setsid()
                privileges.default_signals()
                os.dup2(theirs.fileno(), 3, inheritable=False)
                close_range(4)
                _serve(wire.socket_of(3), above)
        finally:
            os._exit(1)
    theirs.close()
    return ours


def watch(sentry: "_socket.socket") -> None:
    """Have the signals of this process, and of its children, looked at from here on."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    code = program()
    try:
        listener = seccomp(code, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
    except SyscallFailed:                                 # before Linux 5.19: signals restart calls
        listener = seccomp(code, SECCOMP_FILTER_FLAG_NEW_LISTENER)
    wire.send(sentry, ("watch",), (listener,))
    os.close(listener)


def _serve(meeting: "_socket.socket", above: int) -> "NoReturn":
    names = {number: name for name, number in numbers(os.uname().machine).items() if name in _WHOM}
    listeners: dict[int, Listener] = {}
    poll = select.poll()
    poll.register(meeting.fileno(), select.POLLIN)
    while True:
        for fd, event in poll.poll():
            if fd == meeting.fileno():
                message, fds = wire.receive(meeting)
                if message is None:
                    poll.unregister(fd)                   # no more will come; those that are there go on
                    continue
                listeners[fds[0]] = Listener(fds[0])
                poll.register(fds[0], select.POLLIN)
            elif event & select.POLLIN:
                call = listeners[fd].receive()
                if call:
                    _answer(listeners[fd], call, names[call.number], above)
            else:                                         # nobody is left
                poll.unregister(fd)
                del listeners[fd]
                os.close(fd)


def _answer(listener: Listener, call: "Notification", name: str, above: int) -> None:
    whom = call.arguments[_WHOM[name]] & _INT
    whom -= whom >> 31 << 32
    if whom == 0 and name == "fcntl":                     # nobody any more
        listener.go_on(call.id)
        return
    inside = group_is_inside(-whom, above) if whom < 0 else is_inside(whom, above)
    if inside:
        listener.go_on(call.id)
    else:
        listener.answer(call.id, error=_ESRCH if inside is None else EPERM)


def is_inside(pid: int, above: int) -> "bool | None":
    """Whether a process or thread descends from `above` (and is not us); None if there is none of that number."""
    for _ in range(_ATTEMPTS):
        below = pid
        while below > 1:
            status = _status(below)
            if status is None:
                if below == pid:
                    return None
                break                                     # a parent has ended: the child has another now
            if status[0] == above:
                return below != os.getpid()
            below = status[0]
    return False


def group_is_inside(group: int, above: int) -> "bool | None":
    """Whether every process of the group is; None if it is empty."""
    found = None
    for name in os.listdir("/proc"):
        if name.isdigit() and (status := _status(int(name))) and status[1] == group:
            if is_inside(int(name), above) is False:
                return False
            found = True
    return found


def _status(pid: int) -> "tuple[int, int] | None":
    """(parent, process group)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            _, parent, group = file.read().rpartition(b")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(parent), int(group)
