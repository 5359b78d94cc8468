"""What `container run` and `container create` have in common: docker's options, and the ContainerSpec that they come to."""

import sys

from pybuild.option import COUNT, FLAG, LIST, VALUE, Operand, Option
from pybuild.scanner import Misuse, Options
from runner.container import ContainerSpec
from sandbox.spec import NO_LIMITS, Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.container import Mount
    from runner.endpoint import Endpoint
    from runner.upkeep import Healthcheck

OPERANDS = (Operand("image", "1", "name or ID of the image"), Operand("command", "...", "what to run, with its arguments"))
OPTIONS = (
    Option("--name", VALUE, "name of the container", "NAME"),
    Option("-i --interactive", FLAG, "keep stdin open"),
    Option("-t --tty", FLAG, "give it a terminal"),
    Option("-e --env", LIST, "set a variable; without `=` it is taken from the environment", "NAME[=VALUE]"),
    Option("--env-file", LIST, "read variables from a file", "FILE"),
    Option("-u --user", VALUE, "who it runs as", "NAME|UID[:GROUP|GID]"),
    Option("-w --workdir", VALUE, "working directory inside", "PATH"),
    Option("--entrypoint", VALUE, "run this instead of the image's entrypoint; \"\" for none", "COMMAND"),
    Option("-l --label", LIST, "label", "NAME[=VALUE]"),
    Option("--label-file", LIST, "read labels from a file", "FILE"),
    Option("--annotation", LIST, "OCI annotation", "NAME=VALUE"),
    Option("-h --hostname", VALUE, "host name inside", "NAME"),
    Option("--domainname", VALUE, "domain name inside", "NAME"),
    Option("-v --volume", LIST, "mount a volume, or a path of this machine", "[SOURCE:]TARGET[:OPTIONS]"),
    Option("--mount", LIST, "mount something", "type=bind|volume|tmpfs|image,source=..,target=.."),
    Option("--tmpfs", LIST, "mount a file system in memory", "TARGET[:OPTIONS]"),
    Option("--volumes-from", LIST, "mount what another container has", "CONTAINER[:ro]"),
    Option("--volume-driver", VALUE, "driver of new volumes", "NAME"),
    Option("--network --net", LIST, "network to be on: none, host, container:NAME, or networks", "NETWORK"),
    Option("--network-alias --net-alias", LIST, "further name on the network", "NAME"),
    Option("--ip", VALUE, "IPv4 address", "ADDRESS"),
    Option("--ip6", VALUE, "IPv6 address", "ADDRESS"),
    Option("--link-local-ip", LIST, "link-local address", "ADDRESS"),
    Option("--mac-address", VALUE, "MAC address", "ADDRESS"),
    Option("--link", LIST, "let it know another container by a name", "CONTAINER[:NAME]"),
    Option("-p --publish", LIST, "publish a port", "[[IP:]HOST:]CONTAINER[/PROTOCOL]"),
    Option("-P --publish-all", FLAG, "publish every port that the image exposes"),
    Option("--expose", LIST, "note that it listens there", "PORT[/PROTOCOL]"),
    Option("--add-host", LIST, "a line in /etc/hosts", "NAME:ADDRESS"),
    Option("--dns", LIST, "name server", "ADDRESS"),
    Option("--dns-search", LIST, "search domain", "DOMAIN"),
    Option("--dns-option --dns-opt", LIST, "option of the resolver", "OPTION"),
    Option("--restart", VALUE, "when to start it again: no, always, unless-stopped, on-failure[:N]", "POLICY", "no"),
    Option("--rm", FLAG, "remove it, and its anonymous volumes, when it has ended"),
    Option("--stop-signal", VALUE, "signal that asks it to end", "SIGNAL"),
    Option("--stop-timeout", COUNT, "seconds until it is killed then", "SECONDS"),
    Option("--health-cmd", VALUE, "command that finds out whether it is well", "COMMAND"),
    Option("--health-interval", VALUE, "time between probes", "DURATION"),
    Option("--health-timeout", VALUE, "how long a probe may take", "DURATION"),
    Option("--health-retries", COUNT, "failures in a row until it is unhealthy", "N"),
    Option("--health-start-period", VALUE, "time in which failures do not count", "DURATION"),
    Option("--health-start-interval", VALUE, "time between probes in that", "DURATION"),
    Option("--no-healthcheck", FLAG, "do not probe, whatever the image says"),
    Option("--init", FLAG, "run a small init as its first process"),
    Option("--privileged", FLAG, "give it every capability and device, hide nothing"),
    Option("--cap-add", LIST, "add a capability", "NAME"),
    Option("--cap-drop", LIST, "take a capability away", "NAME"),
    Option("--security-opt", LIST, "seccomp=FILE|unconfined, no-new-privileges, systempaths=unconfined, apparmor=PROFILE, label=..", "OPTION"),
    Option("--group-add", LIST, "further group", "NAME|GID"),
    Option("--read-only", FLAG, "make its root file system read-only"),
    Option("--device", LIST, "give it a device", "HOST[:CONTAINER][:rwm]"),
    Option("--device-cgroup-rule", LIST, "permit nodes that volumes show", "RULE"),
    Option("--ulimit", LIST, "limit of its processes", "NAME=SOFT[:HARD]"),
    Option("--sysctl", LIST, "kernel parameter of its own", "NAME=VALUE"),
    Option("--shm-size", VALUE, "size of /dev/shm", "SIZE"),
    Option("--pid", VALUE, "pid namespace: host, or container:NAME", "MODE"),
    Option("--ipc", VALUE, "ipc namespace: host, private, shareable, none, or container:NAME", "MODE"),
    Option("--uts", VALUE, "uts namespace: host", "MODE"),
    Option("--userns", VALUE, "user namespace: host, auto (ids of its own), remap, or remap:USER (those of USER)", "MODE"),
    Option("--cgroupns", VALUE, "cgroup namespace", choices=("host", "private")),
    Option("--cgroup-parent", VALUE, "has no effect, and says so", "PATH"),
    Option("-m --memory", VALUE, "memory it may use", "SIZE"),
    Option("--memory-swap", VALUE, "memory and swap together; -1: no limit", "SIZE"),
    Option("--memory-reservation", VALUE, "memory that is left to it", "SIZE"),
    Option("--memory-swappiness", COUNT, "0 to 100", "N"),
    Option("--cpus", VALUE, "processors it may use", "NUMBER"),
    Option("-c --cpu-shares", COUNT, "weight among others", "N"),
    Option("--cpu-quota", COUNT, "microseconds in each period", "N"),
    Option("--cpu-period", COUNT, "microseconds", "N"),
    Option("--cpuset-cpus", VALUE, "processors it may run on", "0-3,5"),
    Option("--cpuset-mems", VALUE, "memory nodes it may use", "0,1"),
    Option("--pids-limit", COUNT, "processes it may have; -1: no limit", "N"),
    Option("--blkio-weight", COUNT, "10 to 1000", "N"),
    Option("--device-read-bps", LIST, "bytes a second from a device", "DEVICE:RATE"),
    Option("--device-write-bps", LIST, "bytes a second to a device", "DEVICE:RATE"),
    Option("--device-read-iops", LIST, "reads a second from a device", "DEVICE:RATE"),
    Option("--device-write-iops", LIST, "writes a second to a device", "DEVICE:RATE"),
    Option("--oom-kill-disable", FLAG, "has no effect, and says so"),
    Option("--oom-score-adj", COUNT, "-1000 to 1000", "N"),
    Option("--log-driver", VALUE, "json-file, local or none", "NAME"),
    Option("--log-opt", LIST, "option of the log: max-size, max-file", "NAME=VALUE"),
    Option("--storage-opt", LIST, "has no effect, and says so", "NAME=VALUE"),
    Option("--platform", VALUE, "platform of the image", "OS/ARCH"),
    Option("--pull", VALUE, "when to pull the image", choices=("always", "missing", "never"), default="missing"),
    Option("-q --quiet", FLAG, "do not show what is pulled"),
    Option("--runtime", VALUE, "OCI runtime that starts it: crun or runc (default: sandboxes of our own)", "NAME"),
    Option("--isolation", VALUE, "`chroot`: without namespaces", "KIND"),
    Option("--disable-content-trust", FLAG, "accepted; has no effect", hidden=True),
    Option("--cidfile", VALUE, "write the container's ID to FILE", "FILE"))


def spec_of(options: Options) -> ContainerSpec:
    """Raises Misuse, InvalidOption, SandboxError (InvalidSpec)."""
    changes: dict[str, Any] = {}
    if options.env or options.env_file:
        changes["env"] = _words().environment(options.env, options.env_file)
    if options.label or options.label_file:
        changes["labels"] = _words().pairs(options.label, "--label", files=options.label_file)
    if options.volume or options.mount or options.tmpfs:
        changes["mounts"] = _mounts(options)
    if options.restart != "no":
        changes["restart"] = _words().restart(options.restart)
    if options.log_driver or options.log_opt:
        changes["log"] = _words().logging(options.log_driver, options.log_opt)
    if options.publish:
        changes["ports"] = _words().ports(options.publish)
    if options.add_host:
        changes["extra_hosts"] = _words().hosts(options.add_host)
    if options.device:
        changes["devices"] = tuple(_words().device(word) for word in options.device)
    if options.ulimit:
        changes["ulimits"] = tuple(_words().ulimit(word) for word in options.ulimit)
    if options.sysctl:
        changes["sysctls"] = _words().pairs(options.sysctl, "--sysctl")
    if options.annotation:
        changes["annotations"] = _words().pairs(options.annotation, "--annotation")
    if options.storage_opt:
        changes["storage_options"] = _words().pairs(options.storage_opt, "--storage-opt")
    if options.shm_size:
        changes["shm_size"] = _words().size(options.shm_size, "--shm-size")
    if options.security_opt:
        changes |= _security(options)
    changes |= _network(options)
    _check(options)
    _warn(options)
    limits, nano_cpus = limits_of(options)
    if options.oom_kill_disable and limits.memory:
        limits = limits._replace(oom_kill_disable=True)
    return ContainerSpec(
        options.image, options.name or "", entrypoint=_entrypoint(options.entrypoint), cmd=tuple(options.command) or None,
        user=options.user, working_dir=options.workdir or "", tty=options.tty, open_stdin=options.interactive,
        hostname=options.hostname or "", domainname=options.domainname or "", volumes_from=tuple(options.volumes_from),
        volume_driver=options.volume_driver or "", publish_all=options.publish_all, exposed=_exposed(options.expose), dns=tuple(options.dns),
        dns_search=tuple(options.dns_search), dns_options=tuple(options.dns_opt), healthcheck=_healthcheck(options),
        stop_signal=options.stop_signal or "", stop_timeout=-1 if options.stop_timeout is None else options.stop_timeout, auto_remove=options.rm,
        cap_add=tuple(options.cap_add), cap_drop=tuple(options.cap_drop), privileged=options.privileged, read_only=options.read_only,
        limits=limits, nano_cpus=nano_cpus, oom_kill_disable=options.oom_kill_disable, oom_score_adj=options.oom_score_adj or 0,
        device_cgroup_rules=tuple(options.device_cgroup_rule), init=options.init, pid_mode=options.pid or "", ipc_mode=options.ipc or "",
        uts_mode=options.uts or "", userns_mode=options.userns or "", cgroupns_mode=options.cgroupns or "",
        cgroup_parent=options.cgroup_parent or "", group_add=tuple(options.group_add), runtime=options.runtime or "",
        isolation="chroot" if options.isolation == "chroot" else "",
        platform=options.platform or "", **changes)


def _check(options: Options) -> None:
    if options.stop_timeout is not None and options.stop_timeout < 0:
        raise Misuse(f"`--stop-timeout {options.stop_timeout}` is no number of seconds", "leave it out for what the image says, else ten seconds")
    for rule in options.device_cgroup_rule:
        _words().device_rule(rule)
    for name, value, least, most in (("--oom-score-adj", options.oom_score_adj, -1000, 1000), ("--blkio-weight", options.blkio_weight, 10, 1000),
                                     ("--memory-swappiness", options.memory_swappiness, -1, 100)):
        if value and not least <= value <= most:
            raise Misuse(f"`{name} {value}` is not from {least} to {most}")


def _warn(options: Options) -> None:
    """Say what is accepted for docker's sake and has no effect."""
    if options.storage_opt:
        from runner.desired_limits import WITHOUT_EFFECT

        print(f"warning: `--storage-opt` has no effect: {WITHOUT_EFFECT['storage_opt']}", file=sys.stderr)
    if options.oom_kill_disable and not options.memory:
        from runner.desired_limits import NO_LIMIT

        print(f"warning: `--oom-kill-disable` {NO_LIMIT}", file=sys.stderr)
    if options.device_cgroup_rule and not any("/dev" in word for word in (*options.volume, *options.mount)):
        from runner.desired_limits import RULES

        print(f"warning: `--device-cgroup-rule` {RULES.replace('`devices`', '`--device`')}", file=sys.stderr)
    if options.isolation not in (None, "", "default", "chroot"):
        print(f"warning: `--isolation {options.isolation}` has no effect: it is for other systems", file=sys.stderr)
    if options.publish and any(name in ("none", "host") for name in options.net):
        print("warning: `--publish` has no effect: nothing is published on the networks `none` and `host`", file=sys.stderr)


def _words() -> "Any":
    from pybuild.stack.container import words

    return words


def _entrypoint(word: "str | None") -> "tuple[str, ...] | None":
    if word is None:
        return None
    return (word,) if word else ()


def _mounts(options: Options) -> "tuple[Mount, ...]":
    words = _words()
    return (*(words.volume(word) for word in options.volume), *(words.mount(word) for word in options.mount),
            *(words.tmpfs(word) for word in options.tmpfs))


def _exposed(words: list[str]) -> tuple[str, ...]:
    found = []
    for word in words:
        port, _, protocol = word.partition("/")
        first, _, last = port.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise Misuse(f"`--expose {word}` is no PORT[/PROTOCOL]")
        found += [f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)]
    return tuple(found)


def _healthcheck(options: Options) -> "Healthcheck | None":
    said = (options.health_cmd, options.health_interval, options.health_timeout, options.health_retries, options.health_start_period,
            options.health_start_interval)
    if options.no_healthcheck:
        if any(said):
            raise Misuse("`--no-healthcheck` and `--health-...` contradict each other")
        from runner.upkeep import Healthcheck

        return Healthcheck(("NONE",))
    if not any(said):
        return None
    from runner.upkeep import Healthcheck

    words = _words()
    return Healthcheck(
        ("CMD-SHELL", options.health_cmd) if options.health_cmd else (), words.nanoseconds(options.health_interval, "--health-interval"),
        words.nanoseconds(options.health_timeout, "--health-timeout"), words.nanoseconds(options.health_start_period, "--health-start-period"),
        words.nanoseconds(options.health_start_interval, "--health-start-interval"), options.health_retries or 0)


def limits_of(options: Options) -> "tuple[Limits, int]":
    """(what the options limit, CPUs in billionths)."""
    said = (options.memory, options.memory_swap, options.memory_reservation, options.memory_swappiness, options.cpus, options.cpu_shares,
            options.cpu_quota, options.cpu_period, options.cpuset_cpus, options.cpuset_mems, options.pids_limit, options.blkio_weight,
            options.device_read_bps, options.device_write_bps, options.device_read_iops, options.device_write_iops)
    if not any(one not in (None, []) for one in said):
        return NO_LIMITS, 0
    from runner.limits import cpu_quota

    words = _words()
    quota, period, nano = options.cpu_quota or 0, options.cpu_period or 0, 0
    if options.cpus:
        if quota or period:
            raise Misuse("`--cpus` and `--cpu-quota` or `--cpu-period` contradict each other")
        try:
            nano = int(float(options.cpus) * 1_000_000_000)
        except ValueError:
            raise Misuse(f"`--cpus {options.cpus}` is no number", "for example `--cpus 1.5`") from None
        if nano <= 0:
            raise Misuse(f"`--cpus {options.cpus}` is not more than 0")
        quota, period = cpu_quota(nano / 1_000_000_000)
    limits = Limits(
        memory=words.size(options.memory or "0", "--memory"), memory_swap=words.size(options.memory_swap or "0", "--memory-swap"),
        memory_reservation=words.size(options.memory_reservation or "0", "--memory-reservation"),
        swappiness=-1 if options.memory_swappiness is None else options.memory_swappiness, cpu_shares=options.cpu_shares or 0,
        cpu_quota_us=quota, cpu_period_us=period, cpuset_cpus=options.cpuset_cpus or "", cpuset_mems=options.cpuset_mems or "",
        pids=options.pids_limit or 0, io_weight=options.blkio_weight or 0,
        read_bps=words.rates(options.device_read_bps, "--device-read-bps", sizes=True),
        write_bps=words.rates(options.device_write_bps, "--device-write-bps", sizes=True),
        read_iops=words.rates(options.device_read_iops, "--device-read-iops", sizes=False),
        write_iops=words.rates(options.device_write_iops, "--device-write-iops", sizes=False))
    return limits, nano


def _security(options: Options) -> "dict[str, Any]":
    from sandbox import labels

    changes: dict[str, Any] = {"security_opt": tuple(options.security_opt)}
    for word in options.security_opt:
        key, _, value = word.replace("=", ":", 1).partition(":")
        if key == "no-new-privileges":
            changes["no_new_privileges"] = value.lower() not in ("false", "0")
        elif key == "seccomp" and value in ("unconfined", "builtin", "default"):
            changes["seccomp"] = "unconfined" if value == "unconfined" else "default"
        elif key == "seccomp":
            from sandbox.capabilities import select
            from sandbox.seccomp_json import load

            changes["seccomp"] = load(value, select(tuple(options.cap_add), tuple(options.cap_drop)))
        elif (key, value) == ("systempaths", "unconfined"):
            changes["masked"] = False
        elif key in ("label", "apparmor"):                # kept as they are (runner.lower)
            labels.of_options((word,))
        else:
            raise Misuse(f"there is no security option `{key}`", "there are seccomp, no-new-privileges, systempaths, label and apparmor")
    return changes


def _network(options: Options) -> "dict[str, Any]":
    names = options.net
    alone = next((name for name in names if name in ("none", "host") or name.startswith("container:")), "")
    if alone and len(names) > 1:
        raise Misuse(f"the network `{alone}` excludes every other one")
    single = options.ip or options.ip6 or options.mac_address or options.link_local_ip or options.net_alias or options.link
    if alone:
        if single:
            raise Misuse(f"an address or alias has no meaning on the network `{alone}`")
        return {"network_mode": alone}
    if not names and not single:
        return {}
    first, *rest = names or ["bridge"]

    endpoints = [_endpoint(first)._replace(**_address(options)), *(_endpoint(word) for word in rest)]
    return {"network_mode": endpoints[0].network, "endpoints": tuple(endpoints if (endpoints[0].network != "bridge" or rest or single) else ())}


def _address(options: Options) -> "dict[str, Any]":
    links = tuple((alias or name, name) for name, _, alias in (word.partition(":") for word in options.link))
    return {key: value for key, value in (
        ("aliases", tuple(options.net_alias)), ("ipv4_address", options.ip), ("ipv6_address", options.ip6), ("mac_address", options.mac_address),
        ("link_local_ips", tuple(options.link_local_ip)), ("links", links)) if value}


def _endpoint(word: str) -> "Endpoint":
    """`NAME`, or `name=NAME,ip=..,ip6=..,alias=..,mac-address=..,driver-opt=..,gw-priority=..`."""
    from runner.endpoint import Endpoint

    if "=" not in word:
        return Endpoint(word)
    fields: dict[str, list[str]] = {}
    for part in word.split(","):
        key, _, value = part.partition("=")
        fields.setdefault(key, []).append(value)
    known = ("name", "ip", "ip6", "alias", "mac-address", "driver-opt", "gw-priority", "link-local-ip")
    unknown = sorted(set(fields) - set(known))
    if unknown or "name" not in fields:
        raise Misuse(f"`--network {word}`: " + (f"there is no key `{unknown[0]}`" if unknown else "there is no name"), f"keys are {', '.join(known)}")
    one = {key: values[-1] for key, values in fields.items()}
    options = tuple((key, value) for key, _, value in (option.partition("=") for option in fields.get("driver-opt", ())))
    return Endpoint(one["name"], tuple(fields.get("alias", ())), one.get("ip", ""), one.get("ip6", ""), tuple(fields.get("link-local-ip", ())),
                    one.get("mac-address", ""), int(one.get("gw-priority", "0")), driver_opts=options)


def write_cidfile(path: "str | None", id: str) -> None:
    """Raises OSError; FileExistsError if there is one."""
    if path:
        with open(path, "x") as file:
            file.write(id)
