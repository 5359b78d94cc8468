"""Ignore files: patternmatcher's rules, case by case, then against a translation that is slow and plain."""

import re
import subprocess
import sys
from posixpath import normpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.ignore import NONE, BadPattern, deciding, matches, may_contain, of_flags, parse


def ignored(text: str, path: str) -> bool:
    return matches(parse(text), path)


@pytest.mark.parametrize(("pattern", "path", "expected"), [
    ("a", "a", True), ("a", "a/b", True), ("a", "b/a", False), ("a", "ab", False), ("a", "A", False),
    ("/a", "a", True), ("./a/", "a/b", True), ("a//b", "a/b", True), ("a/../b", "b", True), ("/", "a", False), (".", "a", False),
    ("*", "a", True), ("*", "a/b", True), ("*.md", "x.md", True), ("*.md", "d/x.md", False), ("d/*.md", "d/x.md", True),
    ("**", "a/b", True), ("**/b", "b", True), ("**/b", "a/c/b/d", True), ("**/b", "ab", False), ("**/a/b", "x/a/b", True),
    ("**/*.pyc", "a.pyc", True), ("**/*.pyc", "a/b/c.pyc", True), ("**/*.pyc", "a.pyc/x", True), ("**/a*b", "x/acb", True),
    ("a/**", "a", False), ("a/**", "a/b/c", True), ("a/**/b", "a/b", True), ("a/**/b", "a/x/y/b", True), ("a/**/b", "a/xb", False),
    ("a/**/b/**/c", "a/1/b/2/3/c", True), ("a/**/b/**/c", "a/c/b", False), ("**/a/**", "x/a/y", True), ("a**", "ab/c", True),
    ("**a", "xa", True), ("a**b", "ab", True), ("a**b", "ax/b", True), ("a**b", "axb", False),
    ("a?c", "abc", True), ("a?c", "a/c", False), ("[a-c]x", "bx", True), ("[^a-c]x", "bx", False), ("[^a]", "b", True),
    (r"\*", "*", True), (r"\*", "a", False), (r"a\[b", "a[b", True), ("[]", "x", None), ("[", "x", None), ("a[", "x", None), ("a[x-]", "x", None),
    ("[z-a]", "x", None), ("a\\", "x", None), ("!", "x", None), ("! ", "x", None), (r"[\]]", "]", True), (r"[\-a]", "-", True), ("a]", "a]", True),
    ("a b", "a b", True), ("  a  ", "a", True), ("#a", "#a", False), (" #a", "#a", True), (r"\#a", "#a", True), ("é*", "éa", True),
    ("a.b", "axb", False), ("a+(b)", "a+(b)", True), ("{a}", "{a}", True),
])
def test_one_pattern(pattern: str, path: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(BadPattern):
            parse(pattern)
    else:
        assert ignored(pattern, path) is expected


@pytest.mark.parametrize(("text", "path", "expected"), [
    ("*\n!a", "a", False), ("*\n!a", "a/b", False), ("*\n!a\na/b", "a/b", True), ("!a\n*", "a", True), ("d\n!d/*.md", "d/x.md", False),
    ("d\n!d/*.md", "d/x.txt", True), ("**/x\n!**/x/y", "a/x/y", False), ("*.md\n!README.md", "README.md", False),
    ("! a\n", "a", False), ("*\n! a ", "a", False), ("a/b\n!a", "a/b", False),
])
def test_the_last_pattern_decides(text: str, path: str, expected: bool) -> None:
    assert ignored(text, path) is expected


def test_comments_blank_lines_line_ends_and_mark_of_byte_order() -> None:
    patterns = parse("\ufeff# comment\r\n\r\n  a  \r\n#b\n")
    assert [(p.text, p.line) for p in patterns.patterns] == [("a", 3)]
    assert matches(patterns, "a")


def test_the_deciding_pattern_is_told() -> None:
    patterns = parse("*\n!src\n**/*.pyc\n")
    assert str(getattr(deciding(patterns, "src/a.pyc"), "text", "")) == "**/*.pyc"
    assert getattr(deciding(patterns, "src/a.py"), "line", 0) == 2
    assert deciding(NONE, "x") is None


def test_a_bad_pattern_says_where() -> None:
    with pytest.raises(BadPattern) as caught:
        parse("a\n[b\n")
    assert (caught.value.line, str(caught.value)) == (2, "`[b` is no pattern: its bracket does not read (line 2)")


def test_no_patterns_are_one_value_and_false() -> None:
    assert parse("\n# only a comment\n") is NONE
    assert not NONE
    assert not matches(NONE, "a")


def test_flags_have_no_comments() -> None:
    assert matches(of_flags(["#a", "*.md"]), "#a")


@pytest.mark.parametrize(("text", "directory", "expected"), [
    ("*", "a", False), ("*\n!a/b", "a", True), ("*\n!a/b", "b", False), ("*\n!a/b/c", "a/b", True), ("*\n!a/b/c", "a/x", False),
    ("*\n!**/x", "q/r", True), ("*\n!*/x", "q", True), ("*\n!*/x", "q/r", False), ("!a/b\n*", "a", False), ("a\n!a*/x", "a", True),
])
def test_a_walk_enters_only_where_something_comes_back(text: str, directory: str, expected: bool) -> None:
    assert may_contain(parse(text), directory) is expected


def test_usual_patterns_do_not_import_re() -> None:
    program = ("import sys; from builder.ignore import parse, matches\n"
               "p = parse('.git\\n**/node_modules\\n**/*.pyc\\n*.md\\n!README.md\\ndocs/**\\n**/a/b\\n*\\n')\n"
               "matches(p, 'a/b/c'); matches(p, 'README.md'); print('re' in sys.modules)")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"],
                          capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "**/a/" * 20 + "b", "a/**/" * 20 + "b", "*" + "?*" * 40 + "b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    assert not ignored(pattern, "/".join(["a" * 60] * 30))
    assert not ignored(pattern, "/".join(["a"] * 500))


def test_stars_that_could_take_long_are_refused() -> None:
    with pytest.raises(BadPattern):
        parse("a**" * 9 + "b")


# patternmatcher's own way: one expression a pattern, tried for the path and for every directory above it

def translated(pattern: str) -> "re.Pattern[str]":
    out, at = "", 0
    while at < len(pattern):
        character, at = pattern[at], at + 1
        if pattern.startswith("**", at - 1):
            at += 1
            at += pattern.startswith("/", at)
            out += "(.*/)?" if at < len(pattern) else ".*"
        elif character == "*":
            out += "[^/]*"
        elif character == "?":
            out += "[^/]"
        else:
            out += re.escape(character)
    return re.compile(out)


def plainly(text: str, path: str) -> bool:
    verdict = False
    parts = path.split("/")
    for line in text.split("\n"):
        pattern = normpath(line.lstrip("!")).lstrip("/")
        ways = ["/".join(parts[:n + 1]) for n in range(len(parts))]
        literal = pattern.startswith("**") and not set(pattern[2:]) & set("*?")
        if any(way.endswith(pattern[2:]) or way == pattern[3:] if literal else translated(pattern).fullmatch(way) for way in ways):
            verdict = not line.startswith("!")
    return verdict


SEGMENT = st.text(alphabet="ab*?", min_size=1, max_size=4)
PATTERN = st.tuples(st.sampled_from(["", "!"]), st.lists(SEGMENT, min_size=1, max_size=4)).map(lambda p: p[0] + "/".join(p[1]))
PATH = st.lists(st.text(alphabet="abc", min_size=1, max_size=3), min_size=1, max_size=5).map("/".join)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.lists(PATTERN, min_size=1, max_size=4).map("\n".join), PATH)
def test_as_the_plain_translation(text: str, path: str) -> None:
    try:
        patterns = parse(text)
    except BadPattern:
        return
    assert matches(patterns, path) is plainly(text, path)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(PATTERN, min_size=1, max_size=4).map("\n".join), PATH, PATH)
def test_nothing_comes_back_below_a_directory_that_is_not_entered(text: str, directory: str, below: str) -> None:
    try:
        patterns = parse(text)
    except BadPattern:
        return
    if matches(patterns, directory) and not may_contain(patterns, directory):
        assert matches(patterns, f"{directory}/{below}")


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_text_parses_or_is_a_bad_pattern(text: str) -> None:
    try:
        matches(parse(text), "a/b")
    except BadPattern:
        pass


@pytest.mark.parametrize(("pattern", "path", "left_out"), [
    ("[a/b]", "a", True), ("[a/b]", "c", False), ("x[a/]y/z", "xay/z", True), ("x[^/]y/[b/]", "xay/b", True), ("\\[a/b]", "[a/b]", True),
    ("**/[a/b]c", "d/bc", True), ("[^/a]**", "bcd/e", True)])
def test_a_slash_between_brackets_is_one_of_the_characters(pattern: str, path: str, left_out: bool) -> None:
    assert matches(parse(pattern), path) is left_out


def test_a_slash_between_brackets_may_take_something_back_in() -> None:
    assert may_contain(parse("a\n![a/b]/c\n"), "a")
