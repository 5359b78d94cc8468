"""Variables in the values of one file: a tree goes in, the same tree with their values and the types the schema wants comes out.

Keys are never looked at. Every missing variable is said once a load, every fault with the place of its `$`.
"""

from runner.load.shape import ANY, Shape
from runner.load.template import TemplateFault, substitute
from runner.load.tree import Map, Seq, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.load.report import Report
    from runner.load.template import Lookup
    from runner.load.tree import Mark, Path

ROOM = 64 << 20                                           # characters that all values of a file may become
WORK = 4 << 20                                            # characters of a file that stand in values with variables


def interpolate(root: Map, shape: Shape, lookup: "Lookup", report: "Report") -> None:
    """Replace the variables in `root`, in place; what cannot be replaced or cast is noted and left."""
    _Walk(lookup, report).mapping(root, shape, ())


class _Walk:
    __slots__ = ("lookup", "report", "room", "work")

    def __init__(self, lookup: "Lookup", report: "Report") -> None:
        self.lookup, self.report, self.room, self.work = lookup, report, ROOM, WORK

    def mapping(self, node: Map, shape: Shape, path: "Path") -> None:
        keys, rest, marks = shape.keys or {}, shape.rest or ANY, node.marks
        for key, value in node.items():
            inner = keys.get(key, ANY if key[:2] == "x-" and keys else rest)
            kind = value.__class__
            if kind is str:
                if "$" in value or inner.cast is not None:
                    node[key] = self.scalar(value, inner, (*path, key), marks.get(key))
            elif kind is Map:
                self.mapping(value, inner, (*path, key))
            elif kind is Seq:
                self.sequence(value, inner, (*path, key))

    def sequence(self, node: Seq, shape: Shape, path: "Path") -> None:
        inner = shape.items or ANY
        for index, value in enumerate(node):
            kind = value.__class__
            if kind is str:
                if "$" in value or inner.cast is not None:
                    node[index] = self.scalar(value, inner, (*path, index), node.marks[index])
            elif kind is Map:
                self.mapping(value, inner, (*path, index))
            elif kind is Seq:
                self.sequence(value, inner, (*path, index))

    def scalar(self, value: str, shape: Shape, path: "Path", mark: "Mark | None") -> "Any":
        report = self.report
        self.work -= len(value)
        if self.work < 0:
            report.fault(mark, f"the file has more than {WORK >> 20} MiB of values with variables")
            report.stop()

        def missing(name: str, offset: int) -> None:
            place = _inside(mark, value, offset, offset + len(name))
            report.warn(place, f"the variable `{name}` is not set: it is taken to be empty", f"`${{{name}:-}}` says that this is meant")

        try:
            replaced = substitute(value, self.lookup, missing)
        except TemplateFault as fault:
            report.fault(_inside(mark, value, fault.start, fault.end), f"`{show(path)}`: {fault.message}", fault.help)
            return value
        self.room -= len(replaced)
        if self.room < 0:
            report.fault(mark, f"the values of the file become longer than {ROOM >> 20} MiB")
            report.stop()
        if shape.cast is None:
            return replaced
        try:
            result, warning = shape.cast(replaced)
        except ValueError as error:
            report.fault(mark, f"`{show(path)}` is `{replaced}`: {error}")
            return value
        if warning:
            report.warn(mark, warning)
        return result


def _inside(mark: "Mark | None", value: str, start: int, end: int) -> "Mark | None":
    """The mark of a part of a scalar, where its text stands in the file as it is; else of all of it."""
    if mark is None:
        return None
    source, key_start, key_end, begin, stop = mark
    written = source.text[begin:stop]
    if written[1:-1] == value and written[0] in "'\"":
        begin += 1
    elif written != value:
        return mark
    return source, key_start, key_end, begin + start, begin + end
