"""What is wrong, and where: a message and a span of a source go in, text with a caret for a person comes out.

Nothing here knows what the source is written in: Dockerfiles and compose files use the same.
"""

from kernel.value import Value
from lang.confidential import concealed
from lang.source import NOWHERE, Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Severity = Literal["error", "warning"]

TAB = 4                                                   # columns that a tab is drawn as
WIDTH = 160                                               # columns of a line that are shown around what is pointed at
RED, YELLOW, BLUE, BOLD, PLAIN = "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"


class Diagnostic(Value):
    """A finding about a source. span: NOWHERE if it is no place there that is wrong. help: one line with the way out, or ""."""

    severity: "Severity"
    message: str
    source: Source
    span: Span
    help: str = ""


def render(diagnostic: Diagnostic, color: bool = False) -> str:
    """Draw the diagnostic: message, place, the line before, the line with its carets, help. No newline at the end.

    Control characters of the source are drawn as their pictures: a file cannot drive the terminal. Passwords in URLs are not shown.
    """
    severity, message, source, span, help = diagnostic
    accent, blue, bold, plain = (RED if severity == "error" else YELLOW, BLUE, BOLD, PLAIN) if color else ("", "", "", "")
    head = f"{accent}{severity}{plain}{bold}: {printable(concealed(message))}{plain}"
    if span == NOWHERE:
        return head + (f"\n  {blue}={plain} {bold}help{plain}: {printable(concealed(help))}" if help else "")
    name, first, last = source.file(span.start)
    number, column = source.position(span.start)
    text = source.line(number, span.start)
    gutter = " " * len(str(number))
    out = [head, f"{gutter}{blue}-->{plain} {printable(name)}:{number}:{column}"]
    if first < last:
        out.append(f"{gutter} {blue}|{plain}")
        if number > 1:
            out.append(_numbered(number - 1, len(gutter), _window(source.line(number - 1, span.start), 0, 0)[0], blue, plain))
        length = max(1, min(span.end, last) - span.start)
        shown, start, end = _window(text, column - 1, min(column - 1 + length, max(len(text), column)))
        out.append(_numbered(number, len(gutter), shown, blue, plain))
        out.append(f"{gutter} {blue}|{plain} {' ' * start}{accent}{'^' * max(1, end - start)}{plain}")
    if help:
        out.append(f"{gutter} {blue}={plain} {bold}help{plain}: {printable(concealed(help))}")
    return "\n".join(out)


def printable(text: str) -> str:
    """`text` in one line that does nothing to a terminal and can be encoded."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c == "\t" else chr(0x2400 + ord(c)) if c < " " else "�" for c in text)


def _numbered(number: int, width: int, text: str, blue: str, plain: str) -> str:
    return f"{blue}{number:>{width}} |{plain} {text}".rstrip(" ")


def _window(text: str, start: int, end: int) -> "tuple[str, int, int]":
    """The part of a line to show, and the columns that characters `start` and `end` of the line have in it."""
    cut = max(0, start - WIDTH // 2) if len(text) > WIDTH else 0
    text = concealed(text, in_place=True)
    head, tail = ("…" if cut else ""), ("…" if cut + WIDTH < len(text) else "")
    drawn = [head]
    columns = len(head)
    begin = finish = 0
    for index, character in enumerate(text[cut:cut + WIDTH] + " ", cut):
        if index == start:
            begin = columns
        if index <= end:
            finish = columns
        character = " " * TAB if character == "\t" else printable(character)
        drawn.append(character)
        columns += _columns(character)
    return "".join(drawn)[:-1] + tail, begin, finish


def _columns(text: str) -> int:
    """The columns that a printable `text` takes in a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width
    return sum(0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in "WF" else 1 for c in text)
