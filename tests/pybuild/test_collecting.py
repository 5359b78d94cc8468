"""Builds, pulls, saves and prunes on one store at once: nothing that is in use is taken away, and what is left is in order."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.pybuild.test_image_commands import rootfs
from tests.store.registry.fake import FakeRegistry
from tests.tool import Tool

ROUNDS = 60 if os.environ.get("PYBUILD_LONG") else 4
DOCKERFILE = """FROM {base} AS one
COPY a /a
FROM scratch
COPY --from=one / /
COPY a {number}
"""


def _worker(tool: Tool, *commands: list[str]) -> "subprocess.Popen[str]":
    """All of the commands, again and again, in a process of its own; whatever fails is on its stdout."""
    script = " && ".join(" ".join(f"'{word}'" for word in tool.argv("pybuild", *command)) + " >$out 2>&1" for command in commands)
    text = f"out=$(mktemp); for n in $(seq {ROUNDS}); do ( {script} ) || {{ echo \"round $n\"; cat $out; }}; done; rm $out"
    return subprocess.Popen(["sh", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=tool.env)


@pytest.mark.slow
def test_builds_pulls_and_prunes_at_once(tmp_path: Path) -> None:
    tool = Tool(tmp_path / "r")
    with FakeRegistry() as registry:
        for number in range(3):
            registry.image("base", str(number), rootfs(etc="base" * 1000), rootfs(number=str(number)))
        workers = []
        for number in range(2):
            context = tmp_path / f"context{number}"
            context.mkdir()
            (context / "a").write_text("a" * 10_000)
            (context / "Dockerfile").write_text(DOCKERFILE.format(base=f"{registry.host}/base:{number}", number=f"/n{number}"))
            workers.append(_worker(tool, ["build", "-q", "--no-cache", "-t", f"built:{number}", "-o", f"type=tar,dest={tmp_path}/out{number}.tar",
                                          str(context)]))
        workers.append(_worker(tool, ["pull", f"{registry.host}/base:2"]))
        workers.append(_worker(tool, ["import", str(_tar(tmp_path)), "imported:1"]))
        workers.append(_worker(tool, ["prune", "-af"], ["prune", "-f"], ["image", "prune", "-af"]))
        said = "".join(worker.communicate()[0] for worker in workers)
        assert not said, said
        assert tool.pybuild("fsck").err == ""
        print(f"rounds of builds, pulls, imports and prunes at once: {ROUNDS}")
        tool.pybuild("build", "-q", "-t", "last", str(tmp_path / "context0"))


def _tar(directory: Path) -> Path:
    (directory / "rootfs.tar").write_bytes(rootfs(etc="imported"))
    return directory / "rootfs.tar"
