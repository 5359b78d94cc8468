"""A process without namespaces: in a changed root, below Landlock and a seccomp filter, and all its descendants gone when it is.

What enters: an open tree and a SandboxSpec, in a process of a single thread that adopts what the command leaves behind. What cannot be had: pids, a
network, a host name and limits of its own, and set-uid programs (no_new_privs is what Landlock and the filter ask for).
"""

import fcntl
import os
import time

from kernel import landlock
from kernel.paths import make_directories
from kernel.syscalls import PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, capget, prctl
from sandbox import account, departure, privileges, sentry, wire
from sandbox.capabilities import ALL, bit
from sandbox.errors import SandboxError
from sandbox.inside import tell_failure
from sandbox.limits import adjust_oom_score
from sandbox.machine import Machine
from sandbox.marks import RLIMIT_RTTIME
from sandbox.namespaces import held_by
from sandbox.seccomp import ALLOW, EPERM, ERRNO, Condition, Rule, compile
from sandbox.seccomp_profile import UNKNOWN, default_rules, numbered
from sandbox.spec import ExecSpec, SandboxSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

_NEVER = bit("SYS_CHROOT") | bit("MKNOD")                # a way out of the root, and to every disk
_LOW = 0xFFFFFFFF
_PEEPING = "ptrace process_vm_readv process_vm_writev"
_PATIENCE_S = 20.0
_SIGKILL = 9


def start(spec: SandboxSpec | ExecSpec, root_fd: int, streams: list[int], machine: Machine, *,
          confined: bool = False, watched: "_socket.socket | None" = None) -> "tuple[int, _socket.socket]":
    """(pid of a child that becomes the command, socket on which it says what goes wrong; closed when it executes). confined: we are, by `confine`.
    watched: by the sentry of `sentry_for`.

    Raises SandboxError, OSError."""
    who = account.find(root_fd, spec.user, spec.groups)
    if isinstance(spec, SandboxSpec):
        os.close(make_directories(root_fd, spec.cwd))
    program = program_for(spec)
    ours, theirs = wire.pair()
    pid = os.fork()
    if not pid:
        step = "start"
        try:
            os.setsid()
            control = os.dup(theirs.fileno())
            while control <= departure.CONTROL:          # the streams come to lie there
                control = os.dup(control)
            streams = [above(fd) for fd in streams]
            root = above(root_fd)
            watcher = above(watched.fileno()) if watched else -1
            if spec.oom_score_adj:                       # while /proc is one
                adjust_oom_score(spec.oom_score_adj)
                spec = spec._replace(oom_score_adj=0)
            os.dup2(control, departure.CONTROL, inheritable=False)
            step = "enter the root"
            os.fchdir(root)
            os.chroot(".")
            step = "enter the working directory"
            departure.enter_directory(spec.cwd)
            step = "drop privileges"
            if not confined:
                confine(spec, root)
            if watcher >= 0 and not spec.privileged:
                sentry.watch(wire.socket_of(watcher))
            privileges.default_signals()
            held = held_by(spec) if spec.privileged else held_by(spec) & ~_NEVER
            departure.become(spec._replace(no_new_privileges=not spec.privileged), who, streams, program, machine, held,
                             ALL if capget()[0] & bit("SETPCAP") else held)
            step = "execute"
            departure.execute(spec, departure.environment_of(spec, who))
        except BaseException as error:
            tell_failure(error, step)
        finally:
            os._exit(125)
    theirs.close()
    return pid, ours


def above(fd: int) -> int:
    """A copy of `fd` beyond the streams and the control socket."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, departure.CONTROL + 1)


def confine(spec: SandboxSpec | ExecSpec, root_fd: int) -> None:
    """The files below the root are all that the caller can reach from here on."""
    abi = landlock.version()
    if spec.privileged or abi < landlock.FILES_ABI:
        return
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    landlock.confine(((root_fd, landlock.every_access(abi)),), abi)


def sentry_for(spec: SandboxSpec) -> "_socket.socket | None":
    """To be asked for before anything is confined: what watches the signals that Landlock of this kernel does not; None if it does, or need not."""
    return None if spec.privileged or landlock.version() >= landlock.SCOPES_ABI else sentry.begin()


def program_for(spec: SandboxSpec | ExecSpec) -> bytes:
    """The seccomp filter, which also forbids what Landlock of this kernel does not."""
    if isinstance(spec.seccomp, bytes):
        return spec.seccomp
    if spec.privileged or spec.seccomp == "unconfined":
        return b""
    abi, name = landlock.version(), os.uname().machine
    rules = default_rules(held_by(spec) & ~_NEVER)
    refuse = Rule(ERRNO | EPERM)
    # a limit of processor time kills, and Landlock does not look at it: of others, limits may only be read; nobody loses the mark of his container
    rules["prlimit64"] = (Rule(ALLOW, (Condition(2, "eq", 0),)), Rule(ERRNO | EPERM, (Condition(1, "masked", RLIMIT_RTTIME, _LOW),)),
                          Rule(ALLOW, (Condition(0, "masked", 0, _LOW),)), refuse)
    rules["setrlimit"] = (Rule(ERRNO | EPERM, (Condition(0, "masked", RLIMIT_RTTIME, _LOW),)), Rule(ALLOW))
    if abi < landlock.FILES_ABI:
        rules |= dict.fromkeys(_PEEPING.split(), (refuse,))
    return compile(numbered(rules, name), UNKNOWN, name)


def adopt() -> None:
    """What our descendants leave behind becomes our child."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def sweep() -> int:
    """Kill every descendant and bury it, until there are none; how many there were."""
    killed, deadline = 0, time.monotonic() + _PATIENCE_S
    while True:
        found = descendants()
        for pid in found:
            try:
                os.kill(pid, _SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, 0 if found else os.WNOHANG)[0]:
                killed += 1
                if time.monotonic() > deadline:
                    raise SandboxError("stop the processes of the step", reason="they multiply faster than they can be killed")
                found = ()
        except ChildProcessError:
            return killed


def descendants() -> tuple[int, ...]:
    """Processes below this one, as /proc tells; without those that are dead already."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except (OSError, ValueError):
                continue
            if state != b"Z":
                parents[int(name)] = int(parent)
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        above = todo.pop()
        below = [pid for pid, parent in parents.items() if parent == above]
        found += below
        todo += below
    return tuple(found)

