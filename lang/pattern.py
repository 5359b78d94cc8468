"""Patterns of `${name#pattern}` and its kin: `*` and `?`, no brackets; `\\` before `*`, `?` and itself takes their meaning away.

A pattern is cut at its stars into pieces of fixed length. Each piece is searched for once, from the side that the wanted match
calls for, so that no pattern takes more than (value x pattern) time: with one expression for the whole, `*a*a*a*a*b` would.
"""

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    Pieces = list[str]                                    # regular expressions without repetition


class BadPattern(ValueError):
    """An escape that a pattern does not have."""


def strip_prefix(pattern: str, value: str, longest: bool) -> str:
    """`value` without its shortest or longest beginning that the pattern fits."""
    end = _match(_pieces(pattern), value, 0, longest)
    return value if end is None else value[end:]


def strip_suffix(pattern: str, value: str, longest: bool) -> str:
    """`value` without its shortest or longest end that the pattern fits: a prefix, read backwards."""
    end = _match(_pieces(pattern, backwards=True), value[::-1], 0, longest)
    return value if end is None else value[:len(value) - end]


def substitute(pattern: str, word: str, value: str, every: bool) -> str:
    """`value` with the first, or every, longest fit replaced by `word`."""
    pieces = _pieces(pattern)
    if len(pieces) == 1:
        return re.sub(pieces[0], lambda _: word, value, count=0 if every else 1, flags=re.DOTALL)
    first = re.search(pieces[0], value, re.DOTALL)        # where a later one goes on to a match, the first does too
    end = _match(pieces, value, first.start(), True) if first else None
    if first is None or end is None:
        return value
    return value[:first.start()] + word + value[end:]     # the longest took the last fit of the last piece: no other follows


def _match(pieces: "Pieces", value: str, start: int, longest: bool) -> int | None:
    """The end of the shortest or longest match that begins at `start`."""
    at = start
    for index, piece in enumerate(pieces):
        if index == 0:
            found = re.compile(piece, re.DOTALL).match(value, at)
        elif longest and index == len(pieces) - 1:
            return _last(piece, value, at)
        else:
            found = re.compile(piece, re.DOTALL).search(value, at)
        if found is None:
            return None
        at = found.end()
    return at


def _last(piece: str, value: str, at: int) -> int | None:
    """The end of the last fit of `piece` that begins at `at` or later."""
    if not piece:
        return len(value)
    end = None
    search = re.compile(piece, re.DOTALL).search
    while found := search(value, at):
        end, at = found.end(), found.start() + 1
    return end


def _pieces(pattern: str, backwards: bool = False) -> "Pieces":
    pieces: list[list[str]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            pieces.append([])
        elif character == "?":
            pieces[-1].append(".")
        elif character == "\\":
            character = next(characters, "")
            if not character or character not in "*?\\}/":
                raise BadPattern(f"`\\{character}` is no escape of a pattern")
            pieces[-1].append(re.escape(character))
        else:
            pieces[-1].append(re.escape(character))
    if backwards:
        return ["".join(reversed(piece)) for piece in reversed(pieces)]
    return ["".join(piece) for piece in pieces]
