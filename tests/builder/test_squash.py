"""`squash=true`: all layers of a build as one."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from builder.errors import BuildError
from builder.outputs import check_outputs
from builder.request import CacheAddress, Output, Request
from builder.squash import difference
from store.tree import is_whiteout
from tests.builder.conftest import Builds

SQUASHED = Output("image", "", (("squash", "true"),))
FILE = ("FROM busybox AS low\nRUN --network=none mkdir /d /e && echo 1 > /d/base && echo 1 > /d/gone && echo 1 > /e/f && mkdir /was && echo 1 > /was/f\n"
        "FROM low\n")
STEPS = ("RUN --network=none echo secret > /d/secret && echo 2 > /d/new && rm /d/gone && chmod 4755 /d/base && rm -r /was && echo f > /was\n"
         "RUN --network=none rm /d/secret && rm -r /e && mkdir /e && echo new > /e/g && ln /d/new /d/linked && ln -s new /d/link && mkfifo /d/fifo\n"
         "ENV A=b\nCOPY f /f\nRUN --network=none chown -h 7:8 /d/link && chown 7:8 /d && chmod 1777 /d\n")


def root_of(builds: Builds, name: str) -> "dict[str, tuple[object, ...]]":
    out = builds.context.parent / "root.tar"
    builds.ok(f"FROM {name}\n", "-o", f"type=tar,dest={out}", "-t", "asked")
    with tarfile.open(out) as archive:
        found: "dict[str, tuple[object, ...]]" = {m.name: (m.type if m.type != tarfile.LNKTYPE else tarfile.REGTYPE, m.mode, m.uid, m.gid, m.mtime,
                          archive.extractfile(m).read() if m.isreg() or m.islnk() else m.linkname) for m in archive.getmembers()}      # type: ignore[union-attr]
    out.unlink()
    return found


def layers_of(builds: Builds, name: str) -> list[str]:
    found: list[str] = json.loads(builds.tool.pybuild("inspect", name).out)[0]["RootFS"]["Layers"]
    return found


def squashed_pair(builds: Builds) -> None:
    builds.write(f="x")
    builds.ok(FILE.replace("FROM low\n", ""), "-t", "low")
    steps = "FROM low\n" + STEPS
    builds.ok(steps, "-t", "plain")
    builds.ok(steps, "-o", "type=image,squash=true,name=small", "-t", "small")


def test_squashed_image_has_the_same_files_in_one_layer_over_its_base(builds: Builds) -> None:
    squashed_pair(builds)
    assert layers_of(builds, "small")[:-1] == layers_of(builds, "low")
    assert len(layers_of(builds, "plain")) == len(layers_of(builds, "low")) + 4
    assert root_of(builds, "small") == root_of(builds, "plain")
    assert builds.says("stat -c %h /d/new; cat /e/* /f; ls /e", "small") == "2\nnew\nxg"


def test_what_came_and_went_is_not_in_the_layer(as_root: Builds, tmp_path: Path) -> None:
    squashed_pair(as_root)
    as_root.tool.pybuild("save", "-o", f"{tmp_path}/saved", "small")
    with tarfile.open(tmp_path / "saved") as archive:
        last = json.load(archive.extractfile("manifest.json"))[0]["Layers"][-1]      # type: ignore[arg-type]
        with tarfile.open(fileobj=io.BytesIO(archive.extractfile(last).read())) as layer:      # type: ignore[union-attr]
            names = set(layer.getnames())
    assert {"d/.wh.gone", "e/.wh.f", "d/new", "d/linked", "was"} <= names
    assert not any("secret" in name for name in names) and not any(name.startswith("bin") for name in names)


def test_history_says_of_one_entry_that_it_has_the_layer(as_root: Builds) -> None:
    squashed_pair(as_root)
    out = as_root.context.parent / "oci"
    as_root.ok("FROM small\n", "-o", f"type=oci,tar=false,dest={out}")
    config = next(c for c in map(json.loads, (p.read_bytes() for p in out.glob("blobs/sha256/*") if p.read_bytes()[:1] == b"{")) if "history" in c)
    own = [entry.get("empty_layer", False) for entry in config["history"][-5:]]
    assert own == [True, True, True, True, False]
    assert config["config"]["Env"][-1] == "A=b"
    assert sum(not entry.get("empty_layer") for entry in config["history"]) == len(config["rootfs"]["diff_ids"])


def test_the_same_build_again_is_the_same_image_and_found_at_once(as_root: Builds) -> None:
    squashed_pair(as_root)
    image = as_root.tool.pybuild("inspect", "-f", "{{.Id}}", "small").out
    again = as_root.ok("FROM low\n" + STEPS, "-o", "type=image,squash=true,name=small", "-t", "small")
    assert "(4 of 4 steps cached)" in again.err
    as_root.ok("FROM low\n" + STEPS + "LABEL a=b\n", "-o", "type=image,squash=true,name=other", "-t", "other")
    assert layers_of(as_root, "other") == layers_of(as_root, "small")
    assert as_root.tool.pybuild("inspect", "-f", "{{.Id}}", "small").out == image


def test_squashed_image_from_scratch(builds: Builds) -> None:
    builds.write(f="x", g="y")
    builds.ok("FROM scratch\nCOPY f /\nCOPY g /a/\n", "-o", "type=image,squash=true,name=small", "-t", "small")
    assert len(layers_of(builds, "small")) == 1
    assert {"f", "a", "a/g"} == {name.rstrip("/") for name in root_of(builds, "small")} - {".", ""}


def test_one_layer_stays_as_it_is(as_root: Builds) -> None:
    as_root.write(f="x")
    as_root.ok("FROM busybox\nCOPY f /\n", "-t", "plain")
    as_root.ok("FROM busybox\nCOPY f /\n", "-o", "type=image,squash=true,name=small", "-t", "small")
    assert layers_of(as_root, "plain") == layers_of(as_root, "small")


@pytest.mark.parametrize("outputs", [(SQUASHED, Output("oci")), (SQUASHED, Output("registry"))], ids=["oci", "registry"])
def test_outputs_that_do_not_agree_are_an_error(outputs: tuple[Output, ...]) -> None:
    with pytest.raises(BuildError, match="do not agree"):
        check_outputs(Request("/", "Dockerfile", b"", names=("x",), outputs=outputs))


def test_a_squashed_image_is_no_cache() -> None:
    with pytest.raises(BuildError, match="cannot be a cache"):
        check_outputs(Request("/", "Dockerfile", b"", outputs=(SQUASHED,), cache_to=(CacheAddress("inline"),)))


def test_docker_takes_a_squashed_archive(as_root: Builds, tmp_path: Path) -> None:
    squashed_pair(as_root)
    as_root.ok("FROM low\n" + STEPS, "-o", f"type=oci,squash=true,dest={tmp_path}/out.tar")
    subprocess.run(["skopeo", "copy", "-q", f"oci-archive:{tmp_path}/out.tar", f"dir:{tmp_path}/copied"], check=True)


def test_difference_of_kinds() -> None:
    def row(name: str, mode: int, content: bytes = b"", links: int = 1, mtime: int = 0) -> "tuple[object, ...]":
        return name, (mode, 0, mtime, 0, 0, 0, 0, links, 0), "", (), content

    directory, file = 0o040755, 0o100644
    before = {"": [row("a", directory), row("b", file, b"1"), row("c", directory)], "a/": [row("x", file)], "c/": [row("y", file)]}
    after = {"": [row("a", file), row("b", directory), row("c", directory, links=9)], "b/": [row("z", file)], "c/": []}
    found = difference(before, after)      # type: ignore[arg-type]
    assert {rel: [r[0] for r in rows] for rel, rows in found.items()} == {"": ["a", "b", "c"], "b/": ["z"], "c/": ["y"]}
    assert is_whiteout(found["c/"][0][1])
    assert difference(before, before) == {}      # type: ignore[arg-type]


def test_a_squashed_image_is_verified_as_one(as_root: Builds) -> None:
    as_root.write(f="x")
    as_root.ok("FROM busybox\nCOPY f /\nRUN --network=none rm /f; echo 1 > /g\n", "--reproducible", "-o", "type=image,squash=true,name=small", "-t", "small")
    assert as_root.tool.pybuild("verify", "small").status == 0
