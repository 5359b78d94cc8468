"""All there is to know of a container, as a document with the Engine API's names. In: a container with its state; out: what becomes JSON."""

from runner.container import Container, Mount, process_of
from runner.endpoint import Connection
from runner.membership import Memberships
from runner.moment import time_text
from runner.state import State
from runner.upkeep import DEAD, PAUSED, RESTARTING, Healthcheck
from runner.volume import Volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.endpoint import PortMapping
    from runner.engine import Engine

    Document = dict[str, Any]

MASKED = ("/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap")
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def inspect(engine: "Engine", container: Container, *, size: bool = False) -> "Document":
    state, place = Memberships(engine).apply(container, engine.state(container)), engine.place(container.id)
    process = process_of(container.spec, container.runtime)
    document: Document = {
        "Id": container.id, "Created": time_text(container.created), "Path": process.argv[0], "Args": list(process.argv[1:]), "State": _state(state),
        "Image": container.image_id, "ResolvConfPath": f"{place.path}/resolv.conf", "HostnamePath": f"{place.path}/hostname",
        "HostsPath": f"{place.path}/hosts", "LogPath": place.log, "Name": f"/{container.name}", "RestartCount": state.restarts,
        "Driver": "overlay2", "Platform": "linux", "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": "", "ExecIDs": None,
        "HostConfig": _host_config(container), "GraphDriver": {"Name": "overlay2", "Data": {
            "LowerDir": ":".join(container.runtime.lowerdirs), "UpperDir": place.fs, "WorkDir": place.work}},
        "Mounts": [_mount(engine, mount) for mount in container.spec.mounts], "Config": _config(container),
        "NetworkSettings": _network(container, state)}
    if size:
        from runner.usage import sizes

        document["SizeRw"], document["SizeRootFs"] = sizes(engine, container)
    return document


def inspect_volume(engine: "Engine", volume: Volume) -> "Document":
    return {"CreatedAt": time_text(volume.created), "Driver": volume.driver, "Labels": dict(volume.labels) or None,
            "Mountpoint": engine.volumes.path(volume.name), "Name": volume.name, "Options": dict(volume.options) or None, "Scope": "local"}


def _state(state: State) -> "Document":
    found: Document = {
        "Status": state.status, "Running": state.is_running, "Paused": state.status == PAUSED, "Restarting": state.status == RESTARTING,
        "OOMKilled": state.oom_killed, "Dead": state.status == DEAD, "Pid": state.pid, "ExitCode": state.exit_code, "Error": state.error,
        "StartedAt": time_text(state.started_at), "FinishedAt": time_text(state.finished_at)}
    if state.health:
        found["Health"] = {"Status": state.health.status, "FailingStreak": state.health.failing_streak, "Log": [
            {"Start": time_text(probe.start), "End": time_text(probe.end), "ExitCode": probe.exit_code, "Output": probe.output}
            for probe in state.health.log]}
    return found


def _config(container: Container) -> "Document":
    spec, process = container.spec, process_of(container.spec, container.runtime)
    found: Document = {
        "Hostname": spec.hostname or ("" if spec.network_mode.startswith("container:") else container.short_id), "Domainname": spec.domainname,
        "User": process.user, "AttachStdin": spec.attach_stdin, "AttachStdout": spec.attach_stdout, "AttachStderr": spec.attach_stderr,
        "Tty": spec.tty, "OpenStdin": spec.open_stdin, "StdinOnce": spec.stdin_once, "Env": list(process.env), "Cmd": list(process.cmd) or None,
        "Image": spec.image, "Volumes": {mount.target: {} for mount in spec.mounts if mount.anonymous} or None,
        "WorkingDir": spec.working_dir or container.runtime.cwd, "Entrypoint": list(process.entrypoint) or None, "OnBuild": None,
        "Labels": dict(process.labels)}
    if process.exposed:
        found["ExposedPorts"] = {port: {} for port in process.exposed}
    if spec.stop_signal or container.runtime.stop_signal:
        found["StopSignal"] = process.stop_signal
    if spec.stop_timeout >= 0:
        found["StopTimeout"] = spec.stop_timeout
    if process.healthcheck or (spec.healthcheck and spec.healthcheck.test):
        found["Healthcheck"] = _healthcheck(process.healthcheck or Healthcheck(("NONE",)))
    return found


def _healthcheck(check: Healthcheck) -> "Document":
    found: Document = {"Test": list(check.test)}
    names = (("Interval", check.interval), ("Timeout", check.timeout), ("StartPeriod", check.start_period), ("StartInterval", check.start_interval),
             ("Retries", check.retries))
    return found | {name: value for name, value in names if value}


def _host_config(container: Container) -> "Document":
    spec, limits = container.spec, container.spec.limits
    network = spec.network_mode if spec.network_mode != "default" or not spec.endpoints else spec.endpoints[0].network
    rates = (("BlkioDeviceReadBps", limits.read_bps), ("BlkioDeviceWriteBps", limits.write_bps), ("BlkioDeviceReadIOps", limits.read_iops),
             ("BlkioDeviceWriteIOps", limits.write_iops))
    return {
        "Binds": [_bind(mount) for mount in spec.mounts if mount.kind == "bind" or (mount.kind == "volume" and not mount.anonymous)] or None,
        "ContainerIDFile": "", "LogConfig": {"Type": spec.log.driver, "Config": dict(spec.log.options)}, "NetworkMode": network,
        "PortBindings": _bindings(spec.ports), "RestartPolicy": {"Name": spec.restart.name, "MaximumRetryCount": spec.restart.maximum},
        "AutoRemove": spec.auto_remove, "VolumeDriver": spec.volume_driver, "VolumesFrom": list(spec.volumes_from) or None,
        "ConsoleSize": list(spec.console_size), "CapAdd": list(spec.cap_add) or None, "CapDrop": list(spec.cap_drop) or None,
        "CgroupnsMode": spec.cgroupns_mode or "private", "Dns": list(spec.dns), "DnsOptions": list(spec.dns_options),
        "DnsSearch": list(spec.dns_search), "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts] or None,
        "GroupAdd": list(spec.group_add) or None, "IpcMode": spec.ipc_mode or "private", "Cgroup": "", "Links": None,
        "OomScoreAdj": spec.oom_score_adj, "PidMode": spec.pid_mode, "Privileged": spec.privileged, "PublishAllPorts": spec.publish_all,
        "ReadonlyRootfs": spec.read_only, "SecurityOpt": list(spec.security_opt) or None, "StorageOpt": dict(spec.storage_options) or None,
        "Tmpfs": {mount.target: ",".join(mount.options) for mount in spec.mounts if mount.kind == "tmpfs"} or None,
        "UTSMode": spec.uts_mode, "UsernsMode": spec.userns_mode, "ShmSize": spec.shm_size or 64 << 20, "Sysctls": dict(spec.sysctls) or None,
        "Runtime": spec.runtime or "pybuild", "Isolation": "", "Annotations": dict(spec.annotations) or None,
        "CpuShares": limits.cpu_shares, "Memory": limits.memory, "NanoCpus": spec.nano_cpus, "CgroupParent": spec.cgroup_parent,
        "BlkioWeight": limits.io_weight, "BlkioWeightDevice": [],
        **{name: [{"Path": path, "Rate": rate} for path, rate in value] for name, value in rates},
        "CpuPeriod": 0 if spec.nano_cpus else limits.cpu_period_us, "CpuQuota": 0 if spec.nano_cpus else limits.cpu_quota_us,
        "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": limits.cpuset_cpus, "CpusetMems": limits.cpuset_mems,
        "Devices": [{"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.permissions} for one in spec.devices],
        "DeviceCgroupRules": list(spec.device_cgroup_rules) or None, "DeviceRequests": None, "MemoryReservation": limits.memory_reservation,
        "MemorySwap": limits.memory_swap or 2 * limits.memory, "MemorySwappiness": None if limits.swappiness < 0 else limits.swappiness,
        "OomKillDisable": spec.oom_kill_disable, "Init": spec.init or None, "PidsLimit": limits.pids or None,
        "Ulimits": [{"Name": one.name, "Soft": one.soft, "Hard": one.hard} for one in spec.ulimits], "CpuCount": 0, "CpuPercent": 0,
        "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
        "MaskedPaths": list(MASKED) if spec.masked and not spec.privileged else None,
        "ReadonlyPaths": list(READ_ONLY) if spec.masked and not spec.privileged else None}


def _bind(mount: Mount) -> str:
    options = [word for word in ("ro" if mount.readonly else "", mount.propagation, "nocopy" if mount.nocopy else "") if word]
    return ":".join((mount.source, mount.target, *((",".join(options),) if options else ())))


def _mount(engine: "Engine", mount: Mount) -> "Document":
    source = mount.source
    found: Document = {"Type": mount.kind}
    if mount.kind == "volume":
        found["Name"], source = mount.source, engine.volumes.path(mount.source)
    if mount.kind == "volume":
        found["Driver"] = mount.driver or "local"
    mode = "z" if mount.kind == "volume" else ",".join(word for word in ("ro" if mount.readonly else "", mount.propagation) if word)
    return {**found, "Source": "" if mount.kind == "tmpfs" else source, "Destination": mount.target, "Mode": mode, "RW": not mount.readonly,
            "Propagation": (mount.propagation or "rprivate") if mount.kind == "bind" else ""}


def _bindings(ports: "tuple[PortMapping, ...]") -> "Document":
    found: Document = {}
    for port in ports:
        host = "" if not port.host_port else str(port.host_port) if not port.host_port_last else f"{port.host_port}-{port.host_port_last}"
        found.setdefault(f"{port.container_port}/{port.protocol}", []).append({"HostIp": port.host_ip, "HostPort": host})
    return found


def _network(container: Container, state: State) -> "Document":
    connections = state.connections if state.is_running else ()
    networks = {one.network: _endpoint(one) for one in connections}
    if not networks:
        mode = container.spec.network_mode
        names = [endpoint.network for endpoint in container.spec.endpoints] or ([mode] if mode in ("none", "host") else [])
        networks = {name: _endpoint(None) for name in names}
    ports: Document = dict.fromkeys(process_of(container.spec, container.runtime).exposed) if state.is_running else {}
    if state.is_running:
        ports |= _bindings(tuple(port._replace(host_ip=port.host_ip or "0.0.0.0") for port in state.ports))
    first = next((one for one in connections if one.network == "bridge"), None)
    alone = _endpoint(first)
    return {
        "Bridge": "", "SandboxID": container.id if connections else "", "SandboxKey": f"/proc/{state.pid}/ns/net" if state.pid else "",
        "Ports": ports, "HairpinMode": False, "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None, "SecondaryIPv6Addresses": None,
        **{key: alone[key] for key in ("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway",
                                       "MacAddress")},
        "Networks": networks}


def _endpoint(one: "Connection | None") -> "Document":
    one = one or Connection("", "", "", "", "")
    return {"IPAMConfig": None, "Links": None, "Aliases": list(one.aliases) or None, "MacAddress": one.mac_address, "NetworkID": one.network_id,
            "EndpointID": one.endpoint_id, "Gateway": one.ipv4_gateway, "IPAddress": one.ipv4_address, "IPPrefixLen": one.ipv4_prefix,
            "IPv6Gateway": one.ipv6_gateway, "GlobalIPv6Address": one.ipv6_address, "GlobalIPv6PrefixLen": one.ipv6_prefix, "DriverOpts": None,
            "GwPriority": 0, "DNSNames": list(one.dns_names) or None}
