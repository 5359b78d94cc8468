"""The layers of a stage or an image as builder.files.Files: what COPY --from and bind mounts take from."""

import os

from builder.files import Node
from store.view import NotInView, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.tree import Row

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LayerFiles:
    """A chain of layers, merged. `close` when done."""

    owner = None
    lasts = True

    def __init__(self, view: View, where: str) -> None:
        self.where = where
        self.view = view
        self._open: tuple[str, list[int]] = ("", [])

    def lookup(self, path: str, follow: bool = True) -> Node | None:
        try:
            entry = self.view.lookup(path, follow)
        except NotInView:                               # a file where a directory is needed, a loop of links: nothing is there
            return None
        if entry is None:
            return None
        return Node(entry.path, entry.stat, entry.link)

    def rows(self, directory: str) -> "list[Row]":
        # with contents: their digests are kept with every snapshot, so that this reads rows, not files
        return self.view.rows(directory, hashed=True)

    def known(self, node: Node) -> Node:
        if node.digest:
            return node
        directory, _, name = node.path.rpartition("/")
        return next(Node(node.path, *row[1:]) for row in self.rows(directory) if row[0] == name)

    def open(self, node: Node) -> int:
        directory, _, name = node.path.rpartition("/")
        if self._open[0] != directory or not self._open[1]:
            self._let_go()
            self._open = (directory, self.view.open_shared(directory))
        for fd in self._open[1]:                        # topmost first: the first layer that has the name is the one that shows
            try:
                return os.open(name or ".", _READ, dir_fd=fd)
            except FileNotFoundError:
                continue
        raise NotInView(node.path, "does not exist in the image")

    def _let_go(self) -> None:
        for fd in self._open[1]:
            os.close(fd)
        self._open = ("", [])

    def close(self) -> None:
        self._let_go()
        self.view.close()
