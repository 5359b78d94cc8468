"""A Dockerfile's text -> its instructions.

`read` knows only the grammar: logical lines (lang/logical.py) through grammar/dockerfile.lark to `Raw`, with the heredocs found.
`parse` checks each of them (lang/instruction.py) and gives the typed tree, or all that is wrong with the file at once.
"""

from grammar.driver import Unexpected, run, table
from lang.errors import LangError, SyntaxFault, UnknownInstruction, together
from lang.instruction import check
from lang.logical import Reader
from lang.nodes import Arg, Dockerfile, From, Heredoc, Raw, Word
from lang.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lang.nodes import Instruction

    Include = Callable[[str, str], tuple[str, str]]
    Shape = tuple[tuple[Word, ...], bool, bool, "Raw | None"]        # args, json, legacy, child

SWAP = str.maketrans("\\`", "`\\")
BLANKS = str.maketrans("\t\v\f\r", "    ")
DEEPEST, LONGEST = 16, 4 << 20                            # files within files; characters of them all
WITH_HEREDOCS = ("RUN", "COPY", "ADD")
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def parse(source: Source, include: "Include | None" = None, syntax: "str | None" = None,
          faults: "list[LangError] | None" = None) -> Dockerfile:
    """The typed tree of a Dockerfile.

    syntax:  what counts instead of the directive of that name (the build argument BUILDKIT_SYNTAX).
    include: finds the file of an INCLUDE: path and including file's name -> name and text; raises ValueError, with what is wrong.
             The text is appended to that of the tree's source, so that its places are places too.
    faults:  takes what is wrong, and the tree is of the rest; a FROM that is wrong takes its stage away with it.
    Raises LangError: for several errors LangErrors, in the order of their places.
    """
    reading = _Reading(source, syntax)
    instructions: list[Instruction] = []
    errors: list[LangError] = []
    stray = lost = False
    while True:
        raw = None
        try:
            raw = reading.next()
            if raw is None:
                break
            if raw.name == "INCLUDE" and reading.dialect:
                reading.enter(raw, include)
                continue
            instruction = check(raw, reading.source, reading.dialect)
        except LangError as error:
            errors.append(error)
            if reading.broken:
                break
            stray = stray or raw is None or raw.name != "ARG"               # it may have been the first FROM
            lost = lost or (raw is not None and raw.name == "FROM")
            continue
        if isinstance(instruction, From):
            stray, lost = True, False
        elif not stray and not isinstance(instruction, Arg):
            errors.append(SyntaxFault(reading.source, raw.keyword.span, f"{raw.name} before the first FROM", "only ARG may stand before it"))
            stray = True
        if not lost:
            instructions.append(instruction)
    if not instructions and not errors:
        errors.append(SyntaxFault(source, Span(0, 0), "no instruction in this file"))
    if errors and (faults is None or not instructions):
        raise together(errors)
    if faults is not None:
        faults += errors
    return Dockerfile(tuple(reading.directives), tuple(instructions), reading.source, reading.escape, reading.dialect, reading.syntax)


def read(source: Source) -> "tuple[Raw, ...]":
    """The instructions as they are written, unchecked but for syntax. Raises LangError at the first that has none."""
    reading = _Reading(source)
    found: list[Raw] = []
    while (raw := reading.next()) is not None:
        found.append(raw)
    if not found:
        raise SyntaxFault(source, Span(0, 0), "no instruction in this file")
    return tuple(found)


def parse_instruction(text: str, name: str = "<trigger>", dialect: str = "") -> "tuple[Instruction, Source]":
    """The one instruction that `text` is: an ONBUILD trigger that came with an image. Raises LangError."""
    source = Source(name, text)
    found = read(source)
    if len(found) != 1:
        raise SyntaxFault(source, found[1].span, "more than one instruction in a trigger")
    return check(found[0], source, dialect), source


class _Reading:
    """A file being read: turns each logical line into a Raw. Holds what the actions of the grammar need to know of the line."""

    __slots__ = ("_actions", "_line", "_outer", "_reader", "_syntax", "broken", "directives", "source")

    def __init__(self, source: Source, syntax: "str | None" = None) -> None:
        self.source = source
        self._syntax = syntax
        self._reader = Reader(source)
        self.directives = self._reader.directives
        self._outer: list[tuple[Reader, str]] = []        # readers of the files that include this one, and their names
        self._line: Word = Word("", 0, 0)
        self.broken = False                               # nothing after this error can be read
        self._actions: dict[str, Callable[..., Any]] = {
            "instruction": self.instruction, "unknown": self.unknown, "flags": self.flags, "words": self.words, "list": self.list,
            "command": self.command, "line": self.whole, "pairs": self.pairs, "names": self.names, "check": self.check,
            "trigger": self.trigger,
        }

    @property
    def escape(self) -> str:
        return self._reader.escape

    @property
    def syntax(self) -> str:
        text = self._syntax if self._syntax is not None else next((d.value for d in self.directives if d.name == "syntax"), "")
        return text.strip().split(" ")[0]

    @property
    def dialect(self) -> str:
        return "pybuild" if self.syntax == "pybuild" else ""

    def next(self) -> "Raw | None":
        """The next instruction, with its heredocs."""
        try:
            while (line := self._reader.line()) is None and self._outer:
                self._reader, _ = self._outer.pop()
        except LangError:
            self.broken = True
            raise
        if line is None:
            return None
        raw = self._parse(line.text)
        heredocs = self._heredocs(raw)
        end = heredocs[-1].end if heredocs else line.text.end
        return raw._replace(heredocs=heredocs, comments=line.comments, blank=line.blank, span=Span(line.text.start, end))

    def enter(self, raw: Raw, include: "Include | None") -> None:
        """Go on with the file that an INCLUDE names; when it ends, with what follows the INCLUDE."""
        if len(raw.args) != 1 or raw.flags:
            raise SyntaxFault(self.source, raw.span, "INCLUDE takes one path", "INCLUDE file")
        word, name = raw.args[0], self.source.file(raw.span.start)[0]
        chain = [outer for _, outer in self._outer] + [name]
        try:
            if include is None:
                raise ValueError("no file can be included here")
            found, text = include(word.text, name)
        except ValueError as error:
            raise SyntaxFault(self.source, word.span, str(error)) from error
        if found in chain:
            raise SyntaxFault(self.source, word.span, f"`{found}` includes itself" + (f", by way of `{name}`" if found != name else ""))
        if len(chain) >= DEEPEST or len(self.source.text) + len(text) > LONGEST:
            raise SyntaxFault(self.source, word.span, f"`{found}` is one file too many", f"{DEEPEST} files deep, {LONGEST >> 20} MiB in all")
        start = len(self.source.text) + 1
        self.source = Source(self.source.name, f"{self.source.text}\n{text}", (*self.source.included, (start, found)))
        self._outer.append((self._reader, name))
        self._reader = Reader(self.source, start, escape=self.escape)

    def _parse(self, line: Word) -> Raw:
        outer, self._line = self._line, line
        text = line.text.translate(SWAP) if self.escape == "`" else line.text
        try:
            raw: Raw = run(table("dockerfile"), text.rstrip(), self._actions, "instruction")
        except Unexpected:                                # only of nothing: everything else begins with a keyword
            raise UnknownInstruction(self.source, line.span, "") from None
        finally:
            self._line = outer
        return raw

    def _heredocs(self, raw: Raw) -> "tuple[Heredoc, ...]":
        """The bodies of the heredocs that an instruction's line announces."""
        within = raw.child or raw
        if "<<" not in raw.text.text or within.json or within.name not in WITH_HEREDOCS:
            return ()
        from lang.heredoc import announced
        found: list[Heredoc] = []
        for mark in announced(raw.text.text):
            body = self._reader.heredoc(mark.name, mark.chomp)
            if body is None:
                at = raw.text.text.find(mark.name)
                place = raw.text.part(at, mark.name).span if at >= 0 else raw.text.span
                self.broken = True
                raise SyntaxFault(self.source, place, f"no line that is `{mark.name}` ends this heredoc", self._nearly(mark.name, raw.text.end))
            content, start, end = body
            found.append(Heredoc(mark.name, content, mark.expand, mark.chomp, mark.descriptor, start, end))
        return tuple(found)

    def _nearly(self, name: str, start: int) -> str:
        """A help line that tells of a line which would end a heredoc but for the white space around the name, "" if there is none."""
        number = self.source.position(start)[0]
        for at, line in enumerate(self.source.lines(start), 1):
            if at > number and line.strip() == name:
                return f"line {at} has white space around it" + (": `<<-` takes tabs away before it" if line[0] == "\t" else "")
        return ""

    # the grammar's actions: tokens are (kind, text, offset in the line)

    def word(self, text: str, offset: int, length: int = -1) -> Word:
        if self.escape == "`":
            text = text.translate(SWAP)
        return self._line.part(offset, text, length)

    def instruction(self, keyword: "tuple[str, str, int]", flags: "tuple[Word, ...]", shape: "Shape") -> Raw:
        args, json, legacy, child = shape
        return Raw(self.word(*keyword[1:]), flags, args, json, legacy, (), child, self._line, (), -1, self._line.span)

    def unknown(self, keyword: "tuple[str, str, int]", flags: "tuple[Word, ...]", shape: "Shape") -> Raw:
        return self.instruction(keyword, flags, ((), False, False, None))

    def flags(self, *tokens: "tuple[str, str, int]") -> "tuple[Word, ...]":
        return tuple(self.word(text, offset).only(_kept(text)) for _, text, offset in tokens)

    def words(self, *rest: "tuple[str, str, int]") -> "Shape":
        """Divided by white space."""
        found: list[Word] = []
        for _, text, offset in rest:
            for piece in text.translate(BLANKS).split(" "):
                if piece:
                    found.append(self.word(piece, offset))
                offset += len(piece) + 1
        return tuple(found), False, False, None

    def list(self, *rest: "tuple[str, str, int]") -> "Shape":
        return self._array(*rest) or self.words(*rest)

    def command(self, *rest: "tuple[str, str, int]") -> "Shape":
        return self._array(*rest) or self.whole(*rest)

    def whole(self, *rest: "tuple[str, str, int]") -> "Shape":
        return tuple(self.word(text, offset) for _, text, offset in rest), False, False, None

    def pairs(self, *rest: "tuple[str, str, int]") -> "Shape":
        """name=value words, or the old form: a name and the rest."""
        words = self._assignments(*rest)
        if not words:
            return (), False, False, None
        if "=" in words[0].text:
            for word in words:
                if "=" not in word.text:
                    raise SyntaxFault(self.source, word.span, f"no `=` in `{word.text}`", "every word is name=value")
            return words, False, False, None
        _, text, offset = rest[0]
        name, blank, _ = text.translate(BLANKS).partition(" ")
        value = text[len(name):].lstrip("\t\v\f\r ")
        if not blank:
            raise SyntaxFault(self.source, words[0].span, f"no value for `{name}`", f"{name}=value")
        return (self.word(name, offset), self.word(value, offset + len(text) - len(value))), False, True, None

    def names(self, *rest: "tuple[str, str, int]") -> "Shape":
        return self._assignments(*rest), False, False, None

    def check(self, *rest: "tuple[str, str, int]") -> "Shape":
        """A word, then a command."""
        for _, text, offset in rest:
            kind = text.split(None, 1)[0]
            command = text[len(kind):].lstrip()
            tokens = [("REST", command, offset + len(text) - len(command))] if command else []
            args, json, _, _ = self.command(*tokens)
            return (self.word(kind, offset), *args), json, False, None
        return (), False, False, None

    def trigger(self, *rest: "tuple[str, str, int]") -> "Shape":
        """An instruction; of one that is ONBUILD again only the name, so that nothing recurses deeper than that."""
        for _, text, offset in rest:
            if text.split(None, 1)[0].upper() == "ONBUILD":
                text = text[:len("ONBUILD")]
            return (), False, False, self._parse(self.word(text, offset))
        return (), False, False, None

    def _assignments(self, *rest: "tuple[str, str, int]") -> "tuple[Word, ...]":
        return tuple(self.word(text, start + offset) for _, whole, start in rest
                     for _, text, offset in run(table("dockerfile"), whole, start="assignments")[1])

    def _array(self, *rest: "tuple[str, str, int]") -> "Shape | None":
        """The words of a JSON array of strings; None for what is no JSON array."""
        for _, text, start in rest:
            if not text.startswith("["):
                return None
            plain = text.translate(SWAP) if self.escape == "`" else text
            try:
                items = run(table("dockerfile"), plain, start="array")[1]
            except Unexpected:
                return None
            if any(item[0] == "other" for item in items):
                at, length = _no_string(plain, items)
                raise SyntaxFault(self.source, self.word(text[at:at + length], start + at).span, "an array of something else than strings",
                                  "put each item in double quotes")
            return tuple(self._line.part(start + at, _unescaped(item), len(item)) for _, item, at in items), True, False, None
        return None


def _no_string(text: str, items: "list[tuple[Any, ...]]") -> "tuple[int, int]":
    """Where the first item of an array is that is no string, and its length; of one that holds others, that of its bracket."""
    at = 1
    for item in items:
        if item[0] == "other":
            break
        at = item[2] + len(item[1])
    at = len(text) - len(text[at:].lstrip(", \t\r\n\v\f"))
    length = next((length for length in range(1, len(text) - at) if text[at + length] in ",] \t\r\n"), 1)
    return at, 1 if text[at] in "[{" else length


def _kept(text: str) -> "Sequence[int]":
    """Which characters of a flag are left when its quotes and escapes are taken away."""
    if not ("'" in text or '"' in text or "\\" in text):
        return range(len(text))
    kept: list[int] = []
    quote, at = "", 0
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
            kept += [at] if at < len(text) else []
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            kept.append(at)
        at += 1
    return kept


def _unescaped(literal: str) -> str:
    """The text of a JSON string with its quotes; half of a surrogate pair becomes U+FFFD."""
    text = literal[1:-1]
    if "\\" not in text:
        return text
    out: list[str] = []
    at = 0
    while (found := text.find("\\", at)) >= 0:
        out.append(text[at:found])
        if text[found + 1] != "u":
            out.append(ESCAPES[text[found + 1]])
            at = found + 2
            continue
        code, at = int(text[found + 2:found + 6], 16), found + 6
        if 0xD800 <= code < 0xDC00 and text[at:at + 2] == "\\u" and 0xDC00 <= int(text[at + 2:at + 6], 16) < 0xE000:
            code, at = 0x10000 + ((code - 0xD800) << 10) + int(text[at + 2:at + 6], 16) - 0xDC00, at + 6
        out.append("�" if 0xD800 <= code < 0xE000 else chr(code))
    out.append(text[at:])
    return "".join(out)
