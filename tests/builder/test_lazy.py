"""Builds that only push: layers of a base that no step reads stay in their registry, until something here needs them."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.builder.cache.conftest import Machine, Machines, docker_registry, machines

__all__ = ["docker_registry", "machines"]
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def base(machines: Machines, docker_registry: str) -> Iterator[str]:
    """A base image in the registry, which only the first machine has made."""
    machines.write(f="x", g="y")
    name = f"{docker_registry}/lazy/base:1"
    machines.new().ok("FROM busybox\nRUN --network=none echo base > /base\n", "-o", f"type=registry,name={name}")
    yield name


def layers(registry: str, name: str) -> list[str]:
    repository, tag = name.removeprefix(f"{registry}/").split(":")
    with urlopen(Request(f"http://{registry}/v2/{repository}/manifests/{tag}", headers={"Accept": _MANIFEST})) as answer:
        return [layer["digest"] for layer in json.load(answer)["layers"]]


def fresh(machines: Machines) -> tuple[Machine, int]:
    machine = machines.new()
    return machine, machine.snapshots()


@pytest.mark.parametrize("how", [("--push",), (), ("-o", "type=cacheonly")], ids=" ".join)
def test_what_is_only_pushed_leaves_the_layers_of_its_base(machines: Machines, base: str, docker_registry: str, how: tuple[str, ...]) -> None:
    machine, before = fresh(machines)
    name = f"{docker_registry}/lazy/app:{len(how)}"
    machine.ok(f"FROM {base}\nENV A=b\nCOPY --link f /app/f\n", "-o", f"type=registry,name={name}", *how)
    assert machine.snapshots() == before + 1                                 # the copy's
    assert layers(docker_registry, name)[:-1] == layers(docker_registry, base)


def test_a_step_that_reads_the_base_fetches_it(machines: Machines, base: str, docker_registry: str) -> None:
    machine, before = fresh(machines)
    machine.ok(f"FROM {base}\nRUN --network=none cat /base > /seen\n", "-o", f"type=registry,name={docker_registry}/lazy/read:1")
    assert machine.snapshots() == before + 1 + len(layers(docker_registry, base)) - 1      # this machine's own busybox is the lowest of them


@pytest.mark.parametrize("how", [(), ("-o", "type=image"), ("-o", "type=image,push=true")], ids=" ".join)
def test_an_image_that_is_wanted_here_is_whole(machines: Machines, base: str, docker_registry: str, how: tuple[str, ...]) -> None:
    machine, before = fresh(machines)
    machine.ok(f"FROM {base}\nCOPY --link f /f\n", *(word.replace("push", f"name={docker_registry}/lazy/whole:1,push") for word in how))
    assert machine.snapshots() > before + 1


def test_the_same_build_for_here_fetches_what_was_left(machines: Machines, base: str, docker_registry: str) -> None:
    machine, before = fresh(machines)
    file, name = f"FROM {base}\nCOPY --link f /f\n", f"{docker_registry}/lazy/later:1"
    machine.ok(file, "-o", f"type=registry,name={name}")
    assert machine.snapshots() == before + 1
    machine.ok(file, "-t", name)
    assert machine.snapshots() > before + 1
    assert machine.says("cat /base /f") == "base\nx"


@pytest.mark.parametrize("kind", ["oci", "docker", "tar"])
def test_an_archive_of_the_same_build_is_whole(machines: Machines, base: str, docker_registry: str, kind: str, tmp_path: Path) -> None:
    machine, _ = fresh(machines)
    file, name, out = f"FROM {base}\nCOPY --link f /f\n", f"{docker_registry}/lazy/archive:{kind}", tmp_path / "out.tar"
    machine.ok(file, "-o", f"type=registry,name={name}")
    machine.ok(file, "-t", name, "-o", f"type={kind},dest={out}")
    with tarfile.open(out) as archive:
        names = archive.getnames()
        if kind == "tar":
            assert {"base", "f"} <= set(names)
            return
        manifest = json.load(archive.extractfile("manifest.json")) if kind == "docker" else []      # type: ignore[arg-type]
    if manifest:
        assert set(manifest[0]["Layers"]) <= set(names)
    else:
        assert sum(n.startswith("blobs/sha256/") for n in names) >= len(layers(docker_registry, name)) + 2


def test_the_same_build_is_pushed_elsewhere_without_its_layers(machines: Machines, base: str, docker_registry: str) -> None:
    machine, before = fresh(machines)
    file = f"FROM {base}\nCOPY --link f /f\n"
    for name in ("one", "two"):
        done = machine.ok(file, "-o", f"type=registry,name={docker_registry}/lazy/{name}:1")
    assert "(1 of 1 steps cached)" in done.err
    assert machine.snapshots() == before + 1
    assert layers(docker_registry, f"{docker_registry}/lazy/two:1") == layers(docker_registry, f"{docker_registry}/lazy/one:1")


def test_a_squashed_image_is_made_of_all_its_files(machines: Machines, base: str, docker_registry: str) -> None:
    machine, _ = fresh(machines)
    name = f"{docker_registry}/lazy/squashed:1"
    machine.ok(f"FROM {base}\nCOPY --link f /f\nCOPY --link g /g\n", "-o", f"type=registry,name={name},squash=true")
    assert layers(docker_registry, name)[:-1] == layers(docker_registry, base)
