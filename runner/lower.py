"""A Container and what was found for it -> SandboxSpec; a command to be run inside it -> ExecSpec. Pure."""

import os

from kernel.value import Value
from runner.container import Container, File, Mount, Process, merge_env, process_of
from runner.errors import InvalidOption
from runner.upkeep import Healthcheck
from sandbox import capabilities, labels
from sandbox.spec import MIB, Bind, ExecSpec, Joined, Overlay, SandboxSpec, Tmpfs, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeAlias

    from sandbox.spec import Device, MountOp

    Texts: TypeAlias = tuple[str, ...]

PROPAGATIONS = {
    "": "private", "private": "private", "rprivate": "private", "slave": "slave", "rslave": "slave", "shared": "shared", "rshared": "shared"}
_SHM = 64 * MIB
_TMPFS_NUMBERS = {"size": "size_bytes", "nr_inodes": "inodes", "mode": "mode", "uid": "uid", "gid": "gid"}
# files of the network that a container gets, unless something is mounted on them: name in its directory -> target
NETWORK_FILES = (("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname"))


class Found(Value):
    """What a start has found out. lower: directories, topmost first; upper, work: the writable layer. directory: where the network's files are.

    sources: target of a volume -> its directory; images: target of an image mount -> lower directories; contents: target of a File -> bytes.
    network, pid, ipc, uts: as SandboxSpec has them. shm: fd of the mount namespace whose /dev/shm is shared. hostname: as decided.
    program: path of the OCI runtime that starts it, "" for ourselves. user_namespace: as SandboxSpec has it. nodes: targets of mounts that are
    device nodes and may be opened. inner: target of a directory -> nodes below it that may be opened, too. devices: those of the container, with
    what their directories have. sysctls: of its interfaces.
    """

    lower: "Texts"
    upper: str
    work: str
    directory: str
    hostname: str
    network: "str | int"
    volatile: bool = False
    pid: "str | int" = "private"
    ipc: "str | int" = "private"
    uts: "str | int" = "private"
    shm: int = -1
    sources: "Mapping[str, str]" = {}
    images: "Mapping[str, Texts]" = {}
    contents: "Mapping[str, bytes]" = {}
    program: str = ""
    user_namespace: "str | int" = "host"
    nodes: "frozenset[str]" = frozenset()
    inner: "Mapping[str, Texts]" = {}
    devices: "tuple[Device, ...] | None" = None
    sysctls: "tuple[tuple[str, str], ...]" = ()


def lower(container: Container, found: Found) -> SandboxSpec:
    """Raises InvalidOption, SandboxError (InvalidSpec)."""
    spec, process = container.spec, process_of(container.spec, container.runtime)
    apparmor, selinux = labels.of_options(spec.security_opt)
    return SandboxSpec(
        Overlay(found.lower, found.upper, found.work, volatile=found.volatile), process.argv, _mounts(container, found),
        env=environment(process, found.hostname, terminal=spec.tty), cwd=process.working_dir, user=process.user, groups=spec.group_add,
        hostname=found.hostname if found.uts != "host" else "", domainname=spec.domainname,
        network=found.network, pid=found.pid, ipc=found.ipc, uts=found.uts,
        cgroup_namespace="host" if spec.cgroupns_mode == "host" else "private",
        capabilities=capabilities.select(spec.cap_add, spec.cap_drop), seccomp=spec.seccomp, no_new_privileges=spec.no_new_privileges,
        readonly_root=spec.read_only, rlimits=spec.ulimits, limits=spec.limits, cgroup=group_of(container), sysctls=_sysctls(container, found),
        terminal=(spec.console_size if spec.console_size != (0, 0) else (24, 80)) if spec.tty else None, init=spec.init,
        oom_score_adj=spec.oom_score_adj, masked=spec.masked, privileged=spec.privileged,
        devices=_devices(container, found), device_rules=spec.device_cgroup_rules,
        shm_size=0 if spec.ipc_mode == "none" else spec.shm_size or _SHM, runtime=found.program,
        user_namespace=found.user_namespace, outer_root=(container.ids.uid, container.ids.gid) if container.ids else (0, 0),
        apparmor=apparmor, selinux=selinux)


def _devices(container: Container, found: Found) -> "tuple[Device, ...]":
    return container.spec.devices if found.devices is None else found.devices


def group_of(container: Container) -> str:
    """Name of its control group; with slashes where `cgroup_parent` says below what it is to be."""
    parts = [part for part in container.spec.cgroup_parent.split("/") if part and part != "."]
    if ".." in parts or "\0" in container.spec.cgroup_parent:
        raise InvalidOption("control group parent", container.spec.cgroup_parent.replace("\0", "\\0"), "leads out of the control groups")
    return "/".join((*parts, container.short_id))


def _sysctls(container: Container, found: Found) -> "tuple[tuple[str, str], ...]":
    """What it asks for; in a user namespace of its own also what else is done from outside, where these ids are not known. (With the machine's
    process numbers it can have no procfs of its own, by which they are set.)"""
    spec = container.spec
    asked = (*spec.sysctls, *found.sysctls)
    if not container.ids or "host" in (spec.network_mode, spec.pid_mode) or spec.network_mode.startswith("container:"):
        return asked
    return (*((("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", f"0 {container.ids.size - 1}"))), *asked)


def environment(process: Process, hostname: str, *, terminal: bool) -> "tuple[tuple[str, str], ...]":
    """What the image and the user say, with HOSTNAME, and TERM where there is a terminal, unless they say otherwise."""
    usual = (f"HOSTNAME={hostname}", *(("TERM=xterm",) if terminal else ()))
    pairs = (word.partition("=") for word in merge_env(usual, process.env))
    return tuple((name, value) for name, _, value in pairs)


# ---------------------------------------------------------------- mounts
def _mounts(container: Container, found: Found) -> "tuple[MountOp, ...]":
    spec = container.spec
    taken = {mount.target.rstrip("/") for mount in spec.mounts} | {file.target for file in spec.files}
    files: list[MountOp] = [Bind(f"{found.directory}/{name}", target, readonly=spec.read_only, recursive=False)
                            for name, target in NETWORK_FILES if target not in taken]
    if found.ipc == "host" and "/dev/shm" not in taken:
        files.append(Bind("/dev/shm", "/dev/shm"))
    if found.shm >= 0 and "/dev/shm" not in taken:
        files.append(Joined(found.shm, "/dev/shm"))
    mounted: list[MountOp] = []
    for mount in spec.mounts:
        mounted.append(_mount(mount, found, nodev=not spec.privileged and mount.target not in found.nodes))
        mounted += [Bind(f"{mount.source}/{name}", f"{mount.target.rstrip('/')}/{name}", readonly=mount.readonly, nodev=False)
                    for name in found.inner.get(mount.target, ())]
    outside = (Bind(one.source, one.target, readonly=True, recursive=False, nodev=False)      # what it has besides bytes is the machine's to change
               for one in _devices(container, found) if not one.target.startswith("/dev/"))
    return (*files, *mounted, *outside, *(_file(file, found) for file in spec.files))


def _mount(mount: Mount, found: Found, *, nodev: bool) -> "MountOp":
    if mount.kind == "tmpfs":
        return tmpfs(mount)
    if mount.kind == "image":
        return Overlay(found.images[mount.target], target=mount.target, source=f"/{mount.subpath.strip('/')}", readonly=True)
    source = mount.source if mount.kind == "bind" else found.sources[mount.target]
    if mount.propagation not in PROPAGATIONS:
        raise InvalidOption("mount propagation", mount.propagation, "is unknown", f"it is one of {', '.join(list(PROPAGATIONS)[1:])}")
    return Bind(source, mount.target, readonly=mount.readonly, recursive=mount.recursive, propagation=PROPAGATIONS[mount.propagation],
                nodev=nodev, below=mount.subpath.strip("/") if mount.kind == "volume" else "")


def tmpfs(mount: Mount) -> Tmpfs:
    """With docker's defaults (nosuid, nodev, noexec) and what its options say."""
    made = Tmpfs(mount.target, mount.size, mount.mode or 0o1777, readonly=mount.readonly, noexec=True)
    changes: dict[str, Any] = {}
    for word in mount.options:
        name, equals, value = word.partition("=")
        if word in ("ro", "rw"):
            changes["readonly"] = word == "ro"
        elif word in ("exec", "noexec", "suid", "nosuid"):
            changes[f"no{word.removeprefix('no')}"] = word.startswith("no")
        elif name in _TMPFS_NUMBERS and equals:
            changes[_TMPFS_NUMBERS[name]] = _number(mount, name, value)
        elif word not in ("defaults", "dev", "nodev", "relatime", "noatime", "strictatime", "rprivate", "private", "async", "sync", "diratime"):
            raise InvalidOption("tmpfs option", word, f"is none (of the mount at `{mount.target}`)")
    return made._replace(**changes)


def _number(mount: Mount, name: str, value: str) -> int:
    unit = {"k": 10, "m": 20, "g": 30, "t": 40}.get(value[-1:].lower(), 0) if name in ("size", "nr_inodes") else 0
    share = name == "size" and value[-1:] == "%"
    digits = value[:-1] if unit or share else value
    if not digits.isascii() or not digits.isdigit() or (name == "mode" and digits.strip("01234567")) or len(digits) > 18:
        raise InvalidOption("tmpfs option", f"{name}={value}", f"is no number (of the mount at `{mount.target}`)")
    if share:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * int(digits) // 100
    return int(digits, 8 if name == "mode" else 10) << unit


def _file(file: File, found: Found) -> WriteFile:
    return WriteFile(file.target, found.contents[file.target] if file.source else file.content, file.mode, file.uid, file.gid, readonly=True)


# ---------------------------------------------------------------- further processes
def exec_spec(container: Container, argv: "Texts", *, env: "Texts" = (), working_dir: str = "", user: "str | None" = None, privileged: bool = False,
              terminal: "tuple[int, int] | None" = None) -> ExecSpec:
    """A command inside a running container. env: "NAME=value" beside those of the container."""
    spec, process = container.spec, process_of(container.spec, container.runtime)
    process = process._replace(env=merge_env(process.env, env))
    apparmor, selinux = labels.of_options(spec.security_opt)
    return ExecSpec(
        argv, environment(process, spec.hostname or container.short_id, terminal=terminal is not None), working_dir or process.working_dir,
        process.user if user is None else user, groups=spec.group_add, capabilities=capabilities.select(spec.cap_add, spec.cap_drop),
        seccomp=spec.seccomp, no_new_privileges=spec.no_new_privileges, rlimits=spec.ulimits, cgroup=group_of(container), terminal=terminal,
        oom_score_adj=spec.oom_score_adj, privileged=privileged or spec.privileged, apparmor=apparmor, selinux=selinux)


def probe_spec(container: Container, check: Healthcheck) -> ExecSpec:
    """The healthcheck's command."""
    kind, *words = check.test
    return exec_spec(container, ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words if kind == "CMD" else check.test))
