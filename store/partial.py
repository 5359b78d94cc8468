"""Beginnings of blobs: what a download had when it was broken off, for the next one to go on from. In: a digest; out: a file under tmp/.

While it is written it is a temporary file like others, whose name also says of which blob it is; when its maker is dead, whoever fetches the same
blob renames it, and so has it alone. Its bytes count for nothing until the whole blob has its digest. A build leaves them where they are for
a day, a collection removes them.
"""

import os
import time

from store.digest import Digest, hex_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.temporary import Temporary

LEAST = 1 << 20                          # bytes: less is fetched again as fast
KEEP_S = 24 * 3600
_HEX = 64                                # digits of a digest: other names may have a dot too
_NOBODY = "left-"                        # the maker of what is worked on no more: no lease has this name


def name_of(fresh: str, digest: Digest) -> str:
    """Name for the file of a blob that is being fetched. fresh: by Temporary.name."""
    return f"{fresh}.{hex_of(digest)}"


def claim(temporary: "Temporary", digest: Digest) -> str:
    """The longest beginning of this blob that nobody is working on, under a name of ours; "" if there is none."""
    found = []
    for name in os.listdir(temporary.directory):
        if name.endswith(f".{hex_of(digest)}") and not temporary.is_alive(name):
            try:
                found.append((os.stat(temporary.path(name), follow_symlinks=False).st_size, name))
            except FileNotFoundError:
                continue
    mine = name_of(temporary.name(), digest)
    for _, name in sorted(found, reverse=True):
        try:
            os.rename(temporary.path(name), temporary.path(mine))
        except FileNotFoundError:
            continue                                     # somebody else has it now
        return mine
    return ""


def leave(temporary: "Temporary", name: str) -> None:
    """Let whoever comes next have it."""
    os.rename(temporary.path(name), temporary.path(f"{_NOBODY}{name}"))


def is_young(temporary: "Temporary", name: str) -> bool:
    """Whether this is a beginning that may still be of use to somebody."""
    try:
        return len(name.rpartition(".")[2]) == _HEX and time.time() - os.stat(temporary.path(name), follow_symlinks=False).st_mtime < KEEP_S
    except FileNotFoundError:
        return False
