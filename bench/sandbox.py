"""Request to exit of /bin/true in a sandbox, and in one that runs already, beside crun, runc and bubblewrap with equal namespaces, mounts,
capabilities and seccomp list.

    python -m bench.sandbox [ROUNDS [USER]]

As root, or as the ordinary user that is named. Ours includes an overlay mount of its own; the others get a ready root. CPU of ours is that of
everything the zygote did for it, spare units included, over runs back to back; the others' is what their process and its children used.
"""

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from bench import bundle
from bench.harness import compare, measure, program
from kernel.syscalls import CLONE_NEWNS, MS_PRIVATE, MS_REC, PR_SET_DUMPABLE, mount, prctl, umount2, unshare
from sandbox import userns, wire
from sandbox.client import Client, Running, connect
from sandbox.spec import ExecSpec, Overlay, SandboxSpec

PATH = (("PATH", "/bin"),)
SERIES = 200
Peer = Callable[[], tuple[float, float]]


class Ours:
    """Sandboxes of one client; a fresh work directory each time, as a build step has."""

    def __init__(self, client: Client, base: Path, root: Path) -> None:
        self._client = client
        self._base = base
        self._root = root
        self._count = 0
        self._running: Running | None = None

    def _spec(self, *argv: str) -> SandboxSpec:
        self._count += 1
        upper, work = (f"{self._base}/{name}{self._count}" for name in ("upper", "work"))
        os.mkdir(upper)
        os.mkdir(work)
        return SandboxSpec(Overlay((str(self._root),), upper, work), argv, env=PATH)

    def run(self) -> tuple[float, float]:
        spec = self._spec("/bin/true")
        begin = perf_counter()
        with self._client.spawn(spec) as running:
            exit = running.wait()
        return perf_counter() - begin, exit.user_s + exit.system_s

    def exec(self) -> tuple[float, float]:
        if self._running is None:
            self._running = self._client.spawn(self._spec("/bin/sleep", "10000"))
        begin = perf_counter()
        with self._client.exec(self._running.pidfd, ExecSpec(("/bin/true",), env=PATH)) as running:
            exit = running.wait()
        return perf_counter() - begin, exit.user_s + exit.system_s


class Worker:
    """A process that runs ours: an ordinary user's command enters its user namespace, and the rivals must stay outside."""

    def __init__(self, run_directory: Path, base: Path, root: Path) -> None:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._requests)
            try:
                with connect(str(run_directory), idle_s=5) as client:
                    userns.enter(str(run_directory), client)
                    _serve(Ours(client, base, root), requests, answers)
                    client.retire()
            finally:
                os._exit(0)
        os.close(requests)

    def ask(self, word: bytes) -> tuple[float, float]:
        os.write(self._requests, word)
        wall, cpu = os.read(self._answers, 100).split()      # the worker itself takes the time: this pipe is not in it
        return float(wall), float(cpu)

    def close(self) -> None:
        os.close(self._requests)
        os.waitpid(self._pid, 0)


def _serve(ours: Ours, requests: int, answers: int) -> None:
    actions = {b"r": ours.run, b"e": ours.exec}
    while word := os.read(requests, 1):
        os.write(answers, "{} {}".format(*actions[word]()).encode())


def cpu_s(run_directory: Path) -> float:
    """Of the zygote and all that it has waited for."""
    with connect(str(run_directory)) as client:
        socket = client._dial()
        hello, _ = wire.receive(socket)
        socket.close()
    assert hello
    with open(f"/proc/{hello[2]}/schedstat") as schedule, open(f"/proc/{hello[2]}/stat") as stat:
        children = stat.read().rpartition(")")[2].split()[13:15]
        return int(schedule.read().split()[0]) / 1e9 + sum(map(int, children)) / os.sysconf("SC_CLK_TCK")


def arrange(user: str) -> None:
    """Become `user`; before that see to it that Debian's crun 1.8, which refuses a machine with both cgroup versions, sees one."""
    if os.path.ismount("/sys/fs/cgroup/unified"):
        unshare(CLONE_NEWNS)
        mount(None, b"/", None, MS_REC | MS_PRIVATE)
        umount2(b"/sys/fs/cgroup/unified")
    if user:
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setresgid(*[account.pw_gid] * 3)
        os.setresuid(*[account.pw_uid] * 3)
        prctl(PR_SET_DUMPABLE, 1)
        os.environ |= {"HOME": account.pw_dir, "USER": user}
        os.environ.pop("XDG_RUNTIME_DIR", None)


def rivals(base: Path, root: Path) -> tuple[dict[str, Peer], dict[str, Peer], list[list[str]]]:
    """(those that run one, those that run one more in one, how to end the latter)."""
    runs: dict[str, Peer] = {}
    execs: dict[str, Peer] = {}
    ends = []
    where, keeper = bundle.write(base / "bundle", root, ["/bin/true"]), bundle.write(base / "keeper", root, ["/bin/sleep", "10000"])
    for name in ("crun", "runc"):
        if path := program(name):
            words = [path, "--root", str(base / name)]
            runs[name] = lambda words=words: measure([*words, "run", "--bundle", where, f"b{os.urandom(4).hex()}"])  # type: ignore[misc]
            kept = f"kept{os.getpid()}"
            measure(["sh", "-c", '"$@" >/dev/null 2>&1', "sh", *words, "run", "--detach", "--bundle", keeper, kept])
            execs[name] = lambda words=words, kept=kept: measure([*words, "exec", kept, "/bin/true"])  # type: ignore[misc]
            ends.append([*words, "delete", "--force", kept])
    if path := program("bwrap"):
        words = [path, "--unshare-all", "--bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--die-with-parent", "/bin/true"]
        runs["bwrap, no seccomp"] = lambda: measure(words)
    return runs, execs, ends


def main(rounds: int, user: str) -> None:
    if not os.geteuid():
        arrange(user)
    base = Path(tempfile.mkdtemp(prefix="bench-sandbox-", dir=os.environ.get("BENCH_STATE", "/var/tmp")))
    run_directory = base / "run"
    run_directory.mkdir(0o700)
    base.chmod(0o711)
    root = bundle.root_directory(base)
    worker = Worker(run_directory, base, root)
    runs, execs, ends = rivals(base, root)
    print(f"user id {os.geteuid()}, {os.uname().release}")
    try:
        compare("/bin/true in a sandbox, request to exit", {"ours, warm": lambda: worker.ask(b"r"), **runs}, rounds)
        compare("/bin/true in one that runs, request to exit", {"ours": lambda: worker.ask(b"e"), **execs}, rounds)
        before = cpu_s(run_directory)
        for _ in range(SERIES):
            worker.ask(b"r")
        print(f"\nCPU over {SERIES} back to back, spare units included: ours {(cpu_s(run_directory) - before) / SERIES * 1e3:.1f} ms each", end="")
        for name, peer in runs.items():
            print(f", {name} {sum(peer()[1] for _ in range(SERIES)) / SERIES * 1e3:.1f}", end="", flush=True)
        print()
    finally:
        worker.close()
        for words in ends:
            measure(words)
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, sys.argv[2] if len(sys.argv) > 2 else "")
