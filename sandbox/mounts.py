"""The mounts of a spec, made real: sources opened first, in the caller's mount namespace; attached later, in the sandbox's own, by target depth."""

import os
import stat
from errno import EINVAL

from kernel.paths import open_in_root
from kernel.syscalls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    CLONE_NEWNS,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    open_tree,
    setns,
)
from sandbox.errors import SandboxError
from sandbox.overlay import attributes, open_root
from sandbox.spec import MIB, Bind, Dev, Joined, MountOp, Overlay, Proc, Symlink, Tmpfs, WriteFile
from sandbox.targets import Targets
from sandbox.tree import SECURE, attach, new_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CLONE = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
_PROPAGATION = {"private": MS_PRIVATE, "slave": MS_SLAVE, "shared": MS_SHARED}
# files of a procfs that lxcfs and the like are mounted on; anything else below /proc is refused as a target
_PROC_TARGETS = frozenset(("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo"))


def by_depth(operations: "Iterable[MountOp]") -> list[MountOp]:
    """In the order they can be mounted in: what lies above comes first, else as given."""
    return sorted(operations, key=lambda operation: len([part for part in operation.target.split("/") if part]))


def open_source(operation: MountOp, user_xattrs: bool) -> int:
    """The detached mount that `operation` brings from the host; -1 if it brings nothing. To be called in the caller's mount namespace."""
    if isinstance(operation, Bind):
        return _open_bind(operation)
    if isinstance(operation, Overlay):
        return open_root(operation, user_xattrs)
    return _open_joined(operation) if isinstance(operation, Joined) else -1


def _open_bind(bind: Bind) -> int:
    assert isinstance(bind.source, int), "wire opens sources"
    recursive = bind.recursive and stat.S_ISDIR(os.fstat(bind.source).st_mode)
    try:
        return open_tree(bind.source, b"", _CLONE | AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0))
    except OSError as error:
        raise SandboxError("bind the source of", error.errno or 0, bind.target) from error


def _open_joined(joined: Joined) -> int:
    """From where its own symlinks lead: nothing of ours can be reached there."""
    here = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    try:
        setns(joined.namespace, CLONE_NEWNS)
        return open_tree(AT_FDCWD, joined.target.encode(), _CLONE)
    except OSError as error:
        raise SandboxError("join the mount at", error.errno or 0, joined.target) from error
    finally:
        setns(here, CLONE_NEWNS)
        os.close(here)


def _attributes(bind: Bind) -> int:
    return ((MOUNT_ATTR_RDONLY if bind.readonly else 0) | (MOUNT_ATTR_NOSUID if bind.nosuid else 0)
            | (MOUNT_ATTR_NODEV if bind.nodev else 0) | (MOUNT_ATTR_NOEXEC if bind.noexec else 0))


class Mounter:
    """Attaches the mounts of one sandbox. `stage_fd` is a scratch tmpfs that goes away with the old root."""

    def __init__(self, targets: Targets, stage_fd: int) -> None:
        self._targets = targets
        self._stage_fd = stage_fd
        self._files_fd = -1
        self._files = 0
        self._proc_device = os.stat("proc", dir_fd=targets.root_fd).st_dev

    def perform(self, operation: MountOp, source_fd: int, total_content: int) -> None:
        """Mount one operation; `source_fd` is what open_source gave for it and is closed."""
        target = operation.target
        if isinstance(operation, Symlink):
            self._targets.symlink(target, operation.value)
        elif isinstance(operation, Bind):
            directory = stat.S_ISDIR(os.fstat(source_fd).st_mode)
            self._put(source_fd, target, _attributes(operation), directory=directory, propagation=_PROPAGATION[operation.propagation],
                      recursive=operation.recursive and directory)
        elif isinstance(operation, Tmpfs):
            self._put(_tmpfs(operation), target, MOUNT_ATTR_RDONLY if operation.readonly else 0, directory=True)
        elif isinstance(operation, Overlay):
            tree = self._part_of(source_fd, operation)
            self._put(tree, target, attributes(operation) | (MOUNT_ATTR_RDONLY if operation.readonly else 0),
                      directory=stat.S_ISDIR(os.fstat(tree).st_mode))
        elif isinstance(operation, Joined):
            self._put(source_fd, target, SECURE, directory=True)
        elif isinstance(operation, WriteFile):
            self._put(self._file(operation, total_content), target, MOUNT_ATTR_RDONLY if operation.readonly else 0, directory=False)
        else:
            name = {Proc: "proc", Dev: "dev"}[type(operation)]
            tree = open_tree(self._targets.root_fd, name.encode(), _CLONE | AT_RECURSIVE)
            self._put(tree, target, directory=True)

    def _put(self, tree: int, target: str, held: int = 0, *, directory: bool, propagation: int = 0, recursive: bool = False) -> None:
        try:
            at = self._targets.open(target, directory=directory)
        except BaseException:
            os.close(tree)
            raise
        try:
            self._refuse(at, target)
            attach(tree, at, b"", held, propagation=propagation, recursive=recursive)
        except OSError as error:
            raise SandboxError("mount on", error.errno or 0, target) from error
        finally:
            os.close(at)

    def _refuse(self, at: int, target: str) -> None:
        """An image may hold a symlink from a harmless target to the root or to /proc; a mount there could hide or fake what the runtime relies on."""
        if os.path.sameopenfile(at, self._targets.root_fd):
            raise SandboxError("mount on", path=target, reason="it is the root")
        if os.fstat(at).st_dev == self._proc_device:
            parent, _, name = target.rstrip("/").rpartition("/")
            if parent != "/proc" or name not in _PROC_TARGETS:
                raise SandboxError("mount on", path=target, reason="it is inside /proc")

    def _part_of(self, tree: int, overlay: Overlay) -> int:
        """Of a whole overlay the part called `source`: attached in the scratch, looked up in root, cloned from there."""
        part, self._files = f"overlay{self._files}", self._files + 1
        os.mkdir(part, 0o700, dir_fd=self._stage_fd)
        attach(os.dup(tree), self._stage_fd, part.encode())
        try:
            at = open_in_root(tree, overlay.source)
        except OSError as error:
            raise SandboxError("find the source of the mount", error.errno or 0, overlay.source) from error
        finally:
            os.close(tree)
        try:
            return open_tree(at, b"", _CLONE | AT_EMPTY_PATH)
        finally:
            os.close(at)

    def _file(self, file: WriteFile, total_content: int) -> int:
        if self._files_fd < 0:
            os.mkdir("files", 0o700, dir_fd=self._stage_fd)
            size = b"%d" % (total_content + MIB)
            # not noexec: a heredoc with a `#!` is such a file, and is executed
            attach(new_mount(b"tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, ((b"mode", b"755"), (b"size", size))), self._stage_fd, b"files")
            self._files_fd = os.open("files", os.O_PATH | os.O_DIRECTORY, dir_fd=self._stage_fd)
        name, self._files = f"{self._files}", self._files + 1
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._files_fd)
        with open(fd, "wb") as writer:
            writer.write(file.content)
            _give(fd, file.uid, file.gid)
            os.fchmod(fd, file.mode)
        return open_tree(self._files_fd, name.encode())


def content_size(operations: "Iterable[MountOp]") -> int:
    """Bytes that the WriteFile operations need together."""
    return sum(len(operation.content) + 4096 for operation in operations if isinstance(operation, WriteFile))


def _tmpfs(tmpfs: Tmpfs) -> int:
    held = MOUNT_ATTR_NODEV | (MOUNT_ATTR_NOEXEC if tmpfs.noexec else 0) | (MOUNT_ATTR_NOSUID if tmpfs.nosuid else 0)
    options = [(b"mode", b"%o" % tmpfs.mode)]
    if tmpfs.size_bytes:
        options.append((b"size", b"%d" % tmpfs.size_bytes))
    if tmpfs.inodes:
        options.append((b"nr_inodes", b"%d" % tmpfs.inodes))
    if not (tmpfs.uid or tmpfs.gid):
        return new_mount(b"tmpfs", held, tuple(options))
    try:
        return new_mount(b"tmpfs", held, (*options, (b"uid", b"%d" % tmpfs.uid), (b"gid", b"%d" % tmpfs.gid)))
    except OSError as error:
        if error.errno != EINVAL:
            raise
    tree = new_mount(b"tmpfs", held, tuple(options))
    _mark(tree, tmpfs.uid, tmpfs.gid)
    return tree


def _give(fd: int, uid: int, gid: int) -> None:
    """To whom it shall belong; a mark says so where the user namespace has no such id."""
    try:
        os.fchown(fd, uid, gid)
    except OSError as error:
        if error.errno != EINVAL:
            raise
        _mark(fd, uid, gid)


def _mark(fd: int, uid: int, gid: int) -> None:
    from sandbox.owners import mark
    mark(f"/proc/self/fd/{fd}", uid, gid)
