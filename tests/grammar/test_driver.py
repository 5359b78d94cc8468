"""The driver against Lark: same grammar, same tree, same refusals."""

import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from grammar.compiler import lark
from grammar.driver import END, Unexpected, run, table

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


@pytest.mark.parametrize("text", TEMPLATES)
def test_interpolation_as_lark(text: str) -> None:
    ours, theirs = outcome("interpolation", text, "template"), outcome_of_lark("interpolation", text, "template")
    assert ours[0] == theirs[0]
    if ours[0] != "refused":
        assert ours == theirs


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.text(alphabet="${}:-+?A1 x/\n", max_size=12))
def test_interpolation_as_lark_on_any_text(text: str) -> None:
    ours, theirs = outcome("interpolation", text, "template"), outcome_of_lark("interpolation", text, "template")
    assert ours[0] == theirs[0]
    if ours[0] != "refused":
        assert ours == theirs


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
