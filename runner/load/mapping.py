"""A project <-> the mapping that compose prints: a normalised tree becomes the model, the model becomes the resolved file."""

from runner.load.fields import FIELDS, read, write
from runner.load.file import HIDDEN
from runner.load.kind import Unreadable, extensions
from runner.load.tree import Map, mark_of, show
from runner.model.project import AIModel, File, Network, Project, Volume
from runner.model.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.load.report import Report

RESOURCES = (("networks", Network), ("volumes", Volume), ("secrets", File), ("configs", File), ("models", AIModel))


def from_tree(root: Map, name: str, report: "Report") -> Project:
    """The project of a canonical tree, all services enabled.

    Raises InvalidCompose: with every attribute that cannot be read.
    """
    services = []
    for key, node in (root.get("services") or {}).items():
        given: dict[str, Any] = {}
        extra = extensions(node)
        if extra:
            given["extensions"] = extra
        for field in FIELDS[Service]:
            value = node.get(field.key)
            if value is not None:
                try:
                    given[field.key] = field.kind.read(value)
                except Unreadable as error:
                    _fault(root, ("services", key, field.key, *error.path), error, report)
        services.append(Service(key, **given))
    found: dict[str, Any] = {kind: _resources(root, kind, make, report) for kind, make in RESOURCES}
    report.stop()
    return Project(name, tuple(sorted(services, key=lambda service: service.name)), extensions=extensions(root), **found)


def _resources(root: Map, kind: str, make: "Callable[..., Any]", report: "Report") -> "tuple[Any, ...]":
    found = []
    for key, node in sorted((root.get(kind) or {}).items()):
        node = Map() if node is None else node
        try:
            value = read(make, node, key=key)
        except Unreadable as error:
            _fault(root, (kind, key, *error.path), error, report)
        else:
            found.append(value._replace(value=node.get(HIDDEN)) if make is File else value)
    return tuple(found)


def _fault(root: Map, path: "tuple[str | int, ...]", error: Unreadable, report: "Report") -> None:
    report.fault(mark_of(root, path), f"`{show(path)}` {error.reason}", error.help)


def to_mapping(project: Project, json: bool = False) -> "dict[str, Any]":
    """What compose prints of a project: as YAML, or as JSON, which says some defaults and no models.

    Law: loading what this gives yields a project equal to `project`, but for what is disabled and where it came from.
    """
    found: dict[str, Any] = {"name": project.name, "services": {one.name: write(one, json) for one in project.services}}
    for kind, _ in RESOURCES:
        resources = getattr(project, kind)
        if resources and not (json and kind == "models"):
            found[kind] = {one.key: write(one, json) for one in resources}
    return found | dict(project.extensions)
