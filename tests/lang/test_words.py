"""Words: every form of expansion, quoting and escaping; then laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang.errors import BadWord, LangError
from lang.words import expand, expand_body, expand_words, raw_words, show

ENV = {"A": "abc", "E": "", "P": "/usr/lib/x.tar.gz", "S": " a  b ", "Q": "'\"$A", "É": "accent", "_": "under"}


@pytest.mark.parametrize(("word", "expected"), [
    ("plain", "plain"), ("", ""), ("$A", "abc"), ("${A}", "abc"), ("x$A-y", "xabc-y"), ("$Ax", ""), ("${A}x", "abcx"), ("$_", "under"),
    ("$É", "accent"),
    ("$U", ""), ("$", "$"), ("a$ b", "a$ b"), ("$.", "$."), ("$1x", "x"), ("$12", ""), ("$@$*$#$?$-$!$0", ""), ("$$A", "A"),
    ("$A²", "abc²"), ("$%A", "$%A"),
    ("${U:-d}", "d"), ("${E:-d}", "d"), ("${A:-d}", "abc"), ("${U-d}", "d"), ("${E-d}", ""), ("${U:-}", ""), ("${U:-$A}", "abc"),
    ("${U:-'a}b'}", "a}b"), ("${U:-a\\}b}", "a}b"), ('${U:-"${U:-"x y"}"}', "x y"), ("${U:-a/b}", "a/b"), ("${U:-{a}", "{a"), ("${U:-a}}", "a}"),
    ("${A:+d}", "d"), ("${E:+d}", ""), ("${E+d}", "d"), ("${U+d}", ""), ("${A?m}", "abc"), ("${E?m}", ""), ("${A:?m}", "abc"),
    ("${P#*/}", "usr/lib/x.tar.gz"), ("${P##*/}", "x.tar.gz"), ("${P%.*}", "/usr/lib/x.tar"), ("${P%%.*}", "/usr/lib/x"),
    ("${P#x}", "/usr/lib/x.tar.gz"),
    ("${A#?}", "bc"), ("${A#}", "abc"), ("${A%c}", "ab"), ("${U#x}", ""), ("${A#$E}", "abc"), ("${P#/usr/}", "lib/x.tar.gz"), ("${A%%*}", ""),
    ("${A/b/X}", "aXc"), ("${A//?/X}", "XXX"), ("${A/?/X}", "Xbc"), ("${A/*/X}", "X"), ("${A//*/X}", "X"), ("${A/z/X}", "abc"), ("${A//b/}", "ac"),
    ("${P//\\//_}", "_usr_lib_x.tar.gz"), ("${A//b/$A}", "aabcc"), ("${A//}/x}", "abc"), ("${A/b/}", "ac"), ("${A/b*/$E}", "a"),
    ("${A//b//}", "a/c"),
    ("'$A'", "$A"), ("'a\\b'", "a\\b"), ("\"$A\"", "abc"), ('"a\\"b"', 'a"b'), ('"a\\$b"', "a$b"), ('"a\\\\b"', "a\\b"),
    ('"a\\nb"', "a\\nb"), ("\"'\"", "'"),
    ("'\"'", '"'), ("a\"b\"'c'd", "abcd"), ('""', ""), ("$Q", "'\"$A"), ("\\$A", "$A"), ("\\a\\\\", "a\\"), ("a\\", "a"), ("a\\ b", "a b"),
    ("~/x", "~/x"),
    ("$(A)", "$(A)"), ("`A`", "`A`"), ("a}b/c", "a}b/c"), ("<<EOF", "<<EOF"),
])
def test_expand(word: str, expected: str) -> None:
    assert expand(word, ENV) == expected


@pytest.mark.parametrize(("word", "message", "start", "end"), [
    ("ab'c", "no closing `'`", 2, 3), ('a"b$A', 'no closing `"`', 1, 2), ("${A", "no closing `}`", 0, 2), ("x${A:-b", "no closing `}`", 1, 3),
    ("${A/b", "no second `/` in `${name/pattern/word}`", 0, 2), ("${A/b/c", "no closing `}`", 0, 2), ("${}", "no name after `${`", 2, 3),
    ("${:-x}", "no name after `${`", 2, 3), ("${{A}", "no name after `${`", 2, 3), ("${ A}", "no name after `${`", 2, 3),
    ("${A^}", "`^` is no modifier", 3, 4),
    ("${A:=x}", "`:=` is no modifier", 3, 5), ("${A:1:2}", "`:1` is no modifier", 3, 5), ("${A@Q}", "`@` is no modifier", 3, 4),
    ("${#A}", "`A` is no modifier", 3, 4),
    ("${A²}", "`²` is no modifier", 3, 4), ("${U?}", "`U`: is not allowed to be unset", 2, 4), ("${E:?}", "`E`: is not allowed to be empty", 2, 5),
    ("${U:?give $A}", "`U`: give abc", 2, 5), ("${A#\\x}", "`\\x` is no escape of a pattern", 3, 4), ("${A:+${U?no}}", "`U`: no", 7, 9),
    ("${A:", "`:` is no modifier", 3, 4),
])
def test_a_word_that_does_not_add_up_says_where(word: str, message: str, start: int, end: int) -> None:
    with pytest.raises(BadWord) as caught:
        expand(word, ENV)
    assert str(caught.value) == message
    assert (caught.value.span.start, caught.value.span.end) == (start, end)


@pytest.mark.parametrize(("word", "expected"), [
    ("c:\\x\\$A", "c:\\x\\abc"), ("a`$A", "a$A"), ('"`"\\"', '"\\'), ('"`$`x"', "$`x"), ("`\\", "\\"), ("a`", "a"), ("'a`b'", "a`b"),
    ("${P#`/}", "/usr/lib/x.tar.gz"),
    ("${U:-a`}b}", "a}b"), ("${U:-c:\\}", "c:\\"),
])
def test_the_other_escape_character(word: str, expected: str) -> None:
    assert expand(word, ENV, "`") == expected


@pytest.mark.parametrize(("word", "expected"), [
    ("a b", ["a", "b"]), ("$S", ["a", "b"]), ("x$S", ["x", "a", "b"]), ("'a b' c", ["a b", "c"]), ("a\\ b", ["a b"]), ('"$S"', [" a  b "]),
    ("", []), ('""', []), ("$U", []),
    ("  a\t b ", ["a", "b"]), ("a$E b", ["a", "b"]), ("${S}c", ["a", "b", "c"]), ("a'b c'd e", ["ab cd", "e"]), ("${U:-1 2}", ["1", "2"]),
])
def test_expand_words(word: str, expected: list[str]) -> None:
    assert expand_words(word, ENV) == expected


def test_names_that_are_not_set_are_told_also_of_words_that_are_not_needed() -> None:
    names: list[str] = []
    expand("$X ${A:-$Y} ${Z:-d} $1 ${E:+$X}", ENV, unset=names)
    assert names == ["X", "Y", "Z", "1", "X"]


@pytest.mark.parametrize(("text", "expected"), [
    ("'$A' \"$A\"", "'abc' \"abc\""), ("\\$A \\\\ \\n", "$A \\ n"), ("${U:-'x'}", "'x'"), ("it's $U.", "it's ."), ("a}b/c", "a}b/c"),
    ("${A#a}\n", "bc\n"),
])
def test_expand_body_leaves_quotes(text: str, expected: str) -> None:
    assert expand_body(text, ENV) == expected


def test_raw_words_keep_everything_but_the_spaces_between() -> None:
    assert raw_words("a 'b c' \\ d \"$A x\" ${U:-q}") == ["a", "'b c'", "\\ d", '"$A x"', "${U:-q}"]
    assert raw_words("'b'\\c", quotes=False, escapes=False) == ["bc"]


def test_show_replaces_what_is_set_and_leaves_the_rest() -> None:
    assert show("RUN $A $U ${U:-x} \"$E\" '$A'", ENV, "\\") == "RUN abc $U ${U:-x} \"\" '$A'"
    assert show("RUN it's $A", ENV, "\\") == "RUN it's $A"


def test_no_pattern_takes_long() -> None:
    value = "a" * 5000
    for pattern in ("*a" * 60 + "b", "?" * 60 + "*b*" * 20):
        assert expand(f"${{V##{pattern}}}", {"V": value}) == value
        assert expand(f"${{V%%{pattern}}}", {"V": value}) == value
        assert expand(f"${{V//{pattern}/x}}", {"V": value}) == value


TEXT = st.text(alphabet="ab$ {}:-+?#%/'\"\\`*A1\n", max_size=16)


@given(TEXT, st.sampled_from("\\`"))
def test_expansion_raises_nothing_but_its_own_error(word: str, escape: str) -> None:
    for call in (lambda: expand(word, ENV, escape), lambda: expand_words(word, ENV, escape), lambda: expand_body(word, ENV), lambda: raw_words(word)):
        try:
            call()
        except LangError as error:
            assert 0 <= error.span.start < error.span.end <= len(word) + 2


@given(st.text(max_size=20))
def test_quoted_text_is_what_it_was(text: str) -> None:
    assert expand("'" + text.replace("'", "'\\''") + "'", {}) == text
    assert expand('"' + "".join("\\" + c if c in '"$\\' else c for c in text) + '"', {}) == text
    assert expand("".join("\\" + c for c in text), {}) == text


@given(st.text(max_size=20))
def test_values_are_never_expanded_again(value: str) -> None:
    assert expand("$V", {"V": value}) == expand('"${V}"', {"V": value}) == expand("${U:-$V}", {"V": value}) == value


@given(TEXT)
def test_both_escape_characters_mean_the_same(word: str) -> None:
    swap = str.maketrans("\\`", "`\\")
    outcome = []
    for text, escape in ((word, "\\"), (word.translate(swap), "`")):
        try:
            outcome.append(expand(text, {"A": "x"}, escape).translate(swap) if escape == "`" else expand(text, {"A": "x"}, escape))
        except LangError as error:
            outcome.append(f"refused at {error.span}")
    if "#" not in word and "%" not in word and "/" not in word:       # the escapes of patterns are `\\` always
        assert outcome[0] == outcome[1]
