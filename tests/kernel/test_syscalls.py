"""The calls themselves: they do what their man pages say, and a refusal is an exception that knows the call, the path and the way out."""

import errno
import os
import select
import signal
from pathlib import Path

import pytest

from kernel import syscalls
from kernel.errors import NotPermitted, SyscallFailed, Unsupported, failed
from kernel.release import RELEASE
from kernel.syscalls import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MNT_DETACH,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    PR_SET_NAME,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_SYMLINKS,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root, or a user namespace")


@pytest.mark.parametrize(("number", "kind", "builtin"), [
    (errno.EPERM, NotPermitted, PermissionError), (errno.EACCES, NotPermitted, PermissionError), (errno.ENOSYS, Unsupported, OSError),
    (errno.EOPNOTSUPP, Unsupported, OSError), (errno.ENOENT, SyscallFailed, FileNotFoundError), (errno.EEXIST, SyscallFailed, FileExistsError),
    (errno.ENOTDIR, SyscallFailed, NotADirectoryError), (errno.ESRCH, SyscallFailed, ProcessLookupError), (errno.EBUSY, SyscallFailed, OSError)])
def test_errno_becomes_an_exception_of_its_kind(number: int, kind: type[OSError], builtin: type[OSError]) -> None:
    error = failed(number, "mount", "/x")
    assert isinstance(error, kind) and isinstance(error, builtin)
    assert (error.errno, error.syscall, error.filename) == (number, "mount", "/x")
    assert str(error) == f"mount `/x`: {os.strerror(number).lower()}"


def test_hint_where_there_is_a_way_out() -> None:
    assert "doctor" in failed(errno.EPERM, "unshare").hint
    assert failed(errno.EPERM, "mount").hint == ""


def test_refusal_names_call_and_path() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        syscalls.openat2(AT_FDCWD, "/no/such/file", os.O_RDONLY)
    assert str(caught.value) == "openat2 `/no/such/file`: no such file or directory"


def child(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_clone3_returns_twice_with_a_pidfd() -> None:
    pid, pidfd = syscalls.clone3(0)
    if not pid:
        os._exit(7)
    assert select.select([pidfd], [], [], 10)[0]
    assert child(pid) == 7
    os.close(pidfd)


@needs_root
def test_clone3_into_namespaces() -> None:
    pid, pidfd = syscalls.clone3(CLONE_NEWPID | CLONE_NEWUTS)
    if not pid:
        try:
            syscalls.sethostname(b"inner")
            syscalls.setdomainname(b"domain")
            os._exit(10 if (os.getpid(), os.uname().nodename) == (1, "inner") else 11)
        finally:
            os._exit(12)
    assert child(pid) == 10
    os.close(pidfd)
    assert os.uname().nodename != "inner"


def test_pidfd_signals_and_hands_out_descriptors(tmp_path: Path) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        signal.pause()
    pidfd = syscalls.pidfd_open(pid)
    theirs = syscalls.pidfd_getfd(pidfd, write)
    os.close(write)
    os.write(theirs, b"x")
    assert os.read(read, 1) == b"x"
    syscalls.pidfd_send_signal(pidfd, signal.SIGTERM)
    assert child(pid) == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        syscalls.pidfd_send_signal(pidfd, signal.SIGTERM)
    for fd in (read, theirs, pidfd):
        os.close(fd)


def test_openat2_keeps_to_its_root(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    root = os.open(tmp_path, os.O_PATH)
    for resolve, number in ((RESOLVE_BENEATH, errno.EXDEV), (RESOLVE_NO_SYMLINKS, errno.ELOOP), (RESOLVE_IN_ROOT, errno.ENOENT)):
        with pytest.raises(OSError) as caught:
            syscalls.openat2(root, "link/passwd", os.O_RDONLY, 0, resolve)
        assert caught.value.errno == number
    os.close(root)


def test_openat2_closes_on_exec(tmp_path: Path) -> None:
    fd = syscalls.openat2(AT_FDCWD, bytes(tmp_path), os.O_RDONLY)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_renameat2_exchanges_and_does_not_replace(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    fd = os.open(tmp_path, os.O_RDONLY)
    syscalls.renameat2(fd, "a", fd, "b", RENAME_EXCHANGE)
    assert (tmp_path / "a").read_text() == "b"
    with pytest.raises(FileExistsError):
        syscalls.renameat2(fd, "a", fd, "b", RENAME_NOREPLACE)
    syscalls.syncfs(fd)
    os.close(fd)


def test_capabilities_can_be_read_and_given_up() -> None:
    pid = os.fork()
    if not pid:
        effective, permitted, _ = syscalls.capget()
        syscalls.capset(0, permitted & 1, 0)
        os._exit(0 if syscalls.capget() == (0, permitted & 1, 0) and effective & ~permitted == 0 else 1)
    assert child(pid) == 0


def test_close_range_and_prctl() -> None:
    pid = os.fork()
    if not pid:
        os.dup2(0, 900)
        syscalls.close_range(800, 1000)
        syscalls.prctl(PR_SET_NAME, _address(b"renamed\0"))
        try:
            os.fstat(900)
        except OSError:
            os._exit(0 if Path("/proc/self/comm").read_text() == "renamed\n" else 2)
        os._exit(1)
    assert child(pid) == 0


def _address(text: bytes) -> int:
    import ctypes
    _address.buffer = ctypes.create_string_buffer(text)      # type: ignore[attr-defined]
    return ctypes.addressof(_address.buffer)                 # type: ignore[attr-defined]


@pytest.mark.userns
@needs_root
@pytest.mark.skipif(RELEASE < (5, 12), reason="mount_setattr is of Linux 5.12")
def test_mounts_by_fd_and_by_path(tmp_path: Path) -> None:
    pid, _ = syscalls.clone3(CLONE_NEWNS)
    if not pid:
        try:
            os._exit(_mount(os.fsencode(tmp_path)))
        finally:
            os._exit(99)
    assert child(pid) == 0
    assert os.listdir(tmp_path) == []


def _mount(at: bytes) -> int:
    """Which step went wrong; 0 if none."""
    syscalls.mount(None, b"/", None, MS_REC | MS_PRIVATE)
    context = syscalls.fsopen(b"tmpfs")
    syscalls.fsconfig_string(context, b"mode", b"711")
    syscalls.fsconfig_create(context)
    tree = syscalls.fsmount(context)
    syscalls.move_mount(tree, AT_FDCWD, at)
    os.mkdir("d", dir_fd=tree)
    if os.stat(at).st_mode & 0o777 != 0o711 or os.listdir(at) != [b"d"]:
        return 1
    clone = syscalls.open_tree(tree, b"", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
    syscalls.mount_setattr(clone, set_=MOUNT_ATTR_RDONLY)
    target = os.open(at + b"/d", os.O_PATH)
    syscalls.move_mount(clone, target)
    try:
        os.mkdir(at + b"/d/x")
        return 2
    except OSError as error:
        if error.errno != errno.EROFS:
            return 3
    syscalls.umount2(at + b"/d", MNT_DETACH)
    os.mkdir(at + b"/d/x")
    os.chdir(at)
    syscalls.pivot_root(b".", b".")
    syscalls.umount2(b".", MNT_DETACH)
    return 0 if os.listdir("/") == ["d"] else 4


@pytest.mark.userns
def test_user_namespace_and_setns() -> None:
    pid = os.fork()
    if not pid:
        try:
            own = os.open("/proc/self/ns/uts", os.O_RDONLY)
            before = os.readlink("/proc/self/ns/uts")
            syscalls.unshare(CLONE_NEWUTS | CLONE_NEWUSER if os.geteuid() else CLONE_NEWUTS)
            changed = os.readlink("/proc/self/ns/uts") != before
            if not os.geteuid():
                syscalls.setns(own)
                changed = changed and os.readlink("/proc/self/ns/uts") == before
            os._exit(0 if changed else 1)
        finally:
            os._exit(2)
    assert child(pid) == 0


def test_seccomp_filter_is_installed() -> None:
    import struct
    refuse_getppid = b"".join(struct.pack("=HBBI", *one) for one in (
        (0x20, 0, 0, 0), (0x15, 0, 1, {"x86_64": 110, "aarch64": 173}[os.uname().machine]), (0x06, 0, 0, 0x00050000 | 5), (0x06, 0, 0, 0x7FFF0000)))
    pid = os.fork()
    if not pid:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        syscalls.seccomp(refuse_getppid)
        os._exit(0 if os.getppid() < 0 else 1)
    assert child(pid) == 0
