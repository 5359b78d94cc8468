"""The attributes of a compose file: which there are, and what their values may be. Order and merging are told elsewhere."""

from runner.load.shape import ANY, FLAG, INTEGER, NULL, NUMBER, SCALAR, SIZE, TEXT, Shape, between, either, keyed, many, one_of, table, text

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_ALNUM = _NAME - frozenset("._-")


def _key(word: str) -> str:
    return "" if word and _NAME.issuperset(word) else "has other characters than letters, digits, `.`, `_` and `-`"


def _container_name(word: str) -> str:
    if len(word) > 1 and word[0] in _ALNUM and _NAME.issuperset(word):
        return ""
    return f"is `{word}`: a container's name has at least two of letters, digits, `.`, `_`, `-`, and begins with a letter or digit"


def _pull_policy(word: str) -> str:
    if word in ("always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"):
        return ""
    rest = word.removeprefix("every_")
    while rest != word and rest:
        unit = rest.lstrip("0123456789")
        if unit == rest or unit[:1] not in ("w", "d", "h", "m", "s"):
            break
        rest = unit[1:]
        if not rest:
            return ""
    return f"is `{word}`, none of `always`, `never`, `missing`, `build`, `refresh`, `daily`, `weekly`, `every_<duration>`"


def _not_negative(value: "int | float") -> str:
    return "is negative" if value < 0 else ""


def _percent(value: "int | float") -> str:
    return "" if 0 <= value <= 100 and value == int(value) else f"is {value}, not a whole number from 0 to 100"


DURATION = TEXT._replace(help="durations are written `1m30s`, `500ms`")
TEXTS = many(TEXT)
DISTINCT = many(TEXT, unique=True)
WORDS = either(TEXT, TEXTS)
PAIRS = either(TEXTS, table(either(SCALAR, NULL)))
OPTIONS = table(Shape((str, int, float)))
COMMAND = either(NULL, TEXT, TEXTS)
COUNT = INTEGER._replace(refuse=_not_negative)
HOSTS = either(TEXTS, table(WORDS))
ULIMITS = table(either(INTEGER, keyed({"soft": INTEGER, "hard": INTEGER}, "soft", "hard")))
FILE_MOUNTS = many(either(TEXT, keyed({
    "source": TEXT, "target": TEXT, "uid": TEXT, "gid": TEXT, "mode": Shape((int, str))})))
DEVICE_REQUEST = {"capabilities": DISTINCT, "count": Shape((int, str)), "device_ids": DISTINCT, "driver": TEXT, "options": PAIRS}
HOOK = {"command": COMMAND, "user": TEXT, "privileged": FLAG, "working_dir": TEXT, "environment": PAIRS}
EXTERNAL = either(FLAG, keyed({"name": TEXT}))
UPDATE = keyed({"parallelism": COUNT, "delay": DURATION, "failure_action": TEXT, "monitor": DURATION, "max_failure_ratio": NUMBER,
                "order": one_of("start-first", "stop-first")})
THROTTLES = many(keyed({"path": TEXT, "rate": Shape((int, str))}))

BUILD = keyed({
    "context": TEXT, "dockerfile": TEXT, "dockerfile_inline": TEXT, "entitlements": TEXTS, "args": PAIRS, "ssh": PAIRS, "labels": PAIRS,
    "cache_from": TEXTS, "cache_to": TEXTS, "no_cache": FLAG, "no_cache_filter": WORDS, "additional_contexts": PAIRS, "network": TEXT,
    "provenance": Shape((str, bool)), "sbom": Shape((str, bool)), "pull": FLAG, "target": TEXT, "shm_size": Shape((int, str)),
    "extra_hosts": HOSTS, "isolation": TEXT, "privileged": FLAG, "secrets": FILE_MOUNTS, "tags": TEXTS, "ulimits": ULIMITS,
    "platforms": TEXTS})

DEPLOY = keyed({
    "mode": TEXT, "endpoint_mode": TEXT, "replicas": COUNT, "labels": PAIRS, "rollback_config": UPDATE, "update_config": UPDATE,
    "resources": keyed({
        "limits": keyed({"cpus": NUMBER, "memory": TEXT, "pids": INTEGER}),
        "reservations": keyed({"cpus": NUMBER, "memory": TEXT, "devices": many(keyed(DEVICE_REQUEST, "capabilities")),
                               "generic_resources": many(keyed({"discrete_resource_spec": keyed({"kind": TEXT, "value": NUMBER})}))})}),
    "restart_policy": keyed({"condition": TEXT, "delay": DURATION, "max_attempts": COUNT, "window": DURATION}),
    "placement": keyed({"constraints": TEXTS, "preferences": many(keyed({"spread": TEXT})), "max_replicas_per_node": COUNT})})

HEALTHCHECK = keyed({"disable": FLAG, "interval": DURATION, "retries": NUMBER._replace(cast=INTEGER.cast, refuse=_not_negative),
                     "test": WORDS, "timeout": DURATION, "start_period": DURATION, "start_interval": DURATION})

WATCH = many(keyed({
    "path": TEXT, "action": one_of("rebuild", "sync", "restart", "sync+restart", "sync+exec"), "target": TEXT,
    "ignore": either(TEXT, DISTINCT), "include": either(TEXT, DISTINCT), "exec": keyed(HOOK, "command"), "initial_sync": FLAG},
    "path", "action"))

PORT = either(Shape((int, float)), TEXT, keyed({
    "name": TEXT, "mode": TEXT, "host_ip": TEXT, "target": INTEGER, "published": Shape((str, int)), "protocol": TEXT, "app_protocol": TEXT}))

VOLUME_MOUNT = either(TEXT, keyed({
    "type": one_of("bind", "volume", "tmpfs", "cluster", "npipe", "image"), "source": TEXT, "target": TEXT, "read_only": FLAG,
    "consistency": TEXT,
    "bind": keyed({"propagation": TEXT, "create_host_path": FLAG, "selinux": one_of("z", "Z"),
                   "recursive": one_of("enabled", "disabled", "writable", "readonly")}),
    "volume": keyed({"labels": PAIRS, "nocopy": FLAG, "subpath": TEXT}),
    "tmpfs": keyed({"size": Shape((int, str), None, lambda value: "" if value.__class__ is str else _not_negative(value)),
                    "mode": Shape((int, float, str))}),
    "image": keyed({"subpath": TEXT})}, "type"))

ENDPOINT = either(NULL, keyed({
    "aliases": DISTINCT, "interface_name": TEXT, "ipv4_address": TEXT, "ipv6_address": TEXT, "link_local_ips": DISTINCT, "mac_address": TEXT,
    "driver_opts": OPTIONS, "priority": NUMBER._replace(cast=INTEGER.cast), "gw_priority": NUMBER._replace(cast=INTEGER.cast)}))

DEPENDENCY = keyed({"restart": FLAG, "required": FLAG,
                    "condition": one_of("service_started", "service_healthy", "service_completed_successfully")}, "condition")

SERVICE = keyed({
    "annotations": PAIRS, "attach": FLAG, "build": either(TEXT, BUILD), "cap_add": TEXTS, "cap_drop": TEXTS,
    "blkio_config": keyed({"weight": between(0, 1000), "weight_device": many(keyed({"path": TEXT, "weight": between(0, 1000)})),
                           "device_read_bps": THROTTLES, "device_read_iops": THROTTLES, "device_write_bps": THROTTLES,
                           "device_write_iops": THROTTLES}),
    "cgroup": one_of("host", "private"), "cgroup_parent": TEXT, "command": COMMAND, "configs": FILE_MOUNTS,
    "container_name": text(_container_name), "cpu_count": COUNT, "cpu_percent": NUMBER._replace(refuse=_percent),
    "cpu_shares": NUMBER._replace(cast=INTEGER.cast), "cpu_quota": NUMBER._replace(cast=INTEGER.cast),
    "cpu_period": NUMBER._replace(cast=INTEGER.cast), "cpu_rt_period": Shape((int, float, str)), "cpu_rt_runtime": Shape((int, float, str)),
    "cpus": NUMBER, "cpuset": TEXT, "credential_spec": keyed({"config": TEXT, "file": TEXT, "registry": TEXT}),
    "depends_on": either(DISTINCT, table(DEPENDENCY, _key)), "deploy": either(NULL, DEPLOY),
    "develop": either(NULL, keyed({"watch": WATCH})), "device_cgroup_rules": DISTINCT,
    "devices": many(either(TEXT, keyed({"source": TEXT, "target": TEXT, "permissions": TEXT}, "source"))), "dns": WORDS, "dns_opt": TEXTS,
    "dns_search": WORDS, "domainname": TEXT, "entrypoint": COMMAND,
    "env_file": either(TEXT, many(either(TEXT, keyed({"path": TEXT, "format": TEXT, "required": FLAG}, "path")))), "environment": PAIRS,
    "expose": many(Shape((str, int, float))), "extends": either(TEXT, keyed({"service": TEXT, "file": TEXT}, "service")),
    "external_links": DISTINCT, "extra_hosts": HOSTS, "gpus": either(one_of("all"), many(keyed(DEVICE_REQUEST))),
    "group_add": many(Shape((str, int, float)), unique=True), "healthcheck": HEALTHCHECK, "hostname": TEXT, "image": TEXT, "init": FLAG,
    "ipc": TEXT, "isolation": TEXT, "label_file": WORDS, "labels": PAIRS, "links": TEXTS,
    "logging": keyed({"driver": TEXT, "options": table(Shape((str, int, float, type(None))))}), "mac_address": TEXT, "mem_limit": SIZE,
    "mem_reservation": Shape((int, str)), "mem_swappiness": INTEGER, "memswap_limit": SIZE,
    "models": either(DISTINCT, table(either(NULL, keyed({"endpoint_var": TEXT, "model_var": TEXT})), _key)), "network_mode": TEXT,
    "networks": either(DISTINCT, table(ENDPOINT, _key)), "oom_kill_disable": FLAG, "oom_score_adj": between(-1000, 1000),
    "pid": either(TEXT, NULL), "pids_limit": NUMBER._replace(cast=INTEGER.cast), "platform": TEXT, "ports": many(PORT),
    "post_start": many(keyed(HOOK, "command")), "pre_start": many(keyed({**HOOK, "image": TEXT, "per_replica": FLAG}, "command")),
    "pre_stop": many(keyed(HOOK, "command")), "privileged": FLAG, "profiles": TEXTS,
    "provider": keyed({"type": TEXT, "options": table(either(SCALAR, many(SCALAR)))}, "type"), "pull_policy": text(_pull_policy),
    "pull_refresh_after": DURATION, "read_only": FLAG, "restart": TEXT, "runtime": TEXT, "scale": COUNT, "secrets": FILE_MOUNTS,
    "security_opt": DISTINCT, "shm_size": SIZE, "stdin_open": FLAG, "stop_grace_period": DURATION, "stop_signal": TEXT,
    "storage_opt": table(either(SCALAR, NULL)), "sysctls": PAIRS, "tmpfs": WORDS, "tty": FLAG, "ulimits": ULIMITS, "use_api_socket": FLAG,
    "user": TEXT, "userns_mode": TEXT, "uts": TEXT, "volumes": many(VOLUME_MOUNT), "volumes_from": DISTINCT, "working_dir": TEXT})

NETWORK = either(NULL, keyed({
    "name": TEXT, "driver": TEXT, "driver_opts": OPTIONS, "external": EXTERNAL, "internal": FLAG, "enable_ipv4": FLAG, "enable_ipv6": FLAG,
    "attachable": FLAG, "labels": PAIRS,
    "ipam": keyed({"driver": TEXT, "options": table(TEXT),
                   "config": many(keyed({"subnet": TEXT, "ip_range": TEXT, "gateway": TEXT, "aux_addresses": table(TEXT)}))})}))
VOLUME = either(NULL, keyed({"name": TEXT, "driver": TEXT, "driver_opts": OPTIONS, "external": EXTERNAL, "labels": PAIRS}))
SECRET = keyed({"name": TEXT, "environment": TEXT, "file": TEXT, "external": EXTERNAL, "labels": PAIRS, "driver": TEXT,
                "driver_opts": OPTIONS, "template_driver": TEXT})
CONFIG = keyed({"name": TEXT, "content": TEXT, "environment": TEXT, "file": TEXT, "external": EXTERNAL, "labels": PAIRS,
                "template_driver": TEXT})
MODEL = keyed({"name": TEXT, "model": TEXT, "context_size": INTEGER, "runtime_flags": TEXTS}, "model")

INCLUDE = many(either(TEXT, keyed({"path": WORDS, "env_file": WORDS, "project_directory": TEXT})))
FILE = keyed({"version": TEXT, "name": TEXT, "include": either(NULL, INCLUDE), "services": table(SERVICE, _key), "models": table(MODEL, _key),
              "networks": table(NETWORK, _key), "volumes": table(VOLUME, _key), "secrets": table(SECRET, _key),
              "configs": table(CONFIG, _key)})

__all__ = ["ANY", "FILE", "SERVICE"]
