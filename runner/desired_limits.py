"""How much of the machine a service may have, and what is watched of it -> the values that containers have for that. Pure."""

from runner.errors import InvalidService
from runner.limits import cpu_quota
from runner.load.unit import size
from runner.upkeep import Healthcheck, LogOptions, Restart
from sandbox.spec import NO_LIMITS, Limits, Rlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.model import part
    from runner.model.service import Service

_CONDITIONS = {"none": "no", "on-failure": "on-failure", "any": "always", "": "always"}
_LOG_DRIVERS = ("json-file", "local", "none")
_LOG_OPTIONS = ("max-size", "max-file")
LOG_OPTIONS = "a log has `max-size` and `max-file`"
# attributes of a service, and options of `container run`, -> why they are only looked at
WITHOUT_EFFECT = {
    "storage_opt": "only a file system with quotas of projects could hold a container to a size",
}
NO_LIMIT = "has no effect without a limit of memory: the whole machine would run out of it"
RULES = "has no effect but on volumes that are device nodes or directories of /dev: only those and `devices` can be opened in a container"


def limits(service: "Service") -> "tuple[Limits, int]":
    """(what it is limited to, its CPUs in billionths). `deploy.resources` counts where the service itself says nothing."""
    changes: dict[str, Any] = {
        "memory": max(0, service.mem_limit), "memory_swap": service.memswap_limit, "memory_reservation": service.mem_reservation,
        "cpu_shares": service.cpu_shares, "cpu_quota_us": service.cpu_quota, "cpu_period_us": service.cpu_period, "cpuset_cpus": service.cpuset,
        "pids": service.pids_limit}
    if service.mem_swappiness:
        changes["swappiness"] = service.mem_swappiness
    cpus = service.cpus
    resources = service.deploy.resources if service.deploy else None
    if resources and resources.limits:
        cpus = cpus or resources.limits.cpus
        changes["memory"] = changes["memory"] or resources.limits.memory
        changes["pids"] = changes["pids"] or resources.limits.pids
    if resources and resources.reservations:
        changes["memory_reservation"] = changes["memory_reservation"] or resources.reservations.memory
    if cpus:
        changes["cpu_quota_us"], changes["cpu_period_us"] = cpu_quota(cpus)
    if service.blkio_config:
        changes |= _io(service.blkio_config)
    if service.oom_kill_disable and changes["memory"]:
        changes["oom_kill_disable"] = True
    said = {key: value for key, value in changes.items() if value}
    return (NO_LIMITS._replace(**said) if said else NO_LIMITS), int(cpus * 1_000_000_000)


def _io(config: "part.BlockIO") -> "dict[str, Any]":
    def rates(items: "tuple[part.DeviceRate, ...]") -> "tuple[tuple[str, int], ...]":
        return tuple((one.path, one.rate) for one in items)

    return {"io_weight": config.weight, "io_weights": tuple((one.path, one.weight) for one in config.weight_device),
            "read_bps": rates(config.device_read_bps), "write_bps": rates(config.device_write_bps),
            "read_iops": rates(config.device_read_iops), "write_iops": rates(config.device_write_iops)}


def ulimits(service: "Service") -> "tuple[Rlimit, ...]":
    return tuple(Rlimit(name, one.soft, one.soft if one.single else one.hard) for name, one in service.ulimits)


def restart(service: "Service") -> Restart:
    """`restart`, over which `deploy.restart_policy` has the last word; `x-pyup.restart_on_unhealthy` beside either."""
    name, _, maximum = service.restart.partition(":")
    found = Restart(name or "no", int(maximum or 0))
    policy = service.deploy.restart_policy if service.deploy else None
    if policy:
        found = Restart(_CONDITIONS.get(policy.condition, "always"), policy.max_attempts or 0, policy.delay or 0, policy.window or 0)
    return found._replace(unhealthy=True) if own_extension(service).get("restart_on_unhealthy") is True else found


def own_extension(service: "Service") -> "dict[str, Any]":
    """What the service says under `x-pyup`."""
    found = dict(service.extensions).get("x-pyup")
    return found if isinstance(found, dict) else {}


def healthcheck(service: "Service") -> "Healthcheck | None":
    check = service.healthcheck
    if check is None:
        return None
    if check.disable or check.test[:1] == ("NONE",):
        return Healthcheck(("NONE",))
    return Healthcheck(check.test, check.interval or 0, check.timeout or 0, check.start_period or 0, check.start_interval or 0, check.retries or 0)


def logging(service: "Service") -> LogOptions:
    """A driver that there is not is replaced by our own log: see `notes`. Raises InvalidService."""
    asked = service.logging
    if asked is None:
        return LogOptions()
    options = dict(asked.options)
    driver = asked.driver or "json-file"
    made = LogOptions(driver if driver in _LOG_DRIVERS else "json-file", options=asked.options)
    at = ("services", service.name, "logging", "options")
    if driver not in _LOG_DRIVERS:
        return made
    if options.get("max-size", "-1") != "-1":
        try:
            made = made._replace(max_size=size(options["max-size"]))
        except ValueError as error:
            raise InvalidService((*at, "max-size"), f"is `{options['max-size']}`: {error}", "for example `10m`") from None
    count = options.get("max-file", "1")
    if not count.isascii() or not count.isdigit() or not int(count):
        raise InvalidService((*at, "max-file"), f"is `{count}`, which is no positive number")
    return made._replace(max_file=int(count))


def notes(service: "Service") -> "tuple[str, ...]":
    """What of a service has another effect here than it says, a line each."""
    at = f"services.{service.name}"
    found = [f"`{at}.{key}` has no effect: {reason}" for key, reason in WITHOUT_EFFECT.items() if getattr(service, key)]
    if service.logging and service.logging.driver and service.logging.driver not in _LOG_DRIVERS:
        found.append(f"`{at}.logging.driver`: there is no log driver `{service.logging.driver}` here; `logs` shows what it would get")
    elif service.logging:
        found += [f"`{at}.logging.options.{key}` has no effect: {LOG_OPTIONS}" for key, _ in service.logging.options if key not in _LOG_OPTIONS]
    if service.oom_kill_disable and not limits(service)[0].memory:
        found.append(f"`{at}.oom_kill_disable` {NO_LIMIT}")
    if service.device_cgroup_rules and not any(one.type == "bind" and f"{one.source}/".startswith("/dev/") for one in service.volumes):
        found.append(f"`{at}.device_cgroup_rules` {RULES}")
    if service.cpu_rt_period or service.cpu_rt_runtime:
        found.append(f"`{at}.cpu_rt_runtime` has no effect: the control groups of this kernel do not divide real time")
    if service.ports and service.network_mode in ("host", "none"):
        found.append(f"`{at}.ports` has no effect: the network is `{service.network_mode}`, where nothing is published")
    return tuple(found)
