"""Signatures of directories: by one stat a file, whether anything in a directory is other than it was. Nothing is read.

On the cached path: a build that was done before is recognised by these alone. xxh3 guards what never leaves the machine.
"""

import os
from marshal import dumps

from xxhash import xxh3_128_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.tree import Stat

    Signatures = dict[str, bytes]            # real path of a directory, relative to its root -> digest of the stats of everything in it


def unchanged(root: str, signatures: "Signatures") -> bool:
    """Whether every directory of `signatures` still holds what it held; one that cannot be vouched for (b"") does not."""
    try:
        for directory, signature in signatures.items():
            if not signature:
                return False
            fd = os.open(f"{root}/{directory}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if sign(list_directory(fd)) != signature:
                    return False
            finally:
                os.close(fd)
    except OSError:
        return False
    return True


def list_directory(fd: int) -> "list[tuple[str, Stat]]":
    """(name, stat) of everything in an open directory, sorted by name."""
    stat, found = os.stat, []
    for name in sorted(os.listdir(fd)):
        try:
            found.append((name, stat_of(stat(name, dir_fd=fd, follow_symlinks=False))))
        except FileNotFoundError:                       # removed while we look: as if it had never been there
            continue
    return found


def stat_of(s: os.stat_result) -> "Stat":
    return (s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_uid, s.st_gid, s.st_nlink, s.st_rdev)


def sign(raw: "list[tuple[str, Stat]]") -> bytes:
    """Owners are left out: an ordinary user's build sees other numbers in its user namespace than before it enters. A chown changes the ctime."""
    return xxh3_128_digest(dumps([(name, stat[:5], stat[7:]) for name, stat in raw], 2))
