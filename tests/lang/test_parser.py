"""The parser: what golden cases do not show: spans, limits, includes, hostile text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang.config import SCRATCH
from lang.diagnostic import render
from lang.errors import LangError, LangErrors
from lang.evaluate import evaluate
from lang.include import files_beside
from lang.nodes import Arg, Copy, Env, Exec, From, Healthcheck, Run, Shell, Word
from lang.parser import parse, parse_instruction, read
from lang.platform import Platform
from lang.source import Source, Span
from lang.stages import resolve

AMD64 = Platform("linux", "amd64")


def test_words_know_their_places() -> None:
    text = "FROM --platform=x  a AS b\nCOPY --chown=me one  two \\\n  three \\\n four\n"
    begin, copy = parse(Source("Dockerfile", text)).instructions
    assert isinstance(begin, From) and isinstance(copy, Copy) and begin.name and begin.platform and copy.chown
    for word, said in ((begin.raw.keyword, "FROM"), (begin.platform, "x"), (begin.image, "a"), (begin.name, "b"), (copy.chown, "me"), (copy.sources[2], "three"),
                       (copy.destination, "four")):
        assert text[word.start:word.end] == word.text == said


def test_a_word_over_two_lines_knows_each_character() -> None:
    text = "FROM a\nENV x=ab\\\n# c\ncd\n"
    env = parse(Source("Dockerfile", text)).instructions[1]
    assert isinstance(env, Env)
    value = env.pairs[0].value
    assert value and value.text == "abcd"
    assert [text[value.at(n)] for n in range(4)] == list("abcd")
    assert text[value.start:value.end] == "ab\\\n# c\ncd"


def test_forms_of_commands() -> None:
    _, one, two, three = parse(Source("Dockerfile", "FROM a\nRUN x y\nRUN [\"x\", \"y\"]\nHEALTHCHECK --interval=1s CMD [\"z\"]\n")).instructions
    assert isinstance(one, Run) and isinstance(one.command, Shell) and one.command.text.text == "x y"
    assert isinstance(two, Run) and isinstance(two.command, Exec) and [word.text for word in two.command.argv] == ["x", "y"]
    assert isinstance(three, Healthcheck) and three.interval == 10**9 and isinstance(three.command, Exec)


def test_comments_belong_to_the_instruction_after_them() -> None:
    text = "# syntax=x\n# one\n# two\n\n# three\nARG a\n# lost\n#\n# kept\nFROM b\nRUN x \\\n# inside\n y\n# end\n"
    raws = read(Source("Dockerfile", text))
    assert [[comment.text for comment in raw.comments] for raw in raws] == [["one", "two", "three"], ["kept"], []]
    comment = raws[0].comments[0]
    assert text[comment.start:comment.end] == "one"


def test_a_line_may_have_65535_bytes() -> None:
    longest = "é" * 32000 + "x" * (65535 - 64000 - len("RUN "))
    assert len(read(Source("Dockerfile", f"FROM a\nRUN {longest}\n"))) == 2
    for text in (f"FROM a\nRUN {longest}x\n", f"FROM a\nRUN <<E\n{longest}xxxxx\nE\n", f"# {longest}xxx\nFROM a\n", f"FROM a\nRUN x \\\n{longest}xxxxx\n"):
        with pytest.raises(LangError, match="a line of more than 65535 bytes"):
            read(Source("Dockerfile", text))


def test_lines_joined_may_be_longer() -> None:
    text = "FROM a\nRUN x" + " \\\n  y" * 30_000 + "\n"
    (_, run) = parse(Source("Dockerfile", text)).instructions
    assert isinstance(run, Run) and isinstance(run.command, Shell)
    assert len(run.command.text.text) > 100_000


def test_errors_come_together_and_stop_at_twenty() -> None:
    with pytest.raises(LangErrors) as caught:
        parse(Source("Dockerfile", "FROM a\n" + "NO x\n" * 50))
    assert len(caught.value.errors) == len(caught.value.diagnostics()) == 20
    assert caught.value.omitted == 30


@pytest.mark.parametrize("text", ["", "\n\n", "# x\n", "\ufeff", " \t\n\\"])
def test_nothing_is_no_dockerfile(text: str) -> None:
    with pytest.raises(LangError):
        parse(Source("Dockerfile", text))


@pytest.mark.parametrize(("syntax", "dialect"), [
    ("pybuild", "pybuild"), ("pybuild experimental", "pybuild"), ("docker/dockerfile:1", ""), ("pybuilder", "")])
def test_dialect(syntax: str, dialect: str) -> None:
    assert parse(Source("Dockerfile", f"# syntax={syntax}\nFROM a\n")).dialect == dialect


def test_directives_may_follow_a_shebang_but_for_escape() -> None:
    tree = parse(Source("Dockerfile", "#!/usr/bin/env pybuild\n# syntax=pybuild\n# check=skip=all\n# escape=`\nFROM a\nRUN x \\\n y\n"))
    assert [(d.name, d.value) for d in tree.directives] == [("syntax", "pybuild"), ("check", "skip=all")]
    assert (tree.dialect, tree.escape, len(tree.instructions)) == ("pybuild", "\\", 2)
    assert not parse(Source("Dockerfile", "# x\n#!/bin/sh\n# syntax=pybuild\nFROM a\n")).directives


@pytest.mark.parametrize(("directive", "instead", "dialect", "strange"), [
    ("docker/dockerfile:1", None, "", ""), ("docker.io/docker/dockerfile-upstream:master-labs", None, "", ""),
    ("example.org/mine:1 # x", None, "", "example.org/mine:1"), ("example.org/mine", "dockerfile.v0", "", ""),
    ("docker/dockerfile@sha256:1", "pybuild", "pybuild", ""), ("pybuild", "x/y", "", "x/y"), ("pybuild", "", "", ""),
])
def test_what_counts_instead_of_the_syntax_directive(directive: str, instead: str | None, dialect: str, strange: str) -> None:
    tree = parse(Source("Dockerfile", f"# syntax={directive}\nFROM a\n"), syntax=instead)
    assert (tree.dialect, tree.strange_syntax()) == (dialect, strange)


def test_directives_are_kept_with_their_places() -> None:
    found = parse(Source("Dockerfile", "#syntax = a b\n# check=skip=all\nFROM a\n"))
    assert [(d.name, d.value, d.span) for d in found.directives] == [("syntax", "a b", Span(0, 13)), ("check", "skip=all", Span(14, 30))]
    assert (found.directive("syntax"), found.directive("escape")) == ("a b", "")


def test_one_instruction() -> None:
    instruction, source = parse_instruction("ARG a=1", "--change")
    assert isinstance(instruction, Arg) and source.name == "--change"
    for text in ("", "ARG a\nARG b", "# only a comment"):
        with pytest.raises(LangError):
            parse_instruction(text)


# INCLUDE

def included(tmp_path: Path, files: dict[str, str]) -> tuple[list[str], Source]:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    main = str(tmp_path / "Dockerfile")
    found = parse(Source(main, files["Dockerfile"]), files_beside(main))
    return [one.raw.text.text for one in found.instructions], found.source


def test_included_instructions_stand_where_include_stood(tmp_path: Path) -> None:
    lines, source = included(tmp_path, {
        "Dockerfile": "# syntax=pybuild\nINCLUDE args\nFROM a\nINCLUDE d/one\nRUN last", "args": "ARG a=1", "d/one": "RUN one\nINCLUDE two\nRUN three\n", "d/two": "RUN two\n"})
    assert lines == ["ARG a=1", "FROM a", "RUN one", "RUN two", "RUN three", "RUN last"]
    place = source.text.index("RUN two")
    assert source.file(place)[0].endswith("d/two") and source.position(place) == (1, 1)


@pytest.mark.parametrize(("files", "message"), [
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE x\n", "x": "INCLUDE Dockerfile\n"}, "includes itself, by way of"),
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE Dockerfile\n"}, "includes itself"),
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE /etc/passwd\n"}, "leaves the directory"),
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE ../x\n"}, "leaves the directory"),
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE .\n"}, "cannot be read|is no file"),
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE\n"}, "takes one path"),
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE a b\n"}, "takes one path"),
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE big\n", "big": "#" * (1 << 20) + "\n"}, "longer than 1 MiB"),
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE x\n", "x": "RUN <<E\n"}, "ends this heredoc"),
    ({"Dockerfile": "# syntax=pybuild\nFROM a\nONBUILD INCLUDE x\n"}, "as the trigger of ONBUILD"),
])
def test_includes_that_cannot_be(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(LangError, match=message):
        included(tmp_path, files)


def test_an_include_does_not_follow_links_out_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("RUN secret\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to("../secret")
    with pytest.raises(LangError, match="leaves the directory"):
        included(tmp_path / "in", {"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE link\n"})


def test_files_within_files_end_somewhere(tmp_path: Path) -> None:
    files = {f"f{n}": f"INCLUDE f{n + 1}\n" for n in range(30)}
    with pytest.raises(LangError, match="one file too many"):
        included(tmp_path, {"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE f0\n", **files})


def test_an_error_in_an_included_file_is_drawn_there(tmp_path: Path) -> None:
    with pytest.raises(LangError) as caught:
        included(tmp_path, {"Dockerfile": "# syntax=pybuild\nFROM a\nINCLUDE x\nRUN y\n", "x": "RUN ok\n  NO x\n"})
    text = render(caught.value.diagnostics()[0]).replace(str(tmp_path), "")
    assert text.split("\n")[:5] == ["error: unknown instruction `NO`", " --> /x:2:3", "  |", "1 | RUN ok", "2 |   NO x"]


# hostile text

PIECE = st.sampled_from([
    "FROM ", "a ", "AS b", "\n", "\n", "\n", "RUN ", "COPY ", "--from=", "--mount=", "type=cache", ",target=/x", "\\", "\\\n", "<<E", "<<-'E'", "E", "\"", "'", "[", "]", "{", "}",
    "\"a\"", "$", "${", "$x", ":-", "#", "/", "=", "ENV ", "ARG ", "LABEL x=", "ONBUILD ", "HEALTHCHECK ", "CMD ", "NONE", "--interval=1s", "EXPOSE ", "80/tcp", "USER ", "WORKDIR ",
    "# syntax=pybuild\n", "# escape=`\n", "`", "INCLUDE x", "STOPSIGNAL 9", "VOLUME ", "SHELL ", "MAINTAINER ", "ADD https://h/x.git?ref=", "\x00", "\ud800", "é", "\r", "\t", "\x85"])


@given(st.lists(PIECE, max_size=20).map("".join) | st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    source = Source("Dockerfile", text)
    try:
        tree = parse(source)
        found = resolve(tree, build_args={"x": "1"}, target="", target_platform=AMD64, build_platform=AMD64)
        for stage in found.stages:
            evaluate(stage, SCRATCH, found)
    except LangError as error:
        for diagnostic in error.diagnostics():
            assert 0 <= diagnostic.span.start <= diagnostic.span.end
            assert render(diagnostic).encode()
        return
    for instruction in tree.instructions:
        raw = instruction.raw
        for word in (raw.keyword, *raw.flags, *raw.args):
            assert raw.span.start <= word.start <= word.end <= raw.span.end
        assert source.text[raw.keyword.start:raw.keyword.end].replace("\\\n", "").upper().startswith(raw.name[:1])


def test_deep_and_long_text_takes_neither_stack_nor_time() -> None:
    for line in ("RUN [" * 1 + "[" * 20_000, "RUN " + "[\"a\"," * 8_000, "ENV a=" + "${b:-" * 8_000, "ONBUILD " * 8_000 + "RUN x", "RUN " + "<<E " * 8_000, "ENV " + "a=1 " * 15_000,
                 "RUN " + "--a=\"x" * 8_000, "COPY " + "\\ " * 20_000, "LABEL " + "'" * 60_000, "RUN " + "<" * 60_000, "EXPOSE " + "$" * 60_000):
        try:
            parse(Source("Dockerfile", f"FROM a\n{line}\n"))
        except LangError:
            pass


def test_parts_of_a_word() -> None:
    word = Word("abcdef", 10, 30, ((2, 20), (4, 26)))
    assert [word.at(n) for n in range(7)] == [10, 11, 20, 21, 26, 27, 28]
    assert word.part(1, "bcd") == Word("bcd", 11, 22, ((1, 20),))
    assert word.part(3, "", 0) == Word("", 21, 21, ())
