"""What a node of a compose file may be: the vocabulary in which schema.py says it, and the walk that holds a tree against it."""

from kernel.value import Value
from runner.load.cast import boolean, integer, number
from runner.load.report import closest
from runner.load.tree import Map, Seq, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.load.cast import Cast
    from runner.load.report import Report
    from runner.load.tree import Mark, Path

    Lack = tuple[Path, str, "Mark | None", str, str]      # a mapping, the attribute it must have, where that was missed, what to say, help
    Reason = Callable[[Any], str]                         # why a scalar of the right type will not do, or ""

NONE = type(None)
_NOUNS = ((str, "a string"), (bool, "a boolean"), (int, "an integer"), (float, "a number"), (NONE, "null"))


class Shape(Value):
    """A node may be a scalar of `types`, a sequence of `items`, a mapping with `keys`: whichever of them are there."""

    types: "tuple[type, ...]" = ()
    cast: "Cast | None" = None                            # what a word becomes where a variable was replaced
    refuse: "Reason | None" = None
    items: "Shape | None" = None
    unique: bool = False                                  # whether no two items are equal
    keys: "dict[str, Shape] | None" = None
    rest: "Shape | None" = None                           # what other keys have
    name: "Reason | None" = None                          # why a key of `rest` will not do, or ""
    required: "tuple[str, ...]" = ()
    help: str = ""                                        # for whoever writes something else


def text(refuse: "Reason | None" = None) -> Shape:
    return Shape((str,), None, refuse)


def one_of(*words: str) -> Shape:
    return text(lambda word: "" if word in words else f"is `{word}`, none of {', '.join(f'`{one}`' for one in words)}")


def between(low: int, high: int) -> Shape:
    return Shape((int, str), integer, lambda value: "" if low <= value <= high else f"is {value}, not from {low} to {high}")


def many(items: Shape, unique: bool = False) -> Shape:
    return Shape(items=items, unique=unique)


def keyed(keys: "dict[str, Shape]", *required: str, rest: "Shape | None" = None) -> Shape:
    return Shape(keys=keys, rest=rest, required=required)


def table(rest: Shape, name: "Reason | None" = None) -> Shape:
    """A mapping whose keys are names that the author chooses."""
    return Shape(keys={}, rest=rest, name=name)


def either(*shapes: Shape) -> Shape:
    """A node that may be one or the other; at most one of them is a sequence, and one a mapping."""
    found = Shape()
    for shape in shapes:
        found = found._replace(types=found.types + shape.types, cast=found.cast or shape.cast, refuse=found.refuse or shape.refuse)
        if shape.items is not None:
            found = found._replace(items=shape.items, unique=shape.unique)
        if shape.keys is not None:
            found = found._replace(keys=shape.keys, rest=shape.rest, name=shape.name, required=shape.required)
    return found


NULL = Shape((NONE,))
TEXT = text()
FLAG = Shape((bool, str), boolean)
INTEGER = Shape((int, str), integer)
NUMBER = Shape((int, float, str), number)
SIZE = Shape((int, float, str))
SCALAR = Shape((str, int, float, bool))
ANY = Shape()


def validate(node: "Any", shape: Shape, path: "Path", mark: "Mark | None", report: "Report", raw: bool,
             lacking: "list[Lack] | None" = None) -> None:
    """Note whatever in `node` is not as `shape` says.

    raw: variables are still in the words, so words with a `$` in them are good for anything.
    lacking: takes what has no value here and may have one in an earlier file or an extended service; `complete` judges it.
    """
    kind = node.__class__
    if shape is ANY:
        return
    if kind is Map:
        if shape.keys is None:
            report.fault(mark, f"`{show(path)}` is a mapping, not {accepted(shape)}")
        else:
            _mapping(node, shape, path, mark, report, raw, lacking)
    elif kind is Seq:
        if shape.items is None:
            report.fault(mark, f"`{show(path)}` is a list, not {accepted(shape)}")
        else:
            for index, item in enumerate(node):                 # an item of a list is merged whole: nobody adds what it lacks
                validate(item, shape.items, (*path, index), node.marks[index], report, raw)
            if shape.unique:
                _unique(node, path, report)
    elif kind not in shape.types:
        quotes = "put it into quotes" if shape.types == (str,) and kind is not NONE else ""
        help = "leave the key out, or give it a value" if node is None else shape.help or quotes
        reason = f"`{show(path)}` is {_noun(kind)}, not {accepted(shape)}"
        if node is None and lacking is not None and path:
            lacking.append((path[:-1], str(path[-1]), mark, reason, help))
        else:
            report.fault(mark, reason, help)
    elif shape.refuse is not None and not (kind is str and ((raw and "$" in node) or int in shape.types)):
        reason = shape.refuse(node)
        if reason:
            report.fault(mark, f"`{show(path)}` {reason}")


def complete(root: Map, lacking: "list[Lack]", report: "Report") -> None:
    """Note what of `lacking` has no value in the merged tree `root` either."""
    for path, key, mark, reason, help in lacking:
        node: Any = root
        for step in path:
            node = node.get(step) if node.__class__ is Map else None
        if node.__class__ is Map and node.get(key) is None:
            report.fault(mark, reason, help, key=not help)


def _mapping(node: Map, shape: Shape, path: "Path", mark: "Mark | None", report: "Report", raw: bool, lacking: "list[Lack] | None") -> None:
    keys, rest, marks = shape.keys or {}, shape.rest, node.marks
    for key, value in node.items():
        inner = keys.get(key)
        if inner is not None:
            validate(value, inner, (*path, key), marks.get(key, mark), report, raw, lacking)
        elif rest is not None and not (key[:2] == "x-" and keys):
            reason = shape.name(key) if shape.name is not None else ""
            if reason:
                report.fault(marks.get(key, mark), f"the name `{key}` in `{show(path)}` {reason}", key=True)
            validate(value, rest, (*path, key), marks.get(key, mark), report, raw, lacking)
        elif key[:2] != "x-":
            near = closest(key, keys)
            where = f"`{show(path)}` has" if path else "the file has"
            report.fault(marks.get(key, mark), f"{where} an unknown attribute `{key}`", f"did you mean `{near}`?" if near else "", key=True)
    for key in shape.required:
        if key not in node:
            reason = f"`{show(path)}` has no `{key}`"
            if lacking is None:
                report.fault(mark, reason, key=True)
            else:
                lacking.append((path, key, mark, reason, ""))


def _unique(node: Seq, path: "Path", report: "Report") -> None:
    seen: dict[Any, int] = {}
    for index, item in enumerate(node):
        same = (item.__class__, item) if item.__class__ not in (Map, Seq) else repr(item)
        if same in seen:
            report.fault(node.marks[index], f"`{show((*path, index))}` is the same as `{show((*path, seen[same]))}`")
        seen.setdefault(same, index)


def accepted(shape: Shape) -> str:
    """What a node of this shape is, in words: `a string or a list`."""
    words = [noun for kind, noun in _NOUNS if kind in shape.types and not (kind is int and float in shape.types)]
    words += ["a list"] * (shape.items is not None) + ["a mapping"] * (shape.keys is not None)
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def _noun(kind: type) -> str:
    return next(noun for one, noun in _NOUNS if one is kind)
