"""`.env`, `--env-file` and `env_file`: text -> variables, in the two formats that compose knows.

Read by lines of `KEY=value`, `KEY: value`, `export KEY=value` and bare `KEY` (inherited); values in single quotes are literal, in
double quotes they have escapes and variables, without quotes they end at the line's end or at ` #` and have variables.
"""

from lang.source import Source
from runner.load.report import Report
from runner.load.template import TemplateFault, substitute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.load.template import Lookup

LARGEST = 4 << 20                                         # characters of a file, and of all values it makes
_BLANK = " \t\v\f\r\x85\xa0"
_BLANKS = frozenset(_BLANK)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "$": "$$"}


def parse(source: Source, known: "dict[str, str]", lookup: "Lookup", report: Report, format: str = "") -> "dict[str, str]":
    """The variables of a file.

    known:  what earlier files said: seen by `$VARIABLE`s, after `lookup` and after the file's own lines.
    lookup: the environment around: wins over the file in `$VARIABLE`s, and gives bare keys their values.
    format: "" or "raw": a line is `KEY=value` to its end, nothing is quoted, expanded or cut off.
    Raises InvalidCompose.
    """
    if len(source.text) > LARGEST:
        report.fault((source, 0, 0, 0, 0), f"a file of variables larger than {LARGEST >> 20} MiB")
        report.stop()
    if format not in ("", "raw"):
        report.fault((source, 0, 0, 0, 0), f"unsupported env_file format `{format}`", "the one format with a name is `raw`")
        report.stop()
    return _raw(source, lookup, report) if format else _Parser(source, known, lookup, report).parse()


def _raw(source: Source, lookup: "Lookup", report: Report) -> "dict[str, str]":
    found: dict[str, str] = {}
    offset = 0
    for line in source.text.split("\n"):
        stripped = line.rstrip("\r").lstrip(_BLANK)
        key, equals, value = stripped.partition("=")
        if stripped and stripped[0] != "#":
            if not key or not _BLANKS.isdisjoint(key):
                start = offset + len(line) - len(line.lstrip(_BLANK))
                reason = "a variable without a name" if not key else f"variable `{key}` has white space in its name"
                report.fault((source, start, start, start, start + len(key)), reason)
                report.stop()
            inherited = lookup(key) if not equals else value
            if inherited is not None:
                found[key] = inherited
        offset += len(line) + 1
    return found


class _Parser:
    __slots__ = ("found", "known", "lookup", "position", "report", "room", "source", "text")

    def __init__(self, source: Source, known: "dict[str, str]", lookup: "Lookup", report: Report) -> None:
        self.source, self.known, self.lookup, self.report = source, known, lookup, report
        self.found: dict[str, str] = {}
        self.text = source.text
        self.position = 0
        self.room = LARGEST

    def refuse(self, start: int, end: int, message: str, help: str = "") -> None:
        """Raises InvalidCompose."""
        self.report.fault((self.source, start, end, start, end), message, help)
        self.report.stop()

    def parse(self) -> "dict[str, str]":
        while self.skip_to_statement():
            key, inherited = self.key()
            if inherited:
                value = self.lookup(key)
                if value is not None:
                    self.found[key] = value
            else:
                self.found[key] = self.value()
        return self.found

    def skip_to_statement(self) -> bool:
        """Pass blanks, line ends and comments; whether anything is left."""
        text, position = self.text, self.position
        while position < len(text) and (text[position].isspace() or text[position] == "#"):
            if text[position] == "#":
                position = self.line_end(position)
            else:
                position += 1
        self.position = position
        return position < len(text)

    def line_end(self, position: int) -> int:
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end

    def key(self) -> "tuple[str, bool]":
        """A variable's name, and whether it stands alone on its line; goes on to the value."""
        start = self.position
        if self.text.startswith("export", start) and self.text[start + 6:start + 7] in _BLANKS:
            start += 6
            while self.text[start:start + 1] in _BLANKS:
                start += 1
        position = start
        for position in range(start, len(self.text)):
            character = self.text[position]
            if character in "=:\n":
                break
            if not (character in _BLANKS or character in "_.-[]" or character.isalpha() or character.isnumeric()):
                self.refuse(position, position + 1, f"unexpected character `{character}` in a variable's name")
        else:
            return self.last_word(start)
        key = self.text[start:position].rstrip()
        if not _BLANKS.isdisjoint(key):
            self.refuse(start, start + len(key), "a variable's name cannot contain a space")
        alone = self.text[position] == "\n"
        self.position = position + 1
        while not alone and self.text[self.position:self.position + 1] in _BLANKS:
            self.position += 1
        return key, alone

    def last_word(self, start: int) -> "tuple[str, bool]":
        """A word that the end of the file cuts off before `=` or a line end: compose takes it for the value of a variable "".

        Equal to compose, but said: nobody means that.
        """
        word = self.text[start:].rstrip()
        if not word:
            self.refuse(start, start, "`export` without a variable")
        self.report.warn((self.source, start, start, start, start + len(word)), f"`{word}` is followed by neither `=` nor a line end")
        self.position = start
        return "", False

    def value(self) -> str:
        start = self.position
        quote = self.text[start:start + 1]
        if quote not in ("'", '"') or not quote:
            end = self.line_end(start)
            self.position = min(end + 1, len(self.text))
            raw = self.text[start:end].partition(" #")[0].rstrip()
            return self.expand(raw, start, start + len(raw))
        out = []
        position = start + 1
        while position < len(self.text) and self.text[position] != quote:
            if self.text[position] == "\\" and self.text[position + 1:position + 2] == quote:
                out.append(quote if quote == "'" else '"')
                position += 2
            elif self.text[position] == "\\" and position + 1 < len(self.text):
                out.append(self.text[position:position + 2])
                position += 2
            else:
                out.append(self.text[position])
                position += 1
        if position >= len(self.text):
            self.refuse(start, self.line_end(start), "unterminated quoted value")
        self.position = position + 1
        value = "".join(out)
        return value if quote == "'" else self.expand(_unescape(value), start, position + 1)

    def expand(self, text: str, start: int, end: int) -> str:
        """`text` with its variables; start and end say where it is written."""
        value = text
        try:
            value = substitute(text, self.variable, self.missing)
        except TemplateFault as fault:
            exact = self.text[start:end] == text
            self.refuse(start + fault.start if exact else start, start + fault.end if exact else end, fault.message, fault.help)
        self.room -= len(value)
        if self.room < 0:
            self.refuse(start, end, f"the values of this file are longer than {LARGEST >> 20} MiB")
        return value

    def variable(self, name: str) -> "str | None":
        value = self.lookup(name)
        if value is None:
            value = self.found.get(name)
        return self.known.get(name) if value is None else value

    def missing(self, name: str, _: int) -> None:
        self.report.warn((self.source, 0, 0, 0, 0), f"the variable `{name}` is not set: it is taken to be empty")


def _unescape(text: str) -> str:
    """Escapes of a double-quoted value; one that is none stays as it is written."""
    if "\\" not in text:
        return text
    out = []
    index = 0
    while index < len(text):
        following = text[index + 1:index + 2]
        if text[index] != "\\":
            out.append(text[index])
            index += 1
        elif following == "0":                            # octal: a zero and one to three digits
            digits = text[index + 2:index + 5]
            while digits.strip("01234567"):
                digits = digits[:-1]
            whole = text[index:index + 2 + len(digits)]
            out.append(chr(int(digits, 8)) if len(digits) == 3 and int(digits, 8) < 256 else whole)
            index += len(whole)
        else:
            out.append(_ESCAPES.get(following, text[index:index + 2]))
            index += 2
    return "".join(out)
