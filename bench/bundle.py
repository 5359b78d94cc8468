"""An OCI bundle that asks a rival runtime for what our default sandbox is, and the small root directory that it runs in."""

import json
import os
import shutil
from pathlib import Path

from sandbox import capabilities
from sandbox.seccomp import ALLOW, ERRNO, Rule
from sandbox.seccomp_profile import default_rules

BUSYBOX = "/bin/busybox"
FLAGS = ["nosuid", "noexec", "nodev"]
MASKED = ["/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/scsi", "/proc/timer_list",
          "/sys/firmware"]


def root_directory(base: Path) -> Path:
    root = base / "root"
    for name in ("bin", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in ("true", "sleep", "sh"):
        (root / "bin" / name).symlink_to("busybox")
    return root


def write(directory: Path, root: Path, argv: list[str]) -> str:
    """The bundle in `directory`, which is made; its path."""
    held = list(capabilities.names(capabilities.DEFAULT))
    config: dict[str, object] = {
        "ociVersion": "1.0.0", "hostname": "c", "root": {"path": str(root)},
        "process": {"user": {"uid": 0, "gid": 0}, "args": argv, "env": ["PATH=/bin"], "cwd": "/",
                    "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), held)},
        "mounts": [_mount("/proc", "proc", FLAGS), _mount("/dev", "tmpfs", ["nosuid", "mode=755", "size=65536k"]),
                   _mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
                   _mount("/dev/shm", "tmpfs", [*FLAGS, "mode=1777", "size=65536k"]), _mount("/dev/mqueue", "mqueue", FLAGS),
                   _mount("/sys", "sysfs", [*FLAGS, "ro"])],
        "linux": _linux()}
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    return str(directory)


def _mount(destination: str, kind: str, options: list[str]) -> dict[str, object]:
    return {"destination": destination, "type": kind, "source": kind, "options": options}


def _linux() -> dict[str, object]:
    rules = default_rules(capabilities.DEFAULT)
    allowed = [name for name, value in rules.items() if value == (Rule(ALLOW),)]
    refused = [name for name, value in rules.items() if value == (Rule(ERRNO | 1),)]
    namespaces = [{"type": one} for one in ("pid", "network", "ipc", "uts", "mount", "cgroup")]
    found: dict[str, object] = {
        "namespaces": namespaces, "maskedPaths": MASKED, "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
                    "syscalls": [{"names": [*allowed, "clone", "socket"], "action": "SCMP_ACT_ALLOW"},
                                 {"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}}
    if os.geteuid():
        namespaces.append({"type": "user"})
        found |= {"uidMappings": [{"containerID": 0, "hostID": os.geteuid(), "size": 1}],
                  "gidMappings": [{"containerID": 0, "hostID": os.getegid(), "size": 1}]}
    return found
