"""Diagnostics as text: places, carets, what a terminal must not get to see."""

from hypothesis import given
from hypothesis import strategies as st

from lang.diagnostic import BLUE, BOLD, PLAIN, RED, YELLOW, Diagnostic, render
from lang.source import Source, Span, decode


def drawn(text: str, start: int, end: int, help: str = "") -> list[str]:
    return render(Diagnostic("error", "wrong", Source("File", text), Span(start, end), help)).split("\n")


def test_first_line_has_no_line_before_it() -> None:
    assert drawn("FROM x\n", 5, 6) == ["error: wrong", " --> File:1:6", "  |", "1 | FROM x", "  |      ^"]


def test_line_before_is_shown_and_help_follows() -> None:
    assert drawn("a\n\nb c\n", 5, 6, "try d")[2:] == ["  |", "2 |", "3 | b c", "  |   ^", "  = help: try d"]


def test_gutter_is_as_wide_as_the_number() -> None:
    assert drawn("x\n" * 9 + "ten", 18, 21)[1:4] == ["  --> File:10:1", "   |", " 9 | x"]


def test_tabs_are_four_columns_and_wide_characters_two() -> None:
    assert drawn("\ta漢字b", 2, 4)[-2:] == ["1 |     a漢字b", "  |      ^^^^"]


def test_marks_that_combine_take_no_column() -> None:
    assert drawn("e\u0301x", 2, 3)[-1] == "  |  ^"


def test_a_span_over_several_lines_is_pointed_at_in_its_first() -> None:
    assert drawn("ab\ncd\n", 1, 5)[-1] == "  |  ^"


def test_an_empty_span_has_one_caret() -> None:
    assert drawn("ab", 1, 1)[-1] == "  |  ^"
    assert drawn("ab\n", 2, 2)[-1] == "  |   ^"


def test_an_empty_source_has_no_excerpt() -> None:
    assert drawn("", 0, 0) == ["error: wrong", " --> File:1:1"]


def test_carriage_returns_are_not_shown() -> None:
    assert drawn("ab\r\ncd\r\n", 4, 6)[-2:] == ["2 | cd", "  | ^^"]


def test_a_long_line_is_shown_around_the_span() -> None:
    line, carets = drawn("x" * 1000 + "HERE" + "y" * 1000, 1000, 1004)[-2:]
    assert line.startswith("1 | …x") and line.endswith("y…") and len(line) < 180
    assert line[carets.index("^"):carets.rindex("^") + 1] == "HERE"


def test_control_characters_become_pictures() -> None:
    text = render(Diagnostic("error", "bad \x1b]0;title\x07", Source("a\x1bb", "x\x1b[31m\x9b\x7f"), Span(0, 1), "\x1b"))
    assert "\x1b" not in text and "\x07" not in text and "\x9b" not in text and "\x7f" not in text
    assert "␛" in text


def test_color_is_only_added() -> None:
    diagnostic = Diagnostic("warning", "wrong", Source("File", "a\nb\n"), Span(2, 3), "help")
    colored = render(diagnostic, color=True)
    for code in (YELLOW, BLUE, BOLD, PLAIN):
        assert code in colored
        colored = colored.replace(code, "")
    assert colored == render(diagnostic)
    assert RED in render(diagnostic._replace(severity="error"), color=True)


def test_a_place_in_an_included_file() -> None:
    source = Source("main", "one\ntwo", ()) ._replace(text="one\ntwo\ninner\nlast", included=((8, "sub/part"),))
    assert source.position(4) == (2, 1) and source.file(4) == ("main", 0, 7)
    assert source.position(14) == (2, 1) and source.file(14)[0] == "sub/part"
    assert render(Diagnostic("error", "wrong", source, Span(14, 18))).split("\n")[1:] == [
        " --> sub/part:2:1", "  |", "1 | inner", "2 | last", "  | ^^^^"]


def test_decode_takes_the_mark_of_byte_order_and_keeps_other_bytes() -> None:
    assert decode(b"\xef\xbb\xbfFROM x") == "FROM x"
    assert decode(b"a\xff").encode("utf-8", "surrogateescape") == b"a\xff"


@given(st.text(), st.integers(0, 40), st.integers(0, 40))
def test_any_span_of_any_text_is_drawn(text: str, start: int, length: int) -> None:
    start = min(start, len(text))
    out = render(Diagnostic("error", text, Source(text, text), Span(start, start + length), text))
    assert all(character.isprintable() or character == "\n" for character in out)
    assert out.encode()
