"""What a service asks for that no container can be given: found by its words, before anything is made, so that it can be shown where it is written.

Whether files, devices and other containers are there is seen when they are needed.
"""

from runner.errors import InvalidOption, InvalidService
from sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.model.service import Service

    Path = tuple[str | int, ...]                          # below the service
    Fault = tuple[Path, str, str]                         # where, what is wrong, the way out or ""

_LIMITS = frozenset(("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
                     "sigpending", "stack", "as", "ofile"))
# attribute -> words it may have; `service:x` and `container:x` are possible where that is said
_MODES = {
    "pid": ("host", "private", "service:", "container:"),
    "ipc": ("host", "private", "shareable", "none", "service:", "container:"),
    "uts": ("host", "private"),
    "userns_mode": ("host", "auto", "remap", "remap:"),
}
_MS = 1_000_000


def check(service: "Service") -> None:
    """Raises InvalidService for the first fault."""
    for path, reason, help in faults(service):
        raise InvalidService(("services", service.name, *path), reason, help)


def faults(service: "Service") -> "Iterator[Fault]":
    yield from _image(service)
    yield from _modes(service)
    yield from _process(service)
    yield from _limits(service)
    yield from _mounts(service)
    yield from _names(service)
    yield from _addresses(service)


def _image(service: "Service") -> "Iterator[Fault]":
    from store.errors import StoreError
    from store.reference import parse_reference

    words: list[tuple[Path, str]] = [(("image",), service.image)] if service.image else []
    if service.platform:
        from store.platform import parse_platform

        try:
            parse_platform(service.platform)
        except StoreError as error:
            yield ("platform",), f"is `{service.platform}`: {error}", ""
    words += [(("build", "tags"), one) for one in service.build.tags] if service.build else []
    for path, word in words:
        try:
            parse_reference(word)
        except StoreError as error:
            yield path, f"is no name of an image: {error}", ""


def _modes(service: "Service") -> "Iterator[Fault]":
    for key, words in _MODES.items():
        said = getattr(service, key)
        if said and not any(said == word or (word[-1] == ":" and said.startswith(word) and said != word) for word in words):
            shown = ", ".join(f"`{word}NAME`" if word[-1] == ":" else f"`{word}`" for word in words)
            yield (key,), f"is `{said}`", f"it is one of {shown}"


def _process(service: "Service") -> "Iterator[Fault]":
    if service.working_dir and not service.working_dir.startswith("/"):
        yield ("working_dir",), f"is `{service.working_dir}`, which is not absolute", ""
    if any(not name for name, _ in service.environment):
        yield ("environment",), "has a variable without a name", ""
    if service.stop_signal:
        from runner.signals import parse_signal

        try:
            parse_signal(service.stop_signal)
        except InvalidOption as error:
            yield ("stop_signal",), f"is `{service.stop_signal}`, which {error.reason}", ""
    check = service.healthcheck
    for key in ("interval", "timeout", "start_period", "start_interval"):
        value = getattr(check, key) if check else None
        if value is not None and value and value < _MS:
            yield ("healthcheck", key), "is shorter than a millisecond", ""
    for key, words in (("cap_add", service.cap_add), ("cap_drop", service.cap_drop)):
        from sandbox.capabilities import bit

        for index, word in enumerate(words):
            try:
                bit(word)
            except SandboxError as error:
                yield (key, index), f"is `{word}`: {error}", ""


def _limits(service: "Service") -> "Iterator[Fault]":
    for name, one in service.ulimits:
        if name not in _LIMITS:
            yield ("ulimits", name), "is no limit that there is", f"limits are {', '.join(sorted(_LIMITS))}"
        elif not one.single and one.hard >= 0 and not 0 <= one.soft <= one.hard:
            yield ("ulimits", name), "has a soft limit above its hard one", ""
    from runner.limits import MEMORY_LEAST, cpus_fault
    from runner.nodes import rule_fault

    limits = service.deploy.resources.limits if service.deploy and service.deploy.resources else None
    words: list[tuple[Path, float]] = [(("cpus",), service.cpus), (("deploy", "resources", "limits", "cpus"), limits.cpus if limits else 0)]
    for path, cpus in words:
        if fault := cpus_fault(int(cpus * 1_000_000_000)):
            yield path, f"is {cpus:g}, which {fault}", ""
    for key in ("mem_reservation", "shm_size"):      # less than no `mem_limit` is none, as in docker
        if getattr(service, key) < 0:
            yield (key,), f"is {getattr(service, key)}, which is less than nothing", ""
    if 0 < service.mem_limit < MEMORY_LEAST:
        yield ("mem_limit",), f"is less than {MEMORY_LEAST >> 20} MiB", ""
    if service.blkio_config and service.blkio_config.weight and not 10 <= service.blkio_config.weight <= 1000:
        yield ("blkio_config", "weight"), f"is {service.blkio_config.weight}, not from 10 to 1000", ""
    for index, one_device in enumerate(service.blkio_config.weight_device if service.blkio_config else ()):
        if not 10 <= one_device.weight <= 1000:
            yield ("blkio_config", "weight_device", index), f"has the weight {one_device.weight}, not from 10 to 1000", ""
    if ".." in service.cgroup_parent.split("/"):
        yield ("cgroup_parent",), f"is `{service.cgroup_parent}`, which leads out of the control groups", ""
    for index, rule in enumerate(service.device_cgroup_rules):
        if fault := rule_fault(rule):
            yield ("device_cgroup_rules", index), f"is `{rule}`: {fault}", ""
    for index, device in enumerate(service.devices):
        if device.source.startswith("/"):
            if not (device.target or device.source).startswith("/"):
                yield ("devices", index), f"is to be at `{device.target}`, which is not absolute", ""
            if set(device.permissions) - set("rwm"):
                yield ("devices", index), f"has the permissions `{device.permissions}`", "they are some of `r`, `w` and `m`"


def _mounts(service: "Service") -> "Iterator[Fault]":
    targets: list[tuple[Path, str]] = [(("volumes", index), one.target) for index, one in enumerate(service.volumes)
                                       if one.type not in ("npipe", "cluster")]
    targets += [(("tmpfs", index), word.partition(":")[0]) for index, word in enumerate(service.tmpfs)]
    for path, target in targets:
        if not target.startswith("/"):
            yield path, f"is to be mounted at `{target}`, which is not absolute", ""
        elif not target.strip("/"):
            yield path, "is to be mounted over the root", ""
    for index, word in enumerate(service.tmpfs):
        from runner.desired_mounts import tmpfs_of
        from runner.lower import tmpfs

        try:
            tmpfs(tmpfs_of(word))
        except InvalidOption as error:
            yield ("tmpfs", index), f"has the option `{error.value}`, which {error.reason}", ""
    for index, mount in enumerate(service.volumes):
        part = mount.volume or mount.image
        if part and part.subpath and (part.subpath.startswith("/") or ".." in part.subpath.split("/")):
            yield ("volumes", index, mount.type, "subpath"), f"is `{part.subpath}`, which leads out of what is mounted", ""


def _names(service: "Service") -> "Iterator[Fault]":
    from runner.network import is_host_name

    words: list[tuple[Path, str]] = [((key,), getattr(service, key)) for key in ("hostname", "domainname")]
    words += [(("networks", key, "aliases"), alias) for key, end in service.networks if end for alias in end.aliases]
    words += [(("extra_hosts",), name) for name, _ in service.extra_hosts]
    for path, word in words:
        if word and not is_host_name(word):
            yield path, f"has `{word[:80]}`, which is no host name", ""


def _addresses(service: "Service") -> "Iterator[Fault]":
    from runner.load.port import address

    words: list[tuple[Path, str]] = [(("dns", index), word) for index, word in enumerate(service.dns)]
    words += [(("extra_hosts",), word) for _, found in service.extra_hosts for word in found if word != "host-gateway"]
    macs: list[tuple[Path, str]] = [(("mac_address",), service.mac_address)]
    for key, end in service.networks:
        if end is not None:
            words += [(("networks", key, name), getattr(end, name)) for name in ("ipv4_address", "ipv6_address") if getattr(end, name)]
            words += [(("networks", key, "link_local_ips", index), word) for index, word in enumerate(end.link_local_ips)]
            macs.append((("networks", key, "mac_address"), end.mac_address))
    for path, word in words:
        try:
            address(word)
        except ValueError as error:
            yield path, f"has an address that is none: {error}", ""
    for path, word in macs:
        if word and not _is_mac(word):
            yield path, f"is `{word[:80]}`, which is no MAC address", "one is written `02:42:ac:11:00:02`, its first number even"


def _is_mac(word: str) -> bool:
    from runner.agent.address import is_mac

    return is_mac(word)
