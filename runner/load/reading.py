"""Files -> sources: bytes are read once, with a bound, and must be text."""

import os

from lang.source import Source, Span
from runner.errors import FileUnreadable, InvalidCompose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 10 << 20                                        # bytes of a file


def read(path: str, name: str, stdin: "Callable[[], bytes] | None" = None) -> Source:
    """The text of the file at `path`, called `name` in messages; `-` is standard input.

    Raises FileUnreadable; InvalidCompose if it is no text.
    """
    if path == "-" and stdin is not None:
        return text(stdin(), name)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pieces, left = [], LARGEST + 1
            while left and (piece := os.read(fd, min(left, 1 << 20))):
                pieces.append(piece)
                left -= len(piece)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:
        raise FileUnreadable(name, (getattr(error, "strerror", None) or "not a path").lower()) from error
    return text(b"".join(pieces), name)


def text(data: bytes, name: str) -> Source:
    """Bytes as the source that positions refer to: UTF-8, or UTF-16 with a byte-order mark; line ends are `\\n`.

    Raises FileUnreadable if it is too large, InvalidCompose if it is no text.
    """
    if len(data) > LARGEST:
        raise FileUnreadable(name, f"larger than {LARGEST >> 20} MiB")
    codec = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        decoded = data.decode(codec)
    except UnicodeDecodeError as error:
        from lang.diagnostic import Diagnostic
        before = data[:error.start].decode(codec, "replace")
        source = Source(name, before + "\ufffd")
        message = f"byte {error.start} is no {codec.upper()} text"
        raise InvalidCompose([Diagnostic("error", message, source, Span(len(before), len(before) + 1))]) from error
    return Source(name, decoded.removeprefix("\ufeff").replace("\r\n", "\n"))


def exists(path: str) -> bool:
    """Whether there is a file, not a directory, at `path`."""
    try:
        return not _is_directory(path)
    except (OSError, ValueError):
        return False


def _is_directory(path: str) -> bool:
    return (os.stat(path).st_mode & 0o170000) == 0o040000
