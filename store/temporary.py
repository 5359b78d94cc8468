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

    def point(self, name: str, to: str) -> None:
        """Let the name stand for what is at `to`, seen from here."""
        os.symlink(to, self.path(name))

    def is_pointer(self, name: str) -> bool:
        return os.path.islink(self.path(name))

    def sweep(self, *, own: bool = False) -> int:
        """Remove what no living process is working on; returns how many there were. own: what this one was working on goes too."""
        removed = 0
        mine = self.leases.current().name if own else ""
        for name in os.listdir(self.directory):
            maker = name.partition("-")[0]
            if maker == mine or not self.leases.is_alive(maker):
                if self.is_pointer(name):
                    self.remove(os.readlink(self.path(name)))
                self.remove(name)
                removed += 1
        return removed
