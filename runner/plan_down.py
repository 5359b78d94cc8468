"""Containers that there are, to be stopped, removed, started again: Plans for down, stop, restart, start and rm. Pure.

Dependencies come from the files, or from the labels of the containers where there are none: a name is enough to take a project down.
"""

from kernel.value import Value
from runner import labels
from runner.action import (
    Draft,
    Plan,
    RemoveContainer,
    RemoveImage,
    RemoveNetwork,
    RemoveVolume,
    RunHook,
    StartContainer,
    StopContainer,
    WaitFor,
)
from runner.errors import RunError
from runner.plan import is_orphan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.model.project import Project
    from runner.model.service import Service
    from runner.present import Present, Seen

    Texts = tuple[str, ...]

FIRST, LATER = range(2)                                   # phases of these plans: containers, what they used


class NothingToStart(RunError):
    """A service has no container that could be started."""

    def __init__(self, service: str) -> None:
        super().__init__(service)
        self.service = service
        self.help = "`pyup up` makes one"

    def __str__(self) -> str:
        return f"service `{self.service}` has no container to start"


class Need(Value):
    """A dependency of a service."""

    name: str
    condition: str
    restart: bool
    required: bool


class Down(Value):
    """What `down` takes away beside containers and networks. images: "", "local" or "all"."""

    volumes: bool = False
    images: str = ""
    orphans: bool = False


class _Parts:
    """The containers of one project by service, and what these depend on."""

    def __init__(self, project: "Project", present: "Present", chosen: "Iterable[Seen]") -> None:
        self.services = {one.name: one for one in (*project.services, *project.disabled)}
        self.present = present
        self.needs = needs(project, present)
        self.by_service: dict[str, list[Seen]] = {}
        for seen in chosen:
            self.by_service.setdefault(seen.service, []).append(seen)
        self.draft = Draft()
        self.stops: dict[str, list[int]] = {}             # service -> steps after which nothing of it runs

    def order(self) -> "list[str]":
        """Services that have containers, each after those it depends on."""
        order: dict[str, None] = {}
        ahead = [(name, False) for name in sorted(self.by_service, reverse=True)]
        begun: set[str] = set()
        while ahead:
            name, ready = ahead.pop()
            if ready:
                order[name] = None
            elif name not in begun:
                begun.add(name)
                ahead.append((name, True))
                ahead += [(need.name, False) for need in reversed(self.needs.get(name, ()))]
        return [name for name in order if name in self.by_service]

    def stop(self, name: str, reason: str = "") -> None:
        """Stop what runs of a service, after what depends on it."""
        after = [step for other, steps in self.stops.items() if any(need.name == name for need in self.needs.get(other, ())) for step in steps]
        steps = self.stops.setdefault(name, [])
        for seen in self.by_service[name]:
            if seen.is_running:
                last = self.before_stop(seen, after)
                steps.append(self.draft.add(FIRST, StopContainer(seen.id, seen.name, name, (reason,) if reason else ()), [*last, *after]))
        steps += [] if steps else after

    def before_stop(self, seen: "Seen", after: "list[int]") -> "list[int]":
        service = self.services.get(seen.service)
        last: list[int] = []
        if service is not None and seen.status == "running" and not seen.one_off:
            for position in range(len(service.pre_stop)):
                last = [self.draft.add(FIRST, RunHook(service.name, seen.name, "pre_stop", position), last or after)]
        return last

    def start(self, name: str, started: "dict[str, list[int]]") -> None:
        """Start what does not run, or was stopped on the way."""
        service, before = self.services.get(name), [*self.stops.get(name, ())]
        for need in self.needs.get(name, ()):
            if need.name in started:
                before += self._wait(need, started[need.name])
        done: list[int] = []
        for seen in self.by_service[name]:
            if seen.is_running and not self.stops.get(name):
                continue
            last = [self.draft.add(FIRST, StartContainer(name, seen.name), before)]
            for position in range(len(service.post_start) if service else 0):
                last = [self.draft.add(FIRST, RunHook(name, seen.name, "post_start", position), last)]
            done += last
        started[name] = done or before

    def _wait(self, need: Need, after: "list[int]") -> "list[int]":
        if need.condition == "service_started":
            return after
        names = tuple(seen.name for seen in self.by_service[need.name])
        action = WaitFor(need.name, need.condition, names, need.required)
        known = next((step.number for step in self.draft.steps if step.action == action), 0)
        return [known or self.draft.add(FIRST, action, after)]


def needs(project: "Project", present: "Present") -> "dict[str, list[Need]]":
    """What each service depends on: as the files say, or its containers' labels."""
    found = {one.name: [Need(name, need.condition, need.restart, need.required) for name, need in one.depends_on]
             for one in (*project.services, *project.disabled)}
    for seen in present.containers:
        if seen.service not in found:
            found[seen.service] = [Need(*word, True) for word in labels.parse_dependencies(seen.depends_on)]
    return found


def stop(project: "Project", present: "Present", chosen: "Iterable[Seen]") -> Plan:
    """Stop those that run, dependents first."""
    parts = _Parts(project, present, chosen)
    for name in reversed(parts.order()):
        parts.stop(name)
    return parts.draft.plan(present.project)


def start(project: "Project", present: "Present", chosen: "Iterable[Seen]", named: "Iterable[str]" = ()) -> Plan:
    """Start those that do not run, dependencies first. Raises NothingToStart for a named service that has none."""
    parts = _Parts(project, present, chosen)
    for name in named:
        service = project.service(name)
        if name not in parts.by_service and (service is None or service.replicas()):
            raise NothingToStart(name)
    started: dict[str, list[int]] = {}
    for name in parts.order():
        parts.start(name, started)
    return parts.draft.plan(present.project)


def restart(project: "Project", present: "Present", chosen: "Iterable[Seen]", *, dependents: bool = True) -> Plan:
    """Stop and start them, and what is to restart with them."""
    chosen = list(chosen)
    everything = needs(project, present)
    names = {seen.service for seen in chosen}
    more = {name for name, found in everything.items() if any(need.restart and need.name in names for need in found)} - names if dependents else set()
    chosen += [seen for seen in present.containers if seen.service in more and seen.is_running and not seen.one_off]
    parts = _Parts(project, present, chosen)
    order = parts.order()
    for name in reversed(order):
        parts.stop(name)
    started: dict[str, list[int]] = {}
    for name in order:
        parts.start(name, started)
    return parts.draft.plan(present.project)


def remove(project: "Project", present: "Present", chosen: "Iterable[Seen]", *, volumes: bool, stopping: bool) -> Plan:
    """Remove those that do not run; with `stopping` the others too."""
    parts = _Parts(project, present, (seen for seen in chosen if stopping or not seen.is_running))
    _remove(parts, volumes)
    return parts.draft.plan(present.project)


def _remove(parts: _Parts, volumes: bool, reason: str = "") -> None:
    for name in reversed(parts.order()):
        parts.stop(name, reason)
        for seen in parts.by_service[name]:
            action = RemoveContainer(seen.id, seen.name, name, (reason,) if reason else (), volumes)
            parts.draft.add(FIRST, action, parts.stops[name])


def down(project: "Project", present: "Present", options: Down, named: "Texts" = ()) -> Plan:
    """Take away what the project has; with `named` only those services' containers and what nothing else of it uses."""
    services = [one.name for one in (*project.services, *project.disabled)] or sorted({seen.service for seen in present.containers})
    orphans = [seen for seen in present.containers if seen.one_off or is_orphan(seen, services)]
    chosen = [seen for seen in present.containers if seen not in orphans and (not named or seen.service in named)]
    parts = _Parts(project, present, [*chosen, *(orphans if options.orphans and not named else ())])
    _remove(parts, options.volumes)
    left = [seen for seen in present.containers if seen not in chosen and not (options.orphans and not named and seen in orphans)]
    _leftovers(parts.draft, project, present, options, left if named else [])
    forgotten = [seen for seen in orphans if seen in left and not named]
    if forgotten:
        parts.draft.notes.append(f"found orphan containers: {', '.join(f'`{seen.name}`' for seen in forgotten)}; `--remove-orphans` removes them")
    return parts.draft.plan(present.project)


def _leftovers(draft: Draft, project: "Project", present: "Present", options: Down, left: "list[Seen]") -> None:
    """Networks, volumes and images; `left`: containers that go on using theirs."""
    external = {one.name for one in project.networks if one.external} | {one.name for one in project.volumes if one.external}
    kept = {name for seen in left for name in seen.networks}
    for network in present.networks:
        if network.project == present.project and network.name not in external | kept:
            draft.add(LATER, RemoveNetwork(network.name))
    if options.volumes:
        declared = {one.name for one in project.volumes if not one.external}
        used = {mount.source for seen in left for mount in seen.mounts if mount.kind == "volume"}
        for volume in present.volumes:
            if (volume.project == present.project or volume.name in declared) and volume.name not in external | used:
                draft.add(LATER, RemoveVolume(volume.name))
    if options.images:
        for name in _images(project.services, present, options.images):
            draft.add(LATER, RemoveImage(name))


def _images(services: "Iterable[Service]", present: "Present", which: str) -> "list[str]":
    """Names of images to remove: all that are used, or only those that were built and got no name of their own."""
    found = [one.image or f"{present.project}-{one.name}" for one in services if which == "all" or not one.image]
    return list(dict.fromkeys(name for name in found if present.image(name)))
