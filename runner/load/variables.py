"""Files of variables and labels that services name -> the environment and the labels of those services."""

import os

from runner.errors import FileUnreadable
from runner.load import dotenv, reading
from runner.load.tree import Map, mark_of, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lang.source import Source
    from runner.load.context import Context
    from runner.load.template import Lookup
    from runner.load.tree import Path
    from runner.model.project import Project
    from runner.model.service import Service


def resolved(project: "Project", environment: "Mapping[str, str]", context: "Context", root: Map, variables: bool = True,
             keep: bool = False) -> "Project":
    """`project` with what `label_file` and `env_file` of its enabled services say, under what the services say themselves.

    variables: whether `env_file` is looked at; keep: whether the services go on naming the files.
    Raises InvalidCompose.
    """
    work = _Files(environment, context, root)
    services = tuple(work.labels(work.environment_of(one, keep) if variables else one, keep) for one in project.services)
    context.report.stop()
    return project._replace(services=services)


class _Files:
    __slots__ = ("context", "environment", "root", "sources")

    def __init__(self, environment: "Mapping[str, str]", context: "Context", root: Map) -> None:
        self.environment, self.context, self.root = environment, context, root
        self.sources: dict[str, Source] = {}

    def environment_of(self, service: "Service", keep: bool) -> "Service":
        own = {key: self.environment.get(key) if value is None else value for key, value in service.environment}
        found: dict[str, str] = {}

        def lookup(name: str) -> "str | None":
            value = self.environment.get(name)
            return own.get(name) if value is None else value

        for index, file in enumerate(service.env_file):
            path = ("services", service.name, "env_file", index)
            if file.required or os.path.lexists(file.path):
                found.update(self.read(file.path, path, found, lookup, file.format))
        return service._replace(environment=tuple(sorted({**found, **own}.items())), env_file=service.env_file if keep else ())

    def labels(self, service: "Service", keep: bool) -> "Service":
        found: dict[str, str] = {}
        for index, name in enumerate(service.label_file):
            found.update(self.read(name, ("services", service.name, "label_file", index), found, self.environment.get, ""))
        labels = tuple(sorted({**found, **dict(service.labels)}.items())) if found else service.labels
        return service._replace(labels=labels, label_file=service.label_file if keep else ())

    def read(self, name: str, path: "Path", known: "dict[str, str]", lookup: "Lookup", format: str) -> "dict[str, str]":
        report, mark = self.context.report, mark_of(self.root, path)
        try:
            if name not in self.sources:
                self.sources[name] = reading.read(name, self.context.shown(name))
        except FileUnreadable as error:
            report.fault(mark, f"`{show(path)}`: {error}", "`required: false` makes a file optional" if path[2] == "env_file" else "")
            return {}
        return dotenv.parse(self.sources[name], known, lookup, report, format)
