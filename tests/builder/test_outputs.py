"""What a build gives away: archives, layouts, files, pushes to a real registry, and what it tells other programs about them."""

import base64
import json
import os
import sqlite3
import stat
import subprocess
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as Request_
from urllib.request import urlopen

import pytest

from builder.annotations import DESCRIPTOR, MANIFEST, at_level, parse
from builder.errors import BuildError
from builder.outputs import Opened, OpenedDirectory, check_outputs
from builder.request import Output, Request
from store.oci import Platform
from tests.builder.cache.conftest import docker_registry
from tests.builder.conftest import Builds

__all__ = ["docker_registry"]
FILE = "FROM scratch\nCOPY f /\n"


def request(*outputs: Output, **more: Any) -> Request:
    return Request("/c", "Dockerfile", b"", outputs=outputs, **more)


@pytest.mark.parametrize(("output", "said"), [
    (Output("rpm"), "no output of type `rpm`"),
    (Output("tar"), "needs a destination"),
    (Output("local", "-"), "cannot go to stdout"),
    (Output("oci", "-", (("tar", "false"),)), "cannot go to stdout"),
    (Output("docker", "/tmp/x", (("tar", "false"),)), "always an archive"),
    (Output("oci", "/tmp"), "is a directory"),
    (Output("oci", "/no/such/x.tar"), "no directory for the output"),
    (Output("local", "/etc/passwd"), "is no directory"),
    (Output("image", "/tmp/x"), "has no destination"),
    (Output("image", "", (("colour", "red"),)), "no option `colour`"),
    (Output("cacheonly", "", (("name", "x"),)), "no option `name`"),
    (Output("image", "", (("push", "perhaps"),)), "neither true nor false"),
    (Output("image", "", (("squash", "perhaps"),)), "neither true nor false"),
    (Output("tar", "x", (("squash", "true"),)), "no option `squash`"),
    (Output("image", "", (("compression", "lz4"),)), "no compression `lz4`"),
    (Output("image", "", (("compression-level", "10"),)), "no level"),
    (Output("image", "", (("compression", "zstd"), ("compression-level", "23"),)), "no level"),
    (Output("registry"), "needs a name"),
    (Output("oci", "/tmp/x", (("annotation-index.a", "b"),)), "of an index"),
    (Output("oci", "/tmp/x", (("annotation-moon.a", "b"),)), "no level `moon`")])
def test_output_that_cannot_be_is_one_error(output: Output, said: str) -> None:
    with pytest.raises(BuildError, match=said):
        check_outputs(request(output))


def test_two_outputs_cannot_both_go_to_stdout() -> None:
    with pytest.raises(BuildError, match="both go to stdout"):
        check_outputs(request(Output("tar", "-"), Output("oci", "-")))


def test_descriptor_of_a_pushed_image_has_no_annotations() -> None:
    with pytest.raises(BuildError, match="no annotations"):
        check_outputs(request(Output("registry"), names=("x",), annotations=("manifest-descriptor:a=b",)))


@pytest.mark.parametrize(("text", "found"), [
    ("a=b", [(MANIFEST, "a", "b", "")]), ("manifest:a=b", [(MANIFEST, "a", "b", "")]), ("a:b=c", [(MANIFEST, "a:b", "c", "")]),
    ("a=manifest:b", [(MANIFEST, "a", "manifest:b", "")]),
    ("manifest,manifest-descriptor:a=b", [(MANIFEST, "a", "b", ""), (DESCRIPTOR, "a", "b", "")]),
    ("manifest[linux/arm64]:a=b", [(MANIFEST, "a", "b", "linux/arm64")])])
def test_annotation_says_its_level(text: str, found: list[tuple[str, str, str, str]]) -> None:
    assert [tuple(annotation) for annotation in parse(text)] == found


def test_annotation_of_another_platform_is_left_out() -> None:
    annotations = (*parse("manifest[linux/arm64]:a=b"), *parse("c=d"))
    assert at_level(annotations, MANIFEST, Platform("amd64", "linux")) == (("c", "d"),)


def test_several_outputs_with_annotations_and_metadata(as_root: Builds, tmp_path: Path) -> None:
    as_root.write(f="x")
    as_root.ok(FILE, "--annotation", "manifest,manifest-descriptor:who=me", "-o", f"type=oci,dest={tmp_path}/o,tar=false,annotation.more=1",
               "-o", f"type=docker,dest={tmp_path}/d.tar", "-o", f"type=tar,dest={tmp_path}/t.tar", "-o", f"type=local,dest={tmp_path}/l",
               "-o", f"type=oci,dest={tmp_path}/z.tar,compression=zstd,name=one:1", "--metadata-file", f"{tmp_path}/m.json",
               "--iidfile", f"{tmp_path}/iid")
    entry = json.loads((tmp_path / "o/index.json").read_text())["manifests"][0]
    manifest = json.loads((tmp_path / "o/blobs/sha256" / entry["digest"][7:]).read_text())
    assert entry["annotations"]["who"] == "me" and manifest["annotations"] == {"who": "me", "more": "1"}
    assert json.loads(subprocess.run(["skopeo", "inspect", f"docker-archive:{tmp_path}/d.tar"], capture_output=True, check=True).stdout)["Layers"]
    assert (tmp_path / "l/f").read_text() == "x" and subprocess.check_output(["tar", "-tf", tmp_path / "t.tar"]) == b"f\n"
    with tarfile.open(tmp_path / "z.tar") as archive:
        index = json.loads(archive.extractfile("index.json").read())      # type: ignore[union-attr]
    metadata = json.loads((tmp_path / "m.json").read_text())
    assert metadata["containerimage.config.digest"] == (tmp_path / "iid").read_text()
    assert metadata["containerimage.digest"] == metadata["containerimage.descriptor"]["digest"] == index["manifests"][0]["digest"]
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "docker.io/library/one:1"


def test_cached_build_writes_its_outputs_too(builds: Builds) -> None:
    builds.write(f="x")
    file = "FROM busybox\nRUN --network=none mkdir -m 700 /d && echo 1 > /d/f && chown -R 5:5 /d\n"
    builds.ok(file)
    out = builds.context.parent / "again.tar"
    assert "(1 of 1 steps cached)" in builds.ok(file, "-o", f"type=tar,dest={out}").err
    with tarfile.open(out) as archive:
        assert (archive.getmember("d/f").uid, archive.extractfile("d/f").read()) == (5, b"1\n")      # type: ignore[union-attr]


def test_push_to_a_real_registry(as_root: Builds, docker_registry: str, tmp_path: Path) -> None:
    as_root.write(f="x")
    done = as_root.ok(FILE, "-t", f"{docker_registry}/made:1", "--push", "--annotation", "who=me", "-o",
                      f"type=image,name={docker_registry}/other:1,push=true,compression=zstd,force-compression=true", "--metadata-file", f"{tmp_path}/m")

    def raw(name: str) -> Any:
        return json.loads(subprocess.run(["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{docker_registry}/{name}"], capture_output=True,
                                         check=True).stdout)
    assert "pushed " in done.err
    assert raw("other:1")["annotations"] == {"who": "me"} and raw("other:1")["layers"][0]["mediaType"].endswith("+zstd")
    metadata = json.loads((tmp_path / "m").read_text())
    assert metadata["containerimage.config.digest"] == raw("other:1")["config"]["digest"]


def test_local_output_that_deletes_is_the_image_and_nothing_else(builds: Builds) -> None:
    out = builds.context.parent / "out"
    (out / "keep/deep").mkdir(parents=True)
    for path in ("keep/old", "keep/deep/f", "gone/f", "was_directory/f", "was_file"):
        (out / path).parent.mkdir(exist_ok=True)
        (out / path).write_text("old")
    (builds.context.parent / "outside").write_text("stays")
    os.symlink(builds.context.parent, out / "link")
    builds.give(out)
    builds.write(keep__deep__f="new", was_directory="now a file", was_file__f="now in a directory")
    dockerfile = "FROM scratch\nCOPY keep /keep\nCOPY was_directory /\nCOPY was_file /was_file\n"
    for _ in (1, 2):                                     # the second time the image is found in the cache
        builds.ok(dockerfile, "-o", f"type=local,dest={out},mode=delete")
        found = {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if not p.is_dir()}
        assert found == {"keep/deep/f": "new", "was_directory": "now a file", "was_file/f": "now in a directory"}
        (out / "late").write_text("goes")
    assert (builds.context.parent / "outside").read_text() == "stays"


def test_local_output_deletes_neither_the_context_nor_the_machine(as_root: Builds) -> None:
    as_root.write(f="x")
    for dest in (as_root.context, as_root.context.parent, "/"):
        done = as_root.build("FROM scratch\nCOPY f /\n", "-o", f"type=local,dest={dest},mode=delete")
        assert done.status == 1 and "all else in" in done.err
    assert (as_root.context / "f").exists()


def test_push_by_digest_leaves_no_tag(as_root: Builds, docker_registry: str, tmp_path: Path) -> None:
    as_root.write(f=os.urandom(4).hex())
    name = f"{docker_registry}/untagged"
    for _ in (1, 2):
        done = as_root.ok(FILE, "-o", f"type=image,name={name},push-by-digest=true,name-canonical=true,push=true", "--metadata-file", f"{tmp_path}/m")
        digest = json.loads((tmp_path / "m").read_text())["containerimage.digest"]
        assert f"pushed {name}@{digest}" in done.err
        with pytest.raises(HTTPError, match="404"):                          # a repository without any tag, as this registry says it
            urlopen(f"http://{docker_registry}/v2/untagged/tags/list")
        subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}@{digest}"], check=True, capture_output=True)
    assert as_root.tool.pybuild("inspect", "--format", "{{.Id}}", f"{name}@{digest}").out.startswith("sha256:")
    as_root.tool.pybuild("push", f"{name}:latest")
    with urlopen(f"http://{docker_registry}/v2/untagged/tags/list") as answer:
        assert json.load(answer)["tags"] == ["latest"]


def test_push_repeats_what_the_build_annotated(as_root: Builds, docker_registry: str) -> None:
    def pushed(tag: str) -> Any:
        as_root.tool.pybuild("push", f"{docker_registry}/annotated:{tag}")
        with urlopen(Request_(f"http://{docker_registry}/v2/annotated/manifests/{tag}", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})) as answer:
            return json.load(answer).get("annotations")

    as_root.write(f=os.urandom(4).hex())
    as_root.ok(FILE, "-t", f"{docker_registry}/annotated:1", "--annotation", "k=v", "--annotation", "manifest[linux/s390x]:other=x")
    assert pushed("1") == {"k": "v"}
    as_root.write(f=os.urandom(4).hex())
    as_root.ok(FILE, "-t", f"{docker_registry}/annotated:2", "--annotation", "k=v")
    as_root.ok(FILE, "-t", f"{docker_registry}/annotated:2")                 # found in the cache, and without
    assert pushed("2") is None


def test_what_the_build_annotated_outlives_the_records_of_builds(as_root: Builds, docker_registry: str) -> None:
    as_root.write(f=os.urandom(4).hex())
    name = f"{docker_registry}/annotated:3"
    as_root.ok(FILE, "-t", name, "--annotation", "k=v")
    with closing(sqlite3.connect(f"{as_root.tool.root}/index.db")) as index, index:
        assert index.execute("DELETE FROM build").rowcount > 0               # as `prune` does with images that are in use
    as_root.tool.pybuild("push", name)
    with urlopen(Request_(f"http://{docker_registry}/v2/annotated/manifests/3", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})) as answer:
        assert json.load(answer)["annotations"] == {"k": "v"}
    assert "`--reproducible` fixes them" in as_root.tool.run("pybuild", "verify", name).out      # and how it was built is still known


def test_failed_build_leaves_no_file_of_an_earlier_one(as_root: Builds, tmp_path: Path) -> None:
    (tmp_path / "iid").write_text("old")
    (tmp_path / "m").write_text("old")
    assert as_root.build("FROM scratch\nCOPY nothing /\n", "--iidfile", f"{tmp_path}/iid", "--metadata-file", f"{tmp_path}/m").status == 1
    assert not os.path.exists(tmp_path / "iid") and not os.path.exists(tmp_path / "m")


def test_rawjson_is_as_buildkit_says_it(as_root: Builds) -> None:
    done = as_root.ok("FROM busybox\nRUN --network=none echo out; echo err >&2\n", "--no-cache", "--progress", "rawjson")
    lines = [json.loads(line) for line in done.err.splitlines()]
    vertex = next(v for line in lines for v in line.get("vertexes", ()) if "RUN" in v["name"])
    logs = [log for line in lines for log in line.get("logs", ()) if log["vertex"] == vertex["digest"]]
    assert {(log["stream"], base64.b64decode(log["data"])) for log in logs} == {(1, b"out\n"), (2, b"err\n")}
    assert [v for line in lines for v in line.get("vertexes", ()) if v["digest"] == vertex["digest"]][-1]["completed"]


def test_json_has_one_event_a_line(as_root: Builds) -> None:
    done = as_root.ok("FROM busybox\nRUN --network=none echo é\n", "--no-cache", "--progress", "json")
    events = [json.loads(line) for line in done.err.splitlines()]
    assert [e["data"] for e in events if e["event"] == "StepLog"] == ["é\n"]


@pytest.mark.parametrize(("words", "said"), [
    (("--sbom",), "--sbom is not there"), (("--provenance=mode=max",), "--provenance is not there"), (("--attest", "type=sbom"), "--attest is not there"),
    (("--report", "x.html"), "--report is not there"), (("--junit", "x"), "--junit is not there"), (("--cgroup-parent", "/x"), "--cgroup-parent is not"),
    (("--progress", "tty"), "--progress=tty is not"), (("--jobs", "0"), "no number of steps"), (("--cpus", "nan"), "no number of processors"),
    (("--cpus", "-1"), "no number of processors"), (("--allow", "everything"), "no entitlement `everything`"), (("--pull=perhaps",), "true or false"),
    (("--secret", "id=a,colour=red,env=B"), "unknown `colour`"), (("--secret", "id=a,src=/tmp"), "is a directory"),
    (("--ssh", "default=/etc/passwd"), "neither an agent's socket nor"), (("-q", "-o", "-"), "goes as well"), (("--ulimit", "nofile=x"), "no ulimit"),
    (("--ulimit", "colour=1"), "no ulimit"), (("--ulimit", "nofile=9:3"), "above the hard"), (("--add-host", "x"), "adds no host"), (("-t", "UPPER"), "no image name"), (("--memory", "x"), "no size"),
    (("--build-context", "St=."), "in lower case"), (("--platform", "linux/amd64,linux/arm64"), "one platform at a time"), (("--platform", "plan9/mips/x/y"), "--platform")])
def test_option_that_cannot_be_is_one_error(as_root: Builds, words: tuple[str, ...], said: str) -> None:
    done = as_root.build("FROM busybox\nRUN --network=none true\n", "--no-cache", *words)
    assert done.status in (1, 2) and said in done.err and "Traceback" not in done.err, done


def test_attestations_that_are_not_wanted_are_taken(as_root: Builds) -> None:
    as_root.ok("FROM scratch\n", "--provenance=false", "--sbom=false", "--attest", "type=provenance,disabled=true")


def test_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"before")
    with Opened(str(path)) as file:
        file.write(b"after")
        assert os.listdir(tmp_path) == ["x.tar"] and path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["x.tar"] and path.read_bytes() == b"after"


def test_device_and_pipe_are_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with Opened(str(tmp_path / "pipe")) as file:
        file.write(b"bytes")
    assert os.read(reader, 100) == b"bytes"
    os.close(reader)
    (tmp_path / "null").symlink_to("/dev/null")
    with Opened(str(tmp_path / "null")) as file:
        file.write(b"bytes")
    assert sorted(os.listdir(tmp_path)) == ["null", "pipe"]
    assert (tmp_path / "pipe").is_fifo() and stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_link_stays_and_mode_is_kept(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x.tar").write_bytes(b"before")
    (tmp_path / "d/x.tar").chmod(0o600)
    (tmp_path / "link").symlink_to("d/x.tar")
    with Opened(str(tmp_path / "link")) as file:
        file.write(b"after")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "d/x.tar").read_bytes() == b"after"
    assert stat.S_IMODE(os.stat(tmp_path / "d/x.tar").st_mode) == 0o600
    assert os.listdir(tmp_path / "d") == ["x.tar"]


def test_directory_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught, Opened(str(tmp_path)):
        pass
    assert caught.value.filename == str(tmp_path) and os.listdir(tmp_path) == []


def test_interrupted_file_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Opened(str(tmp_path / "x.tar")) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_file_in_a_place_that_has_only_files_with_names(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, Opened(str(tmp_path / "gone/x.tar")):
        pass
    assert caught.value.filename == f"{tmp_path}/gone/x.tar"


def test_new_directory_appears_when_it_is_whole(tmp_path: Path) -> None:
    for error in (KeyboardInterrupt, OSError):
        with pytest.raises(error), OpenedDirectory(f"{tmp_path}/a/b/") as directory:
            os.makedirs(f"{directory}/half/of/it")
            raise error
        assert os.listdir(tmp_path / "a") == []
    with OpenedDirectory(f"{tmp_path}/a/b/") as directory:
        os.makedirs(f"{directory}/all/of/it")
    assert os.listdir(tmp_path / "a") == ["b"] and (tmp_path / "a/b/all/of/it").is_dir()


def test_directory_that_is_there_is_written_into(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    with OpenedDirectory(str(tmp_path)) as directory:
        assert directory == str(tmp_path)
    assert os.listdir(tmp_path) == ["old"]
