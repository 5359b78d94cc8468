"""What is known of a cache mount's files from the last time it was sent or restored: files that have not changed are not read again.

One file beside the mount's directory (marshal; nobody else writes it). A file is known by inode, size, mtime and ctime; one that had only just
been changed when it was read is not kept: it could change again within the clock's granularity.
"""

import os
import time
from marshal import dumps, loads

from builder.cache.mountindex import Chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.tree import Stat

_FORMAT = 1
_RACY_NS = 1_000_000_000


class Memo:
    """Chunks of files, by path; tables of packs, by digest."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._files: dict[str, tuple[tuple[int, int, int, int], tuple[tuple[bytes, int], ...]]] = {}
        self.tables: dict[str, bytes] = {}
        try:
            with open(path, "rb") as file:
                form, files, tables = loads(file.read())
            if form == _FORMAT:
                self._files, self.tables = files, tables
        except (OSError, ValueError, EOFError, TypeError):
            pass

    def chunks(self, path: str, stat: "Stat") -> "tuple[Chunk, ...] | None":
        known = self._files.get(path)
        if known is None or known[0] != _identity(stat):
            return None
        return tuple(Chunk(*chunk) for chunk in known[1])

    def replace(self, files: "dict[str, tuple[Stat, tuple[Chunk, ...]]]", tables: "dict[str, bytes]", now_ns: "int | None" = None) -> None:
        """Keep these instead, on the disk too. now_ns: when the files were read (for those that had just changed then)."""
        limit = (time.time_ns() if now_ns is None else now_ns) - _RACY_NS
        self._files = {path: (_identity(stat), tuple((c.name, c.size) for c in chunks)) for path, (stat, chunks) in files.items() if stat[3] < limit}
        self.tables = tables
        new = f"{self._path}.{os.getpid()}"
        with open(new, "wb") as file:
            file.write(dumps((_FORMAT, self._files, self.tables), 2))
        os.rename(new, self._path)


def _identity(stat: "Stat") -> tuple[int, int, int, int]:
    _, size, mtime, ctime, inode, *_ = stat
    return inode, size, mtime, ctime
