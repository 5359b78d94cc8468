"""Attempts by files: of /proc, /sys, /dev, of other processes, and by what leads out of a root directory."""

import errno
import fcntl
import os
import stat
import struct

from tests.security.probe.outcome import FACTS, REFUSED, Out, is_own, must_not_open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

# opened for writing, never written
WRITABLE = """
/proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/kernel/hotplug /proc/sys/kernel/poweroff_cmd
/proc/sys/kernel/panic /proc/sys/kernel/sysrq /proc/sys/kernel/ns_last_pid /proc/sys/kernel/randomize_va_space /proc/sys/kernel/usermodehelper/bset
/proc/sys/kernel/unprivileged_bpf_disabled /proc/sys/kernel/yama/ptrace_scope /proc/sys/kernel/domainname /proc/sys/vm/panic_on_oom
/proc/sys/vm/drop_caches /proc/sys/vm/overcommit_memory /proc/sys/fs/suid_dumpable /proc/sys/fs/protected_symlinks
/proc/sys/fs/binfmt_misc/register /proc/sys/net/ipv4/ip_forward /proc/sys/user/max_user_namespaces /proc/irq/default_smp_affinity
/proc/fs/ext4/probe /proc/bus/pci/00/00.0 /proc/scsi/scsi /proc/acpi/wakeup /proc/kcore /proc/kmsg /proc/latency_stats
/sys/kernel/uevent_helper /sys/kernel/profiling /sys/kernel/kexec_crash_size /sys/kernel/mm/ksm/run /sys/kernel/mm/transparent_hugepage/enabled
/sys/power/state /sys/power/disk /sys/bus/pci/rescan /sys/bus/cpu/uevent /sys/class/net/lo/mtu /sys/block/vda/queue/nr_requests
/sys/devices/system/cpu/cpu1/online /sys/module/kernel/parameters/panic /sys/fs/cgroup/release_agent /sys/fs/cgroup/cgroup.procs
/sys/fs/cgroup/cgroup.subtree_control /sys/fs/cgroup/notify_on_release
"""
# may be opened; what is written must be refused
WRITTEN = {"/proc/self/uid_map": "0 0 1\n", "/proc/self/gid_map": "0 0 1\n", "/proc/self/timens_offsets": "monotonic 1 0\n",
           "/proc/self/oom_score_adj": "-1000\n", "/proc/mtrr": "probe\n"}
SECRETS = """
/proc/kcore /proc/kmsg /proc/keys /proc/timer_list /proc/sched_debug /proc/latency_stats /proc/kpageflags /proc/kpagecount /proc/kpagecgroup
/proc/interrupts /sys/firmware/acpi/tables/DSDT /sys/firmware/dmi/tables/DMI /sys/kernel/debug/tracing/trace
/sys/kernel/tracing/trace /sys/kernel/security/lsm /sys/devices/virtual/powercap/intel-rapl/enabled
"""
NODES = """
mem kmem port kmsg fuse kvm vda vda1 sda sda1 nvme0n1 loop0 loop-control net/tun vhost-net vhost-vsock vfio/vfio rtc0 hpet cpu/0/msr userfaultfd
mapper/control snapshot uinput console tty0 tty1 dri/card0 btrfs-control autofs vsock cuse ptp0
"""
# made by the probe itself, then opened
MADE = {"memory": (stat.S_IFCHR, 1, 1), "kmsg": (stat.S_IFCHR, 1, 11), "virtio disk": (stat.S_IFBLK, 254, 0), "disk": (stat.S_IFBLK, 8, 0),
        "loop": (stat.S_IFBLK, 7, 0), "fuse": (stat.S_IFCHR, 10, 229), "tun": (stat.S_IFCHR, 10, 200), "kvm": (stat.S_IFCHR, 10, 232)}
DIRECTORIES = ("/tmp", "/dev/shm", "/dev", "/dev/mqueue", "/")
_FITHAW = -0x3FBAA788                 # 0xC0045878: of what is not frozen it only checks the privilege


def write_to(path: str) -> None:
    must_not_open(path, os.O_WRONLY)


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    if is_own(fd):
        return
    try:
        os.write(fd, text.encode())
    except OSError as error:
        if error.errno in REFUSED:
            raise
        raise Out(f"got to {error}") from error
    raise Out("written")


def read_secret(path: str) -> None:
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        data = file.read(64)
    if data:
        raise Out(f"read {data[:20]!r}")


def write_to_any_release_agent() -> None:
    for directory, _, names in os.walk("/sys/fs/cgroup"):
        if "release_agent" in names:
            must_not_open(f"{directory}/release_agent", os.O_WRONLY)


def make_a_cgroup() -> None:
    for directory in ("/sys/fs/cgroup", *(entry.path for entry in os.scandir("/sys/fs/cgroup") if entry.is_dir())):
        try:
            os.mkdir(f"{directory}/probe")
        except OSError as error:
            if error.errno not in REFUSED | {errno.ENOENT}:      # ENOENT: an empty directory of sysfs
                raise Out(f"got to {error}") from error
        else:
            raise Out(directory)


def addresses_of_the_kernel() -> None:
    with open("/proc/kallsyms") as file:
        if int((file.readline().split() or ["0"])[0], 16):
            raise Out("shown")


def open_node(name: str) -> None:
    must_not_open(f"/dev/{name}", os.O_RDONLY)


def make_node(kind: int, major: int, minor: int) -> None:
    for directory in DIRECTORIES:
        path = f"{directory}/probe-node"
        try:
            os.mknod(path, kind | 0o666, os.makedev(major, minor))
        except OSError:
            continue
        try:
            _must_be_no_device(path)
        except OSError as error:
            if error.errno not in REFUSED:                 # ENXIO: the kernel looked for the device
                raise Out(f"in {directory}: {error}") from error
        finally:
            os.unlink(path)


def _must_be_no_device(path: str) -> None:
    """Where owners are emulated what looks like a node is an empty file, and its stat is no witness: only a file can be truncated."""
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.ftruncate(fd, 0)
    except OSError as error:
        raise Out(f"{path} is a device") from error


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def descriptors_of_others() -> None:
    """Nothing of the runtime's is open in any process that we see: no directory of its own, no namespace."""
    for pid in pids():
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            if FACTS["state"] in target or target.startswith(("mnt:", "net:", "pid:", "user:")):
                raise Out(f"{pid} has {target}")


def through(of: str) -> None:
    """/proc/PID/root and /proc/PID/cwd of any process lead to our own root only."""
    own = os.stat("/")
    for pid in pids():
        try:
            there = os.stat(f"/proc/{pid}/{of}")
        except OSError:
            continue
        if of == "root" and (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino):
            raise Out(f"{pid} has another root")
        if os.path.exists(f"/proc/{pid}/{of}{FACTS['canary']}"):
            raise Out(f"the host's file by {pid}")


def programs_of_others() -> None:
    """Every process that we see runs a file of our root: none is the runtime's (CVE-2019-5736)."""
    for pid in pids():
        try:
            path = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if not os.path.exists(path.removesuffix(" (deleted)")) and "memfd:" not in path:
            raise Out(f"{pid} runs {path}")


def chroot_and_up() -> None:
    """mkdir, chroot, and up: leads out of a mere chroot."""
    os.makedirs("/tmp/probe-root", exist_ok=True)
    start = os.open("/", os.O_RDONLY)
    os.chroot("/tmp/probe-root")
    os.fchdir(start)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    _look_for_the_canary()


def up_and_away() -> None:
    os.chdir("/")
    os.chdir("../" * 64)
    _look_for_the_canary()


def _look_for_the_canary() -> None:
    if os.path.exists(FACTS["canary"]):
        raise Out("the host's files")


def attribute(name: str) -> None:
    path = "/tmp/probe-attribute"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.setxattr(path, name, b"y")
    raise Out("set")


def immutable_file() -> None:
    fcntl.ioctl(os.open("/tmp/probe-flags", os.O_CREAT | os.O_RDWR), 0x40086602, struct.pack("L", 0x10))
    raise Out("made")


def thaw_the_file_system() -> None:
    try:
        fcntl.ioctl(os.open("/", os.O_RDONLY), _FITHAW, 0)
    except OSError as error:
        if error.errno == errno.EINVAL:                    # not frozen: it was looked at
            raise Out("got to EINVAL") from error
        raise
    raise Out("done")


def link_to_the_program() -> None:
    os.link("/proc/self/exe", "/tmp/probe-link", follow_symlinks=True)
    os.unlink("/tmp/probe-link")
    if os.stat("/proc/self/exe").st_dev != os.stat("/").st_dev:
        raise Out("linked a foreign file")


def attempts() -> "Iterator[tuple[str, Callable[..., None], tuple[Any, ...]]]":
    yield from ((f"write {path}", write_to, (path,)) for path in WRITABLE.split())
    yield from ((f"write {path}", write, words) for path, text in WRITTEN.items() if (words := (path, text)))
    yield from ((f"read {path}", read_secret, (path,)) for path in SECRETS.split())
    yield from ((f"node {name}", open_node, (name,)) for name in NODES.split())
    yield from ((f"make node {name}", make_node, numbers) for name, numbers in MADE.items())
    yield from ((f"attribute {name}", attribute, (name,)) for name in ("trusted.overlay.opaque", "trusted.probe", "security.probe", "security.ima"))
    yield from ((f"{of} of processes", through, (of,)) for of in ("root", "cwd"))
    for one in (write_to_any_release_agent, make_a_cgroup, addresses_of_the_kernel, descriptors_of_others, programs_of_others, chroot_and_up,
                up_and_away, immutable_file, thaw_the_file_system, link_to_the_program):
        yield one.__name__.replace("_", " "), one, ()
