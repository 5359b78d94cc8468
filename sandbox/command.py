"""Find the command in the root, and become it."""

import errno
import os
import stat

from sandbox.errors import CommandFailed, CommandMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


def candidates(name: str, environment: "dict[bytes, bytes]") -> list[str]:
    """Where `name` may be: itself if it has a slash, else in the directories of PATH; an empty one is the current directory."""
    path = environment.get(b"PATH", PATH_DEFAULT.encode()).decode("utf-8", "surrogateescape")
    return [name] if "/" in name else [f"{directory or '.'}/{name}" for directory in path.split(":")]


def execute(argv: tuple[str, ...], environment: "dict[bytes, bytes]") -> "NoReturn":
    """execve the first candidate that is there. Raises CommandMissing (127) or CommandFailed (126)."""
    arguments = [os.fsencode(word) for word in argv]
    refused: OSError | None = None
    for candidate in candidates(argv[0], environment):
        try:
            os.execve(os.fsencode(candidate), arguments, environment)
        except OSError as error:
            if error.errno in _NOT_THERE and not os.path.lexists(candidate):
                continue
            refused = refused or error
            if error.errno not in (errno.EACCES, *_NOT_THERE):
                break
    raise failure(argv[0], refused.errno or 0) if refused else CommandMissing("execute", errno.ENOENT, argv[0])


def find(name: str, environment: "dict[bytes, bytes]") -> str:
    """Path of the command that `execute` would become, for a program that only knows paths. Raises as it."""
    there = False
    for candidate in candidates(name, environment):
        try:
            usable = stat.S_ISREG(os.stat(candidate).st_mode) and os.access(candidate, os.X_OK)
        except OSError:
            continue
        if usable:
            return candidate
        there = True
    raise failure(name, errno.EACCES) if there else CommandMissing("execute", errno.ENOENT, name)


def failure(name: str, number: int) -> CommandFailed:
    """What execve's errno means for a file that is there."""
    if number in _NOT_THERE:                              # what the kernel misses is its interpreter, or what a symlink leads to
        return CommandMissing("execute", number, name, reason="its interpreter is missing")
    return CommandFailed("execute", number, name)
