"""`container run --rm` of /bin/true, without a network and on a bridge, and one uncached RUN step: what starting something costs.

    python bench/container_run.py [ROUNDS]
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers

LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")     # what podman raises by default is not everywhere ours to raise


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory(prefix="bench-", dir=peers.scratch(), ignore_cleanup_errors=True) as name:
        root, context = Path(name) / "root", Path(name) / "context"
        context.mkdir()
        peers.our_store(root)
        pyup = [harness.ours("pyup"), "--root", str(root), "container", "run", "--rm"]
        for network in ("none", "bridge"):
            commands = {"pyup": [*pyup, "--network", network, "busybox", "true"]}
            for peer, host in peers.dockers().items():
                commands[peer] = [*peers.docker(host), "run", "--rm", "--network", network, "busybox", "true"]
            if podman := harness.program("podman"):
                own = "podman" if network == "bridge" else "none"
                commands["podman"] = [podman, "--runtime", "runc", "run", "--rm", *LIMITS, "--network", own, "busybox", "true"]
            for command in commands.values():
                harness.measure(command)
            harness.compare(f"run --rm of /bin/true, network {network}", harness.runs(commands), rounds)
        (context / "Dockerfile").write_text("FROM busybox:latest\nRUN true\n")
        builds = peers.builders(root, context, "--no-cache")
        for command in builds.values():
            harness.measure(command, peers.ENV)
        harness.compare("1 RUN step, uncached", harness.runs(builds, peers.ENV), rounds)


if __name__ == "__main__":
    main()
