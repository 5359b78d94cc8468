"""Attempts at more privilege, at other processes and what they share, at networks and terminals."""

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import stat
import struct

from tests.security.probe.files import pids
from tests.security.probe.outcome import FACTS, LIBC, REFUSED, Out, call, failure, must_not_open, must_refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

SETTINGS = {"SO_SNDBUFFORCE": 32, "SO_RCVBUFFORCE": 33, "SO_DEBUG": 1}
SOCKETS = {"AF_ALG": (38, socket.SOCK_SEQPACKET), "AF_VSOCK": (40, socket.SOCK_STREAM)}
# netlink messages that change something -> (type, body, protocol)
MESSAGES = {"new link": (16, 16, 0), "new address": (20, 8, 0), "new route": (24, 12, 0), "new neighbour": (28, 12, 0), "new rule": (32, 12, 0),
            "nftables": (0xA00, 4, 12), "audit status": (1001, 40, 9)}
_FORBIDDEN = 1 << 12 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 21 | 1 << 22 | 1 << 25      # NET_ADMIN MODULE RAWIO PTRACE ADMIN BOOT TIME
_SEIZE = 0x4206


def status(field: str) -> str:
    with open("/proc/self/status") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith(f"{field}:"))


def bounding_set() -> None:
    """What a program with every capability in its file would get."""
    if int(status("CapBnd"), 16) & _FORBIDDEN:
        raise Out(status("CapBnd"))


def inheritable_capabilities() -> None:
    if int(status("CapInh"), 16) | int(status("CapAmb"), 16):
        raise Out(f"{status('CapInh')} {status('CapAmb')}")


def raise_capabilities() -> None:
    must_refuse("capset", struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0xFFFFFFFF] * 6))


def no_filter() -> None:
    if status("Seccomp") != "2":
        raise Out(f"mode {status('Seccomp')}")


def priority() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    raise Out("the highest")


def real_time() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    raise Out("real time")


def real_time_of_the_disk() -> None:
    must_refuse("ioprio_set", 1, 0, 1 << 13)


def raise_a_limit() -> None:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files + 1))
    except ValueError:                                     # what Python makes of EPERM
        return
    raise Out("raised")


def move_the_memory_map() -> None:
    """PR_SET_MM: rewrite what /proc shows of a process."""
    if LIBC.prctl(35, 1, 0x10000, 0, 0) == 0:
        raise Out("moved")
    if failure().errno not in REFUSED:
        raise Out(f"got to {failure()}")


# ---------------------------------------------------------------- other processes
def descriptors() -> None:
    """Nothing but the three streams is open, and none of these is a directory, or a device that is not our own."""
    own = {os.fstat(fd).st_ino for fd in (int(FACTS["result"]),)}
    scan = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    for number in map(int, os.listdir(scan)):
        try:
            state = os.fstat(number)
        except OSError:
            continue
        if number <= 2:
            if stat.S_ISDIR(state.st_mode):
                raise Out(f"{number} is a directory")
            if stat.S_ISCHR(state.st_mode) and not os.path.samestat(state, os.stat("/dev/null")):
                raise Out(f"{number} is a device of the host")
        elif number != scan and state.st_ino not in own:
            raise Out(f"{number} is {os.readlink(f'/proc/self/fd/{number}')}")


def kill_a_process_of_the_host() -> None:
    os.kill(_process_of_the_host(), 0)
    raise Out("reached")


def _process_of_the_host() -> int:
    pid = int(FACTS["pid"])
    if pid in pids():
        raise OSError(errno.ESRCH, "the number is our own process's")
    return pid


def limit_a_process_of_the_host() -> None:
    """A limit of processor time is a way to kill."""
    resource.prlimit(_process_of_the_host(), resource.RLIMIT_CORE, (0, 0))
    raise Out("limited")


def signal_a_process_of_the_host(how: str) -> None:
    pid = _process_of_the_host()
    if how == "pidfd":
        signal.pidfd_send_signal(os.pidfd_open(pid), 0)
    elif how == "queue":
        call("rt_sigqueueinfo", pid, 0, struct.pack("iii", 0, 0, -1) + bytes(116))
    else:
        call("tgkill", pid, pid, 0)
    raise Out("reached")


def memory_of_a_process_of_the_host() -> None:
    room = ctypes.create_string_buffer(8)
    local, remote = struct.pack("QQ", ctypes.addressof(room), 8), struct.pack("QQ", 0x400000, 8)
    try:
        call("process_vm_readv", _process_of_the_host(), local, 1, remote, 1, 0)
    except OSError as error:
        if error.errno == errno.EFAULT:                    # it was looked at
            raise Out("got to EFAULT") from error
        raise
    raise Out("read")


def see_processes_of_the_host() -> None:
    for pid in pids():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if file.read().startswith(FACTS["marker"].encode()):
                raise Out(f"process {pid}")


def trace_process_1() -> None:
    """In a joined sandbox it is somebody else's: reached as an equal, never by one with less."""
    with open("/proc/1/status") as file:
        theirs = next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm:"))
    if theirs & ~int(status("CapPrm"), 16) == 0:
        raise OSError(errno.ESRCH, "an equal")
    must_refuse("ptrace", _SEIZE, 1, 0, 0)


def shared_memory_of_the_host() -> None:
    if LIBC.shmget(int(FACTS["shm"]), 0, 0) >= 0:
        raise Out("found")


def message_queue_of_the_host() -> None:
    if LIBC.mq_open(FACTS["queue"].encode(), 0) >= 0:
        raise Out("found")


def posix_memory_of_the_host() -> None:
    must_not_open(f"/dev/shm/{FACTS['memory']}", os.O_RDONLY)


def name_of_the_host() -> None:
    if os.uname().nodename == FACTS["node"]:
        raise Out("seen")


# ---------------------------------------------------------------- networks
def abstract_socket_of_the_host() -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(b"\0" + FACTS["abstract"].encode())
    raise Out("connected")


def loopback_of_the_host() -> None:
    with socket.create_connection(("127.0.0.1", int(FACTS["port"])), timeout=1):
        raise Out("connected")


def interfaces_of_the_host() -> None:
    names = {name for _, name in socket.if_nameindex()}
    if names - {"lo", "eth0"}:
        raise Out(str(names))


def make_socket(family: int, kind: int) -> None:
    socket.socket(family, kind, 0).close()
    raise Out("made")


def set_option(option: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, option, 1 << 24)
    raise Out("set")


def take_an_interface_down() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, 0x8914, struct.pack("16sH22x", b"lo", 0))
    raise Out("down")


def tell_netlink(kind: int, size: int, protocol: int) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as one:
        one.settimeout(1)
        one.bind((0, 0))
        one.send(struct.pack("IHHII", 16 + size, kind, 0x605, 1, 0) + bytes(size))
        number: int = -struct.unpack_from("i", one.recv(4096), 16)[0]
    if number not in REFUSED | {errno.ECONNREFUSED}:
        raise Out(f"got to {errno.errorcode.get(number, number)}")


# ---------------------------------------------------------------- terminals
def type_into_a_terminal() -> None:
    """TIOCSTI: put words into the input of whoever reads the terminal next."""
    for path in ("/dev/tty", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"):
        try:
            fcntl.ioctl(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK), 0x5412, b"x")
        except OSError:
            continue
        raise Out(path)


def paste_into_a_console() -> None:
    """TIOCLINUX: the selection of a virtual console."""
    for path in ("/dev/tty", "/dev/console", "/proc/self/fd/0"):
        try:
            fcntl.ioctl(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK), 0x541C, b"\x03")
        except OSError:
            continue
        raise Out(path)


def terminals_of_the_host() -> None:
    if names := set(os.listdir("/dev/pts")) - {"ptmx"}:
        raise Out(str(names))


def attempts() -> "Iterator[tuple[str, Callable[..., None], tuple[Any, ...]]]":
    yield from ((f"socket {name}", make_socket, words) for name, words in SOCKETS.items())
    yield from ((f"option {name}", set_option, (option,)) for name, option in SETTINGS.items())
    yield from ((f"netlink {name}", tell_netlink, words) for name, words in MESSAGES.items())
    yield from ((f"signal a process of the host by {how}", signal_a_process_of_the_host, (how,)) for how in ("pidfd", "queue", "tgkill"))
    yield "crypto socket with high bits", must_refuse, ("socket", 38 | 1 << 32, 5, 0)
    for one in (bounding_set, inheritable_capabilities, raise_capabilities, no_filter, priority, real_time, real_time_of_the_disk, raise_a_limit,
                move_the_memory_map, descriptors, kill_a_process_of_the_host, limit_a_process_of_the_host,
                memory_of_a_process_of_the_host, see_processes_of_the_host, trace_process_1, shared_memory_of_the_host,
                message_queue_of_the_host, posix_memory_of_the_host, name_of_the_host, abstract_socket_of_the_host, loopback_of_the_host,
                interfaces_of_the_host, take_an_interface_down, type_into_a_terminal, paste_into_a_console, terminals_of_the_host):
        yield one.__name__.replace("_", " "), one, ()
