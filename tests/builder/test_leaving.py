"""What users take away again is gone from the disk, whoever owns the files: as root, and as an ordinary user whose layers have many owners."""

import json
import os
from pathlib import Path

import pytest

from tests.builder.conftest import Builds
from tests.tool import Tool

FOREIGN = "FROM busybox\nRUN --network=none mkdir -m 700 /d && echo 1 > /d/f && chmod 600 /d/f && chown -R 7:7 /d\n"


@pytest.fixture
def apart(builds: Builds) -> Builds:
    """A root directory of its own, with the base image in it."""
    archive = builds.context.parent / "busybox.tar"
    builds.tool.pybuild("save", "-o", str(archive), "busybox")
    builds.tool = Tool(builds.context.parent / "root", builds.tool.user)
    builds.tool.pybuild("load", "-i", str(archive))
    return builds


def snapshots(builds: Builds) -> int:
    return len(os.listdir(Path(builds.tool.root) / "snapshots"))


def test_image_with_foreign_files_is_saved_loaded_and_removed(apart: Builds) -> None:
    apart.ok(FOREIGN)
    archive = str(apart.context.parent / "it.tar")
    apart.tool.pybuild("save", "-o", archive, "it")
    apart.tool.pybuild("rmi", "it")
    assert snapshots(apart) == 2                         # the cache has it still
    apart.tool.pybuild("cache", "rm", "--all")
    assert snapshots(apart) == 1
    apart.tool.pybuild("load", "-i", archive)
    assert snapshots(apart) == 2
    apart.tool.pybuild("rmi", "it")
    assert snapshots(apart) == 1


def test_no_prune_keeps_layers_until_prune(apart: Builds) -> None:
    apart.ok(FOREIGN)
    apart.tool.pybuild("rmi", "--no-prune", "it", "busybox")
    apart.tool.pybuild("cache", "rm", "--all")
    apart.tool.pybuild("prune", "-af")
    assert snapshots(apart) == 0


def test_prune_takes_layers_and_cache_mounts_of_any_owner(apart: Builds) -> None:
    apart.ok(FOREIGN + "RUN --network=none --mount=type=cache,target=/c,uid=5,mode=0700 echo x > /c/f && chown 9:9 /c/f && chmod 600 /c/f\n")
    apart.tool.pybuild("rmi", "it")
    apart.tool.pybuild("prune", "-af")
    assert snapshots(apart) == 0 and not os.listdir(Path(apart.tool.root) / "cachemounts")
    kinds = [json.loads(line) for line in apart.tool.pybuild("du", "--format", "json").out.splitlines()]
    assert {row["Type"]: row["TotalCount"] for row in kinds}["Cache mounts"] == "0"


def test_volume_with_foreign_files_is_removed(apart: Builds) -> None:
    apart.tool.pyup("volume", "create", "data")
    apart.tool.pyup("container", "run", "--rm", "--network", "none", "-v", "data:/v", "busybox", "sh", "-c",
                    "mkdir -m 700 /v/d && echo x > /v/d/f && chown -R 8:8 /v/d")
    apart.tool.pyup("volume", "rm", "data")
    assert "data" not in apart.tool.pyup("volume", "ls", "-q").out
