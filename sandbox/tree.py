"""Detached mounts: made or cloned, attached, and given attributes. Before Linux 5.12 these can only be given to what is attached."""

import os

from kernel.release import RELEASE
from kernel.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    fsconfig_create,
    fsconfig_flag,
    fsconfig_string,
    fsmount,
    fsopen,
    mount,
    mount_setattr,
    move_mount,
)

SECURE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
# the four attributes that we use have the numbers of the MS_ flags; of those that a mount may have already, these must be said again
_ATTRIBUTES = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
_KEPT = _ATTRIBUTES | 1024 | 2048 | 1 << 21        # MS_NOATIME, MS_NODIRATIME, MS_RELATIME
_ST_RELATIME = 4096


def new_mount(fstype: bytes, attributes: int, options: tuple[tuple[bytes, bytes], ...] = ()) -> int:
    """A detached mount of a new file system; an option with an empty value is a flag."""
    context = fsopen(fstype)
    try:
        fsconfig_string(context, b"source", fstype)
        for key, value in options:
            if value:
                fsconfig_string(context, key, value)
            else:
                fsconfig_flag(context, key)
        fsconfig_create(context)
        return fsmount(context, attributes)
    finally:
        os.close(context)


def attach(tree: int, directory_fd: int, name: bytes = b"", attributes: int = 0, *, without: int = 0, propagation: int = 0,
           recursive: bool = False) -> None:
    """Attach a detached mount and close its fd. Attributes and propagation are set, recursively for the mounts below it too.
    without: attributes that are taken away."""
    try:
        put(tree, directory_fd, name, attributes, without=without, propagation=propagation, recursive=recursive)
    finally:
        os.close(tree)


def put(tree: int, directory_fd: int, name: bytes = b"", attributes: int = 0, *, without: int = 0, propagation: int = 0,
        recursive: bool = False) -> None:
    """As attach, but the fd stays open."""
    if RELEASE >= (5, 12):
        if attributes or without or propagation:
            mount_setattr(tree, set_=attributes, clear=without, propagation=propagation, recursive=recursive)
        move_mount(tree, directory_fd, name)
    else:
        move_mount(tree, directory_fd, name)
        _remount(tree, attributes, propagation, without=without, recursive=recursive)


def protect(fd: int, attributes: int) -> None:
    """Set attributes of the mount that `fd` is the root of; it must be attached."""
    if RELEASE >= (5, 12):
        mount_setattr(fd, set_=attributes)
    else:
        _remount(fd, attributes, 0, recursive=False)


def _remount(fd: int, attributes: int, propagation: int, *, without: int = 0, recursive: bool) -> None:
    """By mount(2), through paths: the caller's mount namespace must be its own, with nobody else in it."""
    path = os.fsencode(f"/proc/self/fd/{fd}")
    if propagation:
        mount(None, path, None, propagation | (MS_REC if recursive else 0))
    if not (attributes or without):
        return
    for one in _below(os.readlink(path)) if recursive else [path]:
        flags = os.statvfs(one).f_flag
        kept = flags & _KEPT & ~(1 << 21) | (1 << 21 if flags & _ST_RELATIME else 0)
        mount(None, one, None, MS_REMOUNT | MS_BIND | kept & ~without | attributes)


def _below(top: bytes) -> list[bytes]:
    """Mount points at `top` and below it."""
    with open("/proc/self/mountinfo", "rb") as file:
        targets = [line.split(b" ", 5)[4].decode("unicode_escape").encode("latin-1") for line in file]      # a space is \\040
    return [target for target in targets if target == top or target.startswith(top.rstrip(b"/") + b"/")]
