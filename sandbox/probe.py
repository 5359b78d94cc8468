"""What this machine allows, found out by doing it in a child: the rows of `pybuild doctor`, each with the one command that would allow more."""

import marshal
import os

from kernel import landlock
from kernel.syscalls import (
    AT_FDCWD,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    MS_PRIVATE,
    MS_REC,
    capget,
    clone3,
    mount,
    move_mount,
    unshare,
)
from kernel.value import Value
from sandbox import cgroup, userns
from sandbox.capabilities import SYS_ADMIN
from sandbox.errors import SandboxError
from sandbox.isolation import lacking_capabilities
from sandbox.overlay import open_root
from sandbox.spec import Overlay
from sandbox.tree import SECURE, new_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

YES, LIMITED, NO = "yes", "limited", "no"


class Finding(Value):
    """subject: what was asked; verdict: YES, LIMITED or NO; detail: in half a sentence; remedy: a command line, "" if there is none to give."""

    subject: str
    verdict: str
    detail: str
    remedy: str = ""


def probe(directory: str) -> tuple[Finding, ...]:
    """All findings for the calling user. directory: an existing one on the file system where layers are kept, for scratch."""
    return (*_namespaces(directory), _cgroups(directory), _seccomp(), _landlock(), isolation())


def refusal() -> str:
    """Why sandboxes cannot have namespaces and mounts of their own here; "" if they can."""
    return _in_child(_become_isolated)


def isolation() -> Finding:
    """How steps of a build would be kept apart."""
    refused = refusal()
    if not refused:
        return Finding("isolation", YES, "namespace: each step of a build has namespaces and mounts of its own")
    if lacking := lacking_capabilities():
        return Finding("isolation", NO, f"none, so RUN cannot be had: no namespaces, and no {lacking[0]} for chroot", _remedy())
    return Finding("isolation", LIMITED, "chroot: steps of a build, and containers, share this machine's network and process numbers", _remedy())


def mode() -> str:
    """How sandboxes would run for the calling user: "root", "full", "single" or "none"."""
    if not os.geteuid():
        return "root" if _in_child(_become_isolated) == "" else "none"
    made = _in_child(userns.create)
    return made if made in ("full", "single") else "none"


def _namespaces(directory: str) -> tuple[Finding, ...]:
    found = []
    if os.geteuid():
        made = _in_child(userns.create)
        if made not in ("full", "single"):
            return (Finding("user namespaces", NO, made, _remedy()),)
        found.append(Finding("user namespaces", YES, "root of its own for an ordinary user", ""))
        found.append(_subordinate_ids(made))
    refused = _in_child(_become_isolated)
    if refused:
        return (*found, Finding("namespaces and mounts", NO, refused, _remedy()))
    found.append(Finding("namespaces and mounts", YES, "mount, pid, network, ipc, uts; /proc, /sys and tmpfs"))
    refused = _in_child(lambda: _try_overlay(directory))
    found.append(Finding("overlay", NO, refused, "") if refused else Finding("overlay", YES, f"layers are stacked on `{directory}`"))
    return tuple(found)


def _subordinate_ids(made: str) -> Finding:
    if made == "full":
        return Finding("subordinate ids", YES, "files and processes of many owners")
    name = userns.name_of(os.geteuid())
    if not all(userns.helper(one) for one in ("newuidmap", "newgidmap")):
        return Finding("subordinate ids", LIMITED, "newuidmap and newgidmap are not installed: a single id is mapped", "sudo apt-get install uidmap")
    return Finding("subordinate ids", LIMITED, f"/etc/subuid and /etc/subgid give none to `{name}`: a single id is mapped",
                   f"sudo usermod --add-subuids 524288-589823 --add-subgids 524288-589823 {name}")


def _remedy() -> str:
    """The one command that would allow namespaces: in a container whoever starts it decides, else a setting that forbids them is turned."""
    if in_container() or not (os.geteuid() or capget()[0] & SYS_ADMIN):
        return "docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined .."
    if not os.geteuid():
        return ""
    for name, forbids, allows in (("kernel.unprivileged_userns_clone", "0", "1"), ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
                                  ("user.max_user_namespaces", "0", "15000")):
        try:
            with open(f"/proc/sys/{name.replace('.', '/')}") as file:
                value = file.read().strip()
        except OSError:
            continue
        if value == forbids:
            return f"sudo sysctl -w {name}={allows}"
    return ""


def in_container() -> bool:
    """Whether this is a container of docker, podman or the like, as they mark them."""
    if os.environ.get("container") or os.environ.get("KUBERNETES_SERVICE_HOST"):  # noqa: SIM112  (systemd's word is in small letters)
        return True
    return os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv")


def _cgroups(directory: str) -> Finding:
    found = cgroup.look(cgroup.name_of(directory))
    wanted = {"cpu", "memory", "pids"}
    if wanted <= found.controllers:
        return Finding("limits", YES, f"cgroups version {found.version}: {', '.join(sorted(found.controllers))}")
    delegable = cgroup.hierarchies() == ("",) and os.path.exists("/run/systemd/system")      # of version 1 systemd hands no controller to users
    remedy = "sudo loginctl enable-linger $USER" if os.geteuid() and delegable else ""
    if found.controllers:
        missing = ", ".join(sorted(wanted - found.controllers))
        return Finding("limits", LIMITED, f"cgroups version {found.version} without {missing}", remedy)
    return Finding("limits", NO, found.reason, remedy)


def _seccomp() -> Finding:
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail") as file:
            actions = file.read().split()
    except OSError:
        return Finding("seccomp", NO, "this kernel has no filters for system calls")
    if "user_notif" in actions:
        return Finding("seccomp", YES, "system calls are filtered")
    return Finding("seccomp", LIMITED, "system calls are filtered; none can be answered in place of the kernel")


def _landlock() -> Finding:
    abi = landlock.version()
    if not abi:
        return Finding("landlock", NO, "this kernel has none, or it is not among its `lsm=`")
    if abi < landlock.SCOPES_ABI:
        return Finding("landlock", LIMITED, f"version {abi}: guards files, not signals: those are looked at one by one")
    return Finding("landlock", YES, f"version {abi}: guards files, signals and abstract sockets where there are no namespaces")


# ---------------------------------------------------------------- what is tried, in a child
def _in_child(attempt: "Callable[[], str]") -> str:
    """What `attempt` returns in a fork; the text of what it raises."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        answer = "it ended without a word"
        try:
            answer = attempt()
        except (SandboxError, OSError) as error:
            answer = str(error)
        finally:
            os.write(write, marshal.dumps(answer))
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    said: Any = marshal.loads(data) if data else "it ended without a word"
    return str(said)


def _become_isolated() -> str:
    """Everything a sandbox is born with; "" if it can be had."""
    if os.geteuid():
        userns.create()
    unshare(CLONE_NEWNS)
    mount(None, b"/", None, MS_REC | MS_PRIVATE)
    pid, _ = clone3(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    if not pid:
        try:
            _mount_system()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        return "mount /proc and /sys: not permitted in a new pid and network namespace"
    return ""


def _mount_system() -> None:
    stage = new_mount(b"tmpfs", SECURE)
    move_mount(stage, AT_FDCWD, b"/tmp")
    for name in (b"proc", b"sysfs"):
        os.mkdir(name, dir_fd=stage)
        move_mount(new_mount(name, SECURE), stage, name)


def _try_overlay(directory: str) -> str:
    """Mount an overlay there; "" if it can be done."""
    import shutil
    import tempfile
    base = tempfile.mkdtemp(prefix="probe-", dir=directory)
    try:
        for name in ("lower", "upper", "work"):
            os.mkdir(f"{base}/{name}")
        if os.geteuid():
            userns.create()
            unshare(CLONE_NEWNS)
            rootless = True
        else:
            rootless = userns.is_inside()
        os.close(open_root(Overlay((f"{base}/lower",), f"{base}/upper", f"{base}/work"), rootless))
        return ""
    finally:
        shutil.rmtree(base, ignore_errors=True)
