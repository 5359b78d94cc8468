"""Ignore files: which paths of a context the patterns leave out, and which pattern decided.

The text of a `.dockerignore`, or the patterns of `--exclude`, go in; Patterns come out. The last pattern that fits a path or a directory
above it decides; one that begins with `!` takes the path back in. Usual patterns (`name`, `**/name`, `*.suffix`, `directory/**`) are
looked up; only others cost the import of `re`.
Source: moby/patternmatcher's rules, and Go's filepath.Match for the brackets.
"""

from posixpath import normpath

from builder.errors import BuildError
from kernel.value import Value
from lang.errors import Misread
from lang.glob import check_glob, class_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

MAGIC = "*?[\\"
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200b)))
STARS = 8                                                 # in a pattern that could make a match take very long


class Pattern(Value):
    """A line of an ignore file: what it says, and the line from 1 (0 for a flag's)."""

    text: str
    line: int
    negated: bool


class BadPattern(BuildError):
    """A pattern that does not read. line: from 1; 0 for a pattern that stands in no file."""

    def __init__(self, pattern: str, line: int, problem: str) -> None:
        super().__init__(f"`{pattern}` is no pattern: {problem}" + (f" (line {line})" if line else ""))
        self.pattern = pattern
        self.line = line
        self.problem = problem


class Patterns:
    """Compiled patterns. Nothing is matched twice for a directory: what was decided of it is kept."""

    __slots__ = ("_all", "_decided", "_exact", "_expression", "_names", "_others", "_prefixes", "_suffixes", "_top", "patterns")

    def __init__(self, patterns: "tuple[Pattern, ...]") -> None:
        """Raises BadPattern."""
        self.patterns = patterns
        self._decided: dict[str, int] = {"": -1, ".": -1}
        self._exact: dict[str, int] = {}                  # whole path -> number of the pattern
        self._names: dict[str, int] = {}                  # last part of the path -> number
        self._prefixes: list[tuple[str, int]] = []
        self._suffixes: list[tuple[str, int]] = []
        self._top: list[tuple[str, int]] = []             # end of a path that has one part
        self._all = -1
        self._others: list[int] = []
        self._expression: Any = None
        for number, pattern in enumerate(patterns):
            self._sort(number, _clean(pattern))
        for found in (self._prefixes, self._suffixes, self._top, self._others):
            found.reverse()                               # the last pattern decides: try it first

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def _sort(self, number: int, text: str) -> None:
        """Put a pattern where it is found fastest."""
        tail = text[2:]
        if not _has_magic(text):
            self._exact[text] = number
        elif text == "**":
            self._all = number
        elif text.startswith("**/") and not _has_magic(text[3:]):
            if "/" in text[3:]:
                self._exact[text[3:]] = number
                self._suffixes.append((text[2:], number))
            else:
                self._names[text[3:]] = number
        elif text.startswith("**") and not _has_magic(tail):
            self._suffixes.append((tail, number))
        elif text.startswith("**/*") and not _has_magic(text[4:]) and "/" not in text[4:]:
            self._suffixes.append((text[4:], number))
        elif text.endswith("**") and not _has_magic(text[:-2]):
            self._prefixes.append((text[:-2], number))
        elif text.startswith("*") and not _has_magic(text[1:]) and "/" not in text:
            self._top.append((text[1:], number))
        else:
            self._others.append(number)

    def decide(self, path: str) -> int:
        """The number of the pattern that decides about `path`, -1 for none."""
        found = self._decided.get(path)
        if found is None:
            above, _, name = path.rpartition("/")
            inherited = self._decided.get(above)
            if inherited is None:
                inherited = self._decided[above] = self.decide(above)
            found = max(inherited, self._own(path, name, inherited))
        return found

    def _own(self, path: str, name: str, least: int) -> int:
        """The number of the last pattern, after `least`, that fits the path itself."""
        best = max(least, self._all, self._exact.get(path, -1), self._names.get(name, -1))
        for fits, kind in ((path.endswith, self._suffixes), (path.startswith, self._prefixes), (path.endswith, self._top if name == path else ())):
            for part, number in kind:
                if number <= best:
                    break
                if fits(part):
                    best = number
                    break
        if self._others and self._others[0] > best:
            match = (self._expression or self._compile()).fullmatch(path)
            if match is not None:
                best = max(best, self._others[match.lastindex - 1])
        return best

    def _compile(self) -> "Any":
        import re
        self._expression = re.compile("|".join(f"({_expression(_clean(self.patterns[number]))})" for number in self._others), re.DOTALL)
        return self._expression


NONE = Patterns(())


def parse(text: str) -> Patterns:
    """The patterns of an ignore file. Raises BadPattern."""
    found: list[Pattern] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if not line.startswith("#"):
            _add(line, number, found)
    return Patterns(tuple(found)) if found else NONE


def of_flags(patterns: "Iterable[str]") -> Patterns:
    """The patterns of `--exclude`. Raises BadPattern."""
    found: list[Pattern] = []
    for text in patterns:
        _add(text, 0, found)
    return Patterns(tuple(found))


def matches(patterns: Patterns, path: str) -> bool:
    """Whether `path`, relative and without `.` or `..` in it, is left out."""
    number = patterns.decide(path)
    return number >= 0 and not patterns.patterns[number].negated


def deciding(patterns: Patterns, path: str) -> "Pattern | None":
    """The pattern that decided about `path`; None if none fits."""
    number = patterns.decide(path)
    return patterns.patterns[number] if number >= 0 else None


def may_contain(patterns: Patterns, directory: str) -> bool:
    """Whether a directory that is left out can hold something that is taken back in: whether a walk must enter it.

    Law: if not, everything below it is left out.
    """
    decided = patterns.decide(directory)
    parts = directory.split("/")
    return any(pattern.negated and _reaches(_clean(pattern), parts) for pattern in patterns.patterns[decided + 1:])


def hollow(patterns: Patterns) -> "Callable[[str], bool] | None":
    """Whether a directory is there only for the sake of what in it is taken back in; None if none is.

    Where each `!` names a way without wildcards, but at its end, a directory on that way is there even if nothing is at the end of it.
    Source: fsutil's filter, which BuildKit's clients send contexts through.
    """
    for pattern in patterns.patterns:
        if pattern.negated and _has_magic(_clean(pattern).removesuffix("/**").removesuffix("/*")):
            return lambda path: matches(patterns, path)
    return None


def left_out(patterns: Patterns) -> "Callable[[str], bool] | None":
    """Whether a path of a context is surely left out, `.` for all of it; None if that cannot be told, for something is taken back in."""
    if not patterns or any(pattern.negated for pattern in patterns.patterns):
        return None
    everything = any(pattern.text in ("*", "**", "**/*") for pattern in patterns.patterns)
    return lambda path: everything if path == "." else matches(patterns, path)


def _add(line: str, number: int, found: "list[Pattern]") -> None:
    text = line.strip(SPACE)
    if not text:
        return
    negated = text.startswith("!")
    bare = text[1:].strip(SPACE) if negated else text
    if not bare:
        raise BadPattern(text, number, "nothing after `!`")
    pattern = Pattern(text, number, negated)
    problem = _problem(_clean(pattern))
    if problem:
        raise BadPattern(text, number, problem)
    found.append(pattern)


def _clean(pattern: Pattern) -> str:
    """The path of a pattern: no `!`, no slash around it, no `.`, `..` or doubled slash in it."""
    text = pattern.text[1:].strip(SPACE) if pattern.negated else pattern.text
    text = normpath(text)
    return text.lstrip("/") or "/"


def _has_magic(text: str) -> bool:
    return any(character in text for character in MAGIC)


def _reaches(text: str, parts: "list[str]") -> bool:
    """Whether a pattern can fit something below the directory of these parts."""
    pieces = _split(text)
    for piece, part in zip(pieces, parts):
        if "**" in piece or "/" in piece:
            return True
        if not _fits(piece, part):
            return False
    return len(pieces) > len(parts)


def _fits(piece: str, part: str) -> bool:
    if not _has_magic(piece):
        return piece == part
    import re
    return re.fullmatch(_expression(piece), part, re.DOTALL) is not None


def _expression(text: str) -> str:
    """A pattern as a regular expression for whole paths.

    What stands between two stars is found once, as far left as it goes, and never looked for again: an atomic group. A later star
    takes whatever is left, so nothing is missed, and no pattern makes a match take more than (path x pattern) steps.
    """
    parts = _split(text)
    if _in_the_middle(text):
        return _unusual(text)
    groups: list[list[str]] = [[]]                        # the parts between one `**` and the next
    for part in parts:
        if part.startswith("**"):
            groups.append([])
            part = part[2:]
        if part or len(parts) == 1:
            groups[-1].append(part)
    tail = ""
    if not groups[-1]:
        groups.pop()
        tail = ".*"
    elif groups[-1][-1].endswith("**"):
        groups[-1][-1] = groups[-1][-1][:-2]
        tail = ".*"
    found = [f"(?>(?:.*?/)??{_parts(group)}/)" if group else "" for group in groups[1:-1]]
    first, last = _parts(groups[0]), _parts(groups[-1])
    if last and tail and parts[-1] == "**":               # `a/**` is what lies below `a`, not `a` itself
        tail = "/" + tail
    if len(groups) > 1:
        return (first + "/" if first else "") + "".join(found) + f"(?:.*/)?{last}" + tail
    return first + tail


def _split(text: str) -> "list[str]":
    """The parts of a pattern that reads: a slash between brackets is a character like others."""
    if "[" not in text:
        return text.split("/")
    parts, begin, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            at = class_end(text, at + 1)
        elif text[at] == "/":
            parts.append(text[begin:at])
            begin = at + 1
        at += 1
    return [*parts, text[begin:]]


def _in_the_middle(text: str) -> bool:
    """Whether a `**` stands in the middle of a part: neither at its beginning nor at the pattern's end."""
    *parts, last = _split(text)
    return any("**" in part[1:] for part in parts) or 0 <= last[1:].find("**") < len(last) - 3


def _parts(parts: "list[str]") -> str:
    return "/".join(_part(part) for part in parts)


def _part(text: str) -> str:
    """A part of a path: fixed pieces with stars between them."""
    pieces = [""]
    for piece in _pieces(text):
        if piece == "*":
            pieces.append("")
        else:
            pieces[-1] += piece
    first, *rest = pieces
    if not rest:
        return first
    return first + "".join(f"(?>[^/]*?{piece})" for piece in rest[:-1]) + f"[^/]*{rest[-1]}"


def _unusual(text: str) -> str:
    """A pattern with `**` in the middle of a part, where a match may have to be looked for again: only a few stars are."""
    pieces = list(_pieces(text))
    out: list[str] = []
    for index, piece in enumerate(pieces):
        if piece == "**":
            out.append("(?:.*/)?" if index + 1 < len(pieces) else ".*")
        else:
            out.append("[^/]*" if piece == "*" else piece)
    return "".join(out)


def _pieces(text: str) -> "Iterator[str]":
    """`**` (with the slash after it), `*`, and regular expressions for one character each."""
    from re import escape
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == "*" and text.startswith("*", at):
            at += 1
            at += text.startswith("/", at)
            yield "**"
        elif character == "*":
            yield "*"
        elif character == "?":
            yield "[^/]"
        elif character == "[":
            end = class_end(text, at)
            yield _class(text[at:end])
            at = end + 1
        elif character == "\\":
            yield escape(text[at:at + 1])
            at += 1
        else:
            yield escape(character)


def _class(text: str) -> str:
    """What stands between brackets, as a regular expression has it."""
    from re import escape
    negated = text.startswith("^")
    out: list[str] = []
    at = int(negated)
    while at < len(text):
        at += text[at] == "\\"
        character = text[at]
        dash = text[at + 1:at + 2] == "-"
        out.append(escape(character))
        at += 1
        if dash:
            at += 1 + (text[at + 1] == "\\")
            out.append("-" + escape(text[at]))
            at += 1
    return f"[{'^' if negated else ''}{''.join(out)}]"


def _problem(text: str) -> str:
    """What is wrong with a pattern, "" if nothing is."""
    try:
        check_glob(text)
    except Misread as error:
        return str(error)
    if text.count("*") > STARS and _in_the_middle(text):
        return f"more than {STARS} stars, and `**` in the middle of a name"
    return ""
