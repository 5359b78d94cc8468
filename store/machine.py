"""What this machine is called in images. Out: "linux/amd64"; apart from store.platform, whose documents cost milliseconds at start."""

import os

_MACHINES = {"x86_64": ("amd64", ""), "aarch64": ("arm64", "v8"), "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"), "i686": ("386", ""),
             "ppc64le": ("ppc64le", ""), "s390x": ("s390x", ""), "riscv64": ("riscv64", "")}


def local_platform_words() -> str:
    """OS/ARCH[/VARIANT]; that every arm64 is a v8 goes without saying."""
    machine = os.uname().machine
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return f"linux/{architecture}" + (f"/{variant}" if variant and architecture != "arm64" else "")
