"""A rebuild in which nothing changed: 12 instructions, 3 stages, 2,000 files. And the same after one file was touched.

    python bench/cached_rebuild.py [ROUNDS]      (ours as installed beside this python; docker by DOCKER_HOST, buildah if it is there)
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness

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
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        context, root = Path(name) / "context", Path(name) / "root"
        context.mkdir()
        make_context(context)
        ours = [harness.ours("pybuild"), "--root", str(root)]
        harness.measure([*ours, "load", "-i", os.environ.get("BENCH_BUSYBOX", "/var/tmp/pybuild-bench/images/busybox.tar")])
        commands = {"pybuild": [*ours, "build", "-q", "-t", "noop", str(context)]}
        if docker := harness.docker():
            commands["docker (BuildKit)"] = [*docker, "build", "-q", "-t", "noop", str(context)]
        if (buildah := harness.program("buildah")) and len(sys.argv) > 2:
            commands["buildah"] = [buildah, "--runtime", "/usr/sbin/runc", "bud", "-q", "--layers", "-t", "noop", str(context)]
        env = {"DOCKER_BUILDKIT": "1"}
        time.sleep(2.1)                                # files younger than the clock's granularity are read again: not what is measured
        for command in commands.values():
            harness.measure(command, env)
            harness.measure(command, env)
        harness.compare("cached rebuild, nothing changed", {n: (lambda c=c: harness.measure(c, env)) for n, c in commands.items()}, rounds)
        touched = context / "d007" / "f00007"

        def touch(command: list[str]) -> tuple[float, float]:
            os.utime(touched)
            return harness.measure(command, env)

        harness.compare("cached rebuild, one file touched", {n: (lambda c=c: touch(c)) for n, c in commands.items()}, max(rounds // 2, 3))


if __name__ == "__main__":
    main()
