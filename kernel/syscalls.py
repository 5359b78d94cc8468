"""System calls that `os` lacks (Python 3.11), by ctypes: same name as the man page; returns, or raises SyscallFailed; no policy.

Constants are named as in the kernel's headers. The numbers of the newer calls are the same on every architecture; those that differ are
looked up in `_NUMBERS`. Safe to use in a forked child: nothing here allocates a thread, imports or logs.
"""

import ctypes
import os
from ctypes import byref, c_char_p, c_int, c_long, c_size_t, c_uint, c_uint64, c_ulong, c_void_p

from kernel.errors import Unsupported, failed

_MACHINE = os.uname().machine
_NUMBERS = {
    "x86_64": {"clone": 56, "pivot_root": 155, "keyctl": 250, "seccomp": 317, "syncfs": 306, "setns": 308, "renameat2": 316},
    "aarch64": {"clone": 220, "pivot_root": 41, "keyctl": 219, "seccomp": 277, "syncfs": 267, "setns": 268, "renameat2": 276},
}
if _MACHINE not in _NUMBERS:
    raise Unsupported(38, "syscall", f"this tool runs on x86_64 and aarch64; this machine is {_MACHINE}")
_NR = _NUMBERS[_MACHINE]

_NR_PIDFD_SEND_SIGNAL = 424
_NR_OPEN_TREE = 428
_NR_MOVE_MOUNT = 429
_NR_FSOPEN = 430
_NR_FSCONFIG = 431
_NR_FSMOUNT = 432
_NR_PIDFD_OPEN = 434
_NR_CLONE3 = 435
_NR_CLOSE_RANGE = 436
_NR_OPENAT2 = 437
_NR_PIDFD_GETFD = 438
_NR_MOUNT_SETATTR = 442

AT_EMPTY_PATH = 0x1000
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

CLONE_CLEAR_SIGHAND = 0x100000000
CLONE_INTO_CGROUP = 0x200000000
CLONE_FILES = 0x00000400
CLONE_PARENT = 0x00008000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWTIME = 0x00000080
CLONE_NEWUSER = 0x10000000
CLONE_NEWUTS = 0x04000000
CLONE_PIDFD = 0x00001000

FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6

MNT_DETACH = 2
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_IDMAP = 0x00100000
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

SECCOMP_SET_MODE_FILTER = 1

_libc = ctypes.CDLL(None, use_errno=True)
_pylib = ctypes.PyDLL(None, use_errno=True)      # keeps the GIL: a raw clone3 returns twice, and both sides must find it held
_syscall = _libc.syscall
_syscall.restype = c_long
_pylib.syscall.restype = c_long
_libc.mount.argtypes = (c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
_libc.prctl.argtypes = (c_int, c_ulong, c_ulong, c_ulong, c_ulong)
_libc.sethostname.argtypes = (c_char_p, c_size_t)
_libc.setdomainname.argtypes = (c_char_p, c_size_t)


def _check(result: int, syscall: str, path: "str | bytes | int" = "") -> int:
    if result < 0:
        raise failed(ctypes.get_errno(), syscall, path if isinstance(path, str) else os.fsdecode(path) if isinstance(path, bytes) else f"fd {path}")
    return result


# ---------------------------------------------------------------- processes and namespaces
_SIGCHLD = 17


class _CloneArgs(ctypes.Structure):
    _fields_ = [(name, c_uint64) for name in (
        "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid", "set_tid_size", "cgroup")]


def clone3(flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
    """Fork into new namespaces; (pid, pidfd) in the parent, (0, -1) in the child. The caller has one thread only.

    No `pthread_atfork` handler runs: the child must not start threads, and must exec or `os._exit`.
    """
    pidfd = c_int(-1)
    args = _CloneArgs(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd), exit_signal=0 if flags & CLONE_PARENT else _SIGCHLD)
    if cgroup_fd >= 0:
        args.flags |= CLONE_INTO_CGROUP
        args.cgroup = cgroup_fd
    pid = _check(_pylib.syscall(_NR_CLONE3, byref(args), c_size_t(ctypes.sizeof(args))), "clone3")
    return pid, (pidfd.value if pid else -1)


def clone(flags: int) -> int:
    """Fork; 0 in the child, which is under the same rules as that of clone3. For flags that are no namespaces, and where clone3 is forbidden."""
    return _check(_pylib.syscall(_NR["clone"], c_ulong(flags | _SIGCHLD), None, None, None, None), "clone")


def unshare(flags: int) -> None:
    _check(_libc.unshare(c_int(flags)), "unshare")


def setns(fd: int, flags: int = 0) -> None:
    _check(_libc.setns(c_int(fd), c_int(flags)), "setns", fd)


def pidfd_open(pid: int) -> int:
    return _check(_syscall(_NR_PIDFD_OPEN, c_int(pid), c_uint(0)), "pidfd_open", str(pid))


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    _check(_syscall(_NR_PIDFD_SEND_SIGNAL, c_int(pidfd), c_int(signal), None, c_uint(0)), "pidfd_send_signal", pidfd)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    return _check(_syscall(_NR_PIDFD_GETFD, c_int(pidfd), c_int(fd), c_uint(0)), "pidfd_getfd", fd)


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    return _check(_libc.prctl(option, arg2, arg3, arg4, arg5), "prctl", str(option))


def setfsuid(uid: int) -> None:
    """Of the thread. The call cannot say that it was refused."""
    _libc.setfsuid(c_uint(uid))


def setfsgid(gid: int) -> None:
    _libc.setfsgid(c_uint(gid))


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    _check(_syscall(_NR_CLOSE_RANGE, c_uint(first), c_uint(last), c_uint(flags)), "close_range")


def sethostname(name: bytes) -> None:
    _check(_libc.sethostname(name, len(name)), "sethostname", name)


def setdomainname(name: bytes) -> None:
    _check(_libc.setdomainname(name, len(name)), "setdomainname", name)


def keyctl(operation: int, *args: int) -> int:
    return _check(_syscall(_NR["keyctl"], c_int(operation), *(c_ulong(a) for a in args)), "keyctl", str(operation))


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", c_uint), ("pid", c_int)]


_CAPABILITY_VERSION_3 = 0x20080522


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Bit masks, bit n = capability n (capability(7))."""
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    low, high = 0xFFFFFFFF, 32
    data = (c_uint * 6)(effective & low, permitted & low, inheritable & low, effective >> high, permitted >> high, inheritable >> high)
    _check(_libc.capset(byref(header), data), "capset")


def capget() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of the caller, as bit masks."""
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    data = (c_uint * 6)()
    _check(_libc.capget(byref(header), data), "capget")
    return data[0] | data[3] << 32, data[1] | data[4] << 32, data[2] | data[5] << 32


class _FilterProgram(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", c_void_p)]


def seccomp(program: bytes, flags: int = 0) -> int:
    """Install a classic BPF filter, 8 bytes an instruction; returns 0, or the listener fd where flags ask for one."""
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_ = _FilterProgram(len(program) // 8, ctypes.addressof(buffer))
    return _check(_syscall(_NR["seccomp"], c_uint(SECCOMP_SET_MODE_FILTER), c_uint(flags), byref(filter_)), "seccomp")


# ---------------------------------------------------------------- mounts
def mount(source: bytes | None, target: bytes, fstype: bytes | None, flags: int, data: bytes | None = None) -> None:
    _check(_libc.mount(source, target, fstype, flags, data), "mount", target)


def umount2(target: bytes, flags: int = 0) -> None:
    _check(_libc.umount2(c_char_p(target), c_int(flags)), "umount2", target)


def pivot_root(new_root: bytes, put_old: bytes) -> None:
    _check(_syscall(_NR["pivot_root"], c_char_p(new_root), c_char_p(put_old)), "pivot_root", new_root)


def fsopen(fstype: bytes) -> int:
    return _check(_syscall(_NR_FSOPEN, c_char_p(fstype), c_uint(1)), "fsopen", fstype)


def fsconfig_string(fd: int, key: bytes, value: bytes) -> None:
    _check(_syscall(_NR_FSCONFIG, c_int(fd), c_uint(FSCONFIG_SET_STRING), c_char_p(key), c_char_p(value), c_int(0)), "fsconfig", key + b"=" + value)


def fsconfig_flag(fd: int, key: bytes) -> None:
    _check(_syscall(_NR_FSCONFIG, c_int(fd), c_uint(FSCONFIG_SET_FLAG), c_char_p(key), None, c_int(0)), "fsconfig", key)


def fsconfig_fd(fd: int, key: bytes, value_fd: int) -> None:
    _check(_syscall(_NR_FSCONFIG, c_int(fd), c_uint(FSCONFIG_SET_FD), c_char_p(key), None, c_int(value_fd)), "fsconfig", key)


def fsconfig_create(fd: int) -> None:
    _check(_syscall(_NR_FSCONFIG, c_int(fd), c_uint(FSCONFIG_CMD_CREATE), None, None, c_int(0)), "fsconfig", "create")


def fsmount(fd: int, attributes: int = 0) -> int:
    return _check(_syscall(_NR_FSMOUNT, c_int(fd), c_uint(1), c_uint(attributes)), "fsmount")


def open_tree(dir_fd: int, path: bytes, flags: int = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC) -> int:
    return _check(_syscall(_NR_OPEN_TREE, c_int(dir_fd), c_char_p(path), c_uint(flags)), "open_tree", path or dir_fd)


def move_mount(mount_fd: int, to_dir_fd: int, to_path: bytes = b"") -> None:
    """Attach a detached mount at `to_path` below `to_dir_fd`; on `to_dir_fd` itself if the path is empty."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else MOVE_MOUNT_T_EMPTY_PATH)
    result = _syscall(_NR_MOVE_MOUNT, c_int(mount_fd), c_char_p(b""), c_int(to_dir_fd), c_char_p(to_path), c_uint(flags))
    _check(result, "move_mount", to_path or to_dir_fd)


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def mount_setattr(fd: int, path: bytes = b"", *, set_: int = 0, clear: int = 0, propagation: int = 0, userns_fd: int = 0,
                  recursive: bool = False) -> None:
    attributes = _MountAttributes(set_, clear, propagation, userns_fd)
    flags = (0 if path else AT_EMPTY_PATH) | (AT_RECURSIVE if recursive else 0)
    _check(_syscall(_NR_MOUNT_SETATTR, c_int(fd), c_char_p(path), c_uint(flags), byref(attributes), c_size_t(32)), "mount_setattr", path or fd)


# ---------------------------------------------------------------- files
class _OpenHow(ctypes.Structure):
    _fields_ = [(name, c_uint64) for name in ("flags", "mode", "resolve")]


def openat2(dir_fd: int, path: "str | bytes", flags: int, mode: int = 0, resolve: int = 0) -> int:
    """O_CLOEXEC is always added."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    name = os.fsencode(path)
    while True:
        result = _syscall(_NR_OPENAT2, c_int(dir_fd), c_char_p(name), byref(how), c_size_t(24))
        if result >= 0:
            return int(result)
        number = ctypes.get_errno()
        if number not in (4, 11):                # EINTR; EAGAIN: the tree was renamed under a scoped walk (openat2(2)), ask again
            raise failed(number, "openat2", os.fsdecode(name))


def renameat2(old_dir_fd: int, old: "str | bytes", new_dir_fd: int, new: "str | bytes", flags: int = 0) -> None:
    result = _syscall(_NR["renameat2"], c_int(old_dir_fd), c_char_p(os.fsencode(old)), c_int(new_dir_fd), c_char_p(os.fsencode(new)), c_uint(flags))
    _check(result, "renameat2", new)


def syncfs(fd: int) -> None:
    """Flush the file system that `fd` is on; the GIL is released meanwhile."""
    _check(_libc.syncfs(c_int(fd)), "syncfs", fd)
