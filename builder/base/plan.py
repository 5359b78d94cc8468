"""What a base image consists of, decided before anything is written: entries are collected, a frozen Plan leaves.

Read in this order: the entries (what one path of the image is), Plan, Planner (which collects them).
"""

import os

from builder.base.host import Hop
from builder.base.layout import Move, image_hop, image_path
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias


class Directory(Value):
    path: str
    mode: int = 0o755


class Link(Value):
    path: str
    target: str                  # as it is stored: relative


class File(Value):
    """A copy of this machine's file `source`; 0755 if anybody may execute that, else 0644."""

    path: str
    source: str


class Text(Value):
    """A file that is made, not copied."""

    path: str
    data: bytes
    mode: int = 0o644


class Bytecode(Value):
    """The .pyc of the Python source `source`, which is the image's file `module`."""

    path: str
    source: str
    module: str


Entry: "TypeAlias" = "Directory | Link | File | Text | Bytecode"


class Plan(Value):
    """Entries by path, parents first, no path twice, no entry below a link."""

    entries: tuple["Entry", ...]

    def sources(self) -> tuple[str, ...]:
        """Real paths of this machine's files that go in."""
        return tuple(entry.source for entry in self.entries if isinstance(entry, File))


class Planner:
    """A plan while it is being made. Paths given in are this machine's; `moves` and the usr-merge say where they end up.

    The first entry of a path stays: what is decided comes before what is merely found.
    """

    __slots__ = ("_entries", "_moves")

    def __init__(self, moves: tuple[Move, ...] = ()) -> None:
        self._entries: dict[str, Entry] = {}
        self._moves = moves

    def path(self, real: str) -> str:
        """The image's path of this machine's real path `real`."""
        return image_path(real, self._moves)

    def is_moved(self, real: str) -> bool:
        """Whether the image has it somewhere else than this machine, beyond the usr-merge."""
        return self.path(real) != image_path(real)

    def add(self, *entries: "Entry") -> None:
        """Add entries whose paths are the image's already."""
        for entry in entries:
            self._entries.setdefault(entry.path, entry)

    def copy(self, reals: "Iterable[str]", hops: "Iterable[Hop]" = ()) -> None:
        """Add this machine's files `reals`, and the links `hops`."""
        for real in reals:
            path = self.path(real)
            self._entries.setdefault(path, File(path, real))
        for hop in hops:
            link = image_hop(hop, self._moves)
            if link is not None:
                self._entries.setdefault(link.path, Link(*link))

    def done(self) -> Plan:
        """The plan, with the directories that its paths imply."""
        entries = dict(self._entries)
        for path in self._entries:
            above = os.path.dirname(path)
            while above != "/" and above not in entries:
                entries[above] = Directory(above)
                above = os.path.dirname(above)
        links = {path for path, entry in entries.items() if not isinstance(entry, Directory)}
        return Plan(tuple(entries[path] for path in sorted(entries, key=lambda p: p.split("/")) if not _is_below(path, links)))


def _is_below(path: str, others: set[str]) -> bool:
    above = os.path.dirname(path)
    while above != "/":
        if above in others:
            return True
        above = os.path.dirname(above)
    return False
