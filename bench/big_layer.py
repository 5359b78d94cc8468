"""RUN dd of 1 GiB of incompressible bytes, and the commit of its layer.

    python bench/big_layer.py [ROUNDS]
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory(prefix="bench-", dir=peers.scratch(), ignore_cleanup_errors=True) as name:
        context = Path(name) / "context"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM busybox:latest\nRUN dd if=/dev/urandom of=/big bs=1M count=1024 2>/dev/null\n")
        commands = peers.builders(Path(name) / "root", context, "--no-cache")
        harness.compare("RUN dd of 1 GiB", harness.runs(commands, peers.ENV), rounds, 1, "s")


if __name__ == "__main__":
    main()
