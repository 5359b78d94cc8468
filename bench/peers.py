"""The builders and engines that are measured, as commands: ours first, then each docker daemon that answers, then buildah.

BENCH_DOCKER_HOSTS names several daemons ("BuildKit 20.10=unix:///a.sock;BuildKit 26.1=unix:///b.sock"); without it DOCKER_HOST's is taken.
BENCH_BUSYBOX is an archive of the busybox image that every peer has as `busybox:latest`.
"""

import os
import subprocess
from pathlib import Path

import harness

BUSYBOX = os.environ.get("BENCH_BUSYBOX", "/var/tmp/pybuild-bench/images/busybox.tar")
_SCRATCH = os.environ.get("BENCH_SCRATCH") or None


def dockers() -> dict[str, str]:
    """Address of each daemon that answers, by the name to show it under."""
    given = os.environ.get("BENCH_DOCKER_HOSTS", "")
    hosts = dict(entry.partition("=")[::2] for entry in given.split(";") if entry) or {"docker": os.environ.get("DOCKER_HOST", "")}
    client = harness.program("docker")
    return {name: host for name, host in hosts.items()
            if client and subprocess.run([client, *_host(host), "version"], capture_output=True).returncode == 0}


def docker(host: str) -> list[str]:
    return [harness.program("docker") or "docker", *_host(host)]


def _host(host: str) -> list[str]:
    return ["--host", host] if host else []


def our_store(root: Path) -> list[str]:
    """argv of our builder with a store of its own that has busybox in it."""
    ours = [harness.ours("pybuild"), "--root", str(root)]
    harness.measure([*ours, "load", "-i", BUSYBOX])
    return ours


def builders(root: Path, context: Path, *options: str, buildah: bool = True, tag: str = "bench") -> dict[str, list[str]]:
    """A whole build command of each peer, quiet, of the same context; options are such as all of them know."""
    found = {"pybuild": [*our_store(root), "build", "-q", "-t", tag, *options, str(context)]}
    for name, host in dockers().items():
        found[f"{name} (BuildKit)" if name == "docker" else name] = [*docker(host), "build", "-q", "-t", tag, *options, str(context)]
    if buildah and (program := harness.program("buildah")):
        found["buildah"] = [program, "--runtime", "/usr/sbin/runc", "bud", "-q", "--layers", "-t", tag, *options, str(context)]
    return found


ENV = {"DOCKER_BUILDKIT": "1"}


def scratch() -> str | None:
    """Where contexts and our store are made: BENCH_SCRATCH (a journaled loop image, say) or the default temporary directory."""
    return _SCRATCH
