"""COPY of 20,000 files (400 MB): the first time, unchanged, with one file changed.

    python bench/copy_tree.py [ROUNDS]      (BENCH_SCRATCH: a directory on a journaled file system, for contexts and our store)

Every round has a context of its own for the first copy, so that no peer meets files it has seen; trees are removed at the end only, because
some file systems get slow at creating files after large deletions.
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

FILES, SIZE = 20_000, 20_000


def make_context(directory: Path, salt: int) -> None:
    rnd = random.Random(salt)
    blob = rnd.randbytes(1 << 20)
    directory.mkdir()
    for number in range(FILES):
        path = directory / "tree" / f"d{number % 100:02d}" / f"e{number % 1000:03d}" / f"f{number:05d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = rnd.randrange(len(blob) - SIZE)
        path.write_bytes(b"%d %d\n" % (salt, number) + blob[start:start + SIZE])
    (directory / "Dockerfile").write_text("FROM busybox:latest\nCOPY tree /tree\n")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory(prefix="bench-", dir=peers.scratch(), ignore_cleanup_errors=True) as name:
        place = Path(name)
        contexts = [place / f"context{n}" for n in range(rounds)]
        for salt, context in enumerate(contexts):
            make_context(context, salt)
        time.sleep(2.1)                                # files younger than the clock's granularity are read again: not what is measured
        commands = [peers.builders(place / "root", context) for context in contexts]
        left: dict[str, int] = dict.fromkeys(commands[0], -1)

        def first(peer: str) -> tuple[float, float]:
            left[peer] += 1
            return harness.measure(commands[left[peer]][peer], peers.ENV)

        harness.compare(f"COPY of {FILES} files, first", {peer: partial(first, peer) for peer in left}, rounds)
        again = commands[-1]
        harness.compare("... unchanged", harness.runs(again, peers.ENV), rounds)
        changes = iter(range(10**6))

        def changed(command: list[str]) -> tuple[float, float]:
            number = next(changes)
            path = contexts[-1] / "tree" / "d07" / "e007" / "f00007"
            path.write_bytes(os.urandom(SIZE) + b"%d" % number)
            return harness.measure(command, peers.ENV)

        harness.compare("... one file changed", {peer: partial(changed, command) for peer, command in again.items()}, rounds)


if __name__ == "__main__":
    main()
