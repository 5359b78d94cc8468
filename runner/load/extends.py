"""`extends`: a service takes over what another one has, in its own file or another, and says the rest over it."""

from runner.load import location
from runner.load.canonical import canonical
from runner.load.merge import merge, reset
from runner.load.report import Report, closest
from runner.load.schema import SERVICE
from runner.load.shape import validate
from runner.load.tree import Map, clone, size
from runner.load.unique import enforce

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lang.diagnostic import Diagnostic
    from runner.load.context import Context
    from runner.load.location import Place
    from runner.load.tree import Mark, Path


class Base:
    """A file whose services may be extended.

    resets: what its `!reset`s remove from the bases of its services; broken: what is wrong with services that are not as they must be.
    """

    __slots__ = ("broken", "path", "resets", "services")

    def __init__(self, path: str, services: Map, resets: "tuple[Path, ...]") -> None:
        self.path, self.services, self.resets = path, services, resets
        self.broken: dict[str, list[Diagnostic]] = {}


def apply(context: "Context", tree: Map, resets: "tuple[Path, ...]", path: str, place: "Place", environment: "Mapping[str, str]") -> None:
    """Merge, in place, each service of `tree` over the one it extends.

    Raises InvalidCompose.
    """
    services = tree.get("services")
    if services.__class__ is Map:
        work = _Work(context, place, environment)
        here = Base(path, services, resets)
        for name in services:
            work.service(here, name, ())
        context.report.stop()


class _Work:
    __slots__ = ("context", "environment", "place")

    def __init__(self, context: "Context", place: "Place", environment: "Mapping[str, str]") -> None:
        self.context, self.place, self.environment = context, place, environment

    def service(self, base: Base, name: str, trail: "tuple[tuple[str, str], ...]") -> "Map | None":
        """Service `name` of `base` with all it extends; `trail` is how we came here."""
        report = self.context.report
        service: Any = base.services.get(name)
        wanted = service.get("extends") if service.__class__ is Map else None
        if wanted is None:
            return service  # type: ignore[no-any-return]
        mark = service.marks.get("extends")
        target, file_name = wanted, None
        if (base.path, name) in trail:
            steps = " -> ".join(f"`{step}`" for _, step in (*trail[trail.index((base.path, name)):], (base.path, name)))
            report.fault(mark, f"service `{name}` extends itself: {steps}", key=True)
            report.stop()
        if wanted.__class__ is Map:
            if "service" not in wanted:
                report.fault(mark, f"`services.{name}.extends` has no `service`", key=True)
                report.stop()
            target, file_name = wanted.get("service"), wanted.get("file")
            mark = wanted.marks.get("service", mark)
        other = base if file_name is None else self.file(file_name, wanted.marks.get("file", mark))
        report.faults += other.broken.get(target, ())
        report.stop()
        if target not in other.services:
            near = closest(target, other.services)
            where = "" if other is base else f" in `{self.context.shown(other.path)}`"
            report.fault(mark, f"service `{name}` extends `{target}`, which is not there{where}", f"did you mean `{near}`?" if near else "")
            report.stop()
        found = self.service(other, target, (*trail, (base.path, name)))
        if found is None:
            return service  # type: ignore[no-any-return]
        self.context.copies -= size(found)
        if self.context.copies < 0:
            report.fault(mark, "`extends` makes the project larger than a million nodes")
            report.stop()
        source = clone(found)
        reset(Map({"services": Map({name: source})}), base.resets)
        merged: Map = merge(source, service, ("services", name), base.services.marks.get(name), report)
        merged.drop("extends")
        base.services[name] = merged
        return merged

    def file(self, name: str, mark: "Mark | None") -> Base:
        """The services of another file, in their long forms, paths as seen from here."""
        context, report = self.context, self.context.report
        local, remote = context.local(name, mark)
        path = self.place.file(local)
        if self.place.forbids(path):
            report.fault(mark, f"`{name}` is outside of the remote project that extends it", location.FORBIDDEN)
            report.stop()
        known = context.extended.get((path, self.place.real))
        if known is not None:
            return known
        other = context.compose(path, mark)
        folder = path.rpartition("/")[0] or "/"
        place = self.place.below(folder)
        if remote and not context.remote_paths:
            place = place._replace(inside=folder)
        base = Base(path, Map(), ())
        root = Map({"services": base.services})
        for one in other.documents:
            tree = context.substituted(other.source, one.root, self.environment)
            services = tree.get("services")
            if services.__class__ is Map:
                self.shaped(services, base)
                reset(root, one.resets)
                merge(root, Map({"services": services}), (), None, report)
            base.resets += one.resets
        if not base.services and not base.broken:
            report.fault(mark, f"`{name}` has no services that could be extended")
        enforce(root)
        canonical(root, report, not context.interpolates)
        location.resolve(root, place, report)
        report.stop()
        context.extended[path, self.place.real] = base
        return base

    def shaped(self, services: Map, base: Base) -> None:
        """Set aside the services that are not as the schema says: only whoever extends one of them needs to hear of it."""
        for name, service in list(services.items()):
            if service is None:
                continue
            alone = Report()
            validate(service, SERVICE, ("services", name), services.marks.get(name), alone, not self.context.interpolates)
            if alone.faults:
                base.broken[name] = alone.faults
                services.drop(name)
