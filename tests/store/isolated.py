"""Parts of tests that mount or change their identity: run in a fork, in namespaces of their own; what they return or raise comes back.

`as_root(f)` has a mount namespace; `as_user(user, f)` is root of that user's user namespace, as a rootless command of ours is.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from kernel.syscalls import (
    CLONE_NEWNS,
    MS_PRIVATE,
    MS_REC,
    PR_SET_DUMPABLE,
    fsconfig_create,
    fsconfig_flag,
    fsconfig_string,
    fsmount,
    fsopen,
    mount,
    move_mount,
    prctl,
    umount2,
    unshare,
)
from sandbox.userns import create
from tests.fork import in_fork
from tests.users import User

T = TypeVar("T")


def as_root(function: Callable[..., T], *arguments: Any) -> T:
    """function(*arguments) in a fork with a private mount namespace; the result must be picklable."""
    return in_fork(lambda: _isolated(function, arguments))


def as_user(user: User, function: Callable[..., T], *arguments: Any) -> T:
    """As as_root, as root of the user's user namespace."""
    value: T = user.call(_in_namespace, function, *arguments)
    return value


def _in_namespace(function: Callable[..., T], *arguments: Any) -> T:
    prctl(PR_SET_DUMPABLE, 1)                          # the fork came from root, so its files in /proc are not the user's otherwise
    create()
    return _isolated(function, arguments)


def _isolated(function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    unshare(CLONE_NEWNS)
    mount(None, b"/", None, MS_REC | MS_PRIVATE)
    os.umask(0o022)
    return function(*arguments)


def mount_overlay(target: str, lower: tuple[str, ...], upper: str = "", work: str = "", *, userxattr: bool) -> None:
    """An overlay as sandboxes mount it; lower: topmost first."""
    fd = fsopen(b"overlay")
    for directory in lower:
        fsconfig_string(fd, b"lowerdir+", directory.encode())
    if upper:
        fsconfig_string(fd, b"upperdir", upper.encode())
        fsconfig_string(fd, b"workdir", work.encode())
        fsconfig_flag(fd, b"volatile")
    for option in (b"redirect_dir", b"metacopy", b"index"):
        if not userxattr or option == b"index":
            fsconfig_string(fd, option, b"off")
    if userxattr:
        fsconfig_flag(fd, b"userxattr")
    fsconfig_create(fd)
    at = fsmount(fd)
    place = os.open(target, os.O_PATH | os.O_DIRECTORY)
    move_mount(at, place)
    for one in (fd, at, place):
        os.close(one)


def unmount(target: str) -> None:
    umount2(target.encode())
