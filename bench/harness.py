"""Alternating measurements of whole commands: in every round each peer runs once, in turning order, so that drift hits all alike.

A peer is a name and a command (argv). Ratios are to the first peer's median, which is ours.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def measure(argv: list[str], env: dict[str, str] | None = None, cwd: str = "/") -> tuple[float, float]:
    """(wall, CPU) seconds of one command and the children it waited for; raises SystemExit if it fails."""
    before = time.perf_counter()
    process = subprocess.Popen(argv, env={**os.environ, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - before
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(argv)} exited {process.returncode}:\n{output.decode(errors='replace')[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime


def runs(commands: dict[str, list[str]], env: dict[str, str] | None = None) -> "dict[str, Callable[[], tuple[float, float]]]":
    """What `compare` takes, of whole commands."""
    return {peer: partial(measure, command, env) for peer, command in commands.items()}


def compare(title: str, peers: "dict[str, Callable[[], tuple[float, float]]]", rounds: int, unit: float = 1e3,
            unit_name: str = "ms") -> dict[str, float]:
    """Run every peer `rounds` times, alternating; print a table; the medians (seconds) by peer."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    names = list(peers)
    for count in range(rounds):
        turn = count % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name].append(peers[name]())
    medians = {name: statistics.median(wall for wall, _ in pairs) for name, pairs in taken.items()}
    ours = medians[names[0]]
    print(f"\n### {title}\n\n| peer | n | min {unit_name} | median {unit_name} | CPU {unit_name} | ours is |\n|---|--:|--:|--:|--:|--:|")
    for name, pairs in taken.items():
        walls = [wall for wall, _ in pairs]
        cpu = statistics.median(cpu for _, cpu in pairs)
        ratio = "" if name == names[0] else f"{ours / medians[name]:.2f} x"
        print(f"| {name} | {len(walls)} | {min(walls) * unit:.1f} | {medians[name] * unit:.1f} | {cpu * unit:.1f} | {ratio} |", flush=True)
    return medians


def ours(program: str) -> str:
    """Our command beside this Python, as a user has it installed."""
    path = os.path.join(os.path.dirname(sys.executable), program)
    if not os.path.exists(path):
        sys.exit(f"{path} is missing: install the project into this environment first (not editable: that costs start-up time)")
    return path


def program(name: str) -> str | None:
    return shutil.which(name, path=SYSTEM_PATH)
