"""Forty RUN steps without a network, uncached: what a step costs beside what it runs.

    python bench/run_steps.py [ROUNDS] [buildah]
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers

STEPS = 40


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory(prefix="bench-", dir=peers.scratch(), ignore_cleanup_errors=True) as name:
        context, root = Path(name) / "context", Path(name) / "root"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM busybox:latest\n" + "".join(f"RUN echo {n} > /f{n}\n" for n in range(STEPS)))
        commands = peers.builders(root, context, "--no-cache", "--network", "none", buildah=len(sys.argv) > 2)
        medians = harness.compare(f"{STEPS} RUN steps", harness.runs(commands, peers.ENV), rounds)
        for peer, seconds in medians.items():
            print(f"{peer}: {seconds / STEPS * 1000:.1f} ms a step")


if __name__ == "__main__":
    main()
