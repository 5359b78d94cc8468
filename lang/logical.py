"""Physical lines -> logical lines: directives, comments, continuation, and the bodies of heredocs.

A Reader walks over a text once. Its caller asks for the next logical line, parses it, and asks for the bodies of the heredocs that
the line turned out to have: only then is it known where the next line begins.
"""

from kernel.value import Value
from lang.errors import SyntaxFault
from lang.nodes import Directive, Word
from lang.source import Source, Span

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
LONGEST = 65535                                           # bytes of a physical line
DIRECTIVES = ("syntax", "escape", "check")


class Line(Value):
    """A logical line. `text` is a Word: it knows where each of its characters stands."""

    text: Word
    comments: "tuple[Word, ...]"                          # the comment lines before it, since the last empty comment or instruction
    blank: int                                            # where the first empty line among the continuation lines is, or -1


class Reader:
    """Reads `source` from `start` to its end. `escape` and `directives` are known once the first line has been read.

    An included file is read with the `escape` of the one that includes it; directives at its head are comments.
    """

    __slots__ = ("_directives_over", "_shebang", "directives", "end", "escape", "position", "source")

    def __init__(self, source: Source, start: int = 0, escape: str = "") -> None:
        self.source = source
        self.end = len(source.text)
        self.position = start + source.text.startswith("\ufeff", start)
        self.escape = escape or "\\"
        self.directives: list[Directive] = []
        self._directives_over = bool(escape)
        self._shebang = False                             # the file begins with `#!`: `escape` is no directive then

    def line(self) -> "Line | None":
        """The next logical line, None at the end. Raises SyntaxFault."""
        comments: list[Word] = []
        while self.position < self.end:
            start, line = self._physical()
            bare = line.lstrip(SPACE)
            if bare.startswith("#"):
                self._comment(bare, start + len(line) - len(bare), comments)
                continue
            self._directives_over = True
            if not bare:
                continue
            return self._logical(bare, start + len(line) - len(bare), tuple(comments))
        return None

    def heredoc(self, name: str, chomp: bool) -> "tuple[str, int, int] | None":
        """The body up to the line that is `name`, where it begins, where that line ends. None if there is no such line."""
        text, begin = self.source.text, self.position
        while self.position < self.end:
            start, line = self._physical()
            if (line.lstrip("\t") if chomp else line) == name:
                return text[begin:start], begin, start + len(line)
        return None

    def _physical(self) -> "tuple[int, str]":
        """The next physical line without its line end, and where it begins."""
        text, start = self.source.text, self.position
        stop = text.find("\n", start, self.end)
        stop = self.end if stop < 0 else stop
        self.position = stop + 1
        if stop - start > LONGEST // 4 and len(text[start:stop].encode("utf-8", "replace")) > LONGEST:
            raise SyntaxFault(self.source, Span(start, start + 1), f"a line of more than {LONGEST} bytes")
        return start, text[start:stop].rstrip("\r")

    def _logical(self, line: str, start: int, comments: "tuple[Word, ...]") -> Line:
        text, more = continued(line, self.escape)
        end = start + len(line)
        if not more:
            return Line(Word(text, start, end), comments, -1)
        pieces, breaks, length, blank = [text], [], len(text), -1
        while more and self.position < self.end:
            at, line = self._physical()
            bare = line.lstrip(SPACE)
            if bare.startswith("#"):
                continue
            if not bare:
                blank = at if blank < 0 else blank
                continue
            piece, more = continued(line, self.escape)
            breaks.append((length, at))
            pieces.append(piece)
            length += len(piece)
            end = at + len(line)
        return Line(Word("".join(pieces), start, end, tuple(breaks)), comments, blank)

    def _comment(self, line: str, start: int, comments: "list[Word]") -> None:
        if not self._directives_over:
            if start == 0 and line.startswith("#!"):
                self._shebang = True
                return
            if self._directive(line, Span(start, start + len(line))):
                return
        text = line[1:].strip(SPACE)
        if text:
            at = start + line.index(text, 1)
            comments.append(Word(text, at, at + len(text)))
        else:
            comments.clear()

    def _directive(self, line: str, span: Span) -> bool:
        """Take the comment as a directive if it is one; the first that is not ends them."""
        name, equals, value = line[1:].partition("=")
        name, value = name.strip(SPACE).lower(), value.strip(SPACE)
        if not equals or not value or name not in DIRECTIVES or (name == "escape" and self._shebang):
            self._directives_over = True
            return False
        if any(name == directive.name for directive in self.directives):
            raise SyntaxFault(self.source, span, f"the directive `{name}` is given twice")
        self.directives.append(Directive(name, value, span))
        if name == "escape":
            if value not in ("\\", "`"):
                raise SyntaxFault(self.source, span, f"the escape character is `\\` or a backtick, not `{value}`")
            self.escape = value
        return True


def continued(line: str, escape: str) -> "tuple[str, bool]":
    """A physical line without the escape at its end, and whether it had one. An escape before it takes its meaning away."""
    if escape not in line:
        return line, False
    bare = line.rstrip(" \t")
    if bare.endswith(escape) and bare[-2:-1] != escape:
        return bare[:-1], True
    return line, False
