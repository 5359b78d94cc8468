"""The `$` in a word: a text and a way to look variables up go in, the text with their values comes out.

The grammar is grammar/interpolation.lark. A choice's word is looked at only when it is taken, so `${A?${B}}` asks for B only if A
is missing.
"""

from grammar.driver import Unexpected, run, table
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeAlias

    Lookup: TypeAlias = Callable[[str], str | None]

DEPTH = 100                                               # words within words
LONGEST = 1 << 20                                         # characters that one text may have, or become


class TemplateFault(Exception):
    """What is wrong, and between which offsets of the text."""

    def __init__(self, message: str, start: int, end: int, help: str = "") -> None:
        super().__init__(message)
        self.message, self.start, self.end, self.help = message, start, end, help


class Variable(Value):
    """A variable that a text asks for, and what the text says should it be missing or there."""

    name: str
    default: str = ""
    presence: str = ""
    required: bool = False


def substitute(text: str, lookup: "Lookup", missing: "Callable[[str, int], None]") -> str:
    """`text` with the values of its variables.

    lookup:  the value of a variable, None where it is not set.
    missing: told of each variable that became "" for want of a value, and where in `text` it is asked for.
    Raises TemplateFault.
    """
    if "$" not in text:
        return text
    if len(text) > LONGEST:
        raise TemplateFault(f"a text with variables that is longer than {LONGEST >> 20} MiB", 0, len(text))
    return _Evaluation(text, lookup, missing).template(_parsed(text), 0)


def variables(text: str) -> "Iterator[Variable]":
    """The variables that `text` asks for, those in its words too.

    Raises TemplateFault.
    """
    if "$" in text:
        yield from _variables(_parsed(text), text, 0)


def escape(text: str) -> str:
    """`text` such that `substitute` gives it back."""
    return text.replace("$", "$$")


def _parsed(text: str) -> "list[Any]":
    try:
        return run(table("interpolation"), text)[1]  # type: ignore[no-any-return]
    except Unexpected:
        start = _unclosed(text)
        raise TemplateFault(f"invalid template `{text[start:start + 60]}`", start, len(text), "a literal `$` is written `$$`") from None


def _unclosed(text: str) -> int:
    """Where the innermost `${` that never ends begins."""
    open_braces: list[int] = []
    index = 0
    while index < len(text):
        if text.startswith("$$", index):
            index += 1
        elif text.startswith("${", index):
            open_braces.append(index)
            index += 1
        elif text[index] == "{" and open_braces:
            open_braces.append(index)
        elif text[index] == "}" and open_braces:
            open_braces.pop()
        index += 1
    return open_braces[-1] if open_braces else max(0, text.find("$"))


class _Evaluation:
    __slots__ = ("lookup", "missing", "room", "text")

    def __init__(self, text: str, lookup: "Lookup", missing: "Callable[[str, int], None]") -> None:
        self.text, self.lookup, self.missing, self.room = text, lookup, missing, LONGEST

    def template(self, parts: "list[Any]", depth: int) -> str:
        if depth > DEPTH:
            raise TemplateFault(f"a template nested deeper than {DEPTH}", 0, len(self.text))
        return "".join([self.part(part, depth) for part in parts])

    def part(self, part: "Any", depth: int) -> str:
        kind, inner = part[0], part[1]
        if kind == "choice":
            value = self.choice(inner, depth)
        elif kind == "variable":
            (_, name, offset), = inner
            found = self.lookup(name)
            if found is None:
                self.missing(name, offset)
            value = found or ""
        elif kind == "dollar":
            return "$"
        elif kind == "malformed":
            raise _malformed(inner, self.text)
        else:
            return inner  # type: ignore[no-any-return]
        self.room -= len(value)
        if self.room < 0:
            raise TemplateFault(f"becomes longer than {LONGEST >> 20} MiB", 0, len(self.text))
        return value

    def choice(self, inner: "list[Any]", depth: int) -> str:
        (_, name, offset), (_, operator, _), (_, word) = inner
        value = self.lookup(name)
        present = value is not None and (value != "" or operator[0] != ":")
        if operator[-1] == "+":
            return self.template(word, depth + 1) if present else ""
        if present and value is not None:
            return value
        words = self.template(word, depth + 1)
        if operator[-1] == "-":
            return words
        raise TemplateFault(f"required variable `{name}` is missing a value{': ' + words if words else ''}", offset, offset + len(name),
                            f"set `{name}` in the environment or in `.env`")


def _malformed(inner: "list[Any]", text: str) -> TemplateFault:
    start = inner[0][2]
    end = text.find("}", start)
    end = len(text) if end < 0 else end + 1
    return TemplateFault(f"invalid template `{text[start:end]}`", start, end, "a literal `$` is written `$$`")


def _variables(parts: "list[Any]", text: str, depth: int) -> "Iterator[Variable]":
    if depth > DEPTH:
        raise TemplateFault(f"a template nested deeper than {DEPTH}", 0, len(text))
    for part in parts:
        if part[0] == "variable":
            yield Variable(part[1][0][1])
        elif part[0] == "malformed":
            raise _malformed(part[1], text)
        elif part[0] == "choice":
            (_, name, _), (_, operator, offset), word = part[1]
            begin = offset + len(operator)
            raw = text[begin:_end(text, begin)]
            kind = operator[-1]
            yield Variable(name, raw if kind == "-" else "", raw if kind == "+" else "", kind == "?")
            yield from _variables(word[1], text, depth + 1)


def _end(text: str, index: int) -> int:
    """Where the word that begins at `index` ends."""
    depth = 0
    while text[index] != "}" or depth:
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        index += 1
    return index
