"""The last step: find the command in the root and become it."""

import errno
import os

from sandbox.errors import CommandFailed, CommandMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


def candidates(name: str, path: str) -> list[str]:
    """Where `name` may be: itself if it has a slash, else in the directories of `path`; an empty one is the current directory."""
    return [name] if "/" in name else [f"{directory or '.'}/{name}" for directory in path.split(":")]


def execute(argv: tuple[str, ...], environment: "dict[bytes, bytes]") -> "NoReturn":
    """execve the first candidate that is there. Raises CommandMissing (127) or CommandFailed (126)."""
    path = environment.get(b"PATH", PATH_DEFAULT.encode()).decode("utf-8", "surrogateescape")
    arguments = [os.fsencode(word) for word in argv]
    refused: OSError | None = None
    for candidate in candidates(argv[0], path):
        try:
            os.execve(os.fsencode(candidate), arguments, environment)
        except OSError as error:
            if error.errno in _NOT_THERE and not os.path.lexists(candidate):
                continue
            refused = refused or error
            if error.errno not in (errno.EACCES, errno.ENOENT, errno.ENOTDIR):
                break
    raise _failure(argv[0], refused)


def _failure(name: str, refused: OSError | None) -> CommandFailed:
    if refused is None:
        return CommandMissing("execute", errno.ENOENT, name)
    if refused.errno in _NOT_THERE:
        # the file is there: what the kernel misses is its interpreter, or what a symlink leads to
        return CommandMissing("execute", refused.errno or 0, name if "/" in name else refused.filename, reason="its interpreter is missing")
    return CommandFailed("execute", refused.errno or 0, name)
