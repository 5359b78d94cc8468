"""Where things lie in the image: a path of this machine enters, the image's path leaves. Pure.

Images are usr-merged (/bin is /usr/bin and so on) whatever this machine is; a directory of this machine can be moved as a whole (the running
Python, to /usr/local).
"""

import os

from builder.base.host import Hop
from kernel.value import Value

# the top-level directories that are links into /usr, and where they lead unless this machine says otherwise
MERGED = {"/bin": "/usr/bin", "/sbin": "/usr/sbin", "/lib": "/usr/lib", "/lib64": "/usr/lib64"}
_MERGEABLE = (*MERGED, "/lib32", "/libx32")


class Move(Value):
    """Everything below `source` on this machine lies below `target` in the image; both are real paths."""

    source: str
    target: str


def image_path(path: str, moves: tuple[Move, ...] = ()) -> str:
    """The image's path of what has the real path `path` on this machine. moves: the first that fits counts."""
    for move in moves:
        if path == move.source or path.startswith(move.source + "/"):
            return move.target + path[len(move.source):]
    top = "/" + path[1:].partition("/")[0]
    return f"/usr{path}" if top in _MERGEABLE and path != top else path


def image_hop(hop: Hop, moves: tuple[Move, ...] = ()) -> Hop | None:
    """The link in the image that a link of this machine becomes, its target relative; None if it is one of the image's own, or to itself."""
    path, target = image_path(hop.path, moves), image_path(hop.target, moves)
    target = MERGED.get(target, target)
    if path == target or target.startswith(path + "/"):
        return None
    return Hop(path, relative(path, target))


def relative(path: str, target: str) -> str:
    """What the link `path` says to lead to `target`."""
    return os.path.relpath(target, os.path.dirname(path))
