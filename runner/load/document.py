"""YAML text -> documents: libyaml's events go in, positioned mappings and the paths of `!reset` and `!override` come out.

Hostile text costs no more than its budget: size, depth and the number of nodes (aliases counted as what they stand for) are
bounded, and nothing here recurses deeper than DEPTH. libyaml's own composer would crash, PyYAML's hang, on what this refuses.
"""

import yaml

from kernel.value import Value
from lang.source import Source
from runner.load.report import Report
from runner.load.scalar import plain
from runner.load.tree import Map, Seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from runner.load.tree import Mark, Path

NATIVE = yaml.__with_libyaml__
SIZE = (10 if NATIVE else 1) << 20                        # characters of a file; PyYAML's own scanner is twenty times slower
DEPTH = 100
_TOO_DEEP = f"the file is nested deeper than {DEPTH}"
NODES = 100_000
STANDARD = "tag:yaml.org,2002:"
_SCALARS = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}
_MERGE = "<<"
_Loader: "Any" = yaml.CSafeLoader if NATIVE else yaml.SafeLoader
_Scalar: "Any" = yaml.ScalarEvent


class Document(Value):
    """One document of a file. At each of `resets` what earlier files said is dropped before `root` is merged over it."""

    root: "Any"
    resets: "tuple[Path, ...]"


class _Tagged:
    """A node that was written with `!reset` or `!override`."""

    __slots__ = ("keep", "value")

    def __init__(self, keep: bool, value: "Any") -> None:
        self.keep, self.value = keep, value


def parse(source: Source, report: Report) -> "list[Document]":
    """The documents of a file; one with nothing in it is left out.

    Raises InvalidCompose, at the first thing that is not YAML as compose reads it.
    """
    composer = _Composer(source, report)
    if len(source.text) > SIZE:
        composer.refuse(0, 0, f"the file is larger than {SIZE >> 20} MiB")
    try:
        roots = list(composer.documents())
    except yaml.YAMLError as error:
        composer.refuse(*_explained(error, source.text))
    documents = []
    for root in roots:
        resets: list[Path] = []
        root = _untag(root, (), resets) if composer.tagged else root
        if root is not None:
            documents.append(Document(root, tuple(resets)))
    return documents


class _Composer:
    __slots__ = ("anchors", "events", "left", "report", "source", "tagged")

    def __init__(self, source: Source, report: Report) -> None:
        self.source, self.report = source, report
        self.events: Iterator[Any] = iter(())
        self.anchors: dict[str, Any] = {}
        self.left = NODES
        self.tagged = False

    def refuse(self, start: int, end: int, message: str, help: str = "") -> None:
        """Raises InvalidCompose."""
        self.report.fault((self.source, start, end, start, end), message, help)
        self.report.stop()

    def documents(self) -> "Iterator[Any]":
        self.events = iter(yaml.parse(self.source.text, Loader=_Loader))
        for event in self.events:
            if event.__class__ is yaml.DocumentStartEvent:
                self.anchors = {}
                yield self.node(next(self.events), 0)

    def node(self, event: "Any", depth: int) -> "Any":
        """The value of the node that `event` begins; reads to its end."""
        kind = event.__class__
        self.left -= 1
        if self.left < 0 or depth > DEPTH:
            reason = _TOO_DEEP if depth > DEPTH else f"the file has more than {NODES:,} nodes, aliases expanded"
            self.refuse(event.start_mark.index, event.end_mark.index, reason)
        if kind is _Scalar:
            return self.named(event, self.scalar(event))
        if kind is yaml.AliasEvent:
            return self.alias(event)
        wrap = self.wrap(event, "map" if kind is yaml.MappingStartEvent else "seq")
        if event.anchor is not None:
            self.anchors[event.anchor] = _Tagged              # begun, not ended: an alias to it would never end
        value = self.mapping(depth + 1) if kind is yaml.MappingStartEvent else self.sequence(depth + 1)
        return self.named(event, value if wrap is None else _Tagged(wrap, value))

    def named(self, event: "Any", value: "Any") -> "Any":
        if event.anchor is not None:
            self.anchors[event.anchor] = value
        return value

    def scalar(self, event: "Any") -> "Any":
        if "\0" in event.value:
            self.refuse(event.start_mark.index, event.end_mark.index, "a text with a NUL character, which no program can be given")
        if event.tag is None:
            return plain(event.value) if event.implicit[0] else event.value
        if event.tag == "!":
            return event.value
        if event.tag.startswith(STANDARD):
            wanted = _SCALARS.get(event.tag[len(STANDARD):])
            value = event.value if wanted is str else plain(event.value)
            if wanted is float and value.__class__ is int:
                value = float(value)
            if wanted is value.__class__:
                return value
            if wanted is not None:
                name = event.tag[len(STANDARD):]
                self.refuse(event.start_mark.index, event.end_mark.index, f"`{event.value}` is no value of `!!{name}`")
        wrap = self.wrap(event, "")
        return _Tagged(bool(wrap), event.value if event.style else plain(event.value))

    def wrap(self, event: "Any", kind: str) -> "bool | None":
        """None for a node without a tag of ours, else whether its value is kept (`!override`)."""
        if event.tag is None or event.tag == "!" or event.tag == STANDARD + kind:
            return None
        if event.tag not in ("!reset", "!override"):
            tag = event.tag.replace(STANDARD, "!!", 1)
            self.refuse(event.start_mark.index, event.end_mark.index, f"the tag `{tag}` has no meaning in a compose file")
        self.tagged = True
        return event.tag == "!override"  # type: ignore[no-any-return]

    def alias(self, event: "Any") -> "Any":
        start, end = event.start_mark.index, event.end_mark.index
        value = self.anchors.get(event.anchor, self)
        if value is self:
            self.refuse(start, end, f"no anchor `&{event.anchor}` before this alias")
        if value is _Tagged:
            self.refuse(start, end, f"the alias `*{event.anchor}` stands inside what it names")
        return self.copy(value, start, end)

    def copy(self, node: "Any", start: int, end: int) -> "Any":
        kind = node.__class__
        self.left -= 1
        if self.left < 0:
            self.refuse(start, end, f"the file has more than {NODES:,} nodes, aliases expanded")
        if kind is Map:
            return Map({key: self.copy(value, start, end) for key, value in node.items()}, node.marks.copy())
        if kind is Seq:
            return Seq([self.copy(value, start, end) for value in node], node.marks)
        return _Tagged(node.keep, self.copy(node.value, start, end)) if kind is _Tagged else node

    def sequence(self, depth: int) -> Seq:
        items, marks, source = [], [], self.source
        for event in self.events:
            if event.__class__ is yaml.SequenceEndEvent:
                break
            start, end = event.start_mark.index, event.end_mark.index
            items.append(self.node(event, depth))
            marks.append((source, start, end, start, end))
        return Seq(items, marks)

    def mapping(self, depth: int) -> Map:
        found, source, merged = Map(), self.source, None
        marks = found.marks
        for event in self.events:
            if event.__class__ is yaml.MappingEndEvent:
                break
            start, end = event.start_mark.index, event.end_mark.index
            joins = event.__class__ is _Scalar and event.value == _MERGE and event.implicit[0]
            key = self.key(event, start, end)
            value_event = next(self.events)
            place: Mark = (source, start, end, start, end)
            if value_event.__class__ is _Scalar and value_event.start_mark.index != value_event.end_mark.index:
                place = (source, start, end, value_event.start_mark.index, value_event.end_mark.index)
            before = merged[1] if joins and merged is not None else marks.get(key) if not joins else None
            if before is not None:
                self.refuse(start, end, f"the key `{key}` is there twice", f"it is first on line {source.position(before[1])[0]}")
            value = self.node(value_event, depth)
            if joins:
                merged = (value, place)
            else:
                found[key] = value
                marks[key] = place
        if merged is not None:
            self.merge(found, *merged)
        return found

    def key(self, event: "Any", start: int, end: int) -> str:
        self.left -= 1
        value = None
        if event.__class__ is _Scalar:
            value = self.named(event, self.scalar(event))
        elif event.__class__ is yaml.AliasEvent:
            value = self.alias(event)
        if value.__class__ is not str:
            self.refuse(start, end, "a key that is no string", "put it into quotes" if event.__class__ is _Scalar else "")
        return str(value)

    def merge(self, found: Map, value: "Any", mark: "Mark") -> None:
        """Add what `<<` brings: earlier mappings of its list win, and what the mapping itself has wins over all."""
        for part in value if value.__class__ is Seq else [value]:
            if part.__class__ is _Tagged:
                part = part.value
            if part.__class__ is not Map:
                self.refuse(mark[1], mark[2], "`<<` takes a mapping or a list of mappings")
            for key in part:
                if key not in found:
                    found.put(key, part[key], part.marks.get(key))


def _untag(node: "Any", path: "Path", resets: "list[Path] | None") -> "Any":
    """`node` without tags: what was reset is gone, what overrides stands for itself; their paths go to `resets`."""
    if node.__class__ is Map:
        for key in list(node):
            value = node[key]
            if value.__class__ is _Tagged:
                if resets is not None:
                    resets.append((*path, key))
                if value.keep:
                    node[key] = _untag(value.value, (*path, key), None)
                else:
                    node.drop(key)
            else:
                _untag(value, (*path, key), resets)
    elif node.__class__ is Seq:
        kept = Seq()
        for index, (value, mark) in enumerate(zip(node, node.marks)):
            if value.__class__ is not _Tagged or value.keep:
                kept.add(_untag(value.value if value.__class__ is _Tagged else value, (*path, index), resets), mark)
        node[:], node.marks = kept, kept.marks
    elif node.__class__ is _Tagged:
        return _untag(node.value, path, resets) if node.keep else None
    return node


def _explained(error: yaml.YAMLError, text: str) -> "tuple[int, int, str, str]":
    """Where libyaml stopped, and why, in our words."""
    mark: Any = getattr(error, "problem_mark", None)
    begun: Any = getattr(error, "context_mark", None)
    if begun is not None and (mark is None or mark.index >= len(text.rstrip())):
        mark = begun                                          # at the end of the file, where what was begun stands helps more
    if mark is None:                                          # a character that YAML does not have
        position = getattr(error, "position", 0)              # libyaml counts bytes
        index = len(text.encode("utf-8", "replace")[:position].decode("utf-8", "ignore")) if NATIVE else position
        return index, index + 1, "a character that YAML does not allow", "write it as an escape in double quotes"
    problem = str(getattr(error, "problem", None) or "not YAML").strip()
    context = str(getattr(error, "context", None) or "").strip()
    index = min(mark.index, max(0, len(text.rstrip()) - 1)) if mark.index >= len(text) else mark.index
    if "nesting depth" in problem:                            # libyaml from 0.2.6 on reads ahead, and has a limit of its own
        return index, index + 1, _TOO_DEEP, ""
    help = ""
    if text[index:index + 1] == "\t":
        help = "YAML indents with spaces only; this is a tab"
    elif text[index - 1:index + 1] == "${":
        help = "in `[]` and `{}` a value with a variable stands in quotes: \"${...}\""
    elif "mapping values are not allowed" in problem:
        help = "a value with `: ` in it stands in quotes"
    return index, index + 1, f"{context}: {problem}" if context else problem, help
