"""What a unit does between its birth in new namespaces and execve: prepare, wait for the request, mount, become who it is to be, execute.

The order is the point. Everything that reads or writes paths happens while the host's files are still in reach, by fds and scoped walks;
then the root is changed; then privileges go, the last needed last. Nothing here returns: a unit executes or exits.
"""

import marshal
import os
from errno import EAGAIN

from kernel.errors import PROCESS_LIMIT
from kernel.paths import make_directories
from kernel.syscalls import (
    AT_FDCWD,
    AT_RECURSIVE,
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    MNT_DETACH,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REMOUNT,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    PR_SET_PDEATHSIG,
    capget,
    close_range,
    keyctl,
    mount,
    move_mount,
    open_tree,
    pivot_root,
    prctl,
    setdomainname,
    sethostname,
    setns,
    umount2,
    unshare,
)
from kernel.value import plain
from sandbox import account, clocks, departure, devices, init, labels, privileges, wire
from sandbox.departure import CONTROL
from sandbox.devices import make_dev, proc_of
from sandbox.errors import SandboxError
from sandbox.limits import set_sysctls
from sandbox.machine import Machine
from sandbox.mounts import Mounter, by_depth, content_size, open_source
from sandbox.namespaces import Shape, held_by, joined
from sandbox.network import bring_up_loopback
from sandbox.overlay import attributes, open_root
from sandbox.spec import MIB, NO_LIMITS, Directory, Overlay, SandboxSpec
from sandbox.targets import Targets
from sandbox.terminal import open_terminal
from sandbox.tree import SECURE, attach, new_mount, protect, put

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import NoReturn

    from sandbox.account import Account

_CLONE = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
_JOIN_SESSION_KEYRING = 1
_SHM_DEFAULT = 64 * MIB
_SIGKILL = 9


def live(control: "_socket.socket", machine: Machine, shape: Shape) -> "NoReturn":
    """The whole life of a unit. Failures are told on `control`; its closing by execve says that the command runs."""
    unit = None
    try:
        unit = Birth(machine, shape, keep_only(control))
        unit.prepare()
        unit.run()
    except BaseException as error:
        if unit:
            tell_failure(error, unit.step, unit.tell_stubs)
        else:
            tell_failure(error, "start")
    finally:
        os._exit(125)


def keep_only(control: "_socket.socket") -> "_socket.socket":
    """In a new child: close everything but the standard streams and the control socket, which becomes CONTROL."""
    os.dup2(control.fileno(), CONTROL, inheritable=False)
    close_range(CONTROL + 1)
    return wire.socket_of(CONTROL)


def tell_failure(failure: BaseException, step: str, first: "Callable[[], None]" = lambda: None) -> None:
    """Tell the parent why there will be no process, after what `first` has to say."""
    if isinstance(failure, SandboxError):
        error = failure
    elif isinstance(failure, OSError):
        path = failure.filename if isinstance(failure.filename, str) and "/" in failure.filename else ""      # not "fd 7", which says nothing
        error = SandboxError(step, failure.errno or 0, path, help=PROCESS_LIMIT if failure.errno == EAGAIN else "")
    else:
        error = SandboxError(step, reason=f"{type(failure).__name__}: {failure}")
    control = wire.socket_of(CONTROL)
    try:
        first()
        wire.send(control, ("failed", type(error).__name__, error.step, error.number, error.path, error.reason, error.help))
    except OSError:
        pass                                              # nobody is there to hear it


_REHEARSAL = wire.pack(SandboxSpec(Overlay(("/",)), ("/",), env=(("PATH", "/"),)), first=4)[0]


def _rehearse() -> None:
    """Use what the request will use, so that the pages it writes to are our own copies before anybody waits."""
    marshal.loads(marshal.dumps((_REHEARSAL, b"")))
    spec = wire.unpack(_REHEARSAL, ())
    account.resolve(spec.user, spec.groups, lambda name: "root:x:0:0::/root:/bin/sh\n")
    by_depth(spec.mounts)
    joined(spec)
    capget()
    setns(os.open("/proc/self/ns/mnt", os.O_RDONLY), CLONE_NEWNS)


class Birth:
    """State of the one unit that this process is."""

    __slots__ = ("_control", "_fds", "_home", "_machine", "_program", "_shape", "_spec", "_stage", "_targets", "step")
    _spec: SandboxSpec

    def __init__(self, machine: Machine, shape: Shape, control: "_socket.socket") -> None:
        self.step = "prepare the sandbox"
        self._machine = machine
        self._shape = shape
        self._control = control
        self._targets: Targets | None = None

    # ---------------------------------------------------------------- before the request
    def prepare(self) -> None:
        """All that does not depend on the request; in a warm unit it is paid for before anybody waits."""
        os.setsid()
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        self._home = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        stage = new_mount(b"tmpfs", SECURE, ((b"mode", b"700"), (b"size", b"1m")))
        move_mount(stage, AT_FDCWD, os.fsencode(self._machine.stage))
        self._stage = stage
        for name in ("root", "proc", "sys", "dev"):
            os.mkdir(name, dir_fd=stage)
        own_ipc = bool(self._shape.namespaces & CLONE_NEWIPC)
        if self._shape.namespaces & CLONE_NEWPID:
            self._mount_proc()
        if self._shape.namespaces & CLONE_NEWNET:
            self._mount_sys()
            bring_up_loopback()
        make_dev(stage, _SHM_DEFAULT, tty_group=not self._machine.single, own_ipc=own_ipc)
        try:
            keyctl(_JOIN_SESSION_KEYRING, 0)
        except OSError:
            pass                                          # no keyrings here, or a quota: the old one is the zygote's own
        privileges.bound(self._shape.bounding, self._machine.last_capability)
        privileges.default_signals()
        _rehearse()

    def _mount_proc(self) -> None:
        """Of the pid namespace that the command will be in."""
        joined_pids = self._spec.pid if not self._shape.namespaces & CLONE_NEWPID and isinstance(self._spec.pid, int) else -1
        try:
            if joined_pids < 0:
                tree = new_mount(b"proc", SECURE)
            else:
                setns(joined_pids, CLONE_NEWPID)          # for children only
                tree = proc_of(joined_pids, self._stage)
        except PermissionError:
            if self._shape.namespaces & CLONE_NEWPID:
                raise
            tree = open_tree(AT_FDCWD, b"/proc", _CLONE | AT_RECURSIVE)      # the host's pids, from a user namespace
        attach(tree, self._stage, b"proc")
        if self._shape.masked:
            self._mask("proc")

    def _mount_sys(self) -> None:
        read_only = ((b"ro", b""),) if self._shape.masked else ()
        held = SECURE | (MOUNT_ATTR_RDONLY if read_only else 0)
        try:
            tree = new_mount(b"sysfs", held, read_only)
        except PermissionError:                           # a network that is not this user namespace's
            tree = open_tree(AT_FDCWD, b"/sys", _CLONE | AT_RECURSIVE)
        attach(tree, self._stage, b"sys", held, recursive=True)
        if self._shape.masked:
            self._mask("sys")

    def _mount_cgroups(self) -> None:
        """Show the process its control groups: programs look there how much they may use. Version 1 is eight mounts: only if there are limits,
        or those of the machine are to be seen."""
        machine, spec = self._machine, self._spec
        held = SECURE if spec.privileged else SECURE | MOUNT_ATTR_RDONLY
        if machine.cgroups == ("",):
            attach(new_mount(b"cgroup2", held), self._stage, b"sys/fs/cgroup")
        elif machine.cgroups and not machine.rootless and (spec.cgroup or spec.limits != NO_LIMITS or spec.cgroup_namespace == "host"):
            tree = new_mount(b"tmpfs", SECURE, ((b"mode", b"755"), (b"size", b"64k")))
            move_mount(tree, self._stage, b"sys/fs/cgroup")
            for controllers in machine.cgroups:
                os.mkdir(controllers, dir_fd=tree)
                attach(new_mount(b"cgroup", held, tuple((one.encode(), b"") for one in controllers.split(","))), tree, controllers.encode())
            protect(tree, held)
            os.close(tree)

    def _mask(self, top: str) -> None:
        """Hide and write-protect below `top`. Only what is known to be there: closing a clone that was never attached waits for RCU."""
        machine, stage = self._machine, self._stage
        for path in machine.read_only:
            if path.startswith(top):
                tree = open_tree(stage, path.encode(), _CLONE | AT_RECURSIVE)
                attach(tree, stage, path.encode(), SECURE | MOUNT_ATTR_RDONLY, recursive=True)
        for path in machine.hidden_files:
            if path.startswith(top):
                attach(open_tree(AT_FDCWD, b"/dev/null"), stage, path.encode(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID)
        for path in machine.hidden_directories:
            if path.startswith(top):
                attach(new_mount(b"tmpfs", SECURE | MOUNT_ATTR_RDONLY, ((b"mode", b"555"), (b"size", b"4k"))), stage, path.encode())

    # ---------------------------------------------------------------- the request
    def run(self) -> "NoReturn":
        data, self._fds = wire.receive_bytes(self._control)
        if not data:
            os._exit(0)
        packed, self._program = marshal.loads(data)
        self._spec = wire.unpack(packed, self._fds)
        self.go()

    def go(self) -> "NoReturn":
        """Become what the spec says."""
        if self._spec.apparmor or self._spec.selinux:     # while /proc shows this process, and no file of the image is in reach
            self.step = "label the command"
            labels.apply(self._spec, self._machine.modules)
        if self._spec.clocks_ahead is not None:
            self.step = "shift the clocks"
            clocks.shift(self._spec.clocks_ahead)
        self._join()
        if self._spec.cgroup_namespace == "private":
            unshare(CLONE_NEWCGROUP)
        self._mount_cgroups()
        root_fd, upper_fd, dev_fd, who = self._furnish()
        self._depart(root_fd, upper_fd, dev_fd, who)

    def _join(self) -> None:
        """The namespaces that come by fd, and what shows them."""
        self.step = "join the namespaces"
        self.enter_namespaces()
        if not self._shape.namespaces & CLONE_NEWPID:
            self._mount_proc()
        if not self._shape.namespaces & CLONE_NEWNET:
            self._mount_sys()

    def enter_namespaces(self) -> None:
        for fd, flag in joined(self._spec):
            setns(fd, flag)

    def _furnish(self) -> "tuple[int, int, int, Account]":
        """Mount the root and all that is in it: (it, its upper directory or -1, its /dev, who the command is to be)."""
        spec = self._spec
        root_fd, upper_fd, sources = self.open_sources()
        self.step = "mount the root"
        free = self._nodes_open()
        put(root_fd, self._stage, b"root", attributes(spec.rootfs) & ~free, without=free, propagation=MS_PRIVATE, recursive=True)
        upper = spec.rootfs.upper if isinstance(spec.rootfs, Overlay) else "" if spec.rootfs.readonly else spec.rootfs.path
        targets = self._targets = Targets(root_fd, upper_fd, upper)
        dev_fd = self._mount_system(targets)
        mounter = Mounter(targets, self._stage)
        self.step = "mount"
        size = content_size(spec.mounts)
        for operation in by_depth(spec.mounts):
            mounter.perform(operation, sources.get(id(operation), -1), size)
        self.step = "look up the user"
        who = account.find(root_fd, spec.user, spec.groups)
        self._settle(targets)
        return root_fd, upper_fd, dev_fd, who

    def _depart(self, root_fd: int, upper_fd: int, dev_fd: int, who: "Account") -> "NoReturn":
        spec = self._spec
        streams = self._fds[:3]
        if spec.terminal:
            self.step = "make the terminal"
            outer, inner = open_terminal(dev_fd, *spec.terminal, console=True)
            wire.send(self._control, ("terminal",), (outer,))
            streams = [inner] * 3
        self.step = "enter the root"
        os.fchdir(root_fd)
        pivot_root(b".", b".")
        umount2(b".", MNT_DETACH)
        self._name_host()
        self.step = "set sysctls"
        set_sysctls(spec)
        self.step = "enter the working directory"
        departure.enter_directory(spec.cwd)
        image = init.open_image() if spec.init or isinstance(spec.pid, int) else -1
        self.step = "drop privileges"
        supervision = self._fds[-1] if self._machine.single else -1
        departure.become(spec, who, streams, self._program, self._machine, held_by(spec), self._shape.bounding, supervision, upper_fd)
        self.step = "execute"
        environment = departure.environment_of(spec, who)
        if isinstance(spec.pid, int):
            departure.execute_in_joined_pids(spec, environment, image)
        if spec.init:
            departure.execute_below_init(spec, environment, image)
        departure.execute(spec, environment)

    def open_sources(self) -> tuple[int, int, dict[int, int]]:
        """(root, upper directory or -1, operation's id -> its detached mount), opened as the caller of the sandbox sees its files."""
        spec, caller = self._spec, self._fds[3]
        self.step = "enter the caller's mount namespace"
        setns(caller, CLONE_NEWNS)
        self.step = "mount the root"
        root = spec.rootfs
        upper_fd = -1
        if isinstance(root, Overlay) and root.upper:
            upper_fd = os.open(root.upper, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        elif isinstance(root, Directory) and not root.readonly:
            upper_fd = os.open(root.path, os.O_PATH | os.O_DIRECTORY)
        root_fd = open_root(root, self._machine.rootless)
        self.step = "open the sources of mounts"
        sources = {id(operation): open_source(operation, self._machine.rootless) for operation in spec.mounts}
        setns(self._home, CLONE_NEWNS)
        return root_fd, upper_fd, sources

    def _nodes_open(self) -> int:
        """What /dev and the root shall not have: privileged root may open the nodes that it makes."""
        spec = self._spec
        return MOUNT_ATTR_NODEV if spec.privileged and not self._machine.rootless and not isinstance(spec.user_namespace, int) else 0

    def _mount_system(self, targets: Targets) -> int:
        """Bring /proc, /sys and /dev into the root; returns an fd of /dev."""
        dev_fd = -1
        for name in ("proc", "sys", "dev"):
            self.step = f"mount /{name}"
            at = targets.plain_directory(name)
            tree = os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=self._stage)
            put(tree, at, without=self._nodes_open() if name == "dev" else 0)
            os.close(at)
            if name == "dev":
                dev_fd = tree
            else:
                os.close(tree)
        spec = self._spec
        for device in (*(one for one in spec.devices if one.target.startswith("/dev/")), *(devices.host_nodes() if spec.privileged else ())):
            self.step = "add a device"
            devices.add(device, dev_fd)
        if spec.shm_size != _SHM_DEFAULT:
            os.fchdir(dev_fd)
            if spec.shm_size:
                mount(None, b"shm", None, MS_REMOUNT | 0xE, b"size=%d" % spec.shm_size)
            else:
                umount2(b"shm", MNT_DETACH)
                os.rmdir("shm")
        return dev_fd

    def _settle(self, targets: Targets) -> None:
        """The root is complete: say what is only there for us, and write-protect it if so wanted."""
        self.step = "finish the root"
        spec = self._spec
        if not spec.readonly_root:
            try:
                os.close(make_directories(targets.root_fd, spec.cwd))
            except OSError as error:
                raise SandboxError("make the working directory", error.errno or 0, spec.cwd) from error
        self.tell_stubs()
        if spec.readonly_root:
            protect(targets.root_fd, MOUNT_ATTR_RDONLY)

    def tell_stubs(self) -> None:
        """What the parent is to remove when this unit is gone; once, also when it fails on the way."""
        targets, self._targets = self._targets, None
        stubs = targets.settle() if targets else None
        if stubs:
            wire.send(self._control, ("stubs", plain(stubs)))

    def _name_host(self) -> None:
        self.step = "set the host name"
        if self._spec.uts != "host":
            sethostname(self._spec.hostname.encode() or b"localhost")
            if self._spec.domainname:
                setdomainname(self._spec.domainname.encode())
