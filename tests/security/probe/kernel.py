"""Attempts at what the kernel keeps for the machine's own root: its calls, by every way to call it."""

import ctypes
import errno
import mmap
import os
import signal
import struct

from tests.security.probe.outcome import AT_FDCWD, MACHINE, NUMBERS, ZEROS, Out, call, failure, must_refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

# system call -> arguments that do nothing where they get past the permission check; what answers anything but a refusal was let in
CALLS: "dict[str, tuple[int | bytes | None, ...]]" = {
    "mount": (b"none", b"/tmp", b"tmpfs", 0, None), "umount2": (b"/nothing", 2), "pivot_root": (b".", b"."), "swapon": (b"/nothing", 0),
    "swapoff": (b"/nothing",), "fsopen": (b"tmpfs", 0), "fspick": (AT_FDCWD, b"/", 0), "fsmount": (-1, 0, 0), "fsconfig": (-1, 0, None, None, 0),
    "open_tree": (AT_FDCWD, b"/", 1), "open_tree_attr": (AT_FDCWD, b"/", 1, None, 0), "move_mount": (AT_FDCWD, b"/", AT_FDCWD, b"/tmp", 0),
    "mount_setattr": (AT_FDCWD, b"/", 0, ZEROS, 32), "quotactl": (0x800002 << 8, b"/dev/vda", 0, ZEROS), "quotactl_fd": (0, 0, 0, ZEROS),
    "acct": (None,), "reboot": (1, 2, 3, None), "syslog": (3, ZEROS, 10), "kexec_load": (0, 17, None, 0), "kexec_file_load": (-1, -1, 0, None, 0),
    "init_module": (ZEROS, 10, b""), "finit_module": (-1, b"", 0), "delete_module": (b"nothing", 0), "settimeofday": (ZEROS, None),
    "clock_settime": (99, ZEROS), "sethostname": (b"x", 1000), "setdomainname": (b"x", 1000), "iopl": (3,), "ioperm": (0x80, 1, 1), "vhangup": (),
    "nfsservctl": (0, None, None), "lookup_dcookie": (0, ZEROS, 1), "uselib": (b"/nothing",), "ustat": (0, ZEROS), "sysfs": (3,),
    "_sysctl": (ZEROS,), "bpf": (0, ZEROS, 72), "perf_event_open": (struct.pack("IIQ", 1, 128, 0) + ZEROS, 0, -1, -1, 0), "userfaultfd": (1,),
    "kcmp": (1, 1, 0, 0, 0), "io_uring_setup": (1, ZEROS), "io_uring_enter": (-1, 0, 0, 0, None, 0), "io_uring_register": (-1, 0, None, 0),
    "keyctl": (0, -3, 0), "add_key": (b"user", b"probe", b"x", 1, -3), "request_key": (b"user", b"probe", None, 0), "fanotify_init": (0, 0),
    "open_by_handle_at": (AT_FDCWD, struct.pack("IiQ", 8, 1, 2), 0), "pidfd_getfd": (-1, 0, 0), "process_madvise": (-1, None, 0, 0, 0),
    "move_pages": (0, 0, None, None, None, 0), "migrate_pages": (0, 0, None, None), "mbind": (0, 0, 0, None, 0, 0), "set_mempolicy": (0, None, 0),
    "get_mempolicy": (None, None, 0, None, 0), "set_mempolicy_home_node": (0, 0, 0, 0), "vmsplice": (-1, None, 0, 0), "setns": (-1, 0),
    "clone3": (b"\xff" * 64, 64), "statmount": (None, None, 0, 0), "listmount": (None, None, 0, 0), "lsm_set_self_attr": (100, None, 0, 0),
}
NEW_NAMESPACES = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000,
                  "net": 0x40000000, "time": 0x80}
_THREAD, _NEWNS = 0x10000, 0x20000
_REMOUNT_BIND = 0x20 | 0x1000


def clone(flag: int) -> None:
    if call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)
    raise Out("a process in a new namespace")


def clone_with_a_chosen_pid() -> None:
    chosen = (ctypes.c_int * 1)(1)
    must_refuse("clone3", struct.pack("11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(chosen), 1, 0), 88)


def unshare_as_a_thread() -> None:
    must_refuse("unshare", _THREAD | _NEWNS)


def join_own_namespace(name: str) -> None:
    must_refuse("setns", os.open(f"/proc/self/ns/{name}", os.O_RDONLY), 0)


def join_namespaces_of_process_1() -> None:
    must_refuse("setns", call("pidfd_open", 1, 0), _NEWNS)


def personality_without_randomness() -> None:
    must_refuse("personality", 0x0040000)


def mount(kind: str) -> None:
    must_refuse("mount", b"none", b"/tmp", kind.encode(), 0, None)


def remount(path: str) -> None:
    must_refuse("mount", None, path.encode(), None, _REMOUNT_BIND, None)


def bind(source: str) -> None:
    must_refuse("mount", source.encode(), b"/tmp", None, 0x1000, None)


def map_the_null_page() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    if libc.mmap(ctypes.c_void_p(0), ctypes.c_size_t(4096), 3, 0x32, -1, ctypes.c_long(0)) is None:
        raise Out("mapped")
    raise failure()


def handle_of_the_root() -> None:
    """open_by_handle_at with the handle of a file: the shocker."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    LIBC = ctypes.CDLL(None, use_errno=True)
    LIBC.name_to_handle_at(AT_FDCWD, b"/etc", handle, ctypes.byref(ctypes.c_int()), 0)
    must_refuse("open_by_handle_at", os.open("/", os.O_RDONLY), handle.raw, 0)


# ---------------------------------------------------------------- calls of another machine
def _run(code: str) -> int:
    """Run x86-64 machine code in a page of its own; its rax."""
    if MACHINE != "x86_64":
        raise OSError(errno.ENOSYS, "another machine")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex(code))
    result: int = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return result


def call_of_32_bits() -> None:
    """int 0x80: getpid of the other table."""
    raise Out(f"gave {_run('53 b8 14 00 00 00 cd 80 5b c3')}")


def crypto_socket_of_32_bits() -> None:
    """socketcall(SYS_SOCKET, AF_ALG): past a filter that only knows socket(2) (CVE-2026-31431)."""
    raise Out(f"gave {_run('53 b8 66 00 00 00 bb 01 00 00 00 31 c9 cd 80 5b c3')}")


def call_of_x32() -> None:
    must_refuse(NUMBERS["getpid"] | 0x40000000)


def attempts() -> "Iterator[tuple[str, Callable[..., None], tuple[Any, ...]]]":
    for name, arguments in CALLS.items():
        if name in NUMBERS:
            yield f"call {name}", must_refuse, (name, *arguments)
    for name, flag in NEW_NAMESPACES.items():
        yield f"unshare {name}", must_refuse, ("unshare", flag)
        if name != "time":
            yield f"clone {name}", clone, (flag,)
    yield from ((f"join {name}", join_own_namespace, (name,)) for name in ("mnt", "user", "pid", "net", "cgroup"))
    yield from ((f"mount {kind}", mount, (kind,)) for kind in ("proc", "sysfs", "cgroup", "cgroup2", "devpts", "overlay", "debugfs", "securityfs", "bpf"))
    yield from ((f"remount {path}", remount, (path,)) for path in ("/", "/proc", "/proc/sys", "/sys", "/dev", "/proc/sysrq-trigger"))
    yield from ((f"bind {path}", bind, (path,)) for path in ("/", "/proc", "/sys", "/dev"))
    yield from ((f"unmount {path}", must_refuse, ("umount2", path.encode(), 2)) for path in ("/proc/kcore", "/sys/firmware", "/proc/sys", "/dev", "/"))
    for one in (clone_with_a_chosen_pid, unshare_as_a_thread, join_namespaces_of_process_1, personality_without_randomness, map_the_null_page,
                handle_of_the_root, call_of_32_bits, crypto_socket_of_32_bits, call_of_x32):
        yield one.__name__.replace("_", " "), one, ()
