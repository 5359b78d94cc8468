"""What there is, compared with what is wanted -> the Plan that leads from the one to the other. Pure: it holds nothing that could change anything.

Read `plan`; then _Planner from its top: images, networks and volumes, containers, starts, in the order of the phases of runner.action. Which
containers are kept, made anew or too many is in runner.plan_replicas; plans for stopping and removing are in runner.plan_down.
"""

from kernel.value import Value
from runner import plan_images
from runner.action import (
    CONTAINERS,
    RESOURCES,
    STARTS,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    Draft,
    Plan,
    RecreateContainer,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    RunHook,
    StartContainer,
    StopContainer,
    WaitFor,
)
from runner.errors import InvalidService
from runner.load.identity import resource_hash
from runner.plan_replicas import Verdict, judge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.desired import Wanted
    from runner.model.project import Project
    from runner.model.service import Service
    from runner.present import Present, Seen, SeenVolume

    Texts = tuple[str, ...]

DIVERGED, FORCE, NEVER = "diverged", "force", "never"
PREDEFINED = ("host", "none", "bridge")


class Options(Value):
    """named: services the command is about, (): all. recreate: DIVERGED, FORCE or NEVER; recreate_dependencies: FORCE counts for those too.

    inherit: new containers get the anonymous volumes of the old ones. renew_volumes: keys of volumes whose data may be lost.
    separator: between the parts of a container's name.
    """

    named: "Texts" = ()
    recreate: str = DIVERGED
    recreate_dependencies: bool = False
    inherit: bool = True
    start: bool = True
    remove_orphans: bool = False
    ignore_orphans: bool = False
    renew_volumes: "Texts" = ()
    separator: str = "-"
    images: plan_images.Policy = plan_images.Policy()


def plan(wanted: "tuple[Wanted, ...]", project: "Project", present: "Present", options: Options) -> Plan:
    """wanted: in the order of their dependencies.

    Raises InvalidService, ImageUnavailable for what cannot be had.
    Law: a plan made of what there is once a plan was carried out, has no changes, but for starting again what has ended by itself.
    """
    return _Planner(wanted, project, present, options).plan()


def diverged_volumes(project: "Project", present: "Present") -> "tuple[SeenVolume, ...]":
    """Volumes of this project that are not as the files say: they stay as they are unless the user agrees to lose what is in them."""
    found = ((one, present.volume(one.name)) for one in project.volumes if not one.external)
    return tuple(there for one, there in found if there and there.project == project.name and there.hash not in ("", resource_hash(one)))


class _Planner:
    def __init__(self, wanted: "tuple[Wanted, ...]", project: "Project", present: "Present", options: Options) -> None:
        self._wanted = {one.name: one for one in wanted}
        self._services = {one.name: one for one in (*project.services, *project.disabled)}
        self._project, self._present, self._options = project, present, options
        self._draft = Draft()
        self._gone: set[str] = set()                      # IDs of containers that earlier steps remove
        self._stopped: dict[str, int] = {}                # ID -> step that stops it
        self._verdicts: dict[str, Verdict] = {}
        self._made: dict[str, list[int]] = {}             # service -> steps that make its containers
        self._started: dict[str, list[int]] = {}          # service -> steps after which it runs

    def plan(self) -> Plan:
        plan_images.add(self._draft, tuple(self._wanted.values()), self._project, self._present, self._options.images)
        self._networks()
        self._volumes()
        self._judge()
        for want in self._wanted.values():
            self._containers(want)
            if want.notes and (self._verdicts[want.name].new or self._verdicts[want.name].anew):
                self._draft.notes += want.notes
        self._orphans()
        if self._options.start:
            for want in self._wanted.values():
                self._start(want)
            self._restart_others()
        return self._draft.plan(self._project.name)

    # ---------------------------------------------------------------- networks and volumes
    def _networks(self) -> None:
        for one in self._project.networks:
            there = self._present.network(one.name)
            if one.external:
                if there is None and one.name not in PREDEFINED:
                    raise _missing("network", one.key, one.name)
            elif there is None:
                self._draft.add(RESOURCES, CreateNetwork(one.key, one.name))
            elif there.project != self._project.name:
                self._foreign("network", one.key, one.name, there.project)
            elif there.hash not in ("", resource_hash(one)):
                on_it = [seen for seen in self._present.containers if one.name in seen.networks and seen.is_running]
                stops = [self._stop(seen, RESOURCES, f"network {one.name} is made anew") for seen in on_it]
                gone = self._draft.add(RESOURCES, RemoveNetwork(one.name, ("its configuration has changed",)), stops)
                self._draft.add(RESOURCES, CreateNetwork(one.key, one.name), [gone])

    def _volumes(self) -> None:
        diverged = {one.name for one in diverged_volumes(self._project, self._present)}
        for one in self._project.volumes:
            there = self._present.volume(one.name)
            if one.external:
                if there is None:
                    raise _missing("volume", one.key, one.name)
            elif there is None:
                self._draft.add(RESOURCES, CreateVolume(one.key, one.name))
            elif there.project != self._project.name:
                self._foreign("volume", one.key, one.name, there.project)
            elif one.name in diverged and one.key in self._options.renew_volumes:
                users = [seen for seen in self._present.containers if seen.id in there.users]
                gone = [self._remove(seen, RESOURCES, f"volume {one.name} is made anew") for seen in users]
                emptied = self._draft.add(RESOURCES, RemoveVolume(one.name, ("its configuration has changed",)), gone)
                self._draft.add(RESOURCES, CreateVolume(one.key, one.name), [emptied])
            elif one.name in diverged:
                self._draft.notes.append(f"volume `{one.name}` is not as the files say: it stays as it is, with its data")

    def _foreign(self, kind: str, key: str, name: str, owner: str) -> None:
        whose = f"project `{owner}`" if owner else "no project"
        self._draft.notes.append(f"{kind} `{name}`, of {whose}, is used as it is; `external: true` for `{key}` says that this is meant")

    # ---------------------------------------------------------------- containers
    def _judge(self) -> None:
        """Which containers are to be made anew; what shares a namespace with one of those is too."""
        for want in self._wanted.values():
            verdict = judge(want, self._project, self._present, self._gone, self._options, self._verdicts)
            self._verdicts[want.name] = verdict

    def _containers(self, want: "Wanted") -> None:
        verdict, service = self._verdicts[want.name], want.service
        steps = self._made.setdefault(want.name, [])
        before = [step for _, other in want.shares for step in self._made.get(other, ())]
        for seen, reason in verdict.excess:
            self._remove(seen, CONTAINERS, reason)
        for seen, name in verdict.renamed:
            steps.append(self._draft.add(CONTAINERS, RenameContainer(seen.id, seen.name, name)))
        for anew in verdict.anew:
            stops = self._stop_dependents(service.name) + self._before_stop(anew.seen, CONTAINERS)
            action = RecreateContainer(service.name, anew.seen.number, anew.name, anew.seen.id, anew.seen.name, anew.reasons, self._options.inherit)
            steps.append(self._draft.add(CONTAINERS, action, [*stops, *before]))
        for number, name in verdict.new:
            steps.append(self._draft.add(CONTAINERS, CreateContainer(service.name, number, name), before))

    def _stop_dependents(self, name: str) -> "list[int]":
        """Those that `depends_on` says are to restart with it."""
        steps = []
        for want in self._wanted.values():
            if any(other == name and one.restart for other, one in want.service.depends_on):
                running = [seen for seen in self._verdicts[want.name].running if seen.id not in self._gone]
                steps += [self._stop(seen, CONTAINERS, f"it restarts with {name}") for seen in running]
        return steps

    def _before_stop(self, seen: "Seen", phase: int) -> "list[int]":
        """Its pre_stop hooks, one after the other; the last one's step."""
        service = self._services.get(seen.service)
        last: list[int] = []
        if service is None or seen.status != "running" or seen.id in self._stopped:
            return last
        for index in range(len(service.pre_stop)):
            last = [self._draft.add(phase, RunHook(service.name, seen.name, "pre_stop", index), last)]
        return last

    def _stop(self, seen: "Seen", phase: int, reason: str) -> int:
        if seen.id not in self._stopped:
            hooks = self._before_stop(seen, phase)
            self._stopped[seen.id] = self._draft.add(phase, StopContainer(seen.id, seen.name, seen.service, (reason,)), hooks)
        return self._stopped[seen.id]

    def _remove(self, seen: "Seen", phase: int, reason: str) -> int:
        after = [self._stop(seen, phase, reason)] if seen.is_running else []
        self._gone.add(seen.id)
        return self._draft.add(phase, RemoveContainer(seen.id, seen.name, seen.service, (reason,)), after)

    def _orphans(self) -> None:
        found = [seen for seen in self._present.containers if seen.id not in self._gone and is_orphan(seen, self._services)]
        if self._options.remove_orphans:
            for seen in found:
                self._remove(seen, CONTAINERS, "it is an orphan")
        elif found and not self._options.ignore_orphans:
            names = ", ".join(f"`{seen.name}`" for seen in found)
            self._draft.notes.append(f"found orphan containers: {names}; `--remove-orphans` removes them")

    # ---------------------------------------------------------------- starts
    def _start(self, want: "Wanted") -> None:
        service, verdict = want.service, self._verdicts[want.name]
        names = [name for name, seen in verdict.names if seen is None or not seen.is_running or seen.id in self._stopped]
        before = self._dependencies(service)
        if names and len(names) == len(verdict.names):
            for index in range(len(service.pre_start)):
                if not service.pre_start[index].per_replica:
                    before = [self._draft.add(STARTS, RunHook(service.name, names[0], "pre_start", index), before)]
        done: list[int] = []
        for name in names:
            last = before
            for index in range(len(service.pre_start)):
                if service.pre_start[index].per_replica:
                    last = [self._draft.add(STARTS, RunHook(service.name, name, "pre_start", index), last)]
            last = [self._draft.add(STARTS, StartContainer(service.name, name), last)]
            for index in range(len(service.post_start)):
                last = [self._draft.add(STARTS, RunHook(service.name, name, "post_start", index), last)]
            done += last
        self._started[service.name] = done or before

    def _dependencies(self, service: "Service") -> "list[int]":
        """Steps that have to be done before `service` may start."""
        steps: list[int] = []
        for name, dependency in service.depends_on:
            if name not in self._wanted:
                continue
            started, names = self._started[name], self._verdicts[name].names
            if dependency.condition == "service_started" or not names:
                steps += started
            elif not self._holds(name, dependency.condition):
                steps.append(self._wait(WaitFor(name, dependency.condition, tuple(one for one, _ in names), dependency.required), started))
        return steps

    def _holds(self, name: str, condition: str) -> bool:
        """Whether what a dependency waits for is so already, and this plan does not change it."""
        names = self._verdicts[name].names
        return condition == "service_healthy" and all(
            seen is not None and seen.status == "running" and seen.health == "healthy" and seen.id not in self._stopped for _, seen in names)

    def _wait(self, action: WaitFor, after: "list[int]") -> int:
        """One step for all that wait for the same."""
        for step in self._draft.steps:
            if step.action == action:
                return step.number
        return self._draft.add(STARTS, action, after)

    def _restart_others(self) -> None:
        """Containers that were stopped on the way and that no wanted service starts."""
        for seen in self._present.containers:
            if seen.id in self._stopped and seen.id not in self._gone and seen.service not in self._wanted:
                self._draft.add(STARTS, StartContainer(seen.service, seen.name))


def _missing(kind: str, key: str, name: str) -> InvalidService:
    return InvalidService((f"{kind}s", key), f"is external, and there is no {kind} `{name}`", f"`pyup {kind} create {name}` makes it")


def is_orphan(seen: "Seen", services: "Iterable[str]") -> bool:
    """Whether it belongs to nothing: a one-off container that has ended, or one of a service that the files do not have."""
    if seen.one_off:
        return seen.status in ("exited", "dead")
    return seen.service not in services
