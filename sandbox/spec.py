"""What a sandbox is to be: SandboxSpec and the mounts in it. Values only; everything that makes them real is in the other modules.

Host paths are resolved in the mount namespace of the caller, targets inside the root. Where a field takes `str | int`, an int is an open
file descriptor of the caller (sent along, not closed). Octal modes, sizes in bytes, capabilities as a bit mask (sandbox.capabilities).
"""

from kernel.value import Value
from sandbox.capabilities import DEFAULT
from sandbox.errors import InvalidSpec

MIB = 1 << 20


class Overlay(Value):
    """Layers stacked: `lower` topmost first; without `upper` it is read-only. As a mount: `source`, looked up inside it, appears at `target`.

    volatile: nothing is flushed when it is unmounted (the caller syncs what it keeps); the work directory must then be removed after use.
    """

    lower: tuple[str, ...]
    upper: str = ""
    work: str = ""
    volatile: bool = True
    target: str = "/"
    source: str = "/"
    readonly: bool = False


class Directory(Value):
    """A root that is a plain directory of the host."""

    path: str
    readonly: bool = False


class Bind(Value):
    """A file or directory of the host. recursive: with the mounts below it. propagation: "private", "slave" or "shared".
    below: what is to be mounted in the directory `source`, reached without a symlink; others may be writing there."""

    source: str | int
    target: str
    readonly: bool = False
    recursive: bool = True
    propagation: str = "private"
    nosuid: bool = False
    nodev: bool = True
    noexec: bool = False
    below: str = ""


class Tmpfs(Value):
    """size_bytes 0: the kernel's default, half of the memory; inodes 0: as many as it thinks right."""

    target: str
    size_bytes: int = 0
    mode: int = 0o1777
    uid: int = 0
    gid: int = 0
    readonly: bool = False
    noexec: bool = False
    nosuid: bool = True
    inodes: int = 0


class Proc(Value):
    """A further procfs of the sandbox's pid namespace; /proc itself is always there."""

    target: str


class Dev(Value):
    """A further /dev as the sandbox's own."""

    target: str


class Symlink(Value):
    """A symlink at `target`, made only if nothing is there, and gone from the upper directory afterwards."""

    target: str
    value: str


class WriteFile(Value):
    """A file in memory, bound over `target`: never part of the layer, never written through the image's symlinks."""

    target: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    readonly: bool = False


class Joined(Value):
    """What another sandbox has mounted at `target`. namespace: an fd of its mount namespace."""

    namespace: int
    target: str


MountOp = Bind | Tmpfs | Overlay | Proc | Dev | Symlink | WriteFile | Joined
MOUNTS: "dict[str, type[MountOp]]" = {kind.__name__: kind for kind in (Bind, Tmpfs, Overlay, Proc, Dev, Symlink, WriteFile, Joined)}


class Rlimit(Value):
    """A setrlimit(2) pair, `name` as "nofile"; -1 is unlimited. What exceeds the caller's hard limit is clamped to it."""

    name: str
    soft: int
    hard: int


class Device(Value):
    """A device node of the host at `target`; permissions: some of "rwm"."""

    source: str
    target: str
    permissions: str = "rwm"


class Limits(Value):
    """cgroup limits; 0 or "" is none. memory_swap: memory and swap together, -1 unlimited. cpu_quota_us per cpu_period_us.
    The io limits are (path of the device, rate)."""

    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    swappiness: int = -1
    cpu_shares: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids: int = 0
    io_weight: int = 0
    read_bps: tuple[tuple[str, int], ...] = ()
    write_bps: tuple[tuple[str, int], ...] = ()
    read_iops: tuple[tuple[str, int], ...] = ()
    write_iops: tuple[tuple[str, int], ...] = ()
    io_weights: tuple[tuple[str, int], ...] = ()          # over io_weight, for single devices
    oom_kill_disable: bool = False                        # who wants more than `memory` waits until there is some


NO_LIMITS = Limits()


class SandboxSpec(Value):
    """One process, isolated.

    argv:       looked up in `env`'s PATH inside the root.
    user:       "" is root; "name|uid[:group|gid]" resolved in the root's /etc/passwd and /etc/group, HOME set from it when `env` lacks it.
    groups:     additional groups, names or numbers.
    network:    "none" (a namespace with nothing but lo), "host", or an fd of a namespace.
    pid, ipc, uts, cgroup_namespace: "private", "host", or an fd of a namespace.
    user_namespace: "host" (the zygote's), or an fd of one below it: the sandbox's root is then nobody outside, and files keep the owners they have on
                disk (sandbox.idmap). outer_root: its (uid, gid) there.
    seccomp:    "default", "unconfined", or a compiled program (sandbox.seccomp_json.load gives one).
    cgroup:     name of the cgroup below the tool's own, made for it and removed after it; "" with limits: a name is found.
    terminal:   (rows, columns) of a TTY; stdin, stdout and stderr are then it.
    masked:     the usual paths of /proc and /sys are hidden or read-only.
    privileged: every capability, no seccomp, nothing masked, the host's devices.
    devices:    nodes of the host that are given to it, those in its /dev; one whose target is elsewhere is only permitted: a mount shows it.
    device_rules: nodes that are permitted too, like `c 189:* rwm`.
    owners:     where files can have one owner only, an fd of a file with the table of sandbox.owners: whose the links and fifos of the lower layers
                are; when the sandbox has ended it says so of those in the upper directory. "" for none.
    runtime:    path of the OCI runtime that starts it (sandbox.runtimes.find); "" for ourselves.
    apparmor, selinux: the profile and the label that the command is executed with, where the machine uses these modules; "" for none.
    tree:       where no namespace can be made: directory of the plain tree in which it runs (sandbox.enclosed), made if it is not there.
    clocks_ahead: seconds that its monotonic clocks are ahead of the machine's, in a time namespace of its own; None: it has the zygote's.
    """

    rootfs: Overlay | Directory
    argv: tuple[str, ...]
    mounts: tuple[MountOp, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    user: str = ""
    groups: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    network: str | int = "none"
    pid: str | int = "private"
    ipc: str | int = "private"
    uts: str | int = "private"
    cgroup_namespace: str | int = "private"
    capabilities: int = DEFAULT
    ambient: int = 0
    seccomp: str | bytes = "default"
    no_new_privileges: bool = False
    readonly_root: bool = False
    rlimits: tuple[Rlimit, ...] = ()
    limits: Limits = NO_LIMITS
    cgroup: str = ""
    sysctls: tuple[tuple[str, str], ...] = ()
    terminal: tuple[int, int] | None = None
    init: bool = False
    oom_score_adj: int = 0
    masked: bool = True
    privileged: bool = False
    devices: tuple[Device, ...] = ()
    device_rules: tuple[str, ...] = ()
    shm_size: int = 64 * MIB
    umask: int = 0o022
    owners: str | int = ""
    user_namespace: str | int = "host"
    outer_root: tuple[int, int] = (0, 0)
    runtime: str = ""
    apparmor: str = ""
    selinux: str = ""
    clocks_ahead: int | None = None
    tree: str = ""

    def check(self) -> "SandboxSpec":
        """Itself; raises InvalidSpec for what no kernel would take, so that it is said before anything is started."""
        _check_process(self)
        for operation in self.mounts:
            if not operation.target.startswith("/") or "\0" in operation.target or not operation.target.strip("/"):
                raise InvalidSpec("mount target", path=operation.target.replace("\0", "\\0"), reason="is not an absolute path below the root")
        for name in (self.hostname, self.domainname):
            if "\0" in name or len(name.encode()) > 64:
                raise InvalidSpec("host name", path=name.replace("\0", "\\0"), reason="is longer than 64 bytes, or none")
        if isinstance(self.user_namespace, int) and isinstance(self.pid, int):
            raise InvalidSpec("process numbers", reason="of another sandbox cannot be shared from a user namespace of its own")
        return self


class ExecSpec(Value):
    """A further process in a sandbox that runs. Fields as in SandboxSpec; `cgroup` is the one that the sandbox was given."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    user: str = ""
    groups: tuple[str, ...] = ()
    capabilities: int = DEFAULT
    ambient: int = 0
    seccomp: str | bytes = "default"
    no_new_privileges: bool = False
    rlimits: tuple[Rlimit, ...] = ()
    cgroup: str = ""
    terminal: tuple[int, int] | None = None
    oom_score_adj: int = 0
    privileged: bool = False
    umask: int = 0o022
    apparmor: str = ""
    selinux: str = ""

    def check(self) -> "ExecSpec":
        """Itself, or InvalidSpec."""
        _check_process(self)
        return self


def _check_process(spec: SandboxSpec | ExecSpec) -> None:
    if not spec.argv or not spec.argv[0]:
        raise InvalidSpec("the command", reason="is empty")
    if not spec.cwd.startswith("/"):
        raise InvalidSpec("working directory", path=spec.cwd, reason="is not absolute")
    for word in (*spec.argv, spec.cwd, spec.user, *spec.groups):
        if "\0" in word:
            raise InvalidSpec("word", path=word.replace("\0", "\\0"), reason="contains a NUL byte")
    for name, value in spec.env:
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise InvalidSpec("environment variable", path=name.replace("\0", "\\0"), reason="is no NAME=VALUE")
