import pytest

from builder.files import BadPattern, clean, match


@pytest.mark.parametrize(("pattern", "name", "yes"), [
    ("abc", "abc", True), ("*", "abc", True), ("*c", "abc", True), ("a*", "a", True), ("a*", "ab/c", False), ("a*b*c*d*e*", "axbxcxdxe", True),
    ("a*b?c*x", "abxbbxdbxebxczzx", True), ("a*b?c*x", "abxbbxdbxebxczzy", False), ("ab[c]", "abc", True), ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False), ("ab[^c]", "abc", False), ("ab[^e-g]", "abc", True), ("a\\*b", "a*b", True), ("a\\*b", "ab", False),
    ("a?b", "a\u263ab", True), ("a[^a]b", "a\u263ab", True), ("a???b", "a\u263ab", False), ("[a-\u03b6]*", "\u03b1", True), ("*[a-\u03b6]", "A", False),
    ("a?b", "a/b", False), ("a*b", "a/b", False), ("[\\]a]", "]", True), ("[\\-x]", "-", True), ("[x\\-]", "z", False), ("*x", "xxx", True), ("[[]x", "[x", True),
    ("", "", True), ("", "a", False), ("*", "", True), ("?", "", False)])
def test_match_as_filepath_match(pattern: str, name: str, yes: bool) -> None:
    assert match(pattern, name) is yes


@pytest.mark.parametrize("pattern", ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\"])
def test_match_bad_pattern(pattern: str) -> None:
    with pytest.raises(BadPattern):
        match(pattern, "a")


@pytest.mark.parametrize(("given", "path"), [("/a/b/", "a/b"), ("../x", "x"), ("a/../../b", "b"), (".", ""), ("./a//b", "a/b"), ("/", "")])
def test_clean(given: str, path: str) -> None:
    assert clean(given) == path
