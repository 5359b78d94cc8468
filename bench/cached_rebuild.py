"""A rebuild in which nothing changed: 12 instructions, 3 stages, 2,000 files. And the same after one file was touched.

    python bench/cached_rebuild.py [ROUNDS] [buildah]
"""

import os
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers

DOCKERFILE = """FROM busybox:latest AS base
ENV A=1
RUN echo base > /base
FROM base AS builder
WORKDIR /src
COPY . /src
RUN find /src -type f | wc -l > /count
RUN echo built > /artifact
FROM base
COPY --from=builder /artifact /artifact
COPY --from=builder /count /count
CMD ["cat", "/artifact"]
"""


def make_context(directory: Path, files: int = 2000) -> None:
    rnd = random.Random(1)
    blob = rnd.randbytes(200_000)
    for number in range(files):
        path = directory / f"d{number % 200:03d}" / f"f{number:05d}"
        path.parent.mkdir(exist_ok=True)
        start = rnd.randrange(len(blob) - 2000)
        path.write_bytes(b"%d\n" % number + blob[start:start + 2000])
    (directory / "Dockerfile").write_text(DOCKERFILE)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory(prefix="bench-", dir=peers.scratch(), ignore_cleanup_errors=True) as name:
        context, root = Path(name) / "context", Path(name) / "root"
        context.mkdir()
        make_context(context)
        commands = peers.builders(root, context, buildah=len(sys.argv) > 2)
        env = peers.ENV
        time.sleep(2.1)                                # files younger than the clock's granularity are read again: not what is measured
        for command in commands.values():
            harness.measure(command, env)
            harness.measure(command, env)
        harness.compare("cached rebuild, nothing changed", harness.runs(commands, env), rounds)
        touched = context / "d007" / "f00007"

        def touch(command: list[str]) -> tuple[float, float]:
            os.utime(touched)
            return harness.measure(command, env)

        harness.compare("cached rebuild, one file touched", {n: partial(touch, c) for n, c in commands.items()}, max(rounds // 2, 3))


if __name__ == "__main__":
    main()
