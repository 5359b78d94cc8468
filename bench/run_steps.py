"""Forty RUN steps without a network, uncached: what a step costs beside what it runs.

    python bench/run_steps.py [ROUNDS]
"""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness

STEPS = 40


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        context, root = Path(name) / "context", Path(name) / "root"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM busybox:latest\n" + "".join(f"RUN echo {n} > /f{n}\n" for n in range(STEPS)))
        ours = [harness.ours("pybuild"), "--root", str(root)]
        harness.measure([*ours, "load", "-i", os.environ.get("BENCH_BUSYBOX", "/var/tmp/pybuild-bench/images/busybox.tar")])
        commands = {"pybuild": [*ours, "build", "-q", "--no-cache", "--network", "none", "-t", "steps", str(context)]}
        if docker := harness.docker():
            commands["docker (BuildKit)"] = [*docker, "build", "-q", "--no-cache", "--network", "none", "-t", "steps", str(context)]
        if (buildah := harness.program("buildah")) and len(sys.argv) > 2:
            commands["buildah"] = [buildah, "--runtime", "/usr/sbin/runc", "bud", "-q", "--layers", "--no-cache", "--network", "none", "-t", "steps",
                                   str(context)]
        env = {"DOCKER_BUILDKIT": "1"}
        medians = harness.compare(f"{STEPS} RUN steps", {n: (lambda c=c: harness.measure(c, env)) for n, c in commands.items()}, rounds)
        for peer, seconds in medians.items():
            print(f"{peer}: {seconds / STEPS * 1000:.1f} ms a step")


if __name__ == "__main__":
    main()
