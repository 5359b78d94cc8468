"""Control groups of sandboxes: made below one directory of ours, joined, read, frozen and removed; version 2, or version 1 as far as it is there.
A name with slashes says itself below which directory its group is to be, from where ours would be.

Directories are held by fd, so that they work in the zygote's mount namespace too. What the machine does not offer is said, never fatal: a
build must not fail because a CI runner has no cgroups.
"""

import errno
import os

from kernel.value import Value
from sandbox import systemd, userns
from sandbox.controllers import File, files_v1, files_v2, number_of
from sandbox.errors import SandboxError
from sandbox.spec import Device, Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

V1 = ("blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids")
NAMED = "name=systemd"                                    # a hierarchy of version 1 without controller, in which other runtimes make groups too
V2 = ("cpu", "cpuset", "io", "memory", "pids")
_USUAL = "/sys/fs/cgroup"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# what may be opened inside: the nodes of our own /dev, terminals; making nodes is harmless
_DEVICE_RULES = ("c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm")


class Usage(Value):
    """Bytes, nanoseconds, counts; -1 where it is not known."""

    memory: int
    cpu_ns: int
    pids: int
    read_bytes: int
    write_bytes: int


class Group:
    """One cgroup (in version 1: one directory in each hierarchy). Its processes are not its own to kill unless asked."""

    __slots__ = ("_directories", "_parents", "absent", "missing", "name", "version")

    def __init__(self, name: str, version: int, parents: dict[str, int], directories: dict[str, int], missing: tuple[str, ...]) -> None:
        self.name = name
        self.version = version
        self.missing = missing                            # controllers that were wanted and are not there
        self.absent: set[str] = set()                     # files that this kernel does not have, and may lack
        self._parents = parents
        self._directories = directories

    @property
    def fd(self) -> int:
        """For clone3's CLONE_INTO_CGROUP; -1 in version 1."""
        return self._directories.get("", -1)

    @property
    def places(self) -> "tuple[str, ...]":
        """The hierarchies it is in; ("",) in version 2."""
        return tuple(self._directories)

    def enter(self, pid: int) -> None:
        """Move a process in (version 1; in version 2 it is born there)."""
        for fd in self._directories.values():
            _write(fd, "cgroup.procs", str(pid))

    def update(self, limits: Limits) -> None:
        """Set or change limits; those that are not given stay."""
        later = []
        for file in (files_v2 if self.version == 2 else files_v1)(limits, number_of):
            try:
                self._set(file)
            except SandboxError:
                later.append(file)                        # version 1 wants memory below memory and swap at every moment: swap may have to rise first
        for file in later:
            self._set(file)

    def _set(self, file: File) -> None:
        fd = self._directories.get("" if self.version == 2 else file.controller)
        if fd is None or (self.version == 2 and file.controller in self.missing):
            return
        try:
            _write(fd, file.name.removeprefix("?"), file.value)
        except FileNotFoundError:
            if not file.name.startswith("?"):
                raise SandboxError("set the limit", path=file.name, reason="this kernel does not have it") from None
            self.absent.add(file.name[1:])
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP and file.name.startswith("?"):
                self.absent.add(file.name[1:])            # a weight, and another scheduler than BFQ has the device
                return
            raise SandboxError("set the limit", error.errno or 0, f"{file.name.removeprefix('?')}={file.value}") from error

    def allow_only(self, devices: tuple[Device, ...], rules: tuple[str, ...] = ()) -> bool:
        """Permit nothing but the usual device nodes, `devices`, and what `rules` say; False if it cannot be done here."""
        permitted = (*_DEVICE_RULES, *(_rule(device) for device in devices), *rules)
        if self.version == 2:
            return _filter_devices(self.fd, permitted)
        fd = self._directories.get("devices")
        if fd is None:
            return False
        _write(fd, "devices.deny", "a")
        for rule in permitted:
            _write(fd, "devices.allow", rule)
        return True

    def freeze(self, frozen: bool) -> None:
        """Stop or continue all its processes."""
        if self.version == 2:
            _write(self._directories[""], "cgroup.freeze", str(int(frozen)))
        elif "freezer" in self._directories:
            _write(self._directories["freezer"], "freezer.state", "FROZEN" if frozen else "THAWED")

    def processes(self) -> tuple[int, ...]:
        """Pids in it, as the caller's pid namespace numbers them."""
        return tuple(sorted({int(pid) for fd in self._directories.values() for pid in _read(fd, "cgroup.procs").split()}))

    def kill(self) -> None:
        """SIGKILL to all of them, also those that fork meanwhile."""
        if self.version == 2:
            try:
                _write(self._directories[""], "cgroup.kill", "1")
                return
            except FileNotFoundError:
                pass                                      # before Linux 5.14
        self.freeze(True)
        for pid in self.processes():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self.freeze(False)

    def oom_kills(self) -> int:
        """How often the kernel killed a process of it for want of memory."""
        fd, name = (self._directories.get(""), "memory.events") if self.version == 2 else (self._directories.get("memory"), "memory.oom_control")
        return max(0, _field(_read(fd, name), "oom_kill")) if fd is not None else 0

    def usage(self) -> Usage:
        if self.version == 2:
            fd = self._directories[""]
            io = [dict(pair.split("=") for pair in line.split()[1:] if "=" in pair) for line in _read(fd, "io.stat").splitlines()]
            return Usage(_number(_read(fd, "memory.current")), _field(_read(fd, "cpu.stat"), "usage_usec") * 1000, _number(_read(fd, "pids.current")),
                         sum(int(one.get("rbytes", 0)) for one in io), sum(int(one.get("wbytes", 0)) for one in io))
        def read(controller: str, name: str) -> str:
            return _read(self._directories[controller], name) if controller in self._directories else ""
        io_lines = [line.split() for line in read("blkio", "blkio.throttle.io_service_bytes").splitlines()]
        done = {kind: sum(int(line[2]) for line in io_lines if len(line) == 3 and line[1] == kind) for kind in ("Read", "Write")}
        return Usage(_number(read("memory", "memory.usage_in_bytes")), _number(read("cpuacct", "cpuacct.usage")),
                     _number(read("pids", "pids.current")), done["Read"], done["Write"])

    def close(self) -> None:
        """Let go of it; it stays."""
        for fd in self._directories.values():
            os.close(fd)
        self._directories = {}

    def remove(self) -> None:
        """Once no process is left; what is still busy is swept by a later `Cgroups.sweep`."""
        for controller in self._directories:
            try:
                os.rmdir(self.name.rpartition("/")[2], dir_fd=self._parents[controller])
            except OSError:
                pass
        self.close()


class Cgroups:
    """What the machine offers: `version` 2, 1, or 0 for none, with the reason. `tops`: fds of where our directory `name` is to be, in version 1
    in each hierarchy; it is made when it is first needed. ask: gets a place where there is none yet, for the calling process (`prepare`)."""

    __slots__ = ("_ask", "_parents", "_tops", "controllers", "name", "reason", "version")

    def __init__(self, version: int, name: str, tops: dict[str, int], controllers: frozenset[str], reason: str = "",
                 ask: "Callable[[], Cgroups] | None" = None) -> None:
        self._ask = ask
        self.version = version
        self.name = name
        self._tops = tops
        self._parents: dict[str, dict[str, int]] = {}     # directory -> hierarchy -> its fd
        self.controllers = controllers
        self.reason = reason

    def fds(self) -> list[int]:
        """What must stay open for it to work."""
        return [*self._tops.values(), *(fd for parents in self._parents.values() for fd in parents.values())]

    def prepare(self) -> None:
        """Get a place for groups if one has to be asked for; processes that are forked later are in it. Done once; a refusal becomes the reason."""
        ask, self._ask = self._ask, None
        if ask:
            try:
                found = ask()
            except SandboxError as error:
                self.reason = str(error)
                return
            self.version, self._tops, self.controllers, self.reason = found.version, found._tops, found.controllers, found.reason

    def create(self, name: str, limits: Limits, also: "Iterable[str]" = ()) -> "Group | None":
        """A new group with `limits`; in version 1 in the hierarchies that these need and those of `also`. None where there are no cgroups."""
        self.prepare()
        if not self.version:
            return None
        files = (files_v2 if self.version == 2 else files_v1)(limits, number_of)
        wanted = {file.controller for file in files}
        places = {""} if self.version == 2 else (wanted | set(also)) & self._tops.keys()
        directories: dict[str, int] = {}
        above, leaf = self._divided(name)
        group = Group(name, self.version, self._parents.setdefault(above, {}), directories, ())
        offered = self.controllers
        try:
            for place in sorted(places):
                parent = self._parent(place, above)
                _make(leaf, parent, afresh=above != self.name)
                directories[place] = os.open(leaf, _DIRECTORY, dir_fd=parent)
                if place == "cpuset":
                    _inherit_cpuset(parent, directories[place])
                if self.version == 2:
                    offered &= frozenset(_read(parent, "cgroup.subtree_control").split())
            group.missing = tuple(sorted(wanted - offered))
            group.update(limits)
        except OSError as error:
            group.remove()
            raise SandboxError("make the cgroup", error.errno or 0, name) from error
        except SandboxError:
            group.remove()
            raise
        return group

    def _divided(self, name: str) -> tuple[str, str]:
        """(the directory that a group is in, its own name there)."""
        above, slash, leaf = name.rpartition("/")
        return (above, leaf) if slash else (self.name, name)

    def _parent(self, place: str, above: str) -> int:
        """fd of the directory for groups; each part of its path is made, and followed through no link."""
        parents = self._parents.setdefault(above, {})
        if place in parents:
            return parents[place]
        at = os.open(".", _DIRECTORY, dir_fd=self._tops[place])
        for part in above.split("/"):
            try:
                os.mkdir(part, 0o755, dir_fd=at)
            except FileExistsError:
                pass
            fd = os.open(part, _DIRECTORY, dir_fd=at)
            if place == "cpuset":
                _inherit_cpuset(at, fd)
            if self.version == 2:
                _delegate(at)
            os.close(at)
            at = fd
        if self.version == 2:
            _delegate(at)
            if above == self.name:
                self.controllers &= frozenset(_read(at, "cgroup.subtree_control").split())
        parents[place] = at
        return at

    def open(self, name: str) -> "Group | None":
        """The group of that name that somebody has made; None if there is none."""
        directories = {}
        for place, top in self._tops.items():
            try:
                directories[place] = os.open("/".join(self._divided(name)), _DIRECTORY, dir_fd=top)
            except FileNotFoundError:
                pass
        return Group(name, self.version, self._parents.setdefault(self._divided(name)[0], {}), directories, ()) if directories else None

    def path_of(self, group: Group) -> str:
        """Its path from the top of the hierarchies."""
        if self.version == 1:
            return "/" + "/".join(self._divided(group.name))
        return os.readlink(f"/proc/self/fd/{group.fd}").removeprefix("/sys/fs/cgroup")

    def adopt(self, name: str) -> "Group | None":
        """As `open`, for one who is to remove it in the end."""
        group = self.open(name)
        for place in group.places if group else ():
            self._parent(place, self._divided(name)[0])
        return group

    def sweep(self) -> None:
        """Remove groups without processes, and our directory if nothing is left in it. Not while somebody may be making one."""
        for top in self._tops.values():
            try:
                fd = os.open(self.name, _DIRECTORY, dir_fd=top)
            except FileNotFoundError:
                continue
            for name, at in (*((name, fd) for name in os.listdir(fd)), (self.name, top)):
                try:
                    os.rmdir(name, dir_fd=at)
                except OSError:
                    pass                                  # a file, or a group in use
            os.close(fd)


def _make(name: str, parent: int, *, afresh: bool) -> None:
    """afresh: nobody sweeps that directory, so an empty group of this name may be there since its sandbox was killed."""
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        if not afresh:
            raise
        os.rmdir(name, dir_fd=parent)
        os.mkdir(name, 0o755, dir_fd=parent)


def of_process(pid: int) -> Group | None:
    """The version 2 group that a process is in; None if there is none, or it is the topmost."""
    target = next((target for target, kind, _ in _mounts() if kind == "cgroup2"), "")
    path = next((line[3:] for line in _text(f"/proc/{pid}/cgroup").splitlines() if line.startswith("0::")), "").strip("/")
    if not target or not path:
        return None
    try:
        return Group(path.rpartition("/")[2], 2, {}, {"": os.open(f"{target}/{path}", _DIRECTORY)}, ())
    except FileNotFoundError:
        return None


def hierarchies() -> tuple[str, ...]:
    """Mount options of the hierarchies below /sys/fs/cgroup that a sandbox is to see: ("",) for version 2, controllers for each of version 1."""
    found = []
    for target, kind, options in _mounts():
        if (target, kind) == ("/sys/fs/cgroup", "cgroup2"):
            return ("",)
        own = [controller for controller in options.split(",") if controller in V1]
        if kind == "cgroup" and own and target == f"/sys/fs/cgroup/{','.join(own)}":
            found.append(",".join(own))
    return tuple(found)


def _mounts() -> list[tuple[str, str, str]]:
    with open("/proc/self/mountinfo") as file:
        return mounts(file.read())


def mounts(mountinfo: str) -> list[tuple[str, str, str]]:
    """(target, type, options of the file system) of every hierarchy, once each: at its usual place rather than where somebody bound it too."""
    found: dict[tuple[str, str], str] = {}
    for line in mountinfo.splitlines():
        mount, system = line.split(" - ", 1)
        kind, _, options = system.split(" ", 2)
        target = mount.split(" ", 5)[4]
        if kind in ("cgroup", "cgroup2") and (target.startswith(_USUAL) or (kind, options) not in found):
            found[kind, options] = target
    return [(target, kind, options) for (kind, options), target in found.items()]


def name_of(run_directory: str) -> str:
    """Name of our directory in the hierarchies: one for each run directory."""
    return f"pybuild-{hash(tuple(os.fsencode(run_directory))) & 0xFFFFFF:06x}"      # ints hash alike in every process


def look(name: str) -> Cgroups:
    """What can be had here for a directory of ours called `name`, as far as can be said without making it."""
    found = _mounts()
    with open("/proc/self/cgroup") as file:
        own = file.read()
    unified = next((target for target, kind, _ in found if kind == "cgroup2"), "")
    if unified and (base := _unified_base(unified, own)):
        try:
            return _look_v2(base, name)
        except OSError as error:
            reason = f"`{base}` cannot be used: {(error.strerror or '').lower()}"
    elif unified and (uid := userns.outer_uid()) and (bus := systemd.bus_of(uid)):
        return Cgroups(0, name, {}, frozenset(), "systemd has not been asked for one", lambda: _ask_systemd(unified, name, uid, bus))
    else:
        reason = "no cgroup hierarchy with controllers is ours to use"
    legacy = {controller: target for target, kind, options in found if kind == "cgroup" for controller in (*V1, NAMED)
              if controller in options.split(",")}
    return _look_v1(legacy, name, reason)


def _unified_base(target: str, own: str) -> str:
    """Where in the version 2 tree we may work: its root for root, else the highest delegated directory above us; "" if nowhere."""
    controllers = _text(f"{target}/cgroup.controllers").split()
    if not set(controllers) & set(V2):
        return ""
    if os.access(f"{target}/cgroup.procs", os.W_OK):
        return target
    path = next((line[3:] for line in own.splitlines() if line.startswith("0::")), "")
    parts = [part for part in path.split("/") if part]
    above = [f"{target}/{'/'.join(parts[:count])}" for count in range(1, len(parts) + 1)]
    return next((one for one in above if os.access(one, os.W_OK) and os.access(f"{one}/cgroup.procs", os.W_OK)), "")


def _look_v2(base: str, name: str) -> Cgroups:
    controllers = frozenset(_text(f"{base}/cgroup.controllers").split()) & frozenset(V2)
    return Cgroups(2, name, {"": os.open(base, _DIRECTORY)}, controllers, "" if controllers else f"no controllers are delegated to `{base}`")


def _ask_systemd(target: str, name: str, uid: int, bus: str) -> Cgroups:
    """A delegated scope; we ourselves go to a leaf of it, for only leaves may have processes."""
    systemd.enter_scope(uid, f"{name}-{os.getpid()}.scope", bus)
    with open("/proc/self/cgroup") as file:
        base = target + next(line[3:].rstrip("\n") for line in file if line.startswith("0::"))
    try:
        os.mkdir(f"{base}/self")
        fd = os.open(f"{base}/self", _DIRECTORY)
        _write(fd, "cgroup.procs", str(os.getpid()))
        os.close(fd)
        return _look_v2(base, name)
    except OSError as error:
        raise SandboxError("use the cgroup that systemd made", error.errno or 0, base) from error


def _look_v1(targets: dict[str, str], name: str, reason: str) -> Cgroups:
    tops = {}
    for controller, target in targets.items():
        if os.access(target, os.W_OK):
            tops[controller] = os.open(target, _DIRECTORY)
        elif controller != NAMED:
            reason = f"`{target}` is not ours to write: version 1 is for root alone"
    controllers = frozenset(tops) - {NAMED}
    return Cgroups(1, name, tops, controllers) if controllers else Cgroups(0, name, {}, frozenset(), reason)


def _delegate(fd: int) -> None:
    """Hand the controllers on to the groups below; those that are not ours, or that processes are in the way of, stay missing there."""
    for controller in V2:
        try:
            _write(fd, "cgroup.subtree_control", f"+{controller}")
        except OSError:
            pass


def _inherit_cpuset(parent_fd: int, fd: int) -> None:
    """A new cpuset of version 1 is empty, and no process can enter an empty one."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not _read(fd, name).strip():
            _write(fd, name, _read(parent_fd, name).strip())


def _filter_devices(fd: int, rules: tuple[str, ...]) -> bool:
    """In version 2 a program decides; False where none can be loaded."""
    from kernel.bpf import attach_device_program, load_device_program
    from kernel.errors import SyscallFailed
    from sandbox.device_program import compiled

    try:
        program = load_device_program(compiled(rules))
    except SyscallFailed:
        return False
    try:
        attach_device_program(fd, program)
    except SyscallFailed:
        return False
    finally:
        os.close(program)
    return True


def _rule(device: Device) -> str:
    status = os.stat(device.source)
    kind = "b" if status.st_mode & 0o170000 == 0o060000 else "c"
    return f"{kind} {os.major(status.st_rdev)}:{os.minor(status.st_rdev)} {device.permissions}"


def _write(directory_fd: int, name: str, value: str) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW, dir_fd=directory_fd)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _read(directory_fd: int, name: str) -> str:
    """Its text, "" if this kernel does not have it."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory_fd)
    except FileNotFoundError:
        return ""
    with open(fd, "rb") as file:
        return file.read().decode()


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else -1


def _field(text: str, key: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{key} ")), -1)
