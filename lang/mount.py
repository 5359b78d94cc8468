"""RUN --mount=... (being written)."""

from lang.nodes import Word
from lang.source import Source


def check_fields(mount: Word, source: Source, dialect: str) -> None:
    """What can be said of a mount before its values are expanded."""
