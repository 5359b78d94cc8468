"""What is happening to a container: its directory, the lock that says who may act on it, and state.json, replaced by rename.

The holder of the lock (whoever starts or removes the container, then its shim) is the only one that writes. A shim that was killed leaves a
state behind that says "running" and a lock that nobody holds: `settled` says what that comes to.
"""

import _json
import fcntl
import os
import select
import time

from kernel.value import Value
from runner.endpoint import Connection, PortMapping
from runner.upkeep import ALIVE, CREATED, EXITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Texts: TypeAlias = tuple[str, ...]

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
_SOCKET_PATH_MAX = 107
_MAKING_S = 60                                            # nobody takes that long between making a directory and locking it
_ENDING_S = 1.0
_PAUSE_S = 0.001
KILLED = 137                                              # exit status of a container whose shim was killed


class Probe(Value):
    """One run of a healthcheck; times in nanoseconds since the epoch."""

    start: int
    end: int
    exit_code: int
    output: str


class Health(Value):
    """status: "starting", "healthy", "unhealthy". log: the last five probes, oldest first."""

    status: str = STARTING
    failing_streak: int = 0
    log: "tuple[Probe, ...]" = ()


class State(Value):
    """status: one of runner.container's words. Times in nanoseconds since the epoch, 0: never. pid: of the first process, as the host sees it.

    manual: somebody has stopped it by hand. error: why it could not be started, or what happened to it. boot: the machine's boot ID then.
    """

    status: str = CREATED
    pid: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    restarts: int = 0
    manual: bool = False
    boot: str = ""
    health: "Health | None" = None
    connections: "tuple[Connection, ...]" = ()
    ports: "tuple[PortMapping, ...]" = ()
    cgroup: str = ""
    warnings: "Texts" = ()

    @property
    def is_running(self) -> bool:
        """As the Engine API says it: a paused or restarting container counts."""
        return self.status in ALIVE


def settled(state: State, alive: bool, now: int, boot: str) -> State:
    """`state` if it can be true, given whether the container's shim lives; else what must have happened to it."""
    if alive or state.status not in ALIVE:
        return state
    reason = "the machine was restarted" if state.boot != boot else "its shim was killed"
    return state._replace(status=EXITED, pid=0, finished_at=now, exit_code=KILLED, error=reason, health=None)


def has_ended(pid: int) -> bool:
    """Of a process that is known to have begun; 0: none. A zombie has ended."""
    if not pid:
        return False
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:                                       # no descriptor is left, say
        return False
    try:
        return bool(select.select([fd], (), (), 0)[0])
    finally:
        os.close(fd)


class Place:
    """Where a container's things are. `short` is a socket's name: its path has room for 108 bytes only.

    tree: of its files, if it runs without namespaces."""

    __slots__ = ("fs", "log", "path", "run", "short", "tree", "work")

    def __init__(self, root: str, run: str, id: str) -> None:
        self.path = f"{root}/containers/{id}"
        self.fs = f"{self.path}/fs"
        self.work = f"{self.path}/work"
        self.tree = f"{self.path}/tree"
        self.log = f"{self.path}/log"
        self.run = f"{run}/c"
        self.short = id[:16]

    def make(self, like: str) -> int:
        """New and empty; the fd of its lock, held. Its root looks like the directory `like`, on which it will be stacked (like /, if that is "")."""
        os.makedirs(self.path, 0o700)
        lock = self.lock(wait=True)
        os.mkdir(self.fs, 0o700)
        status = os.stat(like or "/")
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(self.fs, status.st_uid, status.st_gid)
        os.chmod(self.fs, status.st_mode & 0o7777)
        os.utime(self.fs, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.mkdir(self.work, 0o700)
        return lock

    def is_abandoned(self, *, removed: bool = False) -> bool:
        """Of a container without a record: whether nobody is just making it, or removing it. removed: its removal had begun."""
        if self.is_locked():
            return False
        try:
            return removed or os.path.exists(f"{self.path}/lock") or os.stat(self.path).st_mtime < time.time() - _MAKING_S
        except FileNotFoundError:
            return False

    def exists(self) -> bool:
        return os.path.isdir(self.path)

    def socket(self) -> "SocketPath":
        """`with place.socket() as path`: the shim's socket, by a path that is short enough for sun_path."""
        return SocketPath(self.run, self.short)

    # ------------------------------------------------------------ who may act
    def lock(self, *, wait: bool) -> int:
        """fd of the held lock; -1 if somebody else holds it and `wait` is not wanted. A copy of the fd, wherever it is, holds it too.

        Raises FileNotFoundError if the container has been removed.
        """
        while True:
            fd = os.open(f"{self.path}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(fd)
                return -1
            except BaseException:
                os.close(fd)
                raise
            if self._leads_to(fd):
                return fd
            os.close(fd)                                  # removed while we waited

    def _leads_to(self, fd: int) -> bool:
        try:
            return os.stat(f"{self.path}/lock").st_ino == os.fstat(fd).st_ino
        except FileNotFoundError:
            return False

    def is_locked(self) -> bool:
        """Whether somebody holds the lock. Two that ask at once do not see each other."""
        try:
            fd = os.open(f"{self.path}/lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    # ------------------------------------------------------------ state.json
    def read(self) -> State:
        """As it was last written; a container that was never started has none."""
        try:
            with open(f"{self.path}/state.json", encoding="utf-8", errors="surrogateescape") as file:
                return from_json(file.read())
        except FileNotFoundError:
            return State()

    def seen(self) -> "tuple[State, bool]":
        """(state.json, whether a shim lives). Where its process has ended, that is waited for which the shim then writes, or for its own end."""
        deadline = 0.0
        while True:
            state, lives = self.read(), self.is_locked()
            if not (lives and state.is_running and has_ended(state.pid)):
                return state, lives
            now = time.monotonic()
            deadline = deadline or now + _ENDING_S
            if now > deadline:                            # there is no room to write it down
                return state, lives
            time.sleep(_PAUSE_S)

    def write(self, state: State) -> None:
        """Only by the lock's holder."""
        data = to_json(state).encode("utf-8", "surrogateescape")
        fd = os.open(f"{self.path}/state.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        os.rename(f"{self.path}/state.new", f"{self.path}/state.json")


class SocketPath:
    """A context whose value is the path of a socket, through a descriptor of its directory if it is too long otherwise."""

    __slots__ = ("_directory", "_fd", "_name")

    def __init__(self, directory: str, name: str) -> None:
        self._directory = directory
        self._name = name
        self._fd = -1

    def __enter__(self) -> str:
        path = f"{self._directory}/{self._name}"
        if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
            return path
        self._fd = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}/{self._name}"

    def __exit__(self, *what: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def boot_id() -> str:
    """Of the running kernel: another one means that everything that ran is gone."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return "?"


# ---------------------------------------------------------------- JSON, without the package: that imports `re`
def to_json(value: "Any") -> str:
    if isinstance(value, str):
        return str(_json.encode_basestring_ascii(value))
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if hasattr(value, "_fields"):
        return "{" + ",".join(f'"{name}":{to_json(field)}' for name, field in zip(value._fields, value)) + "}"
    return "[" + ",".join(map(to_json, value)) + "]"


class _Context:
    """What the C scanner of the json package wants to know."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = None
    memo: "dict[str, str]" = {}


_scan = _json.make_scanner(_Context)  # type: ignore[arg-type]  # typeshed wants what it returns


def from_json(text: str) -> State:
    """Fields that are missing have their default, unknown ones are ignored. A file that is no JSON is that of a container never started."""
    try:
        found = _scan(text, 0)[0]
    except (StopIteration, ValueError):
        return State(error="its state could not be read")
    state: State = _value(State, found)
    health = found.get("health")
    return state._replace(
        health=_value(Health, health)._replace(log=tuple(_value(Probe, one) for one in health.get("log", ()))) if health else None,
        connections=tuple(_value(Connection, one) for one in found.get("connections", ())),
        ports=tuple(_value(PortMapping, one) for one in found.get("ports", ())))


def _value(kind: "Any", found: "dict[str, Any]") -> "Any":
    return kind(**{name: tuple(field) if isinstance(field, list) else field for name, field in found.items() if name in kind._fields})


__all__ = ["HEALTHY", "KILLED", "STARTING", "UNHEALTHY", "Health", "Place", "Probe", "State", "boot_id", "from_json", "settled", "to_json"]
