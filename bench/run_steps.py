"""Forty RUN steps, uncached, without a network and with the default one: what a step costs beside what it runs.

    python bench/run_steps.py [ROUNDS] [buildah]
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers

STEPS = 40
NETWORKS = (("without a network", ("--network", "none")), ("with the default network", ()))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory(prefix="bench-", dir=peers.scratch(), ignore_cleanup_errors=True) as name:
        root = Path(name) / "root"
        one, all_steps = (context_of(Path(name), count) for count in (1, STEPS))
        for title, options in NETWORKS:
            first, every = (peers.builders(root, context, "--no-cache", *options, buildah=len(sys.argv) > 2) for context in (one, all_steps))
            alone = harness.compare(f"1 RUN step {title}", harness.runs(first, peers.ENV), rounds)
            medians = harness.compare(f"{STEPS} RUN steps {title}", harness.runs(every, peers.ENV), rounds)
            for peer, seconds in medians.items():
                further = (seconds - alone[peer]) / (STEPS - 1)
                print(f"{peer}: {seconds / STEPS * 1000:.1f} ms a step, {further * 1000:.1f} ms for each after the first")


def context_of(directory: Path, steps: int) -> Path:
    """A context whose Dockerfile has so many steps."""
    context = directory / f"context{steps}"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox:latest\n" + "".join(f"RUN echo {n} > /f{n}\n" for n in range(steps)))
    return context


if __name__ == "__main__":
    main()
