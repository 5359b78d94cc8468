"""The cache that travels: chunks, cache mounts out and back, and builds on fresh machines that share nothing but a registry.

Usage: python bench/cache.py [chunks|mount|builds ..] [-n ROUNDS]. `builds` needs Debian's docker-registry; docker takes part where DOCKER_HOST
answers (BuildKit 20.10 knows inline caches only, so both sides use those; run it in the daemon's network namespace). BENCH_DATA: what `mount` has.
"""

import io
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
import peers

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
DATA = os.environ.get("BENCH_DATA", "/usr/lib/python3")
MB = 1e6


def chunks() -> None:
    """Speed and average of the chunker on several kinds of data, and what an insertion costs."""
    from hashlib import sha256

    from builder.cache.chunker import chunks as split

    text = (".py", ".txt", ".html", ".js")
    kinds = {"random": random.Random(1).randbytes(64 << 20), "programs": _gathered(["/usr/bin", "/usr/lib/x86_64-linux-gnu"], 64 << 20),
             "text": _gathered(["/usr/lib/python3", "/usr/lib/python3.11", "/usr/share"], 64 << 20, text), "zeros": bytes(64 << 20)}
    print("\n### Chunks of 64 MiB\n\n| data | MB/s | average KiB | new bytes after an insertion in the middle |\n|---|--:|--:|--:|")
    for name, data in kinds.items():
        began = time.perf_counter()
        found = list(split(io.BytesIO(data).read))
        took = time.perf_counter() - began
        known = {sha256(c).digest() for c in found}
        edited = data[:len(data) // 2] + b"inserted" + data[len(data) // 2:]
        new = sum(len(c) for c in split(io.BytesIO(edited).read) if sha256(c).digest() not in known)
        print(f"| {name} | {len(data) / took / MB:.0f} | {len(data) / len(found) / 1024:.0f} | {new} |")


def _gathered(directories: list[str], limit: int, ends: tuple[str, ...] = ("",)) -> bytes:
    found = bytearray()
    for directory in directories:
        for path in sorted(Path(directory).rglob("*")):
            if path.is_file() and not path.is_symlink() and path.name.endswith(ends):
                found += path.read_bytes()
            if len(found) >= limit:
                return bytes(found[:limit])
    return bytes(found)


# ---------------------------------------------------------------- cache mounts
MOUNT = """FROM busybox
COPY data.tar /data.tar
RUN --mount=type=cache,id=m,target=/m [ -e /m/data ] || tar xf /data.tar -C /m
COPY stamp /stamp
RUN --mount=type=cache,id=m,target=/m cat /stamp >> /m/log
"""


def mount(rounds: int) -> None:
    """A cache mount of real files: sent, sent again, with one file changed, and restored, through a directory."""
    place = Path(tempfile.mkdtemp(prefix="bench-cache-", dir=peers.scratch() or "/var/tmp"))
    try:
        context = place / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(MOUNT)
        subprocess.run(["tar", "cf", str(context / "data.tar"), "--transform", "s,^,data/,", "-C", DATA, "."], check=True)
        size = (context / "data.tar").stat().st_size
        cache = f"type=local,dest={place}/cache,mounts=m"
        files = sum(len(names) for _, _, names in os.walk(DATA))
        print(f"\n### A cache mount of {size / MB:.0f} MB ({files} files)\n\n| what | s | MB sent |\n|---|--:|--:|")
        ours = peers.our_store(place / "one")
        for what, words in (("first build, nothing sent", []), ("sent", ["--cache-to", cache]), ("sent again", ["--cache-to", cache])):
            _line(what, [*ours, "build", *words, str(context)], place / "cache")
        (context / "stamp").write_text("1")
        _stamped(context, 1)
        _line("one file changed", [*ours, "build", "--cache-to", cache, str(context)], place / "cache")
        for number in range(rounds):
            other = peers.our_store(place / f"other{number}")
            _stamped(context, 2 + number)
            _line("restored on another machine", [*other, "build", "--cache-from", f"type=local,src={place}/cache", str(context)], place / "cache")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _stamped(context: Path, number: int) -> None:
    (context / "stamp").write_text(f"{number}\n")


def _line(what: str, argv: list[str], cache: Path) -> None:
    if not (Path(argv[-1]) / "stamp").exists():
        _stamped(Path(argv[-1]), 0)
    before = _size(cache)
    wall, _ = harness.measure(argv)
    print(f"| {what} | {wall:.2f} | {(_size(cache) - before) / MB:.2f} |", flush=True)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) if directory.exists() else 0


# ---------------------------------------------------------------- builds
STAGES = """FROM busybox AS deps
COPY lock /lock
RUN i=0; while [ $i -lt 40 ]; do head -c 4000000 /dev/urandom > /big$i; i=$((i+1)); done; sleep 3
FROM deps AS build
COPY src /src
RUN sleep 1; cat /src /lock > /out
FROM busybox
RUN head -c 20000000 /dev/urandom > /base
COPY --from=build /out /app/out
RUN wc -c /app/out > /app/size
"""


def builds(rounds: int) -> None:
    """A changed source on a fresh machine, with the cache of another one in a registry on this machine."""
    place = Path(tempfile.mkdtemp(prefix="bench-cache-", dir=peers.scratch() or "/var/tmp"))
    registry = _Registry(place)
    try:
        context = place / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(STAGES)
        (context / "lock").write_text("1")
        (context / "src").write_text("0")
        name = f"{registry.address}/bench/ours"
        ours = [*peers.our_store(place / "first"), "build", "-q"]
        to = ["--cache-to", f"type=registry,ref={name}:max,mode=max", "--cache-to", f"type=registry,ref={name}:min"]
        harness.measure([*ours, *to, str(context)])
        harness.measure([*ours, "--cache-to", "type=inline", "-t", f"{name}:inline", "--push", str(context)])
        taken: dict[str, list[float]] = {}
        for number in range(rounds):
            (context / "src").write_text(f"{number + 1}")
            for what, source in (("ours, mode=max", "max"), ("ours, mode=min", "min"), ("ours, inline", "inline"), ("ours, no cache elsewhere", "")):
                store = peers.our_store(place / f"{source}{number}")
                words = ["--cache-from", f"{name}:{source}"] if source else []
                taken.setdefault(what, []).append(harness.measure([*store, "build", "-q", *words, str(context)])[0])
            for what, host in peers.dockers().items():
                taken.setdefault(f"{what}, inline", []).append(_docker(host, context, f"{registry.address}/bench/docker", number))
        print("\n### A changed source on a fresh machine\n\n| what | n | median s |\n|---|--:|--:|")
        for what, walls in taken.items():
            print(f"| {what} | {len(walls)} | {sorted(walls)[len(walls) // 2]:.2f} |")
    finally:
        registry.stop()
        shutil.rmtree(place, ignore_errors=True)


def _docker(host: str, context: Path, name: str, number: int) -> float:
    """Seconds of docker's build with an inline cache, its own cache emptied before."""
    docker = peers.docker(host)
    if not number:
        harness.measure([*docker, "build", "-q", "--build-arg", "BUILDKIT_INLINE_CACHE=1", "-t", f"{name}:inline", str(context)], peers.ENV)
        harness.measure([*docker, "push", f"{name}:inline"])
    subprocess.run([*docker, "rmi", "-f", f"{name}:inline", "bench-cache"], capture_output=True)
    harness.measure([*docker, "builder", "prune", "-af"])
    return harness.measure([*docker, "build", "-q", "--cache-from", f"{name}:inline", "-t", "bench-cache", str(context)], peers.ENV)[0]


class _Registry:
    def __init__(self, place: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        storage = f"{{filesystem: {{rootdirectory: {place}/registry}}}}"
        (place / "registry.yml").write_text(
            f"version: 0.1\nstorage: {storage}\nhttp: {{addr: {self.address}}}\nlog: {{level: error, accesslog: {{disabled: true}}}}\n")
        self._process = subprocess.Popen([harness.program("docker-registry") or "docker-registry", "serve", str(place / "registry.yml")],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("docker-registry did not come up")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def main() -> None:
    words = [word for word in sys.argv[1:] if word in ("chunks", "mount", "builds")]
    rounds = int(sys.argv[sys.argv.index("-n") + 1]) if "-n" in sys.argv else 3
    for word in words or ("chunks", "mount", "builds"):
        chunks() if word == "chunks" else mount(rounds) if word == "mount" else builds(rounds)


if __name__ == "__main__":
    main()
