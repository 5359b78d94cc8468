"""Dockerfiles that a command is given by name: a file, a directory that has one, or stdin."""

import os
import sys

from lang.source import Source, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lang.parser import Include

NAMES = ("Dockerfile", "dockerfile", "Containerfile")
STDIN = "<stdin>"


def load(word: str) -> Source:
    """The Dockerfile that `word` names. Raises DockerfileMissing, OSError."""
    if word == "-":
        return Source(STDIN, decode(sys.stdin.buffer.read()))
    path = word
    if os.path.isdir(word):
        path = next((found for name in NAMES if os.path.exists(found := os.path.join(word, name))), os.path.join(word, NAMES[0]))
    try:
        with open(path, "rb") as file:
            return Source(os.path.normpath(path), decode(file.read()))
    except FileNotFoundError as error:
        from builder.errors import DockerfileMissing

        raise DockerfileMissing(path) from error


def include(source: Source) -> "Include | None":
    """Where the INCLUDEs of a Dockerfile are looked for: beside it."""
    if source.name == STDIN:
        return None
    from lang.include import files_beside

    return files_beside(source.name)
