"""`config`: a project as what a person or a program wants to see of it."""

from runner.load.file import HIDDEN
from runner.load.identity import config_hash
from runner.load.kind import plain
from runner.load.mapping import to_mapping
from runner.load.project import LoadOptions, load, load_tree
from runner.load.report import Report
from runner.load.scalar import float_text
from runner.load.template import TemplateFault, Variable, variables
from runner.load.tree import Map, Seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from lang.diagnostic import Diagnostic
    from runner.load.tree import Mark
    from runner.model.project import Project
    from runner.model.service import Service

    Warnings = tuple[Diagnostic, ...]

LISTS = ("services", "networks", "volumes", "models", "images", "profiles", "environment")


def resolved(options: LoadOptions, json: bool = False) -> "tuple[dict[str, Any], Warnings]":
    """The mapping that `config` prints, a `$` in it not yet doubled; without interpolation the tree as it is, keys sorted.

    Raises RunError.
    """
    if options.interpolate:
        loaded = load(options)
        mapping = to_mapping(loaded.project, json)
        return _countable(mapping) if json else mapping, loaded.warnings
    tree, warnings = load_tree(options)
    for kind in ("secrets", "configs"):
        for one in (tree.root.get(kind) or {}).values():
            if one.__class__ is Map:
                one.drop(HIDDEN)
    mapping = _sorted(plain(tree.root))
    return _countable(mapping) if json else mapping, warnings


def listed(options: LoadOptions, what: str) -> "tuple[list[str], Warnings]":
    """The lines of `config --services` and its like; `what` is one of LISTS.

    Raises RunError.
    """
    if what in ("services", "networks", "volumes") and not options.interpolate:
        tree, warnings = load_tree(options)
        return sorted(tree.root.get(what) or ()), warnings
    loaded = load(options if what == "environment" else options._replace(resolve_environment=False))
    if what == "environment":
        return [f"{key}={value}" for key, value in sorted(loaded.environment.items())], loaded.warnings
    return list(_lines(loaded.project, what)), loaded.warnings


def _lines(project: "Project", what: str) -> "Iterator[str]":
    if what == "services":
        yield from (service.name for service in in_dependency_order(project))
    elif what == "images":
        yield from (image_name(service, project.name) for service in project.services)
    elif what == "profiles":
        yield from sorted({profile for service in (*project.services, *project.disabled) for profile in service.profiles})
    else:
        yield from (one.key for one in getattr(project, what))


def hashes(options: LoadOptions, names: "tuple[str, ...]") -> "tuple[list[str], Warnings]":
    """`name hash` of the services `names`, or of all. Raises RunError."""
    loaded = load(options._replace(services=names))
    wanted = [service for service in loaded.project.services if not names or service.name in names]
    return [f"{service.name} {config_hash(service)}" for service in wanted], loaded.warnings


def asked(options: LoadOptions) -> "tuple[Variable, ...]":
    """The variables that the files ask for, by name; of several the last one counts.

    Raises RunError.
    """
    tree, _ = load_tree(options._replace(interpolate=False))
    found: dict[str, Variable] = {}
    report = Report()
    for value, mark in _words(tree.root, None):
        try:
            for variable in variables(value):
                found[variable.name] = variable
        except TemplateFault as fault:
            report.fault(mark, fault.message, fault.help)
    report.stop()
    return tuple(sorted(found.values()))


def variable_lines(found: "Iterable[Variable]") -> "list[str]":
    """A table of variables, as compose draws it."""
    rows = [("NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE")]
    rows += [(one.name, "true" if one.required else "false", one.default, one.presence) for one in found]
    widths = [max(20, 3 + max(len(row[column]) for row in rows)) for column in range(3)]
    return ["".join(cell.ljust(width) for cell, width in zip(row, widths)) + row[3] for row in rows]


def pinned(mapping: "dict[str, Any]", pin: "Callable[[str], str]", only: bool = False) -> "dict[str, Any]":
    """`mapping` with what `pin` makes of every image: its name with a digest.

    only: nothing but the images, as an override file that locks them.
    """
    services = {name: {**service, "image": pin(service["image"])} if service.get("image") else service
                for name, service in mapping.get("services", {}).items()}
    if not only:
        return {**mapping, "services": services}
    return {"services": {name: {"image": service["image"]} if "image" in service else {} for name, service in services.items()}}


def in_dependency_order(project: "Project") -> "list[Service]":
    """The services, each after those it depends on, else by name."""
    services = {service.name: service for service in project.services}
    order: dict[str, Service] = {}
    ahead = [(name, False) for name in sorted(services, reverse=True)]
    begun: set[str] = set()
    while ahead:
        name, ready = ahead.pop()
        if ready:
            order[name] = services[name]
        elif name in services and name not in begun:
            begun.add(name)
            ahead.append((name, True))
            ahead += [(other, False) for other, _ in reversed(services[name].depends_on)]
    return list(order.values())


def image_name(service: "Service", project: str) -> str:
    """The image of a service, or the name that the one it builds will have."""
    return service.image or f"{project}-{service.name}"


def _words(node: "Any", mark: "Mark | None") -> "Iterator[tuple[str, Mark | None]]":
    if node.__class__ is Map:
        for key, value in node.items():
            yield from _words(value, node.marks.get(key, mark))
    elif node.__class__ is Seq:
        for value, place in zip(node, node.marks):
            yield from _words(value, place)
    elif node.__class__ is str:
        yield node, mark


def _sorted(node: "Any") -> "Any":
    if isinstance(node, dict):
        return {key: _sorted(node[key]) for key in sorted(node)}
    return [_sorted(item) for item in node] if isinstance(node, list) else node


def _countable(node: "Any") -> "Any":
    """`node` with the numbers that JSON does not have as words."""
    if isinstance(node, dict):
        return {key: _countable(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_countable(item) for item in node]
    return float_text(node) if node.__class__ is float and (node != node or abs(node) == float("inf")) else node
