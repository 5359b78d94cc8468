"""Four independent stages of `sleep 2`, joined by COPY --from: how much of them happens at once.

    python bench/stages.py [ROUNDS]
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers

STAGES = 4


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory(prefix="bench-", dir=peers.scratch(), ignore_cleanup_errors=True) as name:
        context = Path(name) / "context"
        context.mkdir()
        stages = "".join(f"FROM busybox:latest AS s{n}\nRUN sleep 2; echo {n} > /out{n}\n" for n in range(STAGES))
        copies = "".join(f"COPY --from=s{n} /out{n} /\n" for n in range(STAGES))
        (context / "Dockerfile").write_text(f"{stages}FROM busybox:latest\n{copies}")
        commands = peers.builders(Path(name) / "root", context, "--no-cache")
        if "buildah" in commands:
            commands["buildah"][-1:-1] = ["--jobs", str(STAGES)]
        for command in commands.values():
            harness.measure(command, peers.ENV)
        harness.compare(f"{STAGES} stages of sleep 2", harness.runs(commands, peers.ENV), rounds, 1, "s")


if __name__ == "__main__":
    main()
