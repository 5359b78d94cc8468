"""Unfinished things: files and directories under tmp/, on the store's own file system, so that finishing them is a rename.

Their names begin with their maker's lease: what belongs to no living lease is debris of a killed process, and `sweep` removes it. A link here
stands for an unfinished thing that is in its final place already.
"""

import os

from store.lease import Leases


class Temporary:
    def __init__(self, directory: str, leases: Leases) -> None:
        self.directory = directory
        self.leases = leases

    def name(self) -> str:
        """A new name, not yet there."""
        return self.leases.current().fresh()

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def remove(self, name: str) -> None:
        """Remove a file or a tree; missing is fine. name: may be "name/part" of something that lies here."""
        from kernel.paths import DIRECTORY, remove_tree  # needs ctypes, which a cached build does without

        head, _, part = name.rpartition("/")
        fd = os.open(self.path(head), DIRECTORY)
        try:
            remove_tree(fd, part)
        finally:
            os.close(fd)

    def _is_useful(self, name: str) -> bool:
        from store.partial import is_young

        return is_young(self, name)

    def point(self, name: str, to: str) -> None:
        """Let the name stand for what is at `to`, seen from here."""
        os.symlink(to, self.path(name))

    def is_pointer(self, name: str) -> bool:
        return os.path.islink(self.path(name))

    def is_alive(self, name: str) -> bool:
        """Whether the maker of what has this name lives."""
        return self.leases.is_alive(name.partition("-")[0])

    def sweep(self, *, own: bool = False, partials: bool = True) -> int:
        """Remove what no living process is working on; returns how many there were. own: what this one was working on goes too.

        partials: False leaves the beginnings of downloads that somebody may still go on from.
        """
        removed = 0
        mine = self.leases.current().name if own else ""
        for name in os.listdir(self.directory):
            if name.partition("-")[0] == mine or not self.is_alive(name):
                if not partials and self._is_useful(name):
                    continue
                if self.is_pointer(name):
                    self.remove(os.readlink(self.path(name)))
                self.remove(name)
                removed += 1
        return removed
