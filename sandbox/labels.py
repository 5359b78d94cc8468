"""Labels of a command for the machine's security modules: an AppArmor profile, an SELinux context. They begin with the next execve.

What enters: what a spec says, and where a process says it of itself, /proc/self/attr as a rule. A module that the machine does not use is passed
over, with a word about it, as other engines do.
"""

import os

from sandbox.errors import InvalidSpec, SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.spec import ExecSpec, SandboxSpec

APPARMOR, SELINUX = "AppArmor", "SELinux"
ATTRIBUTES = "/proc/self/attr"
_CONTEXT = {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}      # what containers have in SELinux's own policies


def modules(top: str = "") -> tuple[str, ...]:
    """Those that the machine uses. top: directory that stands for `/`."""
    found = []
    try:
        with open(f"{top}/sys/module/apparmor/parameters/enabled") as file:
            found += [APPARMOR] if file.read(1) == "Y" else []
    except OSError:
        pass                                              # not in this kernel
    if os.path.exists(f"{top}/sys/fs/selinux/enforce"):
        found.append(SELINUX)
    return tuple(found)


def of_options(words: "Sequence[str]") -> tuple[str, str]:
    """(AppArmor profile, SELinux context) that docker's security options `apparmor=..` and `label=..` ask for; "" for none. Raises InvalidSpec."""
    profile, parts, disabled = "", {}, False
    for word in words:
        key, _, value = word.replace("=", ":", 1).partition(":")
        if key == "apparmor":
            profile = "" if value == "unconfined" else value
        elif key == "label":
            name, _, wanted = value.partition(":")
            disabled = disabled or value == "disable"
            if value != "disable" and (name not in _CONTEXT or not wanted):
                raise InvalidSpec("security option", path=word, reason="is none",
                                  help="`label` takes disable, or user, role, type or level, as in `label=type:svirt_t`")
            parts[name] = wanted
    for text in (profile, *parts.values()):
        if any(sign in text for sign in "\0\n "):
            raise InvalidSpec("security option", path=text.replace("\0", "\\0"), reason="is no name of a profile or label")
    parts.pop("disable", None)
    return profile, ":".join({**_CONTEXT, **parts}.values()) if parts and not disabled else ""


def unused(spec: "SandboxSpec | ExecSpec", used: tuple[str, ...]) -> str:
    """What of `spec` has no effect on a machine that uses the modules `used`; "" if all has."""
    asked = ((APPARMOR, spec.apparmor), (SELINUX, spec.selinux))
    return "; ".join(f"the label `{label}` has no effect: this machine does not use {name}" for name, label in asked if label and name not in used)


def apply(spec: "SandboxSpec | ExecSpec", used: tuple[str, ...], attributes: str = ATTRIBUTES) -> None:
    """Have the calling process executed with the labels of `spec` next. Raises SandboxError for what the module does not know."""
    if spec.apparmor and APPARMOR in used:
        own = f"{attributes}/apparmor/exec"               # since Linux 5.8; before it, the one of all modules
        _write(own if os.path.exists(own) else f"{attributes}/exec", f"exec {spec.apparmor}", f"use the {APPARMOR} profile", spec.apparmor)
    if spec.selinux and SELINUX in used:
        _write(f"{attributes}/exec", spec.selinux, f"use the {SELINUX} label", spec.selinux)


def _write(path: str, text: str, step: str, label: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())                   # in one piece, or it is another label
        finally:
            os.close(fd)
    except OSError as error:
        raise SandboxError(step, error.errno or 0, label) from error
