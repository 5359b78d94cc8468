"""manifest annotate and rm, images --tree, push and save of one platform: as a user runs them."""

import json
import tarfile
from base64 import b64decode
from collections.abc import Iterator

import pytest

from tests.pybuild.test_image_commands import rootfs
from tests.store.registry.fake import FakeRegistry
from tests.tool import Done, Tool


@pytest.fixture
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """A store with `one:1`, and the index `multi` that lists it for linux/arm64 only."""
    directory = tmp_path_factory.mktemp("manifests")
    found = Tool(directory / "r")
    tar = directory / "rootfs.tar"
    tar.write_bytes(rootfs(etc="one"))
    found.pybuild("import", str(tar), "one:1")
    found.pybuild("manifest", "create", "multi", "one:1")
    found.pybuild("manifest", "annotate", "--arch", "arm64", "--os-features", "a,b", "--annotation", "k=v", "multi", "one:1")
    yield found


def failed(tool: Tool, status: int, *words: str) -> Done:
    done = tool.run("pybuild", *words)
    assert done.status == status, done
    return done


def test_annotate_says_it_in_the_index(tool: Tool) -> None:
    (entry,) = json.loads(tool.pybuild("manifest", "inspect", "multi").out)["manifests"]
    assert entry["platform"] == {"architecture": "arm64", "os": "linux", "os.features": ["a", "b"]}
    assert entry["annotations"] == {"k": "v"}


def test_inspect_verbose_tells_of_every_manifest(tool: Tool) -> None:
    (listed,) = json.loads(tool.pybuild("manifest", "inspect", "multi").out)["manifests"]
    (entry,) = json.loads(tool.pybuild("manifest", "inspect", "-v", "multi").out)
    assert entry["Ref"] == f"docker.io/library/multi:latest@{listed['digest']}" and entry["Descriptor"] == listed
    assert json.loads(b64decode(entry["Raw"])) == entry["OCIManifest"] and len(b64decode(entry["Raw"])) == listed["size"]
    with FakeRegistry() as registry:
        tool.pybuild("tag", "one:1", f"{registry.host}/one:1")
        tool.pybuild("push", "-q", f"{registry.host}/one:1")
        single = json.loads(tool.pybuild("manifest", "inspect", "-v", f"{registry.host}/one:1").out)
        assert single["Ref"] == f"{registry.host}/one:1" and single["Descriptor"]["platform"]["os"] == "linux"
        assert single == json.loads(tool.pybuild("manifest", "inspect", "-v", "--remote", f"{registry.host}/one:1").out)


@pytest.mark.parametrize(("words", "status", "message"), [
    (("multi", "one:1"), 2, "nothing is said to be changed"),
    (("--annotation", "x", "multi", "one:1"), 2, "`x` is no NAME=VALUE"),
    (("--arch", "arm", "one:1", "one:1"), 1, "no index"),
    (("--arch", "arm", "nothing", "one:1"), 1, "no image `nothing`")])
def test_annotate_that_cannot_be_is_one_clear_error(tool: Tool, words: tuple[str, ...], status: int, message: str) -> None:
    done = failed(tool, status, "manifest", "annotate", *words)
    assert message in done.err and done.err.count("error:") == 1


def test_rm_removes_indexes_only(tool: Tool) -> None:
    done = failed(tool, 1, "manifest", "rm", "one:1", "multi")
    assert "no index" in done.err and done.out == "Untagged: multi:latest\n"
    assert tool.pybuild("images", "--format", "{{.Repository}}").out.split() == ["one"]


def test_tree_shows_what_an_index_lists(tool: Tool) -> None:
    heading, first, second, third = (line.split() for line in tool.pybuild("images", "--tree").out.splitlines())
    assert heading == ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE"] or heading[-1] == "EXTRA"
    assert (first[0], second[:2], third[0]) == ("multi:latest", ["└─", "linux/arm64"], "one:1")
    assert first[1] == second[2] == third[1]


@pytest.mark.parametrize("option", ["--quiet", "--no-trunc", "--digests", "--format=json"])
def test_tree_is_no_list(tool: Tool, option: str) -> None:
    assert option.partition("=")[0] in failed(tool, 2, "images", "--tree", option).err


def test_platform_of_an_index_is_pushed_alone(tool: Tool) -> None:
    with FakeRegistry() as registry:
        tool.pybuild("push", "--platform", "linux/arm64", "multi", f"{registry.host}/to:1")
        assert "layers" in json.loads(registry.manifests["to"]["1"][1])
        done = failed(tool, 1, "push", "--platform", "linux/s390x", "multi", f"{registry.host}/to:2")
        assert "linux/s390x" in done.err and "2" not in registry.manifests["to"]


def test_platform_of_an_index_is_saved(tool: Tool) -> None:
    path = tool.root / "saved.tar"
    tool.pybuild("save", "--platform", "linux/arm64", "-o", str(path), "multi")
    with tarfile.open(path) as tar:
        assert json.loads((tar.extractfile("manifest.json") or path.open("rb")).read())[0]["RepoTags"] == ["multi:latest"]
    assert "linux/s390x" in failed(tool, 1, "save", "--platform", "linux/s390x", "-o", str(path), "multi").err
