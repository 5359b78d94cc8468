"""/dev of a sandbox: a tmpfs without device rights, in which the harmless nodes that the host has, too, are made usable one by one.

So CAP_MKNOD inside is harmless, without any device cgroup: what a process makes there cannot be opened.
"""

import errno
import os
import stat

from kernel.errors import SyscallFailed
from kernel.paths import make_directories
from kernel.syscalls import (
    AT_FDCWD,
    MNT_DETACH,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    PR_SET_DUMPABLE,
    fsconfig_create,
    fsconfig_fd,
    fsconfig_string,
    fsmount,
    fsopen,
    move_mount,
    open_tree,
    prctl,
    umount2,
)
from sandbox.errors import InvalidSpec, SandboxError
from sandbox.spec import Device
from sandbox.tree import SECURE, attach, new_mount

NODES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"),
         ("ptmx", "pts/ptmx"), ("core", "/proc/kcore"))
TTY_GID = 5
_NOBODY = 65534                       # who seems to own what nobody here owns, and nobody here can change


def make_dev(stage_fd: int, shm_size: int, *, tty_group: bool, own_ipc: bool) -> None:
    """Mount a complete /dev on `dev` below `stage_fd`. tty_group: gid 5 is mapped here. own_ipc: mqueue of this ipc namespace may be mounted."""
    old_mask = os.umask(0)
    dev = new_mount(b"tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, ((b"mode", b"755"), (b"size", b"65536k")))
    move_mount(dev, stage_fd, b"dev")
    for name in NODES:
        bind_node(f"/dev/{name}", dev, name)
    for name, target in LINKS:
        os.symlink(target, name, dir_fd=dev)
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(name, 0o755, dir_fd=dev)
    group = ((b"gid", b"%d" % TTY_GID),) if tty_group else ()
    attach(new_mount(b"devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                     ((b"newinstance", b""), (b"ptmxmode", b"0666"), (b"mode", b"620"), *group)), dev, b"pts")
    attach(new_mount(b"tmpfs", SECURE, ((b"mode", b"1777"), (b"size", b"%d" % shm_size))), dev, b"shm")
    if own_ipc:
        attach(new_mount(b"mqueue", SECURE), dev, b"mqueue")
    os.close(dev)
    os.umask(old_mask)


def bind_node(source: str, directory_fd: int, name: str) -> None:
    """Have the device `source` of the host as `name` of a /dev: a node of its own, since an owner or mode given to that must not be the host's.

    Where no node can be made the host's is bound, unchangeable if it would be ours to change."""
    status = os.stat(source)
    if _make_node(status, directory_fd, name):                    # which cannot be opened where it lies, but where it is bound
        attach(open_tree(directory_fd, os.fsencode(name)), directory_fd, os.fsencode(name), without=MOUNT_ATTR_NODEV)
        return
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o666, dir_fd=directory_fd))
    held = MOUNT_ATTR_NOSUID | (MOUNT_ATTR_RDONLY if status.st_uid != _NOBODY else 0)
    attach(open_tree(AT_FDCWD, os.fsencode(source)), directory_fd, os.fsencode(name), held)


def _make_node(like: os.stat_result, directory_fd: int, name: str) -> bool:
    """False where that is not allowed."""
    if stat.S_IFMT(like.st_mode) not in (stat.S_IFCHR, stat.S_IFBLK):
        return False
    try:
        os.mknod(name, like.st_mode, like.st_rdev, dir_fd=directory_fd)
    except PermissionError:
        return False
    os.chown(name, like.st_uid, like.st_gid, dir_fd=directory_fd, follow_symlinks=False)
    os.chmod(name, stat.S_IMODE(like.st_mode), dir_fd=directory_fd)
    return True


def add(device: Device, dev_fd: int) -> None:
    """Bind a node of the host below the sandbox's /dev, with its parents; `dev_fd` is that /dev."""
    name = device.target.removeprefix("/dev/")
    if not device.target.startswith("/dev/") or ".." in name.split("/"):
        raise InvalidSpec("device target", path=device.target, reason="is not below /dev")
    parent, _, leaf = name.rpartition("/")
    at = make_directories(dev_fd, parent)
    try:
        bind_node(device.source, at, leaf)
    except FileExistsError:
        pass
    finally:
        os.close(at)


def host_nodes() -> list[Device]:
    """Every device node of the host's /dev, but for terminals of others."""
    found = []
    for directory, _, names in os.walk("/dev", onerror=None):
        if directory.startswith(("/dev/pts", "/dev/shm", "/dev/mqueue")):
            continue
        for name in names:
            path = f"{directory}/{name}"
            if stat.S_IFMT(os.lstat(path).st_mode) in (stat.S_IFCHR, stat.S_IFBLK) and name not in (*NODES, "console", "ptmx"):
                found.append(Device(path, path))
    return found


def proc_of(pid_namespace: int, stage_fd: int) -> int:
    """A detached procfs of the pid namespace behind the fd, which is also that of the caller's children. stage_fd: where to attach one meanwhile."""
    context = fsopen(b"proc")
    try:
        fsconfig_string(context, b"source", b"proc")
        fsconfig_fd(context, b"pidns", pid_namespace)     # Linux 6.17
        fsconfig_create(context)
        return fsmount(context, SECURE)
    except SyscallFailed as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(context)
    return _proc_by_child(stage_fd)


def _proc_by_child(stage_fd: int) -> int:
    """Only a process in the namespace can mount its procfs. What already is there must not be able to look into that one."""
    prctl(PR_SET_DUMPABLE, 0)
    pid = os.fork()
    if not pid:
        try:
            attach(new_mount(b"proc", SECURE), stage_fd, b"proc")
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise SandboxError("mount /proc", reason="no process could be started in the pid namespace that is to be joined")
    prctl(PR_SET_DUMPABLE, 1)
    tree = open_tree(stage_fd, b"proc")
    umount2(os.fsencode(f"/proc/self/fd/{stage_fd}/proc"), MNT_DETACH)
    return tree
