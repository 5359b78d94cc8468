"""A SandboxSpec as the config.json of an OCI runtime bundle: equal namespaces, mounts, capabilities, seccomp and limits. Pure.

What enters: the spec, who the process is to be, and where the caller has put what only we can mount (files in memory, stacked layers). What leaves:
JSON as a dict. Source: OCI runtime-spec 1.0.2, config.md and config-linux.md.
"""

from sandbox import capabilities
from sandbox.account import Account
from sandbox.errors import InvalidSpec
from sandbox.machine import HIDDEN, READ_ONLY
from sandbox.namespaces import held_by
from sandbox.seccomp import ALLOW, EPERM, ERRNO, Rule
from sandbox.seccomp_profile import default_rules
from sandbox.spec import Bind, Overlay, SandboxSpec, Tmpfs, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Json = dict[str, Any]

_SAFE = ["nosuid", "noexec", "nodev"]
_KINDS = (("pid", "pid"), ("network", "network"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup_namespace", "cgroup"))
_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_FAMILIES = [family for family in range(64) if family not in (38, 40)]            # of sockets: neither AF_ALG nor AF_VSOCK
_INT = 0xFFFFFFFF                                         # libseccomp compares 64 bits of what the kernel takes 32 of
_OPERATORS = {"eq": "SCMP_CMP_EQ", "ne": "SCMP_CMP_NE", "lt": "SCMP_CMP_LT", "le": "SCMP_CMP_LE", "gt": "SCMP_CMP_GT", "ge": "SCMP_CMP_GE"}


def config(spec: SandboxSpec, who: Account, places: "Mapping[str, str]", machine: str) -> "Json":
    """places: target of a WriteFile or an Overlay -> the path that is bound there; the root is `rootfs` beside the file. machine: as uname says.

    Raises InvalidSpec for what a bundle cannot say.
    """
    if not isinstance(spec.seccomp, str):
        raise InvalidSpec("a seccomp profile", reason="of its own cannot be put into a bundle")
    held = list(capabilities.names(held_by(spec)))
    inside = list(capabilities.names(held_by(spec) if not who.uid else spec.ambient))
    environment = dict(spec.env)
    environment.setdefault("HOME", who.home)
    process: Json = {
        "terminal": spec.terminal is not None, "args": list(spec.argv), "env": [f"{name}={value}" for name, value in environment.items()],
        "cwd": spec.cwd, "user": {"uid": who.uid, "gid": who.gid, "additionalGids": list(who.groups), "umask": spec.umask},
        "capabilities": {"bounding": held, "effective": inside, "permitted": inside},
        "rlimits": [{"type": f"RLIMIT_{one.name.upper()}", "soft": _unsigned(one.soft), "hard": _unsigned(one.hard)} for one in spec.rlimits],
        "noNewPrivileges": spec.no_new_privileges, "oomScoreAdj": spec.oom_score_adj}
    process |= {key: label for key, label in (("apparmorProfile", spec.apparmor), ("selinuxLabel", spec.selinux)) if label}
    found: Json = {
        "ociVersion": "1.0.2", "process": process, "root": {"path": "rootfs", "readonly": spec.readonly_root},
        "mounts": [*_system(spec), *(_mount(operation, places) for operation in spec.mounts)], "linux": _linux(spec, machine)}
    if spec.hostname and spec.uts == "private":
        found["hostname"] = spec.hostname
    return found


def _unsigned(value: int) -> int:
    return value if value >= 0 else (1 << 64) - 1


def _system(spec: SandboxSpec) -> "list[Json]":
    readonly = [] if spec.privileged else ["ro"]
    return [
        _of("/proc", "proc", _SAFE), _of("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _of("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        *((_of("/dev/shm", "tmpfs", [*_SAFE, "mode=1777", f"size={spec.shm_size}"]),) if spec.shm_size else ()), _of("/dev/mqueue", "mqueue", _SAFE),
        _of("/sys", "sysfs", [*_SAFE, *readonly])]


def _of(target: str, kind: str, options: list[str]) -> "Json":
    return {"destination": target, "type": kind, "source": kind, "options": options}


def _source(bind: Bind) -> str:
    assert isinstance(bind.source, str)
    return f"{bind.source}/{bind.below.strip('/')}" if bind.below else bind.source


def _mount(operation: object, places: "Mapping[str, str]") -> "Json":
    match operation:
        case Bind():
            options = ["rbind" if operation.recursive else "bind", f"r{operation.propagation}", "ro" if operation.readonly else "rw"]
            options += [name for name, wanted in (("nosuid", operation.nosuid), ("nodev", operation.nodev), ("noexec", operation.noexec)) if wanted]
            return {"destination": operation.target, "type": "bind", "source": _source(operation), "options": options}
        case Tmpfs():
            options = ["nodev", f"mode={operation.mode:o}", *(["noexec"] if operation.noexec else []), *(["nosuid"] if operation.nosuid else [])]
            options += [f"size={operation.size_bytes}"] if operation.size_bytes else []
            return _of(operation.target, "tmpfs", [*options, "ro" if operation.readonly else "rw"])
        case WriteFile() | Overlay():
            options = ["rbind", "nodev", "ro" if operation.readonly else "rw"]
            return {"destination": operation.target, "type": "bind", "source": places[operation.target], "options": options}
    raise InvalidSpec("a mount", path=getattr(operation, "target", ""), reason="cannot be put into a bundle")


def _linux(spec: SandboxSpec, machine: str) -> "Json":
    found: Json = {"namespaces": [{"type": "mount"}, *({"type": kind} for name, kind in _KINDS if getattr(spec, name) != "host")],
                   "resources": _resources(spec), "sysctl": dict(spec.sysctls)}
    if spec.masked and not spec.privileged:
        found["maskedPaths"] = [f"/{path}" for path in HIDDEN]
        found["readonlyPaths"] = [f"/{path}" for path in READ_ONLY]
    if spec.seccomp == "default" and not spec.privileged:
        found["seccomp"] = _seccomp(held_by(spec), machine)
    return found


def _resources(spec: SandboxSpec) -> "Json":
    limits = spec.limits
    memory = {"limit": limits.memory, "swap": limits.memory_swap, "reservation": limits.memory_reservation}
    cpu = {"shares": limits.cpu_shares, "quota": limits.cpu_quota_us, "period": limits.cpu_period_us, "cpus": limits.cpuset_cpus,
           "mems": limits.cpuset_mems}
    found: Json = {"memory": _said(memory), "cpu": _said(cpu), "pids": _said({"limit": limits.pids})}
    return _said(found)


def _said(values: "Json") -> "Json":
    return {name: value for name, value in values.items() if value}


def _seccomp(held: int, machine: str) -> "Json":
    """Our profile in libseccomp's words. It knows no order of rules: of a call with conditions only the permitted cases are said."""
    rules = default_rules(held)
    del rules["socket"]
    allowed = [name for name, value in rules.items() if value == (Rule(ALLOW),)]
    refused = [name for name, value in rules.items() if value == (Rule(ERRNO | EPERM),)]
    calls: list[Json] = [{"names": allowed, "action": "SCMP_ACT_ALLOW"}, {"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}]
    cases = [("socket", {"index": 0, "value": _INT, "valueTwo": family, "op": "SCMP_CMP_MASKED_EQ"}) for family in _FAMILIES]
    cases += [(name, _argument(rule)) for name, value in rules.items() for rule in value if rule.action == ALLOW and rule.conditions]
    calls += [{"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]} for name, argument in cases]
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": [_ARCHITECTURES[machine]], "syscalls": calls}


def _argument(rule: Rule) -> "Json":
    (condition,) = rule.conditions
    if condition.operator == "masked":
        return {"index": condition.argument, "value": condition.mask, "valueTwo": condition.value, "op": "SCMP_CMP_MASKED_EQ"}
    return {"index": condition.argument, "value": condition.value, "op": _OPERATORS[condition.operator]}
