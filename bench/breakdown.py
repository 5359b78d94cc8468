"""What each step of a sandbox costs: /bin/true on an overlay, with namespaces, mounts, capabilities and seccomp as a build step without network has.

    [chrt -f 10] python -m bench.breakdown [ROUNDS]

As root. The code that is measured is the sandbox's own; a clock is read whenever it says what it does next (`Birth.step`), and where this subclass
asks. Least and median over ROUNDS units, one after the other. On a busy machine run it below `chrt -f 10`, or most of it is waiting.
"""

import mmap
import os
import statistics
import struct
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from time import monotonic_ns, sleep

from kernel.syscalls import clone3
from kernel.value import Value
from sandbox import wire
from sandbox.inside import Birth, keep_only
from sandbox.machine import Machine
from sandbox.namespaces import PRIVATE, Shape
from sandbox.process import Unit, program_of
from sandbox.spec import Overlay, SandboxSpec
from sandbox.zygote import _settle

_ROW = struct.Struct("<q56s")
_ROWS = 64


class Mark(Value):
    """The moment, by the monotonic clock in nanoseconds, at which `name` begins."""

    name: str
    at_ns: int


class Marks:
    """Written by the unit, read by its parent when it is gone: memory that both see, and that execve does not take the content of."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _ROWS * _ROW.size)
        self._count = 0

    def add(self, name: str) -> None:
        _ROW.pack_into(self._memory, self._count * _ROW.size, monotonic_ns(), name.encode())
        self._count += 1

    def take(self) -> list[Mark]:
        found = []
        for row in range(_ROWS):
            at, name = _ROW.unpack_from(self._memory, row * _ROW.size)
            if at:
                found.append(Mark(name.rstrip(b"\0").decode(), at))
        self._memory[:] = bytes(len(self._memory))
        return found


class Timed(Birth):
    """As sandbox.inside has it, with its steps marked."""

    __slots__ = ("_marks", "_said")

    def __init__(self, machine: Machine, shape: Shape, control: "wire._socket.socket", marks: Marks) -> None:
        self._marks = marks
        super().__init__(machine, shape, control)

    @property
    def step(self) -> str:  # type: ignore[override]
        return self._said

    @step.setter
    def step(self, name: str) -> None:
        self._said = name
        self._marks.add(name)

    def _mount_proc(self) -> None:
        self._marks.add("/proc, and what of it is hidden")
        super()._mount_proc()

    def _mount_sys(self) -> None:
        self._marks.add("/sys, and what of it is hidden")
        super()._mount_sys()
        self._marks.add("lo up, /dev, keyring, bounding set")

    def _mount_cgroups(self) -> None:
        self._marks.add("cgroup namespace, its mounts")
        super()._mount_cgroups()


def one(machine: Machine, spec: SandboxSpec, marks: Marks) -> list[tuple[str, float]]:
    """(step, microseconds) of one unit from its fork to its burial."""
    null, home = os.open("/dev/null", os.O_RDWR), os.open("/proc/self/ns/mnt", os.O_RDONLY)
    ours, theirs = wire.pair()
    began = monotonic_ns()
    pid, pidfd = clone3(PRIVATE.namespaces)
    if not pid:
        try:
            marks.add("start in new namespaces (in the child)")
            birth = Timed(machine, PRIVATE, keep_only(theirs), marks)
            birth.prepare()
            marks.add("ready, waiting")
            birth.run()
        finally:
            os._exit(1)
    forked = monotonic_ns()
    theirs.close()
    unit = Unit(pid, pidfd, ours)
    while not any(mark.name == "ready, waiting" for mark in _peek(marks)):
        sleep(0.001)                                      # it prepares itself while we go on, as in a zygote
    asked = monotonic_ns()
    packed, fds, _ = wire.pack(spec, first=4)
    wire.send(ours, (packed, program_of(spec)), [null, null, null, home, *fds])
    while unit.hear()[0] is not None:
        pass
    executed = monotonic_ns()
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    ended = monotonic_ns()
    unit.bury()
    buried = monotonic_ns()
    os.close(null)
    os.close(home)
    return _rows(marks.take(), began, forked, asked, executed, ended, buried)


def _peek(marks: Marks) -> list[Mark]:
    return [Mark(name.rstrip(b"\0").decode(), at) for at, name in
            (_ROW.unpack_from(marks._memory, row * _ROW.size) for row in range(_ROWS)) if at]


def _rows(marks: list[Mark], began: int, forked: int, asked: int, executed: int, ended: int, buried: int) -> list[tuple[str, float]]:
    ready = next(index for index, mark in enumerate(marks) if mark.name == "ready, waiting")
    found = [("clone3 into namespaces (the parent's part)", forked - began), ("... until the child runs", marks[0].at_ns - began)]
    found += [(f"  {mark.name}", after.at_ns - mark.at_ns) for mark, after in pairwise(marks[:ready + 1])]
    found.append(("**prepared, before anybody asks**", marks[ready].at_ns - began))
    found.append(("request: packed, sent, received", marks[ready + 1].at_ns - asked))
    rest = [*marks[ready + 1:], Mark("", executed)]
    found += [(f"  {mark.name}", after.at_ns - mark.at_ns) for mark, after in pairwise(rest)]
    found += [("the command runs and ends, all is torn down", ended - executed), ("buried, usage read", buried - ended),
              ("**request to burial**", buried - asked)]
    return [(name, ns / 1000) for name, ns in found]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as top:
        base, root = Path(top), Path(top) / "root"
        for name in ("bin", "etc", "proc", "sys", "dev", "tmp"):
            (root / name).mkdir(parents=True)
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "bin/true").write_bytes(Path("/bin/busybox").read_bytes())
        (root / "bin/true").chmod(0o755)
        (base / "run").mkdir()
        print("| step | least us | median us |\n|---|--:|--:|")
        for name, values in _in_a_fork(base, root, rounds).items():
            print(f"| {name} | {min(values):.0f} | {statistics.median(values):.0f} |")


def _in_a_fork(base: Path, root: Path, rounds: int) -> dict[str, list[float]]:
    """step -> microseconds of each round; made by a child, which becomes what a zygote is."""
    import marshal

    found: dict[str, list[float]] = {}
    read, write = os.pipe()
    if not os.fork():
        setting = _settle(str(base / "run"))
        assert setting.maker, setting.failure
        marks = Marks()
        for number in range(rounds):
            for name in ("upper", "work"):
                (base / f"{number}" / name).mkdir(parents=True)
            spec = SandboxSpec(Overlay((str(root),), f"{base}/{number}/upper", f"{base}/{number}/work"), ("/bin/true",), env=(("PATH", "/bin"),))
            for name, value in one(setting.maker.machine, spec, marks):
                found.setdefault(name, []).append(value)
        with open(write, "wb") as file:
            marshal.dump(found, file)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        found = marshal.load(file)
    os.wait()
    return found


if __name__ == "__main__":
    main()
