"""images, inspect, history, tag, rmi, save, load, import, diff, manifest: as a user runs them, on a store with one small image."""

import io
import json
import tarfile

import pytest

from tests.tool import Tool


def rootfs(**files: str) -> bytes:
    """A tar with these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """A store with `one:1` (labels a=1 and b=2), `team/two:1` (label a=1) and an image without a name."""
    directory = tmp_path_factory.mktemp("images")
    found = Tool(directory / "r")
    for name, changes in (("one:1", ("LABEL a=1 b=2", "CMD [\"sh\"]")), ("team/two:1", ("LABEL a=1",)), ("", ())):
        tar = directory / "rootfs.tar"
        tar.write_bytes(rootfs(etc=name))
        found.pybuild("import", *(word for line in changes for word in ("-c", line)), str(tar), *([name] if name else []))
    return found


def names(tool: Tool, *words: str) -> list[str]:
    return sorted(tool.pybuild("images", "--format", "{{.Repository}}:{{.Tag}}", *words).out.split())


# ---------------------------------------------------------------- images
@pytest.mark.parametrize(("filters", "expected"), [
    ((), ["<none>:<none>", "one:1", "team/two:1"]),
    (("label=a",), ["one:1", "team/two:1"]),
    (("label=a=1", "label=b"), ["one:1"]),
    (("dangling=true",), ["<none>:<none>"]),
    (("dangling=false",), ["one:1", "team/two:1"]),
    (("reference=*",), ["one:1"]),
    (("reference=*/*",), ["team/two:1"]),
    (("reference=one", "reference=team/t[a-z]o:?"), ["one:1", "team/two:1"]),
    (("reference=on[^e]",), []),
    (("until=1h",), []),
    (("until=2040-01-01",), ["<none>:<none>", "one:1", "team/two:1"])])
def test_images_filter(tool: Tool, filters: tuple[str, ...], expected: list[str]) -> None:
    assert names(tool, *(word for text in filters for word in ("--filter", text))) == expected


def test_images_by_repository_and_by_pattern(tool: Tool) -> None:
    assert names(tool, "one") == names(tool, "one:1") == names(tool, "o*") == ["one:1"]
    assert names(tool, "one:2") == []


@pytest.mark.parametrize(("words", "message"), [
    (("--filter", "size=3"), "there is no filter `size`"), (("--filter", "dangling=maybe"), "neither true nor false"), (("--filter", "x"), "no KEY=VALUE"),
    (("--filter", "until=noon"), "no time"), (("--format", "{{.ID"), "not closed"), (("--format", "{{.Nope}}"), "no field `Nope`")])
def test_images_misused_is_said_to_be_misused(tool: Tool, words: tuple[str, ...], message: str) -> None:
    done = tool.run("pybuild", "images", *words)
    assert done.status == 2 and message in done.err and "fault of the tool" not in done.err


def test_images_before_one_that_is_not_there(tool: Tool) -> None:
    done = tool.run("pybuild", "images", "--filter", "before=nobody")
    assert done.status == 1 and done.err == "error: no image `nobody` in the store\n"


# ---------------------------------------------------------------- inspect, history
def test_inspect_by_template(tool: Tool) -> None:
    form = "{{.Config.Cmd}} {{index .Config.Labels \"b\"}} {{.Config.Entrypoint}} {{.Config.User}}| {{json .Config.Volumes}} {{len .RootFS.Layers}}"
    assert tool.pybuild("inspect", "-f", form, "one:1").out == "[sh] 2 [] | null 1\n"


def test_inspect_config_is_as_it_was_written(tool: Tool) -> None:
    [document] = json.loads(tool.pybuild("inspect", "one:1").out)
    assert document["Config"] == json.loads(tool.pybuild("inspect", "-f", "{{json .Config}}", "one:1").out)
    assert document["RepoTags"] == ["one:1"] and document["Os"] == "linux"


def test_inspect_for_a_platform(tool: Tool) -> None:
    here = tool.pybuild("inspect", "-f", "{{.Os}}/{{.Architecture}}", "one:1").out.strip()
    assert tool.pybuild("inspect", "--platform", here, "-f", "{{.Id}}", "one:1").out.startswith("sha256:")
    done = tool.run("pybuild", "inspect", "--platform", "linux/s390x", "one:1")
    assert done.status == 1 and "`one:1 for linux/s390x`" in done.err


def test_inspect_shows_what_there_is_and_fails_for_the_rest(tool: Tool) -> None:
    done = tool.run("pybuild", "inspect", "-f", "{{.RepoTags}}", "nobody", "one:1", "BAD//")
    assert done.status == 1 and done.out == "[one:1]\n" and done.err.count("error: ") == 2


def test_history_in_full_and_for_machines(tool: Tool) -> None:
    shown = tool.pybuild("history", "--human=false", "one:1").out
    assert "CREATED AT" in shown
    row = json.loads(tool.pybuild("history", "--format", "json", "one:1").out)
    assert row["Comment"].startswith("Imported from ") and row["CreatedAt"].endswith("Z") and row["ID"] in shown
