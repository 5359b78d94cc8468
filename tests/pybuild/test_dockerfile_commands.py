"""parse, lint, fmt, context ls and --call: argv in, text and exit status out."""

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from builder.errors import BuildError
from lang.errors import LangError, LangErrors
from lang.lint.linter import Surroundings
from lang.platform import Platform
from lang.source import Source
from pybuild.image import build, context, fmt, lint, parse
from pybuild.image.call import call
from pybuild.scanner import scan

AMD64 = Platform("linux", "amd64")
UGLY = "from scratch as A\nENV a b\nCMD x\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a Dockerfile in it, and no store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYBUILD_ROOT", str(tmp_path / "no-store"))
    (tmp_path / "Dockerfile").write_text(UGLY)
    return tmp_path


def run(module: ModuleType, *argv: str) -> int:
    status = module.main(scan(module.USAGE, list(argv)))
    assert isinstance(status, int)
    return status


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_parse_prints_the_tree(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parse) == 0
    assert [node["instruction"] for node in json.loads(out(capsys))] == ["from", "env", "cmd"]
    assert run(parse, "Dockerfile") == run(parse, ".") == 0


def test_parse_refuses_what_is_no_dockerfile(folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nFRMO x\n")
    with pytest.raises(LangError, match="unknown instruction"):
        run(parse)
    with pytest.raises(BuildError, match="there is no file `nothing`"):
        run(parse, "nothing")


def test_parse_tells_of_each_unknown_instruction(folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nRNU x\nRUN y\nCPOY z\n")
    with pytest.raises(LangErrors) as caught:
        run(parse)
    assert [error.help for error in caught.value.errors] == ["did you mean `RUN`?", "did you mean `COPY`?"]


def test_lint_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lint) == 1
    text = out(capsys)
    assert "warning: `as` beside `from`" not in text
    assert text.startswith("warning: `from` where most instructions are in capitals (ConsistentInstructionCasing)\n --> Dockerfile:1:1\n")


def test_lint_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lint, "--format", "json") == 1
    found = json.loads(out(capsys))
    assert {tuple(item) for item in found} == {("rule", "line", "message", "url")}
    assert ("LegacyKeyValueFormat", 2) in [(item["rule"], item["line"]) for item in found]
    run(lint, "--format", "json", "Dockerfile", ".")
    assert {item["file"] for item in json.loads(out(capsys))} == {"Dockerfile"}


def test_lint_as_json_names_an_included_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "Dockerfile").write_text("# syntax=pybuild\nFROM scratch AS A\nINCLUDE more\n")
    (folder / "more").write_text("# comment\nENV a b\n")
    assert run(lint, "--format", "json") == 1
    found = {item["rule"]: (item.get("file", ""), item["line"]) for item in json.loads(out(capsys))}
    assert found["StageNameCasing"] == ("", 2)
    assert found["LegacyKeyValueFormat"] == ("more", 2)


def test_lint_as_sarif_and_for_github(capsys: pytest.CaptureFixture[str]) -> None:
    run(lint, "--format", "sarif")
    log: dict[str, Any] = json.loads(out(capsys))
    result = next(r for r in log["runs"][0]["results"] if r["ruleId"] == "LegacyKeyValueFormat")
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "Dockerfile"}, "region": {"startLine": 2, "startColumn": 5, "endLine": 2, "endColumn": 8}}
    assert {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]} == {r["ruleId"] for r in log["runs"][0]["results"]}
    run(lint, "--format", "github")
    assert "::warning file=Dockerfile,line=2,col=5,title=LegacyKeyValueFormat::the old form of ENV: `ENV name=value` is the usual one\n" in out(capsys)


def test_lint_of_a_file_that_is_wrong_prints_what_was_found_and_the_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "Dockerfile").write_text("FROM scratch AS A\nEXPOSE x\n")
    assert run(lint, "--format", "json") == 1
    said = capsys.readouterr()
    assert "StageNameCasing" in [item["rule"] for item in json.loads(said.out)]
    assert "`x` is no port" in said.err
    (folder / "Dockerfile").write_text("FRMO x\n")
    assert run(lint, "--format", "json") == 1
    said = capsys.readouterr()
    assert (json.loads(said.out), "unknown instruction" in said.err) == ([], True)


def test_lint_tells_the_errors_of_all_stages(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "Dockerfile").write_text("FROM scratch AS a\nEXPOSE x\nFROM a\nEXPOSE never\nFROM scratch\nSTOPSIGNAL y\n")
    assert run(lint) == 1
    said = capsys.readouterr().err
    assert [line.strip() for line in said.splitlines() if "-->" in line] == ["--> Dockerfile:2:8", "--> Dockerfile:6:12"]


def test_lint_fix_mends_in_place_and_keeps_the_mode(folder: Path) -> None:
    os.chmod("Dockerfile", 0o640)
    run(lint, "--fix")
    assert (folder / "Dockerfile").read_text() == "FROM scratch AS a\nENV a=b\nCMD [\"x\"]\n"
    assert os.stat("Dockerfile").st_mode & 0o777 == 0o640
    assert os.listdir() == ["Dockerfile"]


def test_lint_fix_writes_through_a_link(folder: Path) -> None:
    (folder / "Dockerfile").rename(folder / "real")
    (folder / "Dockerfile").symlink_to("real")
    run(lint, "--fix")
    assert (folder / "Dockerfile").is_symlink() and "ENV a=b" in (folder / "real").read_text()


def test_lint_knows_the_ignore_file_beside_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY secret /\nCOPY . /\n")

    def lines() -> list[int]:
        run(lint, "--format", "json")
        return [item["line"] for item in json.loads(out(capsys)) if item["rule"] == "CopyIgnoredFile"]
    (folder / ".dockerignore").write_text("secret\n")
    assert lines() == [2]
    (folder / ".dockerignore").write_text("**\n")
    assert lines() == [2, 3]
    (folder / "Dockerfile.dockerignore").write_text("**\n!secret\n")
    assert lines() == []
    (folder / "Dockerfile.dockerignore").write_text("[\n")
    with pytest.raises(BuildError, match=r"Dockerfile.dockerignore: `\[` is no pattern: its bracket does not read \(line 1\)"):
        lines()


def test_fmt_in_place_check_and_diff(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fmt, "--check") == 1
    assert out(capsys) == "Dockerfile\n"
    assert run(fmt, "--diff") == 0
    assert "-from scratch as A\n+FROM scratch AS A\n" in out(capsys)
    assert (folder / "Dockerfile").read_text() == UGLY
    assert run(fmt) == 0
    assert (folder / "Dockerfile").read_text() == "FROM scratch AS A\nENV a b\nCMD x\n"
    assert run(fmt, "--check") == 0


def test_fmt_leaves_alone_what_is_no_dockerfile(folder: Path) -> None:
    for data in (b"\x7felf\x00binary\n\xff", b"FROM scratch\nrnu x\n  copy a b\n"):
        (folder / "file").write_bytes(data)
        with pytest.raises(LangError, match="unknown instruction"):
            run(fmt, "file")
        assert (folder / "file").read_bytes() == data


def test_call_check(capsys: pytest.CaptureFixture[str]) -> None:
    at = Surroundings(AMD64, AMD64)
    assert call("check", Source("Dockerfile", UGLY), at, "json") == 1
    assert {item["rule"] for item in json.loads(out(capsys))} <= {
        "ConsistentInstructionCasing", "StageNameCasing", "LegacyKeyValueFormat", "JSONArgsRecommended"}
    assert call("check", Source("Dockerfile", "FROM scratch\n"), at, "json") == 0


def test_check_of_a_dockerfile_elsewhere_looks_at_the_context(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/.dockerignore").write_text("ok\n")
    (folder / ".dockerignore").write_text("left-out\n")
    (folder / "sub/Dockerfile").write_text("FROM scratch AS a\nCOPY ok left-out /x/\nFROM named\nCOPY --from=nothing /x /y\n")
    assert run(build, "--check", "-f", "sub/Dockerfile", "--build-context", "named=.", "--format", "json", ".") == 1
    assert [item["message"] for item in json.loads(out(capsys))] == ["`left-out` is left out by the ignore file"]


def test_check_takes_build_arguments_from_the_environment(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "Dockerfile").write_text("ARG BASE\nFROM $BASE\n")
    monkeypatch.setenv("BASE", "scratch")
    assert run(build, "--check", "--call=targets", "--build-arg", "BASE", ".") in (0, 1)
    assert "is blank: no image" not in capsys.readouterr().err


def test_call_targets_and_outline_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    text = "# base is below\nFROM image AS base\n# X turns it\nARG X=1\nRUN --mount=type=secret,id=s,required --mount=type=ssh y\nFROM base\n"
    at = Surroundings(AMD64, AMD64)
    assert call("targets", Source("Dockerfile", text), at) == 0
    assert out(capsys) == "TARGET      DESCRIPTION\nbase        is below\n(default)\n"
    assert call("outline", Source("Dockerfile", text), at._replace(target="base")) == 0
    assert out(capsys).split("\n")[:6] == ["TARGET:        base", "DESCRIPTION:   is below", "", "BUILD ARG   VALUE   DESCRIPTION", "X           1       turns it", ""]
    assert call("outline", Source("Dockerfile", text), at, "json") == 0
    assert [arg["name"] for arg in json.loads(out(capsys))["args"]] == ["X"]


FAULTY = """ARG BASE=scratch
FROM $BASE AS one
ARG VERSION
ENV V=${VERSION:?which}
EXPOSE $V
RUN --mount=type=secret,id=s,required x
STOPSIGNAL NOPE
RUN --network=bad x
FROM one AS 9
ARG LOST=1
FROM one AS two
ARG MORE=2
RUN --mount=type=ssh x
COPY --from=7 a b
FROM scratch AS three
STOPSIGNAL NEITHER
"""


def test_call_outline_of_a_faulty_file_tells_what_is_sound_and_all_that_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("outline", Source("Dockerfile", FAULTY), Surroundings(AMD64, AMD64, target="two"), "json") == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert [arg["name"] for arg in found["args"]] == ["BASE", "VERSION", "MORE"]
    assert ([item["name"] for item in found["secrets"]], [item["name"] for item in found["ssh"]]) == (["s"], ["default"])
    places = [line.partition("--> ")[2] for line in said.err.splitlines() if "-->" in line]
    assert places == ["Dockerfile:4:9", "Dockerfile:8:15", "Dockerfile:9:13", "Dockerfile:14:13"]      # after a bad ENV nothing more of its stage


def test_call_targets_of_a_faulty_file_lists_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("targets", Source("Dockerfile", FAULTY), Surroundings(AMD64, AMD64)) == 1
    said = capsys.readouterr()
    assert said.out.split() == ["TARGET", "DESCRIPTION", "one", "two", "three", "(default)"]
    assert said.err.count("error: ") == 2


def test_call_outline_of_a_file_without_a_sound_stage_is_an_error() -> None:
    with pytest.raises(LangError):
        call("outline", Source("Dockerfile", "FROM a AS 9\nRUN x\n"), Surroundings(AMD64, AMD64))
    with pytest.raises(LangError, match="the target `nope` is no stage"):
        call("outline", Source("Dockerfile", "FROM a\n"), Surroundings(AMD64, AMD64, target="nope"))


def test_context_ls(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in ("a.txt", "b.md", "sub/c.md", "sub/d.txt", "node_modules/x/y", "deep/er/keep", "deep/er/drop"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("12345")
    (folder / ".dockerignore").write_text("**/*.md\nnode_modules\ndeep\n!deep/er/keep\n")
    assert run(context, "-q") == 0
    assert out(capsys).split() == [".dockerignore", "Dockerfile", "a.txt", "deep/er/keep", "sub/d.txt"]
    run(context, "--ignored", "--format", "json")
    rows = [json.loads(line) for line in out(capsys).splitlines()]
    assert [(row["Path"], row["Pattern"], row["Line"]) for row in rows] == [
        ("b.md", "**/*.md", 1), ("node_modules/", "node_modules", 2), ("deep/er/drop", "deep", 3), ("sub/c.md", "**/*.md", 1)]
    run(context, "-a", "-q")
    assert len(out(capsys).split()) == 9
    with pytest.raises(BuildError):
        run(context, "nothing")
