"""Roots and overlays as detached mounts: layers stacked by the kernel, or a plain directory.

Paths are those of the mount namespace the caller is in. The options are decided: no redirects are made *or followed* (a layer must not be able
to name a directory of another one), no metacopy, no index (it would join hard links of different layers), nodev everywhere.
"""

import os

from kernel.errors import SyscallFailed
from kernel.syscalls import (
    AT_FDCWD,
    AT_RECURSIVE,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    fsconfig_create,
    fsconfig_flag,
    fsconfig_string,
    fsmount,
    fsopen,
    mount_setattr,
    open_tree,
)
from sandbox.errors import SandboxError
from sandbox.spec import Directory, Overlay

LOWER_MAX = 500      # the kernel's OVL_MAX_STACK


def open_root(root: "Overlay | Directory", user_xattrs: bool) -> int:
    """A detached mount of `root`, to be attached by move_mount."""
    if isinstance(root, Directory):
        return _clone(root.path, root.readonly)
    if not root.upper and len(root.lower) == 1:
        return _clone(root.lower[0], readonly=True)          # overlayfs wants two layers, or an upper one
    return _overlay(root, user_xattrs)


def _clone(path: str, readonly: bool) -> int:
    fd = open_tree(AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)
    mount_setattr(fd, set_=MOUNT_ATTR_NODEV | (MOUNT_ATTR_RDONLY if readonly else 0), propagation=MS_PRIVATE, recursive=True)
    return fd


def _overlay(root: Overlay, user_xattrs: bool) -> int:
    if not root.lower:
        raise SandboxError("mount the root", reason="it has no layers")
    if len(root.lower) > LOWER_MAX:
        raise SandboxError("mount the root", reason=f"{len(root.lower)} layers are more than the kernel's {LOWER_MAX}")
    fd = fsopen(b"overlay")
    try:
        about = root.upper or root.lower[0]
        try:
            for key, value in options(root, user_xattrs):
                if value:
                    about = value if value.startswith("/") else about
                    fsconfig_string(fd, key.encode(), os.fsencode(value))
                else:
                    fsconfig_flag(fd, key.encode())
            fsconfig_create(fd)
        except SyscallFailed as error:
            raise SandboxError("mount the root", error.errno or 0, about, reason=_messages(fd)) from error
        return fsmount(fd, MOUNT_ATTR_NODEV | (0 if root.upper else MOUNT_ATTR_RDONLY))
    finally:
        os.close(fd)


def options(root: Overlay, user_xattrs: bool) -> list[tuple[str, str]]:
    """Mount options of overlayfs as (key, value), value "" for a flag."""
    found = [("source", "overlay"), *(("lowerdir+", lower) for lower in root.lower)]
    if root.upper:
        found += [("upperdir", root.upper), ("workdir", root.work)]
        if root.volatile:
            found.append(("volatile", ""))
    if user_xattrs:
        found.append(("userxattr", ""))
    return [*found, ("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")]


def _messages(fd: int) -> str:
    """What the kernel says about a refused mount; "" if nothing."""
    try:
        said = os.read(fd, 4096).decode(errors="replace").strip()
    except OSError:
        return ""
    return said.partition("\n")[0].removeprefix("e ").removeprefix("overlay: ").lower()
