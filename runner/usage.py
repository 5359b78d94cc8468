"""What a container uses: its processes, memory, CPU and network now, and the space of its files. In: cgroups and /proc; out: numbers.

A container has a cgroup only where that costs nothing, or when it is asked for (runner.shim); asking for statistics asks for it.
"""

import os
import time

from kernel.value import Value
from runner.errors import Conflict, ShimLost
from runner.pids import processes as of_namespace
from runner.upkeep import SECOND
from sandbox import cgroup
from sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.container import Container
    from runner.engine import Engine
    from runner.state import State

_TICKS = 100                                              # USER_HZ


class Traffic(Value):
    """Of one interface, since it was made."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class Sample(Value):
    """time: nanoseconds since the epoch. cpu, system_cpu: nanoseconds, of the container and of the whole machine. memory: bytes without the
    cache that could be dropped at once; -1 where it is not known."""

    time: int
    cpu: int
    system_cpu: int
    online_cpus: int
    memory: int
    memory_limit: int
    inactive_file: int
    pids: int
    read_bytes: int
    written_bytes: int
    traffic: "tuple[Traffic, ...]"


def sample(engine: "Engine", container: "Container") -> Sample:
    """Raises Conflict if it does not run, SandboxError."""
    state = engine.state(container)
    if not state.pid:
        raise Conflict("container", container.name, "is not running")
    used, inactive = _used(engine, container, state)
    return Sample(time.time_ns(), used.cpu_ns, _system_cpu(), os.sysconf("SC_NPROCESSORS_ONLN"), max(0, used.memory - inactive),
                  container.spec.limits.memory or _machine_memory(), inactive, used.pids, used.read_bytes, used.write_bytes, _traffic(state.pid))


def _used(engine: "Engine", container: "Container", state: "State") -> "tuple[cgroup.Usage, int]":
    """(what its cgroup has counted, bytes of that which could be dropped at once); from /proc where there are no cgroups."""
    name = state.cgroup
    if not name:
        with engine.running(container) as contact:
            try:
                name = str(contact.ask("group")[1])
            except SandboxError:
                return _counted(state.pid), 0
    groups = cgroup.look(cgroup.name_of(engine.store.root.run))
    group = groups.open(name)
    if group is None:
        raise ShimLost(container.name, "its cgroup is gone")
    try:
        used, inactive = group.usage(), _inactive(name, groups)
        if not container.spec.limits.memory:              # such a group may be made late: then it knows nothing of what its processes had before
            used = used._replace(memory=max(used.memory, _held(group.processes()) + inactive))
        return used, inactive
    finally:
        group.close()


def _held(pids: "tuple[int, ...]") -> int:
    """Bytes of memory of these processes, what they share with others divided among all."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += next((int(line.split()[1]) << 10 for line in file if line.startswith("Pss:")), 0)
        except OSError:
            continue                                      # it has just ended, or is not ours to look at
    return total


def _counted(first: int) -> "cgroup.Usage":
    """Of the processes that live: what has ended is not in it."""
    memory = ticks = read = written = 0
    pids = of_namespace(first)
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            with open(f"/proc/{pid}/io") as file:
                io = dict(line.split(": ") for line in file.read().splitlines())
        except OSError:
            continue                                      # it has just ended
        ticks += sum(int(field) for field in fields[11:15])
        memory += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        read, written = read + int(io["read_bytes"]), written + int(io["write_bytes"])
    return cgroup.Usage(memory, ticks * (SECOND // _TICKS), len(pids), read, written)


def _inactive(name: str, groups: "cgroup.Cgroups") -> int:
    """Bytes of files in memory that nobody has used lately."""
    below = name if "/" in name else f"{groups.name}/{name}"
    for path, key in ((f"/sys/fs/cgroup/memory/{below}/memory.stat", "total_inactive_file "),
                      (f"/sys/fs/cgroup/{below}/memory.stat", "inactive_file ")):
        try:
            with open(path) as file:
                return next((int(line.split()[1]) for line in file if line.startswith(key)), 0)
        except OSError:
            continue
    return 0


def _system_cpu() -> int:
    with open("/proc/stat") as file:
        fields = file.readline().split()[1:9]
    return sum(map(int, fields)) * (1_000_000_000 // _TICKS)


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _traffic(pid: int) -> "tuple[Traffic, ...]":
    found = []
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            lines = file.readlines()[2:]
    except OSError:
        return ()
    for line in lines:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        if name.strip() != "lo":
            found.append(Traffic(name.strip(), *numbers[:4], *numbers[8:12]))
    return tuple(found)


# ---------------------------------------------------------------- processes
def processes(engine: "Engine", container: "Container") -> "tuple[int, ...]":
    """Pids, as the host numbers them. Raises Conflict if it does not run."""
    state = engine.state(container)
    if not state.pid:
        raise Conflict("container", container.name, "is not running")
    if state.cgroup:
        group = cgroup.look(cgroup.name_of(engine.store.root.run)).open(state.cgroup)
        if group:
            try:
                return group.processes()
            finally:
                group.close()
    return tuple(sorted(of_namespace(state.pid)))


def top(engine: "Engine", container: "Container", options: "tuple[str, ...]" = ()) -> "tuple[list[str], list[list[str]]]":
    """(titles, rows) of what the host's `ps` says of its processes; options as `ps` takes them, `-ef` if there are none. Raises Conflict."""
    import subprocess

    wanted = set(processes(engine, container))
    words = options or ("-ef",)
    done = subprocess.run(["ps", *words], capture_output=True, text=True, errors="replace", check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise Conflict("ps", " ".join(words), f"says: {done.stderr.strip().splitlines()[0] if done.stderr.strip() else 'nothing'}")
    titles = lines[0].split()
    if "PID" not in titles:
        raise Conflict("ps", " ".join(words), "shows no PID, by which its lines could be chosen")
    at = titles.index("PID")
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return titles, [row for row in rows if len(row) > at and row[at].isdigit() and int(row[at]) in wanted]


# ---------------------------------------------------------------- space
def sizes(engine: "Engine", container: "Container") -> "tuple[int, int]":
    """(bytes of the files it has written, those and its image's together). One without namespaces has a copy of its image."""
    place = engine.place(container.id)
    if os.path.exists(place.tree):
        own = tree_size(f"{place.tree}/root")
        return own, own
    own = tree_size(place.fs)
    record = engine.store.images.record(container.image_id)
    return own, own + (record.size if record else 0)


def tree_size(path: str) -> int:
    """Bytes of the files below `path`, each inode counted once."""
    total, seen = 0, set()
    for directory, _, names in os.walk(path):
        for name in names:
            status = os.lstat(f"{directory}/{name}")
            if status.st_nlink == 1 or status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_size
    return total
