"""images, inspect, history, tag, rmi, save, load, import, diff, manifest: as a user runs them, on a store with one small image."""

import io
import json
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

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
    assert done.status == 1 and "`one:1` that is in the store is not for linux/s390x" in done.err


def test_inspect_shows_what_there_is_and_fails_for_the_rest(tool: Tool) -> None:
    done = tool.run("pybuild", "inspect", "-f", "{{.RepoTags}}", "nobody", "one:1", "BAD//")
    assert done.status == 1 and done.out == "[one:1]\n" and done.err.count("error: ") == 2


def test_history_in_full_and_for_machines(tool: Tool) -> None:
    shown = tool.pybuild("history", "--human=false", "one:1").out
    assert "CREATED AT" in shown
    row = json.loads(tool.pybuild("history", "--format", "json", "one:1").out)
    assert row["Comment"].startswith("Imported from ") and row["CreatedAt"].endswith("Z") and row["ID"] in shown


# ---------------------------------------------------------------- import
@pytest.fixture
def served() -> Iterator[str]:
    """URL of a web server that has `/rootfs.tar` and, of everything else, nothing."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = rootfs(etc="far") if self.path == "/rootfs.tar" else b""
            self.send_response(200 if data else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_import_from_a_url(tool: Tool, served: str) -> None:
    tool.pybuild("import", "-m", "from afar", "--platform", "linux/arm64", "-c", "ENV A=b", f"{served}/rootfs.tar", "far:1")
    assert tool.pybuild("inspect", "-f", "{{.Architecture}} {{.Comment}} {{.Config.Env}}", "far:1").out == "arm64 from afar [A=b]\n"
    tool.pybuild("rmi", "far:1")


def test_import_from_a_url_that_leads_nowhere(tool: Tool, served: str) -> None:
    done = tool.run("pybuild", "import", f"{served}/nothing.tar", "far:2")
    assert done.status == 1 and done.err.startswith("error: ") and "404" in done.err and names(tool, "far") == []


@pytest.mark.parametrize(("words", "message"), [
    (("no-such-file",), "no such file"), (("-c", "RUN true", "-"), "RUN"), (("-c", "ENV", "-"), "ENV"), (("-", "BAD//"), "no image name")])
def test_import_that_cannot_be_is_one_clear_error(tool: Tool, words: tuple[str, ...], message: str) -> None:
    done = tool.run("pybuild", "import", *words, stdin=b"\0" * 1024)
    assert done.status == 1 and message in done.err and "Traceback" not in done.err and done.err.count("error:") == 1


def test_layers_above_the_limits_of_the_configuration_are_refused(tool: Tool, tmp_path: Path) -> None:
    for name, limits in (("bytes", "max-bytes = 100"), ("entries", "max-entries = 1")):
        (tmp_path / f"{name}.tar").write_bytes(rootfs(a="x" * 90, b=name * 30))
        (tmp_path / "config.toml").write_text(f"[layers]\n{limits}\n")
        done = tool.run("pybuild", "--config", str(tmp_path / "config.toml"), "import", str(tmp_path / f"{name}.tar"), "big:1")
        assert done.status == 1 and "more than 1" in done.err and name in done.err and done.err.count("error:") == 1


def test_quiet_load_prints_the_names_all_the_same(tool: Tool, tmp_path: Path) -> None:
    tool.pybuild("save", "-o", str(tmp_path / "image.tar"), "one:1")
    assert tool.pybuild("load", "-q", "-i", str(tmp_path / "image.tar")).out == "Loaded image: one:1\n"


@pytest.mark.parametrize("name", [f"x@sha256:{'0' * 64}", f"x:1@sha256:{'0' * 64}", "sha256:1"])
@pytest.mark.parametrize("words", [("tag", "one:1"), ("import", "rootfs.tar"), ("load", "-i", "image.tar", "-t"), ("build", "-", "-t"),
                                   ("manifest", "create", "one:1")], ids=lambda words: str(words[0]))
def test_name_with_a_digest_that_is_no_ones_cannot_be_given(tool: Tool, tmp_path: Path, words: tuple[str, ...], name: str) -> None:
    """Else a build FROM that digest would be given another content."""
    (tmp_path / "rootfs.tar").write_bytes(rootfs(a="b"))
    tool.pybuild("save", "-o", str(tmp_path / "image.tar"), "one:1")
    words = tuple(str(tmp_path / word) if word.endswith(".tar") else word for word in words)
    words = (*words[:2], name, *words[2:]) if words[0] == "manifest" else (*words, name)
    done = tool.run("pybuild", *words, stdin=b"FROM scratch\nCOPY --from=one:1 / /\n")
    assert done.status == 1 and "is no image name" in done.err
    assert not any("sha256" in line for line in names(tool)) and "000000000000" not in tool.pybuild("images", "--digests").out
