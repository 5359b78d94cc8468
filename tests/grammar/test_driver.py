"""The driver against Lark: same grammar, same tree, same refusals."""

import functools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from grammar.compiler import lark
from grammar.driver import END, Unexpected, run, table
from lang.errors import LangError
from lang.logical import Reader
from lang.source import Source, decode

reference = functools.cache(lark)

TEMPLATES = [
    "", "plain", "$A", "${A}", "a$B.c", "$$", "$$A", "$", "$}", "^x$", "$1", "$(x)", "{a}", "}}{{",
    "${A:-b}", "${A-b}", "${A:+b}", "${A+b}", "${A:?b}", "${A?b}", "${A:-}", "${A-b:-c}", "${A:-${B:-${C?x}}}",
    "${A:-{\"x\": 1}}", "${A:-$}", "${A:-$$}", "${A:-$$B}", "${A:-}}", "${}", "${ A}", "${A }", "${A!}", "${A/x/y}", "${{A}}",
    "${", "${A", "${A:-b", "${A:-${B}", "${A:-{}", "$A$B$C", "é$ü",
]


def plain(tree: Any) -> Any:
    """Lark's tree as the driver makes it."""
    if isinstance(tree, Token):
        return tree.type, str(tree), tree.start_pos
    assert isinstance(tree, Tree)
    return str(tree.data), [plain(child) for child in tree.children]


def outcome_of_lark(name: str, text: str, start: str) -> Any:
    parser: Lark = reference(name)
    try:
        return plain(parser.parse(text, start=start))
    except UnexpectedInput as error:
        return "refused", error.pos_in_stream if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(text)


def outcome(name: str, text: str, start: str) -> Any:
    try:
        return run(table(name), text, start=start)
    except Unexpected as error:
        return "refused", error.offset


def same(name: str, text: str, start: str) -> None:
    """The same tree, or a refusal by both."""
    ours, theirs = outcome(name, text, start), outcome_of_lark(name, text, start)
    assert ours == theirs if "refused" not in (ours[0], theirs[0]) else ours[0] == theirs[0]


def golden_lines() -> list[str]:
    """Every logical line of the golden cases of lang."""
    found: set[str] = set()
    for path in (Path(__file__).parents[1] / "lang").glob("*/*/Dockerfile"):
        reader = Reader(Source("Dockerfile", decode(path.read_bytes())))
        try:
            while (line := reader.line()) is not None:
                found.add(line.text.text.strip())
        except LangError:
            pass
    return sorted(found)


LINES = golden_lines()
WORDS = sorted({word for line in LINES for word in line.split()})


@pytest.mark.parametrize("text", TEMPLATES)
def test_interpolation_as_lark(text: str) -> None:
    same("interpolation", text, "template")


@given(st.text(alphabet="${}:-+?A1 x/\n", max_size=12))
def test_interpolation_as_lark_on_any_text(text: str) -> None:
    same("interpolation", text, "template")


def test_golden_lines_as_lark() -> None:
    assert len(LINES) > 150
    for line in LINES:
        same("dockerfile", line, "instruction")
        same("dockerfile", line, "assignments")
        same("words", line, "word")
        same("words", line, "body")
        same("dockerfile", line[line.find("["):], "array")


def test_golden_words_as_lark() -> None:
    for word in WORDS:
        same("words", word, "word")
        same("words", word, "body")


@given(st.text(alphabet="ab$ {}:-+?#%/'\"\\*A1\n", max_size=16), st.sampled_from(["word", "body"]))
def test_words_as_lark_on_any_text(text: str, start: str) -> None:
    same("words", text, start)


@given(st.lists(st.sampled_from(["RUN", "from", "ENV ", " ", "--a", "--", "=", "'", '"', "\\", "x", "[", "]", '"a"', ",", "1", "null", "{", "}", ":", "ONBUILD "]), max_size=10).map("".join),
       st.sampled_from(["instruction", "assignments", "array"]))
def test_lines_as_lark_on_any_text(text: str, start: str) -> None:
    same("dockerfile", text, start)


def test_refusal_says_where_and_what() -> None:
    with pytest.raises(Unexpected) as caught:
        run(table("interpolation"), "a${B")
    assert (caught.value.offset, caught.value.found) == (4, END)
    assert {"OPERATOR", "RBRACE"} <= caught.value.expected


def test_actions_take_the_place_of_rules() -> None:
    actions = {"variable": lambda name: f"<{name[1]}>", "template": lambda *parts: "".join(p if isinstance(p, str) else p[1] for p in parts)}
    assert run(table("interpolation"), "a$B-${C}", actions) == "a<B>-<C>"


def test_long_lists_take_linear_time_and_depth_no_stack() -> None:
    tree = run(table("interpolation"), "$A " * 20_000)
    assert len(tree[1]) == 40_000
    deep = run(table("interpolation"), "${A:-" * 20_000 + "}" * 20_000)
    assert deep[0] == "template"
