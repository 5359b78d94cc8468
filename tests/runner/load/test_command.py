import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.load.command import split


@pytest.mark.parametrize(("text", "words"), [
    ("", ()), ("  ", ()), ("a  b\tc\nd", ("a", "b", "c", "d")), ("a 'b c'", ("a", "b c")), ('a "b c"', ("a", "b c")), ("''", ("",)),
    ('x="a b"y', ("x=a by",)), ("a\\ b", ("a b",)), ('"a\\"b"', ('a"b',)), ('"a\\nb"', ("anb",)), ("'a\\nb'", ("a\\nb",)),
    ("\"it's\"", ("it's",)),
    ("a $(b c) d", ("a", "$(b c)", "d")), ("a `b c`", ("a", "`b c`")), ("a '|' b", ("a", "|", "b")),
    ('sh -c "a && b"', ("sh", "-c", "a && b")),
])
def test_words_of_a_command(text: str, words: tuple[str, ...]) -> None:
    assert split(text) == (words, "")


@pytest.mark.parametrize(("text", "words", "left"), [
    ("a && b", ("a",), "&& b"), ("a; b", ("a",), "; b"), ("a|b", ("a",), "|b"), ("a > f", ("a",), "> f"), ("a 2>&1", ("a",), ">&1"),
    ("a x2>&1", ("a", "x2"), ">&1"),
])
def test_a_shell_operator_ends_the_command(text: str, words: tuple[str, ...], left: str) -> None:
    assert split(text) == (words, left)


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "a \\", "a (b)", "a)", "$(a", "`a"])
def test_no_command(text: str) -> None:
    with pytest.raises(ValueError, match=r"quotes|few|backslash"):
        split(text)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet="ab c;&$()", max_size=5), max_size=5))
def test_quoted_words_come_back(words: list[str]) -> None:
    assert split(" ".join(f"'{word}'" for word in words)) == (tuple(words), "")
