"""RUN, carried out: a RunOp and the layers below it become a SandboxSpec, and that a process whose writes are the new layer.

Everything a mount needs (locks, temporary directories, files) is held by a Session, which is left when the process is gone.
"""

import os
import select
import time
from errno import ENOENT, ENOEXEC

from builder.errors import BuildError, StepFailed
from builder.graph import RunOp
from builder.network import give
from kernel.value import Value
from lang.mount import BindMount, CacheMount, SecretMount, SshMount, TmpfsMount
from sandbox.capabilities import DEFAULT
from sandbox.errors import CommandFailed, SandboxError
from sandbox.spec import Bind, Limits, Overlay, Rlimit, SandboxSpec, Tmpfs, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.cachemount import CacheDirectories
    from builder.request import Secret
    from sandbox.client import Exit, Spawner
    from sandbox.network import NetworkProvider
    from sandbox.spec import MountOp

DEVICES = "/dev/pipes"
HOSTNAME = "buildkitsandbox"                             # what scripts see under docker build
_TAIL = 64 << 10                                         # bytes of output kept for the error
_CHUNK = 64 << 10


class Surroundings(Value):
    """What runs need beside their op: given in from above, the same for every step of a build."""

    connect: "Callable[[], Spawner]"
    network: "NetworkProvider | None"
    secrets: "tuple[Secret, ...]"
    ssh: tuple[tuple[str, str], ...]
    caches: "CacheDirectories"
    userxattr: bool = False
    ahead: "Callable[[], None]" = lambda: None           # called before a RUN is run, by the process that plans


def kept(connect: "Callable[[], Spawner]") -> "Callable[[], Spawner]":
    """`connect`, called once in each process."""
    clients: dict[int, Spawner] = {}

    def client() -> "Spawner":
        pid = os.getpid()
        if pid not in clients:
            clients[pid] = connect()
        return clients[pid]

    return client


class Session:
    """What one run holds; `close` lets go of it in reverse. say: tells a word about it, among what the step prints."""

    def __init__(self, say: "Callable[[str], None]" = lambda text: None) -> None:
        self._undo: list[Callable[[], object]] = []
        self.caches: dict[str, str] = {}                  # name of a cache -> its directory, which this run has
        self.say = say

    def later(self, undo: "Callable[[], object]") -> None:
        self._undo.append(undo)

    def close(self) -> None:
        while self._undo:
            self._undo.pop()()


class Place(Value):
    """Where a step runs. lower: topmost first, at least one; inputs: the same of each input that a mount takes from."""

    lower: tuple[str, ...]
    upper: str
    work: str
    inputs: tuple[tuple[str, ...], ...]
    scratch: "Callable[[], str]"                         # a new temporary directory, which somebody else removes
    owners: "dict[str, tuple[int, int]] | None" = None   # whose links and fifos are, where the file system cannot tell; None where it can


def run(op: RunOp, place: Place, around: Surroundings, output: "Callable[[int, bytes], None]", no_cache: bool) -> "dict[str, tuple[int, int]]":
    """Run the process to its end; owners of the links and fifos that it left, as in Place. Raises StepFailed, BuildError, SandboxError.
    output(stream, data) is called as it comes."""
    session = Session(lambda text: output(2, text.encode() + b"\n"))
    try:
        spec = specify(op, place, around, session, no_cache)
        table = -1
        if place.owners is not None:
            from sandbox.owners import write_table

            table = os.memfd_create("owners")
            session.later(lambda: os.close(table))
            write_table(table, place.owners)
            spec = spec._replace(owners=table)
        tail = _Tail(output)
        try:
            ended = _start_and_wait(around.connect(), spec, tail, op.how.timeout / 1e9)
        except CommandFailed as error:
            raise StepFailed(str(error), exit_status=error.exit_status, help=error.help or _missing_command(op, error)) from error
        if ended.code:
            why = " (the kernel ran out of memory for it)" if ended.oom else ""
            raise StepFailed(f"the command exited with status {ended.code}{why}", exit_status=ended.code, log=tail.data)
        if table < 0:
            return {}
        from sandbox.owners import read_table

        return read_table(table)
    finally:
        session.close()


def _missing_command(op: RunOp, error: CommandFailed) -> str:
    if error.number == ENOENT and op.how.shell:
        return "the shell form needs a shell in the image; the exec form RUN [\"program\", \"argument\"] does not"
    if error.number == ENOEXEC and op.platform:
        return f"the step is for {op.platform}: programs of other machines run where their emulator is registered (package qemu-user-static)"
    return ""


def specify(op: RunOp, place: Place, around: Surroundings, session: Session, no_cache: bool) -> SandboxSpec:
    """The sandbox of a RUN. What its mounts hold is given to `session`."""
    net = give(op.network, around.network, op.add_hosts, op.hostname or HOSTNAME, session)
    covered = tuple(target for mounted in op.mounts if (target := getattr(mounted.mount, "target", "")))
    mounts: list[MountOp] = [*_files(op), *(file for file in net.files if not _is_covered(file.target, covered))]
    extra: list[tuple[str, str]] = []
    if op.epoch is not None and all(name != "SOURCE_DATE_EPOCH" for name, _ in op.env):
        extra.append(("SOURCE_DATE_EPOCH", str(op.epoch)))
    made = {number: _mount(op.mounts[number].mount, op.mounts[number].input, number, place, around, session, no_cache)
            for number in _in_order(op, place, around)}
    for number in range(len(op.mounts)):
        mounts += made[number][0]
        extra += made[number][1]
    insecure = op.security == "insecure"
    return SandboxSpec(
        Overlay(place.lower, place.upper, place.work), op.argv, tuple(mounts), (*op.env, *op.how.proxies, *extra), op.cwd, op.user,
        hostname=op.hostname or HOSTNAME, network=net.namespace, capabilities=DEFAULT, privileged=insecure, rlimits=ulimits(op.ulimits),
        limits=Limits(memory=op.how.memory, cpu_quota_us=int(op.how.cpus * 100_000), cpu_period_us=100_000 if op.how.cpus else 0),
        shm_size=op.shm_size or 64 << 20)


def _in_order(op: RunOp, place: Place, around: Surroundings) -> list[int]:
    """Numbers of the mounts: caches last, in an order that all steps keep, since a step that waits for one has those before it."""
    def key(number: int) -> str:
        mount, at = op.mounts[number].mount, op.mounts[number].input
        return around.caches.name(mount, at >= 0 and bool(place.inputs[at])) if isinstance(mount, CacheMount) else ""
    return sorted(range(len(op.mounts)), key=key)


def _is_covered(path: str, targets: tuple[str, ...]) -> bool:
    """Whether a mount of the step's own hides what would be mounted at `path`."""
    return any(path == target or path.startswith(f"{target.rstrip('/')}/") for target in targets)


def _files(op: RunOp) -> "list[MountOp]":
    return [WriteFile(f"{DEVICES}/{file.name}", file.content.encode(errors="surrogateescape"), file.mode, readonly=True) for file in op.files]


def ulimits(words: tuple[str, ...]) -> tuple[Rlimit, ...]:
    """`nofile=1024:2048` as docker takes it. Raises BuildError."""
    import resource

    found = []
    for word in words:
        name, _, value = word.partition("=")
        soft, _, hard = value.partition(":")
        try:
            limit = Rlimit(name, int(soft), int(hard or soft))
        except ValueError:
            limit = None
        if limit is None or min(limit.soft, limit.hard) < -1 or not hasattr(resource, f"RLIMIT_{name.upper()}"):
            raise BuildError(f"`{word}` is no ulimit", help="for example `nofile=1024:2048`; -1 is no limit")
        if limit.hard != -1 and not 0 <= limit.soft <= limit.hard:
            raise BuildError(f"the soft limit of `{word}` is above the hard one")
        found.append(limit)
    return tuple(found)


# ---------------------------------------------------------------- mounts
def _mount(mount: object, at: int, number: int, place: Place, around: Surroundings, session: Session,
           no_cache: bool) -> "tuple[list[MountOp], list[tuple[str, str]]]":
    """(mount operations, environment variables) of one `--mount`."""
    match mount:
        case BindMount():
            lower = place.inputs[at]
            if mount.read_only:
                return [Overlay(lower, target=mount.target, source=mount.source, readonly=True)], []
            scratch = place.scratch()
            for name in ("fs", "work"):
                os.mkdir(f"{scratch}/{name}", 0o755)
            return [Overlay(lower, f"{scratch}/fs", f"{scratch}/work", target=mount.target, source=mount.source)], []
        case CacheMount():
            directory = around.caches.open(mount, place.inputs[at] if at >= 0 else (), session, fresh=no_cache)
            return [Bind(directory, mount.target, readonly=mount.read_only)], []
        case TmpfsMount():
            return [Tmpfs(mount.target, mount.size, readonly=mount.read_only)], []
        case SecretMount():
            return _secret(mount, around)
        case SshMount():
            return _ssh(mount, number, place, around, session)
    raise AssertionError(f"unknown mount {mount!r}")


def _secret(mount: SecretMount, around: Surroundings) -> "tuple[list[MountOp], list[tuple[str, str]]]":
    secret = next((s for s in around.secrets if s.id == mount.id), None)
    if secret is None:
        if mount.required:
            raise BuildError(f"the secret `{mount.id}` is required, and was not given", help=f"give it with `--secret id={mount.id},src=FILE`")
        return [], []
    value = read_secret(secret)
    mounts: list[MountOp] = [WriteFile(mount.target, value, mount.mode, mount.uid, mount.gid, readonly=True)] if mount.target else []
    return mounts, [(mount.env, value.decode(errors="surrogateescape"))] if mount.env else []


def read_secret(secret: "Secret") -> bytes:
    """Raises BuildError; at most 500 KiB, as in BuildKit."""
    if secret.variable:
        value = os.environb.get(os.fsencode(secret.variable))
        if value is None:
            raise BuildError(f"the secret `{secret.id}` is to come from the variable `{secret.variable}`, which is not set")
        return value
    try:
        with open(secret.path, "rb") as file:
            value = file.read((500 << 10) + 1)
    except OSError as error:
        raise BuildError(f"the secret `{secret.id}` cannot be read from `{secret.path}`: {(error.strerror or '').lower()}") from error
    if len(value) > 500 << 10:
        raise BuildError(f"the secret `{secret.id}` has more than 500 KiB")
    return value


def _ssh(mount: SshMount, number: int, place: Place, around: Surroundings, session: Session) -> "tuple[list[MountOp], list[tuple[str, str]]]":
    source = dict(around.ssh).get(mount.id)
    if source is None:
        if mount.required:
            raise BuildError(f"the ssh agent `{mount.id}` is required, and was not given", help="give it with `--ssh default`")
        return [], []
    from builder.agents import Agent

    target = mount.target or f"/run/buildkit/ssh_agent.{number}"
    agent = Agent(source, place.scratch(), mount.mode, mount.uid, mount.gid)
    session.later(agent.close)
    return [Bind(agent.path, target, readonly=False)], [("SSH_AUTH_SOCK", target)]


# ---------------------------------------------------------------- the process
class _Tail:
    """Passes output on, and keeps the end of it for an error."""

    def __init__(self, output: "Callable[[int, bytes], None]") -> None:
        self._output = output
        self.data = b""

    def __call__(self, stream: int, data: bytes) -> None:
        self.data = (self.data + data)[-_TAIL:]
        self._output(stream, data)


def _start_and_wait(client: "Spawner", spec: SandboxSpec, output: "Callable[[int, bytes], None]", timeout_s: float) -> "Exit":
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in (1, 2)]
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        running = client.spawn(spec, null, pipes[0][1], pipes[1][1])
    except BaseException:
        for read, _ in pipes:
            os.close(read)
        raise
    finally:
        for fd in (null, pipes[0][1], pipes[1][1]):
            os.close(fd)
    with running:
        for warning in running.warnings:
            output(2, f"warning: {warning}\n".encode())
        expired = _pump({pipes[0][0]: 1, pipes[1][0]: 2}, output, time.monotonic() + timeout_s if timeout_s else 0.0, running.kill)
        ended = running.wait()
    if expired:
        raise StepFailed(f"the command took longer than {timeout_s:g} s, and was stopped", exit_status=ended.code)
    return ended


def _pump(streams: dict[int, int], output: "Callable[[int, bytes], None]", deadline: float, kill: "Callable[[], None]") -> bool:
    """Pass on what comes until both streams end: when the last process of the sandbox is gone. True if it had to be killed for its time."""
    poll, expired = select.poll(), False
    for fd in streams:
        poll.register(fd, select.POLLIN)
    while streams:
        left = max(deadline - time.monotonic(), 0) * 1000 if deadline and not expired else None
        events = poll.poll(left)
        if not events:
            kill()
            expired = True
        for fd, _ in events:
            data = os.read(fd, _CHUNK)
            if data:
                output(streams[fd], data)
            else:
                poll.unregister(fd)
                os.close(fd)
                del streams[fd]
    return expired


__all__ = ["DEVICES", "Place", "SandboxError", "Session", "Surroundings", "kept", "read_secret", "run", "specify", "ulimits"]
