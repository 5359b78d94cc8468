"""How build steps are kept apart from the machine: in namespaces, or, where none can be made, in a changed root below Landlock and seccomp.

What enters: the kind that is wished for. What leaves: the kind that there will be, and why it is not the better one. Found out by doing, but only
where the cheap signs say that it could matter: a machine on which root may do everything is not asked again for each build.
"""

import os

from kernel.syscalls import capget
from kernel.value import Value
from sandbox.capabilities import SYS_ADMIN, bit
from sandbox.errors import CommandFailed, InvalidSpec, SandboxError, UserMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.client import Running, Spawner
    from sandbox.spec import SandboxSpec

AUTO, NAMESPACE, CHROOT, NONE = "auto", "namespace", "chroot", "none"
KINDS = (AUTO, NAMESPACE, CHROOT)
_NEEDED = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "SYS_CHROOT")      # of docker's default set: for a changed root


class Isolation(Value):
    """kind: NAMESPACE, CHROOT or NONE (RUN cannot be had); reason: why it is not a better one, "" if it is the best or was wished for."""

    kind: str
    reason: str = ""


def choose(wanted: str = AUTO, refused: "Callable[[], str] | None" = None) -> Isolation:
    """What `wanted` comes to here. refused: tries namespaces, and says why there are none. Raises SandboxError for one that cannot be had."""
    if wanted == NAMESPACE or (wanted == AUTO and _looks_able()):
        return Isolation(NAMESPACE)
    lacking = lacking_capabilities()
    if wanted == CHROOT:
        if lacking:
            raise SandboxError("isolate by chroot", reason=f"that takes {', '.join(lacking)}, which this process does not have")
        return Isolation(CHROOT)
    why = (refused or _refused)()
    if not why:
        return Isolation(NAMESPACE)
    return Isolation(NONE, f"{why}; chroot takes {', '.join(lacking)}") if lacking else Isolation(CHROOT, why)


_found: "dict[str, Isolation]" = {}


def of_containers(wanted: str = "") -> Isolation:
    """How a container is to run: `wanted` is CHROOT or "". Raises SandboxError if it cannot. Where namespaces look possible they are not tried:
    root is asked for a system call, and a user has been told."""
    if wanted != CHROOT and not may_lack_namespaces():
        return Isolation(NAMESPACE)
    found = _found[wanted] = _found.get(wanted) or choose(wanted or AUTO)       # finding out takes a fork
    if found.kind == NONE:
        raise SandboxError("run containers", reason=found.reason, help="`pybuild doctor` shows what would allow it")
    return found


def may_lack_namespaces() -> bool:
    """A cheap sign of it, of root only."""
    return not (os.geteuid() or _looks_able())


def lacking_capabilities() -> tuple[str, ...]:
    """Names of what isolation by chroot needs and this process does not have."""
    held = capget()[0]
    return tuple(f"CAP_{name}" for name in _NEEDED if not held & bit(name))


def _looks_able() -> bool:
    return not os.geteuid() and bool(capget()[0] & SYS_ADMIN)


def _refused() -> str:
    from sandbox.probe import refusal

    return refusal()


class Cautious:
    """Spawns with namespaces; where it turns out that there are none, as `fallback` does from then on, and says so.

    fallback: given why there are none, what spawns instead; raises SandboxError if there is nothing.
    """

    __slots__ = ("_client", "_connect", "_fallback", "_instead")

    def __init__(self, connect: "Callable[[], Spawner]", fallback: "Callable[[str], Spawner]") -> None:
        self._connect, self._fallback = connect, fallback
        self._client: Spawner | None = None
        self._instead: Spawner | None = None

    def dial(self) -> None:
        if self._client is not None:
            self._client.dial()

    def spawn(self, spec: "SandboxSpec", stdin: int = 0, stdout: int = 1, stderr: int = 2) -> "Running":
        warning = ""
        if self._instead is None:
            try:
                if self._client is None:
                    self._client = self._connect()
                return self._client.spawn(spec, stdin, stdout, stderr)
            except (CommandFailed, InvalidSpec, UserMissing):
                raise
            except SandboxError:
                why = _refused()
                if not why:
                    raise                                # it is about this spec, not about the machine
                self._instead, warning = self._fallback(why), notice(why)
        running = self._instead.spawn(spec, stdin, stdout, stderr)
        running.warnings = (warning, *running.warnings) if warning else running.warnings
        return running


def notice(why: str) -> str:
    """What the user is told, once, of steps that run isolated by chroot; why: "" if that was wished for."""
    from kernel import landlock

    because = f" ({why}; see `pybuild doctor`)" if why else ""
    how = "chroot, Landlock and seccomp" if landlock.version() >= landlock.FILES_ABI else "chroot and seccomp alone, without Landlock"
    return f"RUN is isolated by {how}: no network or process numbers of its own, no limits{because}"
