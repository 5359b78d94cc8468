"""User namespaces that root makes for a sandbox, and mounts whose owners are shifted into them: on disk nothing is.

What enters: ranges of ids. What leaves: an fd of a namespace; detached mounts in which the range's first id is what uid 0 is on disk.
"""

import os
from errno import EINVAL, EPERM

from kernel.release import RELEASE
from kernel.syscalls import (
    AT_FDCWD,
    CLONE_NEWNET,
    CLONE_NEWUSER,
    MOUNT_ATTR_IDMAP,
    MS_PRIVATE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    clone3,
    mount_setattr,
    open_tree,
)
from sandbox.errors import SandboxError
from sandbox.overlay import open_root
from sandbox.spec import Directory, Overlay
from sandbox.tree import put
from sandbox.userns import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sandbox.client import Running, Spawner
    from sandbox.spec import SandboxSpec

_CLONE = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
_SIGKILL = 9
_HOST = "`--userns host` goes without"
NEEDED = (5, 19)                                          # overlayfs on id-mapped layers


def make_namespaces(uids: tuple[Range, ...], gids: tuple[Range, ...]) -> tuple[int, int]:
    """Fds of a new user namespace with these maps and of a network namespace that belongs to it; they live as long as somebody holds them.

    The caller is root of the namespace above.
    """
    if RELEASE < NEEDED:
        raise SandboxError("map the owners of files", reason="id-mapped layers take Linux 5.19 or newer", help=_HOST)
    ready, done = os.pipe2(os.O_CLOEXEC)
    try:
        pid, pidfd = clone3(CLONE_NEWUSER | CLONE_NEWNET)
    except OSError as error:
        os.close(ready)
        os.close(done)
        raise SandboxError("make a user namespace", error.errno or 0, help=getattr(error, "hint", "")) from error
    if not pid:
        try:
            os.close(done)
            os.read(ready, 1)                             # ends with its parent, or at its word
        finally:
            os._exit(0)
    os.close(pidfd)
    try:
        for name, ranges in (("uid_map", uids), ("gid_map", gids)):
            _write(f"/proc/{pid}/{name}", "".join(f"{one.inside} {one.outside} {one.size}\n" for one in ranges))
        user, network = (os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("user", "net"))
        return user, network
    finally:
        os.close(done)
        os.close(ready)
        os.waitpid(pid, 0)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)        # the kernel takes a map in one write only
    try:
        os.write(fd, text.encode())
    except OSError as error:
        reason = "this process may not give them away" if error.errno == EPERM else ""
        raise SandboxError("map the ids of the sandbox", error.errno or 0, reason=reason, help=_HOST) from error
    finally:
        os.close(fd)


class Within:
    """Spawns as another spawner does, but every command is in a user namespace with these maps, one for all of them."""

    __slots__ = ("_fields", "_spawner")

    def __init__(self, spawner: "Spawner", uids: tuple[Range, ...], gids: tuple[Range, ...]) -> None:
        self._spawner = spawner
        user, network = make_namespaces(uids, gids)
        os.close(network)
        self._fields: dict[str, Any] = {"user_namespace": user, "outer_root": (uids[0].outside, gids[0].outside)}

    def dial(self) -> None:
        self._spawner.dial()

    def spawn(self, spec: "SandboxSpec", stdin: int = 0, stdout: int = 1, stderr: int = 2) -> "Running":
        return self._spawner.spawn(spec._replace(**self._fields), stdin, stdout, stderr)


def shift(tree: int, namespace: int, about: str, *, recursive: bool = False) -> None:
    """Have the detached mount `tree` show its owners as the user namespace behind `namespace` counts them."""
    try:
        mount_setattr(tree, set_=MOUNT_ATTR_IDMAP, userns_fd=namespace, recursive=recursive)
    except OSError as error:
        reason = "its file system, or one that is mounted below it, has no id-mapped mounts" if error.errno == EINVAL else ""
        raise SandboxError("map the owners of the files in", error.errno or 0, about, reason, help=_HOST) from error


class Shifted:
    """A root or an overlay with shifted owners: its parts are cloned in the caller's mount namespace (at once), and put together in our own."""

    __slots__ = ("_root", "_trees")

    def __init__(self, root: "Overlay | Directory", namespace: int) -> None:
        self._root = root
        paths = (root.path,) if isinstance(root, Directory) else (*root.lower, _common(root))
        self._trees: dict[str, int] = {}
        for path in paths:
            if path and path not in self._trees:
                try:
                    tree = open_tree(AT_FDCWD, os.fsencode(path), _CLONE)
                except OSError as error:
                    raise SandboxError("mount the root", error.errno or 0, path) from error
                shift(tree, namespace, path)
                self._trees[path] = tree

    def open(self, stage_fd: int, stage: str) -> int:
        """As sandbox.overlay.open_root. stage_fd, stage: an empty directory of our own mount namespace, to attach parts in meanwhile."""
        root = self._root
        if isinstance(root, Directory):
            return os.dup(self._trees[root.path])
        if not root.upper and len(root.lower) == 1:
            return os.dup(self._trees[root.lower[0]])
        names: dict[str, str] = {}
        for index, (path, tree) in enumerate(self._trees.items()):
            os.mkdir(f"{index}", 0o700, dir_fd=stage_fd)
            put(tree, stage_fd, b"%d" % index, propagation=MS_PRIVATE)
            names[path] = f"{stage}/{index}"
        common = _common(root)
        upper, work = (f"{names[common]}{path.removeprefix(common)}" if path else "" for path in (root.upper, root.work))
        return open_root(root._replace(lower=tuple(names[path] for path in root.lower), upper=upper, work=work), user_xattrs=False)

    def open_upper(self) -> int:
        """Fd of the directory that what is made in it appears in, with shifted owners; -1 if there is none."""
        root = self._root
        if isinstance(root, Directory):
            return -1 if root.readonly else os.open(".", os.O_PATH | os.O_DIRECTORY, dir_fd=self._trees[root.path])
        if not root.upper:
            return -1
        common = _common(root)
        return os.open(root.upper.removeprefix(common).lstrip("/") or ".", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._trees[common])


def _common(root: Overlay) -> str:
    """The directory that the upper and the work directory are in: to overlayfs they have to be of one mount."""
    return os.path.commonpath((root.upper, root.work)) if root.upper else ""
