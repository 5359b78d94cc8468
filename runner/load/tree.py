"""A YAML document in memory: mappings, sequences and plain values, and where each of them is written.

Scalars are plain `str`, `int`, `float`, `bool` and None: the container that holds a value also holds its mark.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    from lang.source import Source

    # source, start and end of the key, start and end of the value (the key's again where the value is a collection)
    Mark: TypeAlias = tuple[Source, int, int, int, int]
    Path: TypeAlias = tuple[str | int, ...]


class Map(dict):  # type: ignore[type-arg]
    """A mapping. `marks` has the place of every key that is written somewhere; a default has none."""

    __slots__ = ("marks",)

    def __init__(self, items: "Any" = (), marks: "dict[str, Mark] | None" = None) -> None:
        dict.__init__(self, items)
        self.marks: dict[str, Mark] = {} if marks is None else marks

    def put(self, key: str, value: "Any", mark: "Mark | None") -> None:
        self[key] = value
        if mark is not None:
            self.marks[key] = mark

    def drop(self, key: str) -> None:
        """Remove `key`, if it is there."""
        self.pop(key, None)
        self.marks.pop(key, None)


class Seq(list):  # type: ignore[type-arg]
    """A sequence. `marks` has one place an item."""

    __slots__ = ("marks",)

    def __init__(self, items: "Iterable[Any]" = (), marks: "Iterable[Mark | None] | None" = None) -> None:
        list.__init__(self, items)
        self.marks: list[Mark | None] = [None] * len(self) if marks is None else list(marks)

    def add(self, value: "Any", mark: "Mark | None") -> None:
        self.append(value)
        self.marks.append(mark)


def clone(node: "Any") -> "Any":
    """A copy that shares no container with `node`."""
    if node.__class__ is Map:
        return Map({key: clone(value) for key, value in node.items()}, node.marks.copy())
    if node.__class__ is Seq:
        return Seq([clone(value) for value in node], node.marks)
    return node


def size(node: "Any") -> int:
    """How many nodes there are in `node`, itself included."""
    if node.__class__ is Map:
        return 1 + sum(size(value) for value in node.values())
    if node.__class__ is Seq:
        return 1 + sum(size(value) for value in node)
    return 1


def mark_of(root: "Any", path: "Path") -> "Mark | None":
    """Where the node at `path` is written; if that is nowhere, where the nearest node around it is."""
    found = None
    for step in path:
        if root.__class__ is Map and isinstance(step, str):
            mark = root.marks.get(step)
            root = root.get(step)
        elif root.__class__ is Seq and isinstance(step, int) and step < len(root):
            mark, root = root.marks[step], root[step]
        else:
            break
        if mark is not None:
            found = mark
    return found


def show(path: "Path") -> str:
    """`path` as people write it: `services.web.ports[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
