"""Platforms: `linux/arm64/v8` and the other ways people write it."""

from kernel.value import Value

SYSTEMS = {"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "dragonfly", "solaris", "aix", "android", "illumos", "ios", "js",
           "plan9", "wasip1", "wasi"}
MACHINES = {"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"}
SAME = {"i386": ("386", ""), "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", ""), "armhf": ("arm", "v7"),
        "armel": ("arm", "v6")}


class Platform(Value):
    """Names as in the OCI image specification; variant and os_version are "" where there is none."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def parse_platform(text: str, default: Platform) -> Platform:
    """os[/architecture[/variant]], or an architecture alone; what is not said is the default's.

    Raises ValueError with what is wrong.
    """
    name, bracket, version = text.partition("(")
    if bracket:
        version, closing, rest = version.partition(")")
        if not closing or "/" in name:
            raise ValueError(f"`{text}` is no platform")
        name += rest
    parts = name.split("/")
    if len(parts) > 3 or not all(part and _is_name(part) for part in parts):
        raise ValueError(f"`{text}` is no platform")
    first = parts[0].lower().replace("macos", "darwin")
    if len(parts) == 1:
        if first in SYSTEMS:
            return Platform(first, default.architecture, default.variant if default.architecture == "arm" else "", version)
        machine, variant = _machine(first, "")
        if machine not in MACHINES:
            raise ValueError(f"`{text}` is neither an operating system nor an architecture")
        return Platform(default.os, machine, variant)
    machine, variant = _machine(parts[1].lower(), parts[2].lower() if len(parts) > 2 else "")
    if len(parts) == 3 and machine == "arm64" and not variant:
        variant = "v8"
    if len(parts) == 2 and machine == "arm" and variant == "v7":
        variant = ""
    return Platform(first, machine, variant, version)


def _machine(name: str, variant: str) -> tuple[str, str]:
    """An architecture by its usual name, and a variant where it is not the usual one."""
    name, implied = SAME.get(name, (name, ""))
    variant = variant or implied
    if name == "arm":
        return name, "v" + (variant.removeprefix("v") or "7") if (variant.removeprefix("v") or "7") in "5678" else variant
    if name == "arm64" and variant in ("8", "v8"):
        return name, ""
    if name == "amd64" and variant == "v1":
        return name, ""
    return name, variant


def _is_name(text: str) -> bool:
    return text.isascii() and text.replace("_", "a").replace(".", "a").replace("-", "a").isalnum()
