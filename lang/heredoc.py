"""Finding the heredocs that a line announces: `<<NAME`, `<<-NAME`, `3<<"NAME"`."""

from kernel.value import Value
from lang.errors import LangError
from lang.words import raw_words

DIGITS = "0123456789"


class Mark(Value):
    """The announcement of a heredoc. expand: no part of the name is quoted; chomp: `<<-`."""

    name: str
    expand: bool
    chomp: bool
    descriptor: int


def announced(line: str) -> "list[Mark]":
    """The heredocs that a logical line announces, in order; none if its quotes or `$` do not add up: then the shell will say so."""
    try:
        words = raw_words(line)
    except LangError:
        return []
    found: list[Mark] = []
    following = iter(words)
    for word in following:
        digits, rest = _digits(word)
        mark = _mark(digits, "", next(following, "")) if rest == "<<" else parse_mark(word)
        if mark:
            found.append(mark)
    return found


def is_alone(line: str) -> bool:
    """Whether a command line is the announcement of one heredoc and nothing else."""
    digits, rest = _digits(line)
    if rest.startswith("<<") and rest[2:3].isspace():
        return _mark(digits, "", rest[2:].strip()) is not None
    return parse_mark(line) is not None


def parse_mark(word: str) -> "Mark | None":
    """The heredoc that a word announces, None if it announces none."""
    digits, rest = _digits(word)
    if not rest.startswith("<<"):
        return None
    dash = "-" if rest.startswith("<<-") else ""
    return _mark(digits, dash, rest[2 + len(dash):])


def _digits(word: str) -> "tuple[str, str]":
    rest = word.lstrip(DIGITS)
    return word[:len(word) - len(rest)], rest


def _mark(descriptor: str, dash: str, name: str) -> "Mark | None":
    if not name or "<" in name:
        return None
    try:
        bare, quoted = raw_words(name, quotes=False, escapes=False), raw_words(name, quotes=True, escapes=False)
    except LangError:
        return None
    if len(bare) != 1 or len(quoted) != 1:
        return None
    marks = [text.count("'") + text.count('"') for text in (bare[0], quoted[0])]
    return Mark(bare[0], marks[0] == marks[1], dash == "-", int(descriptor) if descriptor and len(descriptor) < 10 else 0)
