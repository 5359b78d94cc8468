"""A service of a project -> the ContainerSpec that its replicas have in common, and what identifies it. Reads contents of configs and secrets only.

Read `wanted` first; desired_mounts and desired_limits have what belongs to mounts and to limits.
"""

import os

from kernel.value import Value
from runner import desired_limits, desired_mounts, labels
from runner.container import ContainerSpec
from runner.desired_checks import check
from runner.desired_mounts import Contents, Granted
from runner.endpoint import Endpoint, PortMapping
from runner.errors import InvalidService
from runner.load.config import image_name
from runner.load.identity import config_text, resource_hash, text_hash
from runner.network import NetworkSpec, Pool
from sandbox.labels import of_options as security_labels
from sandbox.spec import Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.model import part
    from runner.model.project import Network, Project
    from runner.model.service import Service

    Texts = tuple[str, ...]
    Pairs = tuple[tuple[str, str], ...]

_SECOND = 1_000_000_000


class Wanted(Value):
    """What the files want of one service.

    spec: without the name, the labels and the other containers that a replica gets. image: name of its image, given or to be built.
    shares: (attribute, other service) for namespaces and volumes of another service. config: the service as JSON, for what has changed.
    notes: what of it has another effect here than it says.
    """

    service: "Service"
    replicas: int
    image: str
    spec: ContainerSpec
    hash: str
    config: str
    shares: "Pairs" = ()
    notes: "Texts" = ()

    @property
    def name(self) -> str:
        return self.service.name


def wanted(service: "Service", project: "Project", contents: Contents, replicas: int) -> Wanted:
    """Raises InvalidService for what one machine, or this program, cannot do."""
    _refuse(service)
    check(service)
    granted = Granted(service, contents)
    spec = _spec(service, project, granted)
    text, more = config_text(service), [*granted.contents, *_extension(service)]
    config = "\n".join((text, *(f"{target} {text_hash('', [(target, content)])[:12]}" for target, content in more)))
    return Wanted(service, replicas, spec.image, spec, text_hash(text, more), config, _shares(service),
                  (*desired_limits.notes(service), *_option_notes(service, project)))


def _extension(service: "Service") -> "list[tuple[str, bytes]]":
    """Our own extension changes containers too; it is not in what compose makes the hash of."""
    found = desired_limits.own_extension(service)
    return [("x-pyup", repr(sorted(found.items())).encode())] if found else []


def container_name(project: str, service: "Service", number: int, separator: str = "-") -> str:
    return service.container_name or separator.join((project, service.name, str(number)))


def network_spec(network: "Network", project: "Project") -> NetworkSpec:
    """A network that the project makes."""
    pools = tuple(Pool(one.subnet, one.gateway, one.ip_range, one.aux_addresses) for one in network.ipam.config)
    own = labels.merged(network.labels, {labels.PROJECT: project.name, labels.NETWORK: network.key, labels.HASH: resource_hash(network),
                                          labels.VERSION: labels.RELEASE})
    return NetworkSpec(network.name, network.driver or "bridge", pools, network.internal, network.attachable, network.enable_ipv4 is not False,
                       bool(network.enable_ipv6), network.driver_opts, own, network.ipam.driver or "default", network.ipam.options)


def images(wanted: "tuple[Wanted, ...]") -> "Texts":
    """Names of all images that these services need."""
    found = [one.image for one in wanted]
    found += [hook.image for one in wanted for hook in one.service.pre_start if hook.image]
    found += [name for one in wanted for name in mounted_images(one)]
    return tuple(dict.fromkeys(found))


def _refuse(service: "Service") -> None:
    at = ("services", service.name)
    if service.provider is not None:
        raise InvalidService((*at, "provider"), f"is run by the program `{service.provider.type}`, which is not allowed",
                             "`--allow provider` permits it")
    if service.models:
        raise InvalidService((*at, "models"), "needs a runner of AI models, which there is none of here", "run one as a service of its own")
    if service.use_api_socket:
        raise InvalidService((*at, "use_api_socket"), "wants a socket of the Engine API, which nobody serves by itself here",
                             "mount the one of an engine that runs here as a volume: /run/docker.sock:/var/run/docker.sock")
    if service.credential_spec is not None:
        raise InvalidService((*at, "credential_spec"), "is for containers of Windows")
    _refuse_in_shared_namespaces(service, at)


def _refuse_in_shared_namespaces(service: "Service", at: "Texts") -> None:
    """What only the owner of a namespace decides."""
    mode = service.network_mode
    if mode.startswith(("service:", "container:")):
        for key in ("ports", "hostname", "dns", "dns_search", "dns_opt", "extra_hosts", "mac_address"):
            if getattr(service, key):
                raise InvalidService((*at, key), f"is given, and the network is that of {mode.replace(':', ' `')}`", "say it there")
    if service.uts == "host" and (service.hostname or service.domainname):
        raise InvalidService((*at, "hostname" if service.hostname else "domainname"), "is given, and `uts` is that of the host")


def _spec(service: "Service", project: "Project", granted: Granted) -> ContainerSpec:
    limits, nano_cpus = desired_limits.limits(service)
    network_mode, endpoints = _networks(service, project)
    return ContainerSpec(
        image_name(service, project.name), entrypoint=service.entrypoint, cmd=service.command,
        env=tuple(f"{name}={value}" for name, value in service.environment if value is not None),
        user=service.user or None, working_dir=service.working_dir, tty=service.tty, open_stdin=service.stdin_open,
        hostname=service.hostname, domainname=service.domainname, labels=service.labels, annotations=service.annotations,
        mounts=(*desired_mounts.mounts(service, project), *granted.mounts), files=tuple(granted.files),
        network_mode=network_mode, endpoints=endpoints, ports=_ports(service) if network_mode != "host" else (), exposed=_exposed(service),
        extra_hosts=tuple((name, address) for name, addresses in service.extra_hosts for address in addresses),
        dns=service.dns, dns_search=service.dns_search, dns_options=service.dns_opt,
        restart=desired_limits.restart(service), healthcheck=desired_limits.healthcheck(service),
        stop_signal=service.stop_signal, stop_timeout=_seconds(service.stop_grace_period), log=desired_limits.logging(service),
        cap_add=service.cap_add, cap_drop=service.cap_drop, privileged=service.privileged, security_opt=service.security_opt,
        read_only=service.read_only, ulimits=desired_limits.ulimits(service), limits=limits, nano_cpus=nano_cpus,
        oom_kill_disable=service.oom_kill_disable, oom_score_adj=service.oom_score_adj, devices=_devices(service),
        device_cgroup_rules=service.device_cgroup_rules, sysctls=service.sysctls, shm_size=service.shm_size, init=bool(service.init),
        pid_mode=_mode(service.pid), ipc_mode=_mode(service.ipc), uts_mode=_mode(service.uts), userns_mode=service.userns_mode,
        cgroupns_mode=service.cgroup, cgroup_parent=service.cgroup_parent, group_add=service.group_add, storage_options=service.storage_opt,
        runtime=service.runtime, platform=service.platform,
        isolation="chroot" if service.isolation == "chroot" else "", **_security(service))


def _seconds(nanoseconds: "int | None") -> int:
    """Whole seconds, rounded up; -1: not said."""
    return -1 if nanoseconds is None else -(-nanoseconds // _SECOND)


def _mode(word: str) -> str:
    """A mode that names another service is filled in when that has a container."""
    return "" if word.startswith("service:") else word


def _shares(service: "Service") -> "Pairs":
    modes = (("network_mode", service.network_mode), ("pid", service.pid), ("ipc", service.ipc), ("uts", service.uts))
    found = [(name, word[8:]) for name, word in modes if word.startswith("service:")]
    found += [("volumes_from", word.partition(":")[0]) for word in service.volumes_from if not word.startswith("container:")]
    return tuple(found)


# ---------------------------------------------------------------- networks
def _networks(service: "Service", project: "Project") -> "tuple[str, tuple[Endpoint, ...]]":
    """(network mode, endpoints): the highest priority first, which has the service's own MAC address if the endpoint has none."""
    mode = service.network_mode
    if mode in ("none", "host") or mode.startswith("container:"):
        return mode, ()
    if mode.startswith("service:"):
        return "none", ()
    if mode in ("bridge", "default"):
        return "default", ()
    if mode:
        return mode, (Endpoint(mode),)
    if not service.networks:
        return "none", ()
    names = {one.key: one.name for one in project.networks}
    found = sorted((_endpoint(names.get(key, key), end, service) for key, end in service.networks), key=lambda one: (-one.priority, one.network))
    if service.mac_address and not found[0].mac_address:
        found[0] = found[0]._replace(mac_address=service.mac_address)
    return found[0].network, tuple(found)


def _endpoint(network: str, end: "part.Endpoint | None", service: "Service") -> Endpoint:
    links = tuple((alias or name, name) for name, _, alias in (word.partition(":") for word in service.external_links))
    if end is None:
        return Endpoint(network, (service.name,), links=links)
    aliases = tuple(dict.fromkeys((service.name, *end.aliases)))
    return Endpoint(network, aliases, end.ipv4_address, end.ipv6_address, end.link_local_ips, end.mac_address, end.gw_priority, end.priority,
                    end.interface_name, links, end.driver_opts)


def _option_notes(service: "Service", project: "Project") -> "Texts":
    """Options for drivers of its networks that nothing here knows."""
    from runner.tuning import without_effect

    declared = {one.key: one.driver_opts for one in project.networks if not one.external}
    found = []
    for key, end in service.networks:
        found += [f"`networks.{key}.driver_opts.{name}` has no effect: the driver does not know it"
                  for name in without_effect(declared.get(key, ()), endpoint=False)]
        found += [f"`services.{service.name}.networks.{key}.driver_opts.{name}` has no effect: the driver does not know it"
                  for name in without_effect(end.driver_opts if end else (), endpoint=True)]
    return tuple(found)


def _ports(service: "Service") -> "tuple[PortMapping, ...]":
    found = []
    for index, port in enumerate(service.ports):
        first, _, last = port.published.partition("-")
        if not all(word.isascii() and word.isdigit() and int(word) < 65536 for word in (first or "0", last or "0")):
            raise InvalidService(("services", service.name, "ports", index), f"is published as `{port.published}`, which is no port")
        found.append(PortMapping(port.target, port.protocol or "tcp", port.host_ip, int(first or 0), int(last or 0) if last != first else 0))
    return tuple(found)


def _exposed(service: "Service") -> "Texts":
    found = []
    for word in service.expose:
        span, _, protocol = word.partition("/")
        first, _, last = span.partition("-")
        if first.isdigit() and (last or first).isdigit() and int(last or first) - int(first) < 65536:
            found += [f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)]
    return tuple(found)


# ---------------------------------------------------------------- devices and security
def _devices(service: "Service") -> "tuple[Device, ...]":
    """Those of `devices:`; a name that stands for devices (CDI, gpus) is looked up. Raises InvalidService."""
    found = []
    for index, device in enumerate(service.devices):
        if device.source.startswith("/"):
            found.append(Device(device.source, device.target or device.source, device.permissions or "rwm"))
        else:
            raise InvalidService(("services", service.name, "devices", index), f"is `{device.source}`: no device of that kind is described here",
                                 "name a path below /dev")
    requests = (*(("gpus", one) for one in service.gpus), *(("deploy", one) for one in _reserved(service)))
    if requests:
        from runner.gpu import devices

        for key, request in requests:
            found += devices(request, ("services", service.name, key))
    return tuple(found)


def _reserved(service: "Service") -> "tuple[Any, ...]":
    reservations = service.deploy.resources.reservations if service.deploy else None
    return reservations.devices if reservations else ()


def _security(service: "Service") -> "dict[str, Any]":
    """What `security_opt` means for a container. Raises InvalidService, InvalidSpec."""
    changes: dict[str, Any] = {}
    for index, word in enumerate(service.security_opt):
        key, _, value = word.replace("=", ":", 1).partition(":")
        at = ("services", service.name, "security_opt", index)
        if key == "no-new-privileges":
            changes["no_new_privileges"] = value.lower() not in ("false", "0")
        elif key == "seccomp" and value in ("unconfined", "builtin", "default"):
            changes["seccomp"] = "unconfined" if value == "unconfined" else "default"
        elif key == "seccomp":
            changes["seccomp"] = _profile(service, value, at)
        elif (key, value) == ("systempaths", "unconfined"):
            changes["masked"] = False
        elif key in ("label", "apparmor"):                # kept as they are (runner.lower)
            security_labels((word,))
        else:
            raise InvalidService(at, f"is `{word}`, and there is no such option",
                                 "there are seccomp, no-new-privileges, systempaths, label and apparmor")
    return changes


def _profile(service: "Service", path: str, at: "tuple[str | int, ...]") -> bytes:
    from sandbox.capabilities import select
    from sandbox.seccomp_json import load

    try:
        return load(path, select(service.cap_add, service.cap_drop))
    except OSError as error:
        raise InvalidService(at, f"names the profile `{os.path.basename(path)}`, which cannot be read: {(error.strerror or '').lower()}") from error


# ---------------------------------------------------------------- one replica
def mounted_images(want: Wanted) -> "Texts":
    """Names of images that its containers have mounted."""
    return tuple(mount.source for mount in want.spec.mounts if mount.kind == "image")


def replica(want: Wanted, project: "Project", number: int, name: str, others: "dict[str, str]", image_id: str = "",
            mounted: "Texts" = ()) -> ContainerSpec:
    """The spec of one container. others: service -> name of the container whose namespaces and volumes are shared. mounted: IDs of the images
    that are mounted in it."""
    service, spec = want.service, want.spec
    made = labels.of_container(project, service, number, want.hash)
    if image_id:
        made[labels.IMAGE] = image_id
    if mounted:
        made[labels.IMAGE_VOLUMES] = ",".join(mounted)
    spec = spec._replace(name=name, labels=labels.merged(spec.labels, made), config=want.config)
    shared: dict[str, Any] = {}
    for attribute, other in want.shares:
        if attribute != "volumes_from":
            key = attribute if attribute.endswith("_mode") else f"{attribute}_mode"
            shared[key] = f"container:{others[other]}"
    if service.volumes_from:
        shared["volumes_from"] = tuple(_volumes_from(word, others) for word in service.volumes_from)
    if service.links and spec.endpoints:
        links = tuple(pair for word in service.links for pair in _link(word, project.name, others))
        shared["endpoints"] = tuple(one._replace(links=(*one.links, *links)) for one in spec.endpoints)
    return spec._replace(**shared) if shared else spec


def _volumes_from(word: str, others: "dict[str, str]") -> str:
    if word.startswith("container:"):
        return word[10:]
    name, colon, mode = word.partition(":")
    return f"{others[name]}{colon}{mode}"


def _link(word: str, project: str, others: "dict[str, str]") -> "Pairs":
    """A service answers to its alias, its own name, and that of its first container, with and without the project's."""
    name, _, alias = word.partition(":")
    if name not in others:
        return ()
    container = others[name]
    return tuple((one, container) for one in dict.fromkeys((alias or name, name, container.removeprefix(f"{project}-"), container)))
