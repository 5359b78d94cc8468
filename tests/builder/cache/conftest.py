"""Machines that share nothing but a cache: root directories of their own, one context, a real registry."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builder.conftest import _empty
from tests.tool import Done, Tool
from tests.users import User


class Machine:
    """One root directory with a busybox image in it."""

    def __init__(self, tool: Tool, context: Path) -> None:
        self.tool, self.root, self.context = tool, tool.root, context
        self.tool.pybuild("base", "busybox", "-t", "busybox")

    def build(self, dockerfile: str, *words: str) -> Done:
        (self.context / "Dockerfile").write_text(dockerfile)
        if self.tool.user is not None:
            subprocess.run(["chmod", "-R", "a+rX", str(self.context)], check=True)
        return self.tool.run("pybuild", "build", "--progress", "plain", "-t", "it", *words, str(self.context))

    def ok(self, dockerfile: str, *words: str) -> Done:
        return self.build(dockerfile, *words).ok()

    def says(self, command: str) -> str:
        """What a shell command prints in the image that was built last."""
        done = self.ok(f"FROM it\nRUN --network=none {command}\n", "--no-cache", "-t", "asked")
        return "\n".join(line.split(" ", 2)[2] for line in done.err.splitlines() if re.match(r"#1 \d", line))

    def snapshots(self) -> int:
        return len(list((self.root / "snapshots").iterdir()))


class Machines:
    def __init__(self, place: Path) -> None:
        self._place = place
        self._count = 0
        self._homes: list[tuple[User, Path]] = []
        self.env = {"HOME": str(place)}
        self.context = place / "context"
        self.context.mkdir()

    def new(self) -> Machine:
        self._count += 1
        return Machine(Tool(self._place / f"machine{self._count}", env=self.env), self.context)

    def of_user(self, user: User) -> Machine:
        """A machine whose only user is an ordinary one; he sees the context, and what lies beside it."""
        self._count += 1
        self._place.chmod(0o755)
        place = user.directory(user.home / f"cache{self._count}-{os.getpid()}")
        self._homes.append((user, place))
        return Machine(Tool(place / "root", user), self.context)

    def close(self) -> None:
        for user, place in self._homes:
            user.call(_empty, str(place))
        shutil.rmtree(self._place, ignore_errors=True)

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.context / name).write_text(text)


@pytest.fixture
def machines() -> Iterator[Machines]:
    place = Path(tempfile.mkdtemp(prefix="pybuild-cache-", dir="/var/tmp"))
    made = Machines(place)
    yield made
    made.close()


def ran(done: Done) -> list[str]:
    """Labels of the steps that ran, in order of their numbers."""
    return _labels(done, "DONE")


def cached(done: Done) -> list[str]:
    return _labels(done, "CACHED")


def _labels(done: Done, word: str) -> list[str]:
    labels = {m[1]: m[2] for m in re.finditer(r"^#(\d+) \[[^]]*\] (.*)$", done.err, re.M)}
    last = {m[1]: m[2] for m in re.finditer(r"^#(\d+) (CACHED|DONE)", done.err, re.M)}
    return [labels[n] for n in sorted(last, key=int) if last[n] == word]


def fetched(machine: Machine) -> int:
    """Layers that a machine has as blobs: those that came from elsewhere, or were sent there."""
    return sum(path.read_bytes()[:2] == b"\x1f\x8b" for path in (machine.root / "blobs/sha256").iterdir())


def image(done: Done) -> str:
    return done.err.splitlines()[-1].split()[0]


def sent(done: Done) -> float:
    """Megabytes of new blobs that were sent."""
    return sum(float(size) for size in re.findall(r"([\d.]+) of [\d.]+ MB sent", done.err))


@pytest.fixture(scope="session")
def docker_registry() -> Iterator[str]:
    """host:port of Debian's docker-registry."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed (package docker-registry)")
    place = Path(tempfile.mkdtemp(prefix="pybuild-registry-", dir="/var/tmp"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (place / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {place}/data}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\nlog: {{level: error, accesslog: {{disabled: true}}}}\n")
    with open(place / "log", "wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(place / "config.yml")], stdout=log, stderr=log)
    try:
        await_port(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(place, ignore_errors=True)


def await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.05)
