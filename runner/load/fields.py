"""The attributes of every model class: in which order they are written, how each is read and written, and when it is left out."""

from kernel.value import Value
from runner.load.kind import (
    COUNT,
    DURATION,
    FLAG,
    HOSTS,
    INTEGER,
    LABELS,
    MICROSECONDS,
    MODE,
    NUMBER,
    OPTIONS,
    SIZE,
    TEST,
    TEXT,
    TEXTS,
    TMPFS_MODE,
    VARIABLES,
    WORDS,
    Kind,
    Unreadable,
    extensions,
)
from runner.load.tree import Map
from runner.model import build, deploy, part, project
from runner.model.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SAID, GIVEN, ALWAYS, JSON, DENIED = range(5)              # if not empty; if not None; always, if only as null; always in JSON; if False


class Field(Value):
    """An attribute. `attribute` and `json`: what the model, and JSON, call it where that is not `key`."""

    key: str
    kind: Kind
    written: int = SAID
    attribute: str = ""
    json: str = ""


def read(make: "Callable[..., Any]", node: Map, **given: "Any") -> "Any":
    """A model value from a mapping of a canonical tree. Raises Unreadable."""
    for field in FIELDS[make]:
        value = node.get(field.key)
        if value is not None:
            try:
                given[field.attribute or field.key] = field.kind.read(value)
            except Unreadable as error:
                raise Unreadable(error.reason, (field.key, *error.path), error.help) from error
    extra = extensions(node) if make not in PLAIN else ()
    return make(**given, extensions=extra) if extra else make(**given)


def write(value: "Any", json: bool) -> "dict[str, Any]":
    """A model value as the mapping that compose prints: of the model, or of its JSON, which has no extensions below the top."""
    found: dict[str, Any] = {}
    for key, kind, written, attribute, other in FIELDS[value.__class__]:
        item = getattr(value, attribute or key)
        if item is not None and (item is False if written == DENIED else written != SAID or item):
            made = kind.write(item, json)
            if made or json or written != JSON:
                found[(json and other) or key] = made
        elif written == ALWAYS:
            found[key] = None
        elif json and written == JSON:
            found[key] = {"command": None}                # only `exec` of a watch can be None here: a hook without a command
    if not json and value.__class__ not in PLAIN:
        found.update(value.extensions)
    return found


def _one(make: "Callable[..., Any]") -> Kind:
    return Kind(lambda node: read(make, node), write)


def _list(make: "Callable[..., Any]") -> Kind:
    return Kind(lambda nodes: tuple([_at(index, make, node) for index, node in enumerate(nodes)]),
                lambda values, json: [write(value, json) for value in values])


def _named(make: "Callable[..., Any]") -> Kind:
    """A mapping from names to values, or to nothing; a name that begins with `x-` is an extension."""
    return Kind(lambda nodes: tuple(sorted((key, None if node is None else _at(key, make, node))
                                           for key, node in nodes.items() if key[:2] != "x-")),
                lambda values, json: {key: None if value is None else write(value, json) for key, value in values})


def _dependencies() -> Kind:
    return Kind(lambda nodes: tuple(sorted((key, _at(key, part.Dependency, node)) for key, node in nodes.items())),
                lambda values, json: {key: write(value, json) for key, value in values})


def _at(step: "str | int", make: "Callable[..., Any]", node: Map) -> "Any":
    try:
        return read(make, node)
    except Unreadable as error:
        raise Unreadable(error.reason, (step, *error.path), error.help) from error


def _read_ulimits(node: Map) -> "tuple[tuple[str, build.Ulimit], ...]":
    found = []
    for key, value in node.items():
        if value.__class__ is Map:
            found.append((key, build.Ulimit(INTEGER.read(value["soft"]), INTEGER.read(value["hard"]))))
        else:
            found.append((key, build.Ulimit(INTEGER.read(value), INTEGER.read(value), True)))
    return tuple(sorted(found))


def _write_ulimits(values: "tuple[tuple[str, build.Ulimit], ...]", json: bool) -> "dict[str, Any]":
    return {key: one.soft if one.single else {"soft": one.soft, "hard": one.hard} for key, one in values}


def _resource(key: str) -> Field:
    """`discrete_resource_spec` of a generic resource: the one level that says nothing."""
    return Field(key, Kind(
        lambda nodes: tuple(deploy.GenericResource(TEXT.read(one.get("kind", "")), INTEGER.read(one.get("value", 0)))
                            for one in (node.get("discrete_resource_spec") or Map() for node in nodes)),
        lambda values, json: [{"discrete_resource_spec": {"kind": value.kind, "value": value.value}} for value in values]))


def _fields(*names: str, kind: Kind = TEXT, written: int = SAID) -> "tuple[Field, ...]":
    return tuple(Field(name, kind, written) for name in names)


ULIMITS = Kind(_read_ulimits, _write_ulimits)
PREFERENCES = Kind(lambda nodes: tuple(TEXT.read(node.get("spread", "")) for node in nodes),
                   lambda values, json: [{"spread": value} for value in values])
RATES = _list(part.DeviceRate)
GRANTS = _list(build.Grant)
HOOKS = _list(build.Hook)

# classes without extensions of their own
PLAIN: "frozenset[Callable[..., Any]]" = frozenset((
    build.Ulimit, part.DeviceWeight, part.DeviceRate, deploy.DeviceRequest, deploy.GenericResource, part.EnvFile, part.Extends))

FIELDS: "dict[Callable[..., Any], tuple[Field, ...]]" = {
    build.Grant: (*_fields("source", "target", "uid", "gid"), Field("mode", MODE, GIVEN)),
    build.Build: (
        *_fields("context", "dockerfile", "dockerfile_inline"), Field("entitlements", TEXTS), Field("args", VARIABLES),
        *_fields("provenance", "sbom"),
        Field("ssh", Kind(VARIABLES.read, lambda pairs, json: [key if path is None else f"{key}={path}" for key, path in pairs])),
        Field("labels", LABELS), *_fields("cache_from", "cache_to", kind=TEXTS), Field("no_cache", FLAG), Field("no_cache_filter", TEXTS),
        Field("additional_contexts", LABELS), Field("pull", FLAG), Field("extra_hosts", HOSTS), *_fields("isolation", "network", "target"),
        Field("secrets", GRANTS), Field("shm_size", SIZE), Field("tags", TEXTS), Field("ulimits", ULIMITS), Field("platforms", TEXTS),
        Field("privileged", FLAG)),
    build.Hook: (
        Field("command", WORDS, GIVEN), *_fields("image", "user"), Field("privileged", FLAG), Field("working_dir", TEXT),
        Field("environment", VARIABLES), Field("per_replica", FLAG)),
    build.Watch: (
        *_fields("path", "action", written=GIVEN), Field("target", TEXT), Field("exec", _one(build.Hook), JSON),
        *_fields("include", "ignore", kind=TEXTS), Field("initial_sync", FLAG)),
    build.Develop: (Field("watch", _list(build.Watch), GIVEN),),
    deploy.UpdateConfig: (
        Field("parallelism", INTEGER, GIVEN), Field("delay", DURATION), Field("failure_action", TEXT), Field("monitor", DURATION),
        Field("max_failure_ratio", NUMBER), Field("order", TEXT)),
    deploy.DeviceRequest: (
        Field("capabilities", TEXTS), Field("driver", TEXT), Field("count", COUNT, SAID, "amount"), Field("device_ids", TEXTS),
        Field("options", LABELS)),
    deploy.Resource: (
        Field("cpus", NUMBER), Field("memory", SIZE), Field("pids", INTEGER), Field("devices", _list(deploy.DeviceRequest)),
        _resource("generic_resources")),
    deploy.Resources: _fields("limits", "reservations", kind=_one(deploy.Resource), written=GIVEN),
    deploy.RestartPolicy: (
        Field("condition", TEXT), Field("delay", DURATION, GIVEN), Field("max_attempts", INTEGER, GIVEN), Field("window", DURATION, GIVEN)),
    deploy.Placement: (Field("constraints", TEXTS), Field("preferences", PREFERENCES), Field("max_replicas_per_node", INTEGER)),
    deploy.Deploy: (
        Field("mode", TEXT), Field("replicas", INTEGER, GIVEN), Field("labels", LABELS),
        *_fields("update_config", "rollback_config", kind=_one(deploy.UpdateConfig), written=GIVEN),
        Field("resources", _one(deploy.Resources), JSON), Field("restart_policy", _one(deploy.RestartPolicy), GIVEN),
        Field("placement", _one(deploy.Placement), JSON), Field("endpoint_mode", TEXT)),
    part.DeviceWeight: (Field("path", TEXT, json="Path"), Field("weight", INTEGER, json="Weight")),
    part.DeviceRate: (Field("path", TEXT, json="Path"), Field("rate", SIZE, json="Rate")),
    part.BlockIO: (
        Field("weight", INTEGER), Field("weight_device", _list(part.DeviceWeight)),
        *_fields("device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops", kind=RATES)),
    part.CredentialSpec: _fields("config", "file", "registry"),
    part.Dependency: (Field("condition", TEXT), Field("restart", FLAG), Field("required", FLAG, GIVEN)),
    part.Device: _fields("source", "target", "permissions"),
    part.EnvFile: (Field("path", TEXT), Field("required", FLAG, DENIED), Field("format", TEXT)),
    part.Extends: _fields("file", "service"),
    part.Healthcheck: (
        Field("test", TEST), *_fields("timeout", "interval", kind=DURATION, written=GIVEN), Field("retries", INTEGER, GIVEN),
        *_fields("start_period", "start_interval", kind=DURATION, written=GIVEN), Field("disable", FLAG)),
    part.Logging: (Field("driver", TEXT), Field("options", LABELS)),
    part.ModelUse: _fields("endpoint_var", "model_var"),
    part.Endpoint: (
        Field("aliases", TEXTS), Field("driver_opts", LABELS), Field("gw_priority", INTEGER),
        *_fields("interface_name", "ipv4_address", "ipv6_address"), Field("link_local_ips", TEXTS), Field("mac_address", TEXT),
        Field("priority", INTEGER)),
    part.Port: (*_fields("name", "mode", "host_ip"), Field("target", INTEGER), *_fields("published", "protocol", "app_protocol")),
    part.Provider: (Field("type", TEXT), Field("options", OPTIONS)),
    part.BindOptions: (*_fields("selinux", "propagation"), Field("create_host_path", FLAG, DENIED), Field("recursive", TEXT)),
    part.VolumeOptions: (Field("labels", LABELS), Field("nocopy", FLAG), Field("subpath", TEXT)),
    part.TmpfsOptions: (Field("size", SIZE), Field("mode", TMPFS_MODE)),
    part.ImageOptions: _fields("subpath"),
    part.Mount: (
        *_fields("type", "source", "target"), Field("read_only", FLAG), Field("consistency", TEXT),
        Field("bind", _one(part.BindOptions), GIVEN), Field("volume", _one(part.VolumeOptions), GIVEN),
        Field("tmpfs", _one(part.TmpfsOptions), GIVEN), Field("image", _one(part.ImageOptions), GIVEN)),
    Service: (
        Field("profiles", TEXTS), Field("annotations", LABELS), Field("attach", FLAG, GIVEN), Field("build", _one(build.Build), GIVEN),
        Field("develop", _one(build.Develop), GIVEN), Field("blkio_config", _one(part.BlockIO), GIVEN),
        *_fields("cap_add", "cap_drop", kind=TEXTS), *_fields("cgroup_parent", "cgroup"), Field("cpu_count", INTEGER),
        Field("cpu_percent", NUMBER), *_fields("cpu_period", "cpu_quota", kind=INTEGER),
        *_fields("cpu_rt_period", "cpu_rt_runtime", kind=MICROSECONDS), Field("cpus", NUMBER), Field("cpuset", TEXT),
        Field("cpu_shares", INTEGER), Field("command", WORDS, ALWAYS), Field("configs", GRANTS), Field("container_name", TEXT),
        Field("credential_spec", _one(part.CredentialSpec), GIVEN), Field("depends_on", _dependencies()),
        Field("deploy", _one(deploy.Deploy), GIVEN), Field("device_cgroup_rules", TEXTS), Field("devices", _list(part.Device)),
        *_fields("dns", "dns_opt", "dns_search", kind=TEXTS), Field("domainname", TEXT), Field("entrypoint", WORDS, ALWAYS),
        Field("provider", _one(part.Provider), GIVEN), Field("environment", VARIABLES), Field("env_file", _list(part.EnvFile)),
        Field("expose", TEXTS), Field("extends", _one(part.Extends), GIVEN), Field("external_links", TEXTS), Field("extra_hosts", HOSTS),
        Field("group_add", TEXTS), Field("gpus", _list(deploy.DeviceRequest)), Field("hostname", TEXT),
        Field("healthcheck", _one(part.Healthcheck), GIVEN), Field("image", TEXT), Field("init", FLAG, GIVEN),
        *_fields("ipc", "isolation"), Field("labels", LABELS), *_fields("label_file", "links", kind=TEXTS),
        Field("logging", _one(part.Logging), GIVEN),
        *_fields("mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", kind=SIZE), Field("mac_address", TEXT),
        Field("models", _named(part.ModelUse)), Field("network_mode", TEXT), Field("networks", _named(part.Endpoint)),
        Field("oom_kill_disable", FLAG), Field("oom_score_adj", INTEGER), Field("pid", TEXT), Field("pids_limit", INTEGER),
        Field("platform", TEXT), Field("ports", _list(part.Port)), Field("privileged", FLAG), *_fields("pull_policy", "pull_refresh_after"),
        Field("read_only", FLAG), *_fields("restart", "runtime"), Field("scale", INTEGER, GIVEN), Field("secrets", GRANTS),
        Field("security_opt", TEXTS), Field("shm_size", SIZE), Field("stdin_open", FLAG), Field("stop_grace_period", DURATION, GIVEN),
        Field("stop_signal", TEXT), *_fields("storage_opt", "sysctls", kind=LABELS), Field("tmpfs", TEXTS), Field("tty", FLAG),
        Field("ulimits", ULIMITS), Field("use_api_socket", FLAG), *_fields("user", "userns_mode", "uts"),
        Field("volumes", _list(part.Mount)), Field("volumes_from", TEXTS), Field("working_dir", TEXT),
        *_fields("pre_start", "post_start", "pre_stop", kind=HOOKS)),
    project.Pool: (*_fields("subnet", "gateway", "ip_range"), Field("aux_addresses", LABELS)),
    project.Ipam: (Field("driver", TEXT), Field("config", _list(project.Pool)), Field("options", LABELS)),
    project.Network: (
        *_fields("name", "driver"), Field("driver_opts", LABELS), Field("ipam", _one(project.Ipam), JSON),
        *_fields("external", "internal", "attachable", kind=FLAG), Field("labels", LABELS),
        *_fields("enable_ipv4", "enable_ipv6", kind=FLAG, written=GIVEN)),
    project.Volume: (
        *_fields("name", "driver"), Field("driver_opts", LABELS), Field("external", FLAG), Field("labels", LABELS)),
    project.File: (
        *_fields("name", "file", "environment", "content"), Field("external", FLAG), Field("labels", LABELS), Field("driver", TEXT),
        Field("driver_opts", LABELS), Field("template_driver", TEXT)),
    project.AIModel: (*_fields("name", "model"), Field("context_size", INTEGER), Field("runtime_flags", TEXTS)),
}
