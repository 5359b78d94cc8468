"""Two trees -> one: what a later file, an extending service or an including model says over what is there already.

Mappings merge key by key, lists append, the rest is replaced; RULES has the exceptions, by path. A null says nothing,
but where it replaces: a `command` of null is the image's.
The trees given are used up: what comes out is made of their parts.
"""

from runner.load.scalar import text_of
from runner.load.tree import Map, Seq, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from runner.load.report import Report
    from runner.load.tree import Mark, Path

    Rule: TypeAlias = "Callable[[Any, Any, Path, Mark | None, Report], Any]"
    Rules: TypeAlias = "dict[str, Any]"                   # key, or "*", -> rules of what is below it; "" -> the Rule of the node itself


def merge(base: "Any", over: "Any", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    """`over`, written at `mark`, over `base`; both are what stands at `path` (() for a whole file).

    Law: merge(a, {}) == a == merge({}, a).
    """
    rules: Rules = RULES
    for step in path:
        rules = rules.get(step if isinstance(step, str) else "*") or rules.get("*") or {}
    return _merge(base, over, rules, path, mark, report)


def reset(root: "Any", paths: "tuple[Path, ...]") -> None:
    """Remove from `root` what stands at `paths`; `key=value`s of a list count as keys."""
    for path in paths:
        node = root
        for step in path[:-1]:
            node = node.get(step) if node.__class__ is Map else None
        last = path[-1] if path else None
        if node.__class__ is Map and isinstance(last, str):
            node.drop(last)
        elif node.__class__ is Seq and isinstance(last, str):
            kept = [(item, mark) for item, mark in zip(node, node.marks) if item.__class__ is not str or item.partition("=")[0] != last]
            node[:], node.marks = [item for item, _ in kept], [mark for _, mark in kept]


def _merge(base: "Any", over: "Any", rules: "Rules", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    if over is None:
        return base
    if base is None:
        return over
    rule = rules.get("")
    if rule is not None:
        return rule(base, over, path, mark, report)
    kind = base.__class__
    if kind is Map and over.__class__ is Map:
        return _mappings(base, over, rules, path, report)
    if kind is Seq and over.__class__ is Seq:
        return _append(base, over)
    if kind in (Map, Seq):
        written = "a list" if over.__class__ is Seq else "a mapping" if over.__class__ is Map else "a scalar"
        report.fault(mark, f"cannot override `{show(path)}`: it is {'a mapping' if kind is Map else 'a list'} elsewhere, {written} here")
        return base
    return over


def _mappings(base: Map, over: Map, rules: "Rules", path: "Path", report: "Report") -> Map:
    below: Rules = rules.get("*") or {}
    for key, value in over.items():
        mark = over.marks.get(key)
        if key in base:
            inner = rules.get(key, below)
            if value is None and inner.get("") is not _replace:
                continue
            value = value if value is None else _merge(base[key], value, inner, (*path, key), mark, report)
        base.put(key, value, mark)
    return base


def _append(base: Seq, over: Seq) -> Seq:
    return Seq([*base, *over], base.marks + over.marks)


def sequence(node: "Any", mark: "Mark | None") -> Seq:
    """A mapping as the list of its `key=value`s, in the order of their text; a word as the list of itself."""
    if node.__class__ is Seq:
        return node
    if node.__class__ is not Map:
        return Seq([node], [mark])
    items: list[tuple[str, Mark | None]] = []
    for key, value in node.items():
        place = node.marks.get(key, mark)
        if value is None:
            items.append((key, place))
        else:
            items += [(f"{key}={text_of(one)}", place) for one in (value if value.__class__ is Seq else [value])]
    items.sort(key=lambda item: item[0])
    return Seq([item for item, _ in items], [place for _, place in items])


def mapping(node: "Any", **defaults: "Any") -> Map:
    """A list of names as a mapping from each to `defaults`, or to null if there are none."""
    if node.__class__ is not Seq:
        return node  # type: ignore[no-any-return]
    found = Map()
    for name, mark in zip(node, node.marks):
        found.put(name, Map(defaults) if defaults else None, mark)
    return found


def _replace(base: "Any", over: "Any", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    return over


def _sequences(base: "Any", over: "Any", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    return _append(sequence(base, mark), sequence(over, mark))


def _hosts(base: "Any", over: "Any", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    found, more = sequence(base, mark), sequence(over, mark)
    kept = Seq(found, found.marks)
    for item, place in zip(more, more.marks):
        if item not in found:
            kept.add(item, place)
    return kept


def _build(base: "Any", over: "Any", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    first, second = (Map({"context": one}, {"context": mark} if mark else {}) if one.__class__ is str else one for one in (base, over))
    return _mappings(first, second, RULES["services"]["*"]["build"], path, report)


def _depends_on(base: "Any", over: "Any", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    started = {"condition": "service_started", "required": True}
    return _mappings(mapping(base, **started), mapping(over, **started), {}, path, report)


def _attachments(base: "Any", over: "Any", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    return _mappings(mapping(base), mapping(over), {}, path, report)


def _logging(base: "Any", over: "Any", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    if base.get("driver") == over.get("driver") or "driver" not in base or "driver" not in over:
        return _mappings(base, over, {}, path, report)
    return over


def _ipam(base: "Any", over: "Any", path: "Path", mark: "Mark | None", report: "Report") -> "Any":
    found = Seq(base, base.marks)
    at = {pool.get("subnet"): index for index, pool in enumerate(found)}
    for pool, place in zip(over, over.marks):
        index = at.get(pool.get("subnet"))
        if index is None:
            found.add(pool, place)
        else:
            found[index] = _mappings(found[index], pool, {}, (*path, index), report)
    return found


_PAIRS = {"": _sequences}
RULES: "Rules" = {
    "services": {"*": {
        "annotations": _PAIRS, "command": {"": _replace}, "depends_on": {"": _depends_on}, "deploy": {"labels": _PAIRS}, "dns": _PAIRS,
        "build": {"": _build, "args": _PAIRS, "additional_contexts": _PAIRS, "labels": _PAIRS, "extra_hosts": {"": _hosts}},
        "dns_opt": _PAIRS, "dns_search": _PAIRS, "entrypoint": {"": _replace}, "env_file": _PAIRS, "environment": _PAIRS,
        "extra_hosts": {"": _hosts}, "healthcheck": {"test": {"": _replace}}, "label_file": _PAIRS, "labels": _PAIRS,
        "logging": {"": _logging}, "models": {"": _attachments}, "networks": {"": _attachments}, "sysctls": _PAIRS, "tmpfs": _PAIRS,
        "ulimits": {"*": {"": _replace}}, "volumes": {"*": {"volume": {"labels": _PAIRS}}},
    }},
    "networks": {"*": {"labels": _PAIRS, "ipam": {"config": {"": _ipam}}}},
    "volumes": {"*": {"labels": _PAIRS}},
}
