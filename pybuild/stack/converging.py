"""Bringing a project where its files want it: what up, create, run, scale and watch have in common. Images first, then the rest by a new plan."""

import sys

from pybuild.stack.project import is_set, limit
from runner import plan as planning
from runner.action import CONTAINERS, IMAGES, RESOURCES, STARTS, BuildImage, CreateNetwork, CreateVolume, PullImage
from runner.desired import images, wanted
from runner.desired_mounts import Contents
from runner.load.config import in_dependency_order
from runner.load.identity import resource_hash
from runner.plan_images import Policy
from runner.present import is_foreign, observe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pybuild.stack.imaging import Images
    from pybuild.stack.project import stack
    from pybuild.stack.showing import Printer
    from runner.action import Action, Plan
    from runner.apply import OnStart
    from runner.desired import Wanted
    from runner.model.project import Project
    from runner.present import Present
    from runner.reactor import Reactor
    from runner.tasks import Failure


ALL = (RESOURCES, CONTAINERS, STARTS)


class Failed(Exception):
    """Steps went wrong; each has been told. exit_code: of the command."""

    def __init__(self, failures: "tuple[Failure, ...]") -> None:
        super().__init__(str(failures[0].error))
        self.failures = failures


class Converging:
    """One way from what there is to what is wanted. scale: service -> containers, over what the files say; project: with the services it is about."""

    def __init__(self, it: "stack", project: "Project", options: planning.Options, printer: "Printer", images: "Images", *,
                 scale: "dict[str, int] | None" = None, timeout_s: "float | None" = None) -> None:
        self.it = it
        it.notes_to(printer)
        self.project = project
        self.options = options
        self.printer = printer
        self._images = images
        self._timeout_s = timeout_s
        scale = scale or {}
        contents = Contents(project)
        self.wanted: tuple[Wanted, ...] = tuple(
            wanted(one, project, contents, scale.get(one.name, one.replicas())) for one in in_dependency_order(project))
        self.notes: set[str] = set()

    # ---------------------------------------------------------------- deciding
    def observe(self) -> "Present":
        project = self.project
        found = observe(self.it.engine, project.name, images=(*images(self.wanted), *_more_images(project)),
                       networks=(one.name for one in project.networks), volumes=(one.name for one in project.volumes))
        foreign = {one.image for one in self.wanted if is_foreign(self.it.engine.store, found.image(one.image), one.service.platform)}
        return found._replace(images=tuple((name, id) for name, id in found.images if name not in foreign)) if foreign else found

    def plan(self, *, pulled: bool = False, settled: bool = False) -> "Plan":
        """By what there is now. pulled: images that are to be pulled have been; settled: the images are as they should be."""
        present = self.observe()
        policy = self.options.images
        if not settled and (policy.build == "always" or "build" in (policy.pull, *(one.service.pull_policy for one in self.wanted))):
            policy = policy._replace(cached=self._cached())
        if not settled:
            policy = policy._replace(ages=self._ages())
        options = self.options._replace(images=Policy(settled=True) if settled else policy._replace(pulled=pulled))
        return planning.plan(self.wanted, self.project, present, options)

    def _cached(self) -> "tuple[tuple[str, str], ...]":
        """Services whose build is known to give the image they have."""
        found = []
        for one in self.wanted:
            if one.service.build is not None and not self.options.images.renew:
                try:
                    found.append((one.name, self._images.cached(one.service, one.image)))
                except Exception:                         # what is wrong with it is said when it is built
                    continue
        return tuple(found)

    def _ages(self) -> "tuple[tuple[str, int], ...]":
        """Of images that are to be looked for again after some time: how long ago that was done."""
        names = {one.image for one in self.wanted if one.service.pull_policy in ("daily", "weekly", "refresh")
                 or one.service.pull_policy.startswith("every_")}
        if not names:
            return ()
        import time

        now = int(time.time())
        return tuple((name, now - self.it.engine.store.images.looked_for(name)) for name in sorted(names))

    def identity(self) -> "dict[str, str]":
        """What a plan rests on, beside what its steps say: the configuration of each service and what its image is now."""
        present = self.observe()
        found = {f"service {one.name}": one.hash for one in self.wanted}
        found |= {f"image {name}": id for name, id in present.images}
        found |= {f"network {one.name}": resource_hash(one) for one in self.project.networks if not one.external}
        return found | {f"volume {one.name}": resource_hash(one) for one in self.project.volumes if not one.external}

    # ---------------------------------------------------------------- doing
    def run(self, *, attaches: "Callable[[str], bool]" = lambda service: False, on_start: "OnStart" = lambda container, contact, spot: False,
            reactor: "Reactor | None" = None, before_starts: "Callable[[], None]" = lambda: None, only: "tuple[int, ...]" = ALL) -> "Plan":
        """Raises Failed; what could be done is done then. Returns the plan that was carried out. only: these phases of it, beside images."""
        def carry_out(plan: "Plan", *phases: int) -> None:
            if not any(plan.phase(phase) for phase in phases):
                return                                    # and nothing has to be imported for it
            from runner.apply import Work, apply
            from runner.reactor import Reactor

            work = Work(self.it.engine, self.project, self.wanted, self.printer, images=self._images, timeout_s=self._timeout_s, attaches=attaches,
                        on_start=on_start)
            own = reactor or Reactor(self.it.engine.store.events)
            try:
                failures = apply(plan, work, own, limit=limit(self.it.options, self.it.environment), phases=phases)
            finally:
                if reactor is None:
                    own.close()
            if failures:
                raise Failed(failures)

        plan = self.plan()
        if plan.phase(IMAGES):
            carry_out(plan, IMAGES)
            if any(isinstance(step.action, PullImage) and step.action.optional for step in plan.phase(IMAGES)):
                carry_out(self.plan(pulled=True), IMAGES)  # what could not be pulled can be built
            plan = self.plan(settled=True)
        for note in plan.notes:
            self.note(note)
        if CONTAINERS in only:
            self._say_running(plan)
        carry_out(plan, *(phase for phase in (RESOURCES, CONTAINERS) if phase in only))
        before_starts()
        carry_out(plan, *(phase for phase in (STARTS,) if phase in only))
        if plan.steps:
            self.it.engine.sweep()                        # what commands have left that were killed
        return plan

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.add(text)
            self.printer.warn(text)

    def _say_running(self, plan: "Plan") -> None:
        """What stays as it is, as compose says it."""
        from runner.progress import RUNNING, Progress

        touched = {getattr(step.action, "name", "") for step in plan.steps} | {getattr(step.action, "old_name", "") for step in plan.steps}
        names = {one.name for one in self.wanted}
        for seen in self.it.present().containers:
            if seen.service in names and not seen.one_off and seen.is_running and seen.name not in touched:
                self.printer(Progress("Container", seen.name, RUNNING))


def _more_images(project: "Project") -> "Iterable[str]":
    """Of services that only builds of others need."""
    return (one.image or f"{project.name}-{one.name}" for one in project.disabled if one.build is not None)


def tell(failures: "tuple[Failure, ...]", it: "stack", printer: "Printer") -> None:
    """Each failure, once; of an image that could not be had its process has told why."""
    from pybuild.output.errors import text
    from runner.apply import ImageFailed
    from runner.errors import InvalidService

    printer.pause()
    for failure in failures:
        error = failure.error
        if isinstance(error, ImageFailed) and isinstance(failure.action, BuildImage):
            print(f"error: the build of service `{failure.action.service}` failed", file=sys.stderr)
            continue
        it.locate(error, error.path if isinstance(error, InvalidService) else _path_of(failure.action))
        print(text(error), file=sys.stderr)


def _path_of(action: "Action") -> "tuple[str, ...]":
    """Where the files say what a step is about."""
    if isinstance(action, CreateNetwork | CreateVolume):
        return "networks" if isinstance(action, CreateNetwork) else "volumes", action.key
    service = getattr(action, "service", "")
    return ("services", service) if service else ()


def orphan_policy(it: "stack", remove: bool) -> "tuple[bool, bool]":
    """(remove them, say nothing of them). Raises Misuse where both are wanted."""
    remove = remove or is_set(it.environment, "COMPOSE_REMOVE_ORPHANS")
    ignore = is_set(it.environment, "COMPOSE_IGNORE_ORPHANS")
    if remove and ignore:
        from pybuild.scanner import Misuse

        raise Misuse("`--remove-orphans` and COMPOSE_IGNORE_ORPHANS contradict each other")
    return remove, ignore


def separator(it: "stack") -> str:
    """Between the parts of a container's name."""
    return "_" if it.said.compatibility or is_set(it.environment, "COMPOSE_COMPATIBILITY") else "-"


def scales(words: list[str]) -> "dict[str, int]":
    """`SERVICE=N` words. Raises Misuse."""
    from pybuild.scanner import Misuse

    found = {}
    for word in words:
        name, equals, count = word.partition("=")
        if not equals or not name or not count.isascii() or not count.isdigit():
            raise Misuse(f"`--scale {word}` is no SERVICE=NUMBER")
        found[name] = int(count)
    return found
