"""A text and where something stands in it: a file's name and text go in, lines and columns come out."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Span(Value):
    """Half-open range of str offsets into Source.text."""

    start: int
    end: int


NOWHERE = Span(-1, -1)


class Source(Value):
    """A file's name and text. The texts of files it includes follow, a newline before each, so that one offset says file and place."""

    name: str
    text: str
    included: "tuple[tuple[int, str], ...]" = ()          # where in `text` each included file begins, and its name

    def file(self, offset: int) -> "tuple[str, int, int]":
        """The name of the file that `offset` is in, and where in `text` that file begins and ends."""
        name, start = self.name, 0
        for begin, included in self.included:
            if offset < begin:
                return name, start, begin - 1
            name, start = included, begin
        return name, start, len(self.text)

    def position(self, offset: int) -> "tuple[int, int]":
        """Line and column of `offset` in its file, both from 1; columns count characters."""
        _, start, _ = self.file(offset) if self.included else ("", 0, 0)
        return self.text.count("\n", start, offset) + 1, offset - max(self.text.rfind("\n", start, offset), start - 1)

    def line(self, number: int, offset: int = 0) -> str:
        """Line `number`, from 1, of the file that `offset` is in, without its line end; "" past the last."""
        for index, text in enumerate(self.lines(offset), 1):
            if index == number:
                return text
        return ""

    def lines(self, offset: int = 0) -> "Iterator[str]":
        """The lines of the file that `offset` is in, without their line ends."""
        _, start, end = self.file(offset)
        while start < end:
            stop = self.text.find("\n", start, end)
            stop = end if stop < 0 else stop
            yield self.text[start:stop].rstrip("\r")
            start = stop + 1


def decode(data: bytes) -> str:
    """Bytes of a file as text: UTF-8 without its byte-order mark; other bytes survive as lone surrogates."""
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
