"""INCLUDE's files: those below the directory of the Dockerfile, found and read for lang.parser."""

import os
import stat

from lang.source import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lang.parser import Include

LARGEST = 1 << 20                                         # bytes of an included file


def files_beside(dockerfile: str) -> "Include":
    """What `parse(..., include=...)` asks for, for a Dockerfile at this path, which is its source's name too.

    Paths are relative to the including file and do not leave the directory of the Dockerfile, by links neither.
    """
    root = os.path.realpath(os.path.dirname(dockerfile))

    def include(path: str, including: str) -> tuple[str, str]:
        name = os.path.normpath(os.path.join(os.path.dirname(including), path))
        real = os.path.realpath(name)
        if os.path.isabs(path) or os.path.commonpath([root, real]) != root:
            raise ValueError(f"`{path}` leaves the directory of the Dockerfile")
        try:
            with open(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ValueError(f"`{path}` is no file")
                data = file.read(LARGEST + 1)
        except OSError as error:
            raise ValueError(f"`{path}` cannot be read: {(error.strerror or '').lower()}") from error
        if len(data) > LARGEST:
            raise ValueError(f"`{path}` is longer than {LARGEST >> 20} MiB")
        return name, decode(data)
    return include
