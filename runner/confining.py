"""A container where no namespace can be made (or that wants none): what it cannot have is refused, the rest is made out of what there is.

It shares the machine's network: names of containers lead to this machine, and a port is the process's own; one that is to be published by another
number is forwarded by the shim. A volume is moved into the container's files while it runs, so that only one can have it; what is bound
read-only is copied. Nothing here changes anything but `free_volumes`.
"""

import os
import stat

from runner.endpoint import PortMapping
from runner.errors import Conflict, InvalidOption
from runner.network import is_host_name
from sandbox.capabilities import DEFAULT
from sandbox.spec import NO_LIMITS, Bind, Overlay, Tmpfs, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.container import Container, ContainerSpec, Mount
    from runner.engine import Engine
    from sandbox.spec import MountOp, SandboxSpec

    Texts = tuple[str, ...]

NOTICE = "containers are isolated by chroot, Landlock and seccomp: they share this machine's network, process numbers and host name"
_LIMITS = "limits are not enforced: they take control groups, and there are none without namespaces"
_READ_ONLY = "a root that is read-only cannot be had without namespaces: what the container writes stays in its own files"
_WHY = "cannot be had by a container that is isolated by chroot"
_COPY = "a bind that is read-only (`:ro`) is copied; a volume can be written to"
_UNFIT = ("/", "/dev", "/proc", "/sys")


def check(container: "Container") -> None:
    """Raises InvalidOption for what such a container cannot have, and what would make it less safe than was asked for."""
    spec = container.spec
    for name, value, help in (
            ("network", "none" if spec.network_mode == "none" else "", "it would have this machine's network"),
            ("runtime", spec.runtime, ""), ("user namespace", spec.userns_mode if container.ids else "", ""),
            ("option", "--privileged" if spec.privileged else "", ""),
            ("device", spec.devices[0].source if spec.devices else "", ""), ("sysctl", spec.sysctls[0][0] if spec.sysctls else "", ""),
            ("security option", next((one for one in spec.security_opt if not one.startswith("no-new-privileges")), ""), ""),
            ("seccomp profile", "of its own" if spec.seccomp != "default" else "", "")):
        if value:
            raise InvalidOption(name, value, _WHY, help)
    from sandbox.capabilities import names, select

    more = names(select(spec.cap_add, spec.cap_drop) & ~DEFAULT)
    if more:
        raise InvalidOption("capability", more[0], _WHY)
    for mount in spec.mounts:
        if mount.kind == "bind":
            _check_bind(mount)
        elif mount.subpath:
            raise InvalidOption("subpath", mount.subpath, _WHY)


def _check_bind(mount: "Mount") -> None:
    path = os.path.realpath(mount.source)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = stat.S_IFDIR                               # which is going to be made
    if not (mount.readonly or stat.S_ISSOCK(mode)):
        raise InvalidOption("bind", f"{mount.source}:{mount.target}", _WHY, _COPY)
    if path in _UNFIT or path.startswith(tuple(f"{one}/" for one in _UNFIT[1:])):
        raise InvalidOption("bind", mount.source, "is no directory that could be copied")
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        raise InvalidOption("bind", mount.source, "is no file or directory that could be copied")


def free_volumes(engine: "Engine", container: "Container") -> None:
    """See that its volumes are where they belong. Raises Conflict if another container has one; one that was killed gives it back."""
    from sandbox.standin import lock_of

    for mount in container.spec.mounts:
        if mount.kind == "volume" and os.path.exists(lock_of(engine.volumes.path(mount.source))):
            for id in engine.records.users(mount.source):
                other = engine.records.container(id)
                if other is not None and id != container.id and engine.state(other).pid:
                    raise Conflict("volume", mount.source, f"is in container `{other.name}`", "without namespaces only one can have it at a time")


def confined(engine: "Engine", container: "Container", sandbox: "SandboxSpec") -> "SandboxSpec":
    """`sandbox`, as it can be had."""
    place = engine.place(container.id)
    mounts = tuple(made for one in sandbox.mounts if (made := _mount(engine, place.path, one)) is not None)
    return sandbox._replace(
        mounts=mounts, network="host", pid="host", ipc="host", uts="host", cgroup_namespace="host", hostname="", domainname="", cgroup="",
        limits=NO_LIMITS, readonly_root=False, init=False, tree=place.tree)


def _mount(engine: "Engine", own: str, operation: "MountOp") -> "MountOp | None":
    match operation:
        case WriteFile() | Tmpfs() | Overlay():
            return operation
        case Bind(source=str() as source):
            path = os.path.realpath(source)
            if not os.path.isdir(path) or path.startswith(f"{os.path.realpath(engine.volumes.directory)}/"):
                return operation
            store = os.path.realpath(engine.store.root.path)
            if f"{store}/".startswith(f"{path}/"):
                raise InvalidOption("bind", source, "has all images and containers in it, and would have to be copied")
            return None if path == "/dev/shm" else Overlay((path,), target=operation.target, readonly=True)
    return None                                           # what is shared with another one, is


def warnings(spec: "ContainerSpec", why: str) -> "Texts":
    """What the user is told; why: it was not asked for."""
    because = f" ({why}; see `pybuild doctor`)" if why else ""
    said = [NOTICE + because]
    if spec.limits != NO_LIMITS:
        said.append(_LIMITS)
    if spec.read_only:
        said.append(_READ_ONLY)
    return tuple(said)


def ports(asked: "tuple[PortMapping, ...]") -> "tuple[PortMapping, ...]":
    """As they are: one without a number of the machine's has its own."""
    return tuple(one._replace(host_port=one.host_port or one.container_port, host_port_last=0) for one in asked)


def hosts(engine: "Engine", container: "Container", hostname: str, usual: str) -> str:
    """Text of /etc/hosts: whoever is on a network of this container is at this machine."""
    networks = {one.network for one in container.spec.endpoints}
    found: dict[str, None] = {hostname: None}
    for other in engine.records.containers():
        for endpoint in other.spec.endpoints:
            if endpoint.network in networks:
                found |= dict.fromkeys((other.name, other.short_id, *([other.spec.hostname] if other.spec.hostname else ()), *endpoint.aliases))
    for endpoint in container.spec.endpoints:
        found |= dict.fromkeys(alias for alias, _ in endpoint.links)
    names = [name for name in found if is_host_name(name)]
    more = "".join(f"{'127.0.0.1' if address == 'host-gateway' else address}\t{name}\n" for name, address in container.spec.extra_hosts)
    ends = "" if usual.endswith("\n") or not usual else "\n"
    return f"{usual}{ends}{more}" + "".join(f"127.0.0.1\t{name}\n" for name in names)
