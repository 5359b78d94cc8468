"""What a running container costs in memory, its command excluded: the proportional set size (PSS) of every process that is there because of it.

    python bench/memory.py [CONTAINERS] [SECONDS]

Starts so many containers of `sleep` on the default network, waits for the seconds, and reads /proc/PID/smaps_rollup. A page that several processes
map counts for each by its share, so that nothing is counted twice and libraries cost those who use them. "own" is what only that process maps: what
would be free without it. What is there once, however many containers run, is a row of its own: for us the zygote (with its nursery and the sandboxes
that it keeps ready) and the agent (networks, names, ports); for docker the daemons. Only a shim, conmon or containerd-shim is compared.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers
from container_run import LIMITS

SETTLE_S = 5.0                                            # a shim comes to rest when nothing has happened for a second
Roles = dict[str, list[tuple[int, int]]]                  # what it is -> (PSS, own) in KiB of each process of it


def memory(pid: str) -> tuple[int, int]:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    pss, clean, dirty = (int(fields[name].split()[0]) for name in ("Pss", "Private_Clean", "Private_Dirty"))
    return pss, clean + dirty


def count(role_of: Callable[[str, str], str]) -> Roles:
    """role_of: what a process is, from its name and command line; "" if it is none of these."""
    found: Roles = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            if role := role_of(name, line):
                found.setdefault(role, []).append(memory(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue                                      # it has ended meanwhile
    return found


def our_role(root: Path, name: str, line: str) -> str:
    if str(root) not in line:
        return ""
    return "shim" if name.startswith("shim-") else "agent" if name == "pyup-agent" else "zygote" if name == "pybuild-zygote" else "other"


def report(peer: str, roles: Roles, shim: str, containers: int) -> float:
    """Print the peer's rows; PSS in MB of one `shim`."""
    for role, processes in sorted(roles.items(), key=lambda item: item[0] != shim):
        pss, own = (sum(one[column] for one in processes) / 1024 for column in (0, 1))
        print(f"| {peer} | {role} | {len(processes)} | {pss:.1f} | {own:.1f} | {pss / containers:.2f} | {own / containers:.2f} |", flush=True)
    total = sum(pss for processes in roles.values() for pss, _ in processes) / 1024
    print(f"| {peer} | all | {sum(map(len, roles.values()))} | {total:.1f} | | {total / containers:.2f} | |", flush=True)
    return sum(pss for pss, _ in roles[shim]) / 1024 / containers


def measure(peer: str, start: list[str], remove: list[str], role_of: Callable[[str, str], str], shim: str, containers: int, settle_s: float) -> float:
    names = [f"bench-memory-{number}" for number in range(containers)]
    try:
        for name in names:
            harness.measure([*start, "--name", name, "busybox", "sleep", "1000"])
        time.sleep(settle_s)
        return report(peer, count(role_of), shim, containers)
    finally:
        subprocess.run([*remove, *names], stdout=subprocess.DEVNULL, check=False)


def main() -> None:
    containers = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    settle_s = float(sys.argv[2]) if len(sys.argv) > 2 else SETTLE_S
    print(f"\n### memory, {containers} running containers, MB\n\n| peer | what | processes | PSS | own | PSS per container | own per container |")
    print("|---|---|--:|--:|--:|--:|--:|")
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=peers.scratch(), ignore_cleanup_errors=True) as name:
        root = Path(name) / "root"
        peers.our_store(root)
        pyup = [harness.ours("pyup"), "--root", str(root), "container"]
        found["pyup"] = measure("pyup", [*pyup, "run", "-d"], [*pyup, "rm", "-f"], lambda name, line: our_role(root, name, line), "shim",
                                containers, settle_s)
    if podman := harness.program("podman"):
        found["podman"] = measure("podman", [podman, "--runtime", "runc", "run", "-d", *LIMITS], [podman, "rm", "-f", "-t", "0"],
                                  lambda name, line: "conmon" if name == "conmon" else "", "conmon", containers, settle_s)
    roles = {"containerd-shim": "containerd-shim", "dockerd": "daemon", "containerd": "daemon", "docker-containe": "daemon"}
    for peer, host in peers.dockers().items():
        found[peer] = measure(peer, [*peers.docker(host), "run", "-d"], [*peers.docker(host), "rm", "-f"],
                              lambda name, line: next((role for prefix, role in roles.items() if name.startswith(prefix)), ""), "containerd-shim",
                              containers, settle_s)
    for peer, megabytes in list(found.items())[1:]:
        print(f"\nours is {found['pyup'] / megabytes:.2f} x {peer}: {found['pyup']:.2f} MB through {megabytes:.2f} MB")


if __name__ == "__main__":
    main()
