"""Images on their way: push, pull, save, load, and the same again, of a 160 MB Debian image; extraction of a layer of 20,000 files.

    python bench/registry.py [ROUNDS] [SCENARIO..]     (docker by DOCKER_HOST; BENCH_IMAGE: a docker archive)

Peers are docker, buildah, podman and skopeo, against docker-registry, in the network namespace BENCH_NETNS if there is one. Ours begins each round
with an empty store, so that nothing is known from the round before; for the others images and blobs are taken away between rounds. The image gets a
file of its own, so that nobody has its layer under another name.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness
import peers
from registry_server import IMAGE, STATE, Server, archive_of, forget, inside, own_image

Run = Callable[[], tuple[float, float]]
FILES = 20_000
MANY = "bench-many:1"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Bench:
    def __init__(self, directory: Path, rounds: int) -> None:
        self._directory, self._rounds = directory, rounds
        self._server = Server("docker-registry", directory, 5983)
        self._count = 0
        hosts = list(peers.dockers().values())
        self._docker = peers.docker(hosts[0]) if hosts else None
        self._buildah, self._podman, self._skopeo = (harness.program(name) for name in ("buildah", "podman", "skopeo"))
        self._name = f"bench-registry-{os.getpid()}:1"
        self._image = directory / "image.tar"
        own_image(IMAGE, self._image, self._name)
        self._load()

    def close(self) -> None:
        self._forget_image()
        self._server.stop()

    def _others(self) -> list[list[str]]:
        return [argv for argv in (self._docker, [self._podman] if self._podman else None) if argv]

    def _load(self) -> None:
        """Have every peer know the image."""
        for argv in self._others():
            subprocess.run([*argv, "load", "-q", "-i", str(self._image)], check=True, **QUIET)      # type: ignore[call-overload]

    def _forget_image(self) -> None:
        self._untag(self._name)

    def _untag(self, name: str) -> None:
        for argv in self._others():
            subprocess.run([*argv, "rmi", "-f", name], **QUIET)      # type: ignore[call-overload]

    def _fresh(self) -> list[str]:
        """argv of ours with an empty store."""
        self._count += 1
        return [harness.ours("pybuild"), "--root", str(self._directory / f"ours-{self._count}")]

    def _loaded(self) -> list[str]:
        ours = self._fresh()
        harness.measure([*ours, "load", "-i", str(self._image)])
        return ours

    def _file(self, name: str) -> str:
        self._count += 1
        return str(self._directory / f"{name}-{self._count}.tar")

    # ------------------------------------------------------------ scenarios
    def push(self) -> None:
        target = f"{self._server.address}/push:1"

        def ours() -> tuple[float, float]:
            argv = self._loaded()
            subprocess.run([*argv, "tag", self._name, target], check=True)
            return self._forgetting(harness.measure(inside([*argv, "push", "-q", target])))

        def docker() -> tuple[float, float]:
            assert self._docker
            subprocess.run([*self._docker, "tag", self._name, target], check=True)
            taken = harness.measure([*self._docker, "push", "-q", target])
            subprocess.run([*self._docker, "rmi", target], check=True, **QUIET)      # type: ignore[call-overload]
            return self._forgetting(taken)

        def plain(program: str) -> tuple[float, float]:
            return self._forgetting(harness.measure(inside([program, "push", "-q", "--tls-verify=false", f"localhost/{self._name}", target])))

        runs: dict[str, Run] = {"pybuild": ours}
        runs |= {name: partial(plain, program) for name, program in (("buildah", self._buildah), ("podman", self._podman)) if program}
        if self._docker:
            runs["docker"] = docker
        harness.compare("push of 160 MB (gzip) to docker-registry", runs, self._rounds)

    def _forgetting(self, taken: tuple[float, float]) -> tuple[float, float]:
        forget(self._server, "push")
        return taken

    def pull(self, again: bool = False) -> None:
        source = f"{self._server.address}/kept:1"
        harness.measure(inside(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"docker-archive:{self._image}", f"docker://{source}"]))
        self._forget_image()

        def ours(argv: "list[str] | None") -> tuple[float, float]:
            return harness.measure(inside([*(argv or self._fresh()), "pull", "-q", source]))

        def other(argv: list[str], *options: str) -> tuple[float, float]:
            taken = harness.measure(inside([*argv, "pull", "-q", *options, source]))
            if not again:
                subprocess.run([*argv, "rmi", "-f", source], check=True, **QUIET)     # type: ignore[call-overload]
            return taken

        kept = self._fresh() if again else None
        runs: dict[str, Run] = {"pybuild": partial(ours, kept)}
        if self._docker:
            runs["docker"] = partial(other, self._docker)
        for name, program in (("buildah", self._buildah), ("podman", self._podman)):
            if program:
                runs[name] = partial(other, [program], "--tls-verify=false")
        if again:
            for run in runs.values():
                run()
        harness.compare("pull again, all of it here" if again else "pull of 160 MB, all of it absent", runs, self._rounds * (3 if again else 1))
        self._untag(source)
        self._load()

    def push_again(self) -> None:
        """Each its own tag: who finds there what another one has put has a manifest to send."""
        target = f"{self._server.address}/again:"
        ours = self._loaded()
        subprocess.run([*ours, "tag", self._name, target + "ours"], check=True)
        runs: dict[str, Run] = {"pybuild": lambda: harness.measure(inside([*ours, "push", "-q", target + "ours"]))}
        if self._docker:
            docker = self._docker
            subprocess.run([*docker, "tag", self._name, target + "docker"], check=True)
            runs["docker"] = lambda: harness.measure([*docker, "push", "-q", target + "docker"])
        if self._buildah:
            argv = [self._buildah, "push", "-q", "--tls-verify=false", f"localhost/{self._name}", target + "buildah"]
            runs["buildah"] = lambda: harness.measure(inside(argv))
        for run in runs.values():
            run()
        harness.compare("push again, all of it there", runs, self._rounds * 3)
        self._untag(target + "docker")

    def save(self) -> None:
        ours = self._loaded()
        runs: dict[str, Run] = {"pybuild": lambda: harness.measure([*ours, "save", "-o", self._file("ours"), self._name])}
        if self._skopeo:
            skopeo = self._skopeo
            runs["skopeo"] = lambda: harness.measure([skopeo, "copy", "-q", "--insecure-policy", f"containers-storage:localhost/{self._name}",
                                                      f"docker-archive:{self._file('skopeo')}:{self._name}"])
        if self._podman:
            podman = self._podman
            runs["podman"] = lambda: harness.measure([podman, "save", "-q", "-o", self._file("podman"), self._name])
        if self._docker:
            docker = self._docker
            runs["docker"] = lambda: harness.measure([*docker, "save", "-o", self._file("docker"), self._name])
        harness.compare("save of 160 MB as a docker archive", runs, self._rounds)

    def load(self) -> None:
        self._loading("load of 160 MB", str(self._image), self._name)

    def extract(self) -> None:
        """An archive whose one layer has many small files."""
        archive = self._directory / "many.tar"
        _many(archive)
        self._loading(f"load of a layer of {FILES} files", str(archive), MANY)

    def _loading(self, title: str, archive: str, name: str) -> None:
        def other(argv: list[str]) -> tuple[float, float]:
            subprocess.run([*argv, "rmi", "-f", name], **QUIET)      # type: ignore[call-overload]
            return harness.measure([*argv, "load", "-q", "-i", archive])

        runs: dict[str, Run] = {"pybuild": lambda: harness.measure([*self._fresh(), "load", "-q", "-i", archive])}
        if self._docker:
            runs["docker"] = partial(other, self._docker)
        if self._podman:
            runs["podman"] = partial(other, [self._podman])
        harness.compare(title, runs, self._rounds)
        self._load()


def _many(path: Path) -> None:
    layer = path.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        for number in range(FILES):
            if not number % 100:
                info = tarfile.TarInfo(f"d{number // 100}/")
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            info = tarfile.TarInfo(f"d{number // 100}/f{number}")
            info.size = 1000 + number * 7919 % 9000
            tar.addfile(info, io.BytesIO(bytes([number % 251]) * info.size))
    archive_of(layer, path, MANY)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    if not harness.program("docker-registry"):
        sys.exit("docker-registry is needed to push to and pull from")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=STATE if STATE.exists() else None, ignore_cleanup_errors=True) as name:
        bench = Bench(Path(name), rounds)
        scenarios: dict[str, Callable[[], None]] = {
            "push": bench.push, "push-again": bench.push_again, "pull": bench.pull, "pull-again": partial(bench.pull, again=True),
            "save": bench.save, "load": bench.load, "extract": bench.extract}
        try:
            for wanted in sys.argv[2:] or list(scenarios):
                scenarios[wanted]()
        finally:
            bench.close()
            shutil.rmtree(name, ignore_errors=True)


if __name__ == "__main__":
    main()
