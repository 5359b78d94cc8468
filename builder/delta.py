"""A COPY that differs little from an earlier one: only what changed is copied, into a directory that is stacked on the earlier snapshot.

What enters: the rows of the earlier layer, made by the same op on the same parent. While files are placed, `has` answers what need not be
copied; afterwards `removed` says which paths of the earlier layer are gone. The result, stacked, is the tree that a full copy would be.
"""

from builder.files import DIRECTORY, FORMAT, REGULAR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.files import Node
    from store.tree import Tree

DEPTH = 8                        # so many directories a layer is stacked of before it is made anew


class TooDifferent(Exception):
    """The new tree cannot be had from the earlier one: copy it whole."""


class Earlier:
    def __init__(self, tree: "Tree") -> None:
        self._rows = {f"{rel}{row[0]}": row for rel, rows in tree.items() for row in rows}
        self._wanted: set[str] = set()

    def has(self, path: str, node: "Node", mode: int, owner: tuple[int, int]) -> bool:
        """Whether the earlier layer has just this at `path`; either way it is wanted there. node: with its digest, if it is a file."""
        self._want(path)
        row = self._rows.get(path)
        if row is None:
            return False
        _, stat, link, xattrs, digest = row
        kind = node.kind
        if stat[0] & FORMAT != kind:
            raise TooDifferent(path)
        same = (stat[2], stat[5], stat[6], link) == (node.stat[2], *owner, node.link)
        if kind in (REGULAR, DIRECTORY):
            same = same and stat[0] & 0o7777 == mode
        return same and xattrs == node.xattrs and (kind != REGULAR or (digest == node.digest and stat[7] == node.stat[7] == 1))

    def keep(self, path: str) -> None:
        """`path` and what leads to it is wanted as it is: the destination of the copy."""
        self._want(path)

    def _want(self, path: str) -> None:
        while path not in self._wanted:
            self._wanted.add(path)
            path = path.rpartition("/")[0]

    def removed(self) -> list[str]:
        """Paths of the earlier layer that nobody wants, without what lies below another of them."""
        gone = {path for path in self._rows if path not in self._wanted}
        return sorted(path for path in gone if path.rpartition("/")[0] not in gone)
