"""Roots and overlays as detached mounts: layers stacked by the kernel, or a plain directory.

Paths are those of the mount namespace the caller is in. The options are decided: no redirects are made *or followed* (a layer must not be able
to name a directory of another one), no metacopy, no index (it would join hard links of different layers), nodev everywhere.
"""

import os

from kernel.errors import SyscallFailed
from kernel.release import RELEASE
from kernel.syscalls import (
    AT_FDCWD,
    AT_RECURSIVE,
    CLONE_NEWNS,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    fsconfig_create,
    fsconfig_flag,
    fsconfig_string,
    fsmount,
    fsopen,
    mount,
    open_tree,
    setns,
    unshare,
)
from sandbox.errors import SandboxError
from sandbox.spec import Directory, Overlay

LOWER_MAX = 500      # the kernel's OVL_MAX_STACK


def open_root(root: "Overlay | Directory", user_xattrs: bool) -> int:
    """A detached mount of `root`; it is to be attached with `attributes`, recursively."""
    if isinstance(root, Directory):
        return _clone(root.path)
    if not root.upper and len(root.lower) == 1:
        return _clone(root.lower[0])                         # overlayfs wants two layers, or an upper one
    return _overlay(root, user_xattrs)


def attributes(root: "Overlay | Directory") -> int:
    """What the mount of `root` is to have."""
    readonly = root.readonly if isinstance(root, Directory) else not root.upper
    return MOUNT_ATTR_NODEV | (MOUNT_ATTR_RDONLY if readonly else 0)


def _clone(path: str) -> int:
    return open_tree(AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)


def _overlay(root: Overlay, user_xattrs: bool) -> int:
    if not root.lower:
        raise SandboxError("mount the root", reason="it has no layers")
    if len(root.lower) > LOWER_MAX:
        raise SandboxError("mount the root", reason=f"{len(root.lower)} layers are more than the kernel's {LOWER_MAX}")
    if RELEASE < (6, 7):
        return _by_short_names(root, user_xattrs)
    return _configure(root, [("lowerdir+", lower) for lower in root.lower], root.upper, root.work, user_xattrs)


def _configure(root: Overlay, lower: list[tuple[str, str]], upper: str, work: str, user_xattrs: bool) -> int:
    fd = fsopen(b"overlay")
    try:
        about = root.upper or root.lower[0]
        try:
            for key, value in [*lower, *options(root, upper, work, user_xattrs)]:
                if value:
                    about = value if value.startswith("/") else about
                    fsconfig_string(fd, key.encode(), os.fsencode(value))
                else:
                    fsconfig_flag(fd, key.encode())
            fsconfig_create(fd)
        except SyscallFailed as error:
            raise SandboxError("mount the root", error.errno or 0, about, reason=_messages(fd)) from error
        return fsmount(fd, attributes(root))
    finally:
        os.close(fd)


def options(root: Overlay, upper: str, work: str, user_xattrs: bool) -> list[tuple[str, str]]:
    """Mount options of overlayfs but for the lower directories, as (key, value), value "" for a flag."""
    found = [("source", "overlay")]
    if upper:
        found += [("upperdir", upper), ("workdir", work)]
        if root.volatile:
            found.append(("volatile", ""))
    if user_xattrs:
        found.append(("userxattr", ""))
    return [*found, ("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")]


# ---------------------------------------------------------------- before Linux 6.7
_SHORT_MAX = 60              # layers whose numbers, with colons, fit into the 255 bytes that an option of a mount context may have


def _by_short_names(root: Overlay, user_xattrs: bool) -> int:
    """All layers have to be in one option there, and colons in it separate: so they are opened, and called by their number in /proc/self/fd.

    Many of them need mount(2), which takes a page of options, but attaches: that is done in a copy of this mount namespace.
    """
    many = len(root.lower) > _SHORT_MAX
    here, before = os.open(".", os.O_PATH | os.O_DIRECTORY), os.open("/proc/self/ns/mnt", os.O_RDONLY)
    numbers: dict[str, str] = {}
    try:
        if many:
            unshare(CLONE_NEWNS)
            mount(None, b"/", None, MS_REC | MS_PRIVATE)
        for path in (*root.lower, root.upper, root.work):
            if path and path not in numbers:
                numbers[path] = str(_open_layer(path))
        os.chdir("/proc/self/fd")
        lower, upper, work = ":".join(numbers[path] for path in root.lower), numbers.get(root.upper, ""), numbers.get(root.work, "")
        if many:
            return _mount_at_once(root, [("lowerdir", lower), *options(root, upper, work, user_xattrs)[1:]])
        return _configure(root, [("lowerdir", lower)], upper, work, user_xattrs)
    finally:
        if many:
            setns(before, CLONE_NEWNS)
        os.fchdir(here)
        for fd in (here, before, *map(int, numbers.values())):
            os.close(fd)


def _open_layer(path: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise SandboxError("mount the root", error.errno or 0, path) from error


def _mount_at_once(root: Overlay, words: list[tuple[str, str]]) -> int:
    """In a mount namespace that goes away: over its /proc, which the working directory still reaches."""
    data = ",".join(f"{key}={value}" if value else key for key, value in words)
    try:
        mount(b"overlay", b"/proc", b"overlay", attributes(root), data.encode())
    except SyscallFailed as error:
        raise SandboxError("mount the root", error.errno or 0, root.upper or root.lower[0]) from error
    return open_tree(AT_FDCWD, b"/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)


def _messages(fd: int) -> str:
    """What the kernel says about a refused mount; "" if nothing."""
    try:
        said = os.read(fd, 4096).decode(errors="replace").strip()
    except OSError:
        return ""
    return said.partition("\n")[0].removeprefix("e ").removeprefix("overlay: ").lower()
