"""What differs between two images: files, by everything but their times. In: two trees, or two images; out: changes, sorted by path."""

from kernel.value import Value
from store.digest import Digest
from store.store import Store
from store.tree import BLOCK, CHARACTER, DEVICE, DIRECTORY, FIFO, FORMAT, GID, MODE, REGULAR, SIZE, SYMLINK, UID, sorted_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.tree import Row, Tree

_NAMES = {REGULAR: "file", DIRECTORY: "directory", SYMLINK: "link", CHARACTER: "character device", BLOCK: "block device", FIFO: "fifo"}


class Change(Value):
    """kind: "A" (only the second has it), "D" (only the first), "C". path: from the root. what: of a "C", what differs, as (field, before, after)."""

    kind: str
    path: str
    what: "tuple[tuple[str, str, str], ...]" = ()


def compare(store: Store, first: Digest, second: Digest) -> "tuple[Change, ...]":
    """The files of two images of the store."""
    trees = []
    for image in (first, second):
        with store.view(store.images.complete(image)) as view:
            trees.append(view.walk())
    return tuple(sorted(changes(*trees), key=lambda change: change.path))


def changes(before: "Tree", after: "Tree") -> "Iterator[Change]":
    """Directories before what is in them, names sorted by their bytes."""
    todo = [""]
    while todo:
        rel = todo.pop()
        old, new = ({row[0]: row for row in tree.get(rel, ())} for tree in (before, after))
        below = []
        for name in sorted_names(list(old | new)):
            yield from _change(f"/{rel}{name}", old.get(name), new.get(name))
            if any(row is not None and row[1][MODE] & FORMAT == DIRECTORY for row in (old.get(name), new.get(name))):
                below.append(f"{rel}{name}/")
        todo += below[::-1]


def _change(path: str, old: "Row | None", new: "Row | None") -> "Iterator[Change]":
    if old is None or new is None:
        yield Change("A" if old is None else "D", path)
        return
    what = tuple((field, a, b) for field, a, b in zip(_FIELDS, _facts(old), _facts(new)) if a != b)
    if what:
        yield Change("C", path, what)


_FIELDS = ("type", "mode", "owner", "size", "content", "target", "device", "xattrs")


def _facts(row: "Row") -> "tuple[str, ...]":
    _, stat, link, xattrs, content = row
    kind = stat[MODE] & FORMAT
    return (_NAMES.get(kind, oct(kind)), "" if kind == SYMLINK else f"{stat[MODE] & 0o7777:04o}", f"{stat[UID]}:{stat[GID]}",
            str(stat[SIZE]) if kind == REGULAR else "", content.hex(), link, str(stat[DEVICE]) if kind in (CHARACTER, BLOCK) else "",
            " ".join(f"{name}={value.hex()}" for name, value in xattrs))
