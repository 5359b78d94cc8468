"""A ContainerSpec as somebody wrote it -> as it is recorded: every mount named, every name decided, what contradicts itself refused."""

import os
import posixpath

from runner import idrange
from runner.container import ContainerSpec, Mount, is_on_networks
from runner.errors import InvalidOption
from runner.limits import checked
from runner.naming import new_id, new_name
from runner.volume import is_name
from sandbox import runtimes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.engine import Engine
    from store.digest import Digest
    from store.images import Runtime

KINDS = ("bind", "volume", "tmpfs", "image")
_TRIES = 50


def complete(engine: "Engine", spec: ContainerSpec, runtime: "Runtime") -> "tuple[str, str, ContainerSpec]":
    """(ID, name, the spec with all its mounts). Raises InvalidOption, InvalidName, Missing, InvalidSpec."""
    id = new_id()
    name = engine.checked_name(spec.name) if spec.name else _free_name(engine)
    if spec.auto_remove and spec.restart.name != "no":
        raise InvalidOption("restart policy", spec.restart.name, "makes no sense for a container that is removed when it ends")
    checked(spec.limits, spec.nano_cpus)
    idrange.check(spec, rootless=engine.store.root.userxattr)
    if spec.runtime:
        runtimes.find(spec.runtime, os.environ.get("PATH", os.defpath))
    mounts = tuple(_mount(mount) for mount in spec.mounts)
    own = {mount.target for mount in mounts}
    if len(own) < len(mounts):
        target = next(mount.target for mount in mounts if sum(mount.target == other.target for other in mounts) > 1)
        raise InvalidOption("mount target", target, "is given twice")
    taken = _taken(engine, spec.volumes_from, own)
    own |= {mount.target for mount in taken}
    image = tuple(_mount(Mount("volume", target)) for target in runtime.volumes if posixpath.normpath(target) not in own)
    network_mode = _by_id(engine, spec.network_mode)
    if network_mode.startswith("container:") and (spec.ports or spec.endpoints or spec.hostname):
        raise InvalidOption("network", spec.network_mode, "is another container's: ports, networks and host name are that container's to say")
    for endpoint in spec.endpoints if is_on_networks(spec) else ():
        if engine.network is None or not engine.network.is_network(endpoint.network):
            raise InvalidOption("network", endpoint.network, "there is none of that name", "`pyup network ls` lists those there are")
        for _, other in endpoint.links:
            engine.find(other)
    return id, name, spec._replace(name=name, mounts=(*mounts, *taken, *image), network_mode=network_mode, volumes_from=(),
                                   pid_mode=_by_id(engine, spec.pid_mode), ipc_mode=_by_id(engine, spec.ipc_mode))


def _by_id(engine: "Engine", mode: str) -> str:
    """A mode with the other container's name, if it has one, replaced by its ID: names change."""
    return f"container:{engine.find(mode[10:]).id}" if mode.startswith("container:") else mode


def _free_name(engine: "Engine") -> str:
    for _ in range(_TRIES):
        name = new_name()
        if engine.records.named(name) is None:
            return name
    return f"{new_name()}_{new_id()[:6]}"


def _mount(mount: Mount) -> Mount:
    if mount.kind not in KINDS:
        raise InvalidOption("mount type", mount.kind, "is unknown", f"types are {', '.join(KINDS)}")
    for path in (mount.target, mount.source, mount.subpath):
        if "\0" in path:
            raise InvalidOption("mount", path.replace("\0", "\\0"), "contains a NUL byte")
    if not mount.target.startswith("/"):
        raise InvalidOption("mount target", mount.target, "is not an absolute path")
    target = posixpath.normpath(mount.target).replace("//", "/")
    if target == "/":
        raise InvalidOption("mount target", mount.target, "is the root of the container")
    mount = mount._replace(target=target)
    if mount.kind == "bind":
        return _bind(mount)
    if mount.kind == "volume":
        if not mount.source:
            return mount._replace(source=new_id(), anonymous=True)
        if not is_name(mount.source):
            raise InvalidOption("volume name", mount.source, "has other characters than letters, digits, `_`, `.` and `-`, or only one",
                                "a path of this machine has to be absolute")
    return mount


def _bind(mount: Mount) -> Mount:
    if not mount.source.startswith("/"):
        raise InvalidOption("bind source", mount.source, "is not an absolute path")
    if not mount.create and not os.path.lexists(mount.source):
        raise InvalidOption("bind source", mount.source, "does not exist")
    return mount


def _taken(engine: "Engine", words: "tuple[str, ...]", own: "set[str]") -> "tuple[Mount, ...]":
    """The mounts of other containers, but for those on targets of our own."""
    found: dict[str, Mount] = {}
    for word in words:
        name, _, mode = word.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise InvalidOption("volumes-from mode", mode, "is neither `ro` nor `rw`")
        for mount in engine.find(name).spec.mounts:
            if mount.target not in own and mount.kind in ("volume", "bind", "image"):
                found[mount.target] = mount._replace(readonly=mount.readonly or mode == "ro", nocopy=True)
    return tuple(found.values())


def used_images(engine: "Engine", spec: ContainerSpec) -> "tuple[Digest, ...]":
    """IDs of the images that are mounted in it. Raises ReferenceMissing."""
    return tuple(engine.store.images.require(mount.source).id for mount in spec.mounts if mount.kind == "image")
