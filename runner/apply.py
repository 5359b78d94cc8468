"""A Plan, carried out: phase by phase, in each as much at the same time as its steps permit. Effects only; what is to be done is the plan's to say.

Killed in the middle it leaves a project that the next plan puts right. Read `apply`, then Work, a method for each kind of action.
"""

from runner import action as a
from runner import hooks, labels
from runner import progress as words
from runner.confining import NOTICE
from runner.container import Mount
from runner.desired import mounted_images, network_spec, replica
from runner.errors import DependencyFailed, ImageUnavailable, InvalidService, Missing, RunError
from runner.load.identity import resource_hash
from runner.logreader import end_of
from runner.plan_replicas import interim_name
from runner.present import image_id
from runner.progress import Progress, Warned
from runner.readiness import Watched, verdict
from runner.sweeper import Sweeper
from runner.tasks import News, Readable, Tasks
from sandbox.errors import SandboxError
from store.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol, TypeAlias

    from runner.contact import Contact
    from runner.container import Container, ContainerSpec
    from runner.desired import Wanted
    from runner.engine import Engine
    from runner.model.project import Project
    from runner.model.service import Service
    from runner.network import NetworkRecord, NetworkSpec
    from runner.progress import OnNews
    from runner.reactor import Reactor
    from runner.tasks import Failure, Task

    OnStart: TypeAlias = Callable[[Container, Contact, tuple[int, int]], bool]

    class Networks(Protocol):
        """Who makes networks: the agent's client."""

        def create(self, spec: NetworkSpec) -> NetworkRecord: ...

        def remove(self, word: str) -> NetworkRecord: ...

    class Images(Protocol):
        """Who gets images: in processes of their own, which say themselves what goes on. Both give the pid; it ends with 0, or has said why not."""

        def build(self, service: Service, image: str) -> int: ...

        def pull(self, service: Service, image: str) -> int: ...

_SECOND = 1_000_000_000
_SIGTERM, _SIGKILL = 15, 9
_CLEARING_MS = 10_000


class ImageFailed(RunError):
    """An image could not be built or pulled; why has been said."""

    def __init__(self, verb: str, image: str, status: int) -> None:
        super().__init__(verb, image, status)
        self.verb, self.image, self.status = verb, image, status

    def __str__(self) -> str:
        return f"the image `{self.image}` could not be {self.verb}"


def apply(plan: "a.Plan", work: "Work", reactor: "Reactor", *, limit: int = 0, phases: "tuple[int, ...]" = (0, 1, 2, 3)) -> "tuple[Failure, ...]":
    """Carry out those phases of the plan; what went wrong. A phase in which something did is the last one. limit: steps at once, 0: any number."""
    try:
        for phase in phases:
            steps = plan.phase(phase)
            if any(isinstance(step.action, a.WaitFor) for step in steps):
                reactor.follow()                          # before the first look at what is waited for
            if steps and (failures := Tasks(reactor, work.task, limit).run(steps)):
                return failures
    finally:
        work.finish()
    return ()


class Work:
    """What the actions of one project are done with. timeout_s: for stops, None: as each service has it.

    on_start: is given every container that has started with the conversation with its shim, attached if `attaches` says so of the service, and
    the end that its log had before; returns whether it keeps the conversation.
    """

    def __init__(self, engine: "Engine", project: "Project", wanted: "tuple[Wanted, ...]", on_news: "OnNews", *, images: "Images | None" = None,
                 timeout_s: "float | None" = None, attaches: "Callable[[str], bool]" = lambda service: False,
                 on_start: "OnStart" = lambda container, contact, spot: False) -> None:
        self._engine = engine
        self._project = project
        self._wanted = {one.name: one for one in wanted}
        self._services = {one.name: one for one in (*project.services, *project.disabled)}
        self._images = images
        self._timeout_s = timeout_s
        self._attaches = attaches
        self._on_start = on_start
        self._say = on_news
        self._sweeper: "Sweeper | None" = None
        self._noticed = False

    def finish(self) -> None:
        """Wait for what goes on beside the steps."""
        if self._sweeper:
            self._sweeper.join()

    def _discard(self, id: str) -> None:
        """Directories are removed by threads: the disk takes its time for each entry, and for many at once no longer."""
        if self._sweeper is None:
            self._sweeper = Sweeper()
        self._sweeper.submit(lambda: self._engine.discard(id))

    def task(self, action: "a.Action") -> "Task":
        return self._told(action, getattr(self, _METHODS[type(action)])(action))

    def _told(self, action: "a.Action", task: "Task") -> "Task":
        """A failure is told where it happens; the text comes at the end, once."""
        try:
            yield from task
        except Exception as error:
            failed = error.container if isinstance(error, DependencyFailed) else ""
            name = failed or next(filter(None, (getattr(action, key, "") for key in ("name", "image", "container", "service"))), "")
            self._say(Progress(_KINDS.get(type(action), "Container"), name, words.ERROR))
            raise

    # ---------------------------------------------------------------- images, networks, volumes
    def build(self, action: a.BuildImage) -> "Task":
        assert self._images
        yield from self._child(action.image, self._images.build(self._services[action.service], action.image), words.BUILDING, words.BUILT, "built")

    def pull(self, action: a.PullImage) -> "Task":
        assert self._images
        try:
            pid = self._images.pull(self._services[action.service], action.image)
            yield from self._child(action.image, pid, words.PULLING, words.PULLED, "pulled")
        except ImageFailed:
            if not action.optional:
                raise
            self._say(Progress("Image", action.image, words.SKIPPED, "it could not be pulled"))

    def _child(self, image: str, pid: int, doing: str, done: str, verb: str) -> "Task":
        import os

        self._say(Progress("Image", image, doing))
        pidfd = os.pidfd_open(pid)
        ended = False
        try:
            ended = yield Readable(pidfd)
        finally:
            if not ended:                                 # the user wants to go
                _end(pid, pidfd)
            os.close(pidfd)
            status = _reap(pid)
        if status:
            raise ImageFailed(verb, image, status)
        self._say(Progress("Image", image, done))

    def create_network(self, action: a.CreateNetwork) -> "Iterator[Any]":
        self._say(Progress("Network", action.name, words.CREATING))
        network = next(one for one in self._project.networks if one.key == action.key)
        self._networks().create(network_spec(network, self._project))
        self._say(Progress("Network", action.name, words.CREATED))
        yield from ()

    def remove_network(self, action: a.RemoveNetwork) -> "Iterator[Any]":
        from runner.agent.errors import NetworkInUse, NetworkMissing

        self._say(Progress("Network", action.name, words.REMOVING))
        try:
            self._networks().remove(action.name)
        except NetworkMissing:
            pass
        except NetworkInUse as error:
            if action.reasons:
                raise
            self._say(Progress("Network", action.name, words.IN_USE, f"by {', '.join(error.containers)}"))
            return
        self._say(Progress("Network", action.name, words.REMOVED))
        yield from ()

    def _networks(self) -> "Networks":
        return self._engine.network  # type: ignore[return-value]  # the agent's client, which is a Network, makes networks too

    def create_volume(self, action: a.CreateVolume) -> "Iterator[Any]":
        self._say(Progress("Volume", action.name, words.CREATING))
        volume = next(one for one in self._project.volumes if one.key == action.key)
        own = labels.merged(volume.labels, {labels.PROJECT: self._project.name, labels.VOLUME: volume.key, labels.HASH: resource_hash(volume),
                                             labels.VERSION: labels.RELEASE})
        self._engine.volumes.create(volume.name, driver=volume.driver or "local", options=volume.driver_opts, labels=own)
        self._say(Progress("Volume", action.name, words.CREATED))
        yield from ()

    def remove_volume(self, action: a.RemoveVolume) -> "Iterator[Any]":
        from runner.errors import Conflict

        self._say(Progress("Volume", action.name, words.REMOVING))
        try:
            self._engine.volumes.remove(action.name, force=True)
        except Conflict:
            if action.reasons:
                raise
            self._say(Progress("Volume", action.name, words.IN_USE))
            return
        self._say(Progress("Volume", action.name, words.REMOVED))
        yield from ()

    def remove_image(self, action: a.RemoveImage) -> "Iterator[Any]":
        from store.errors import ImageInUse, ReferenceMissing

        self._say(Progress("Image", action.name, words.REMOVING))
        try:
            self._engine.store.images.remove(action.name)
        except ReferenceMissing:
            pass
        except ImageInUse:
            self._say(Progress("Image", action.name, words.IN_USE))
            return
        self._say(Progress("Image", action.name, words.REMOVED))
        yield from ()

    # ---------------------------------------------------------------- containers
    def create(self, action: a.CreateContainer) -> "Iterator[Any]":
        self._say(Progress("Container", action.name, words.CREATING))
        want = self._wanted[action.service]
        self._engine.create(self._replica(action.service, action.number, action.name), self._image_id(want))
        self._say(Progress("Container", action.name, words.CREATED))
        yield from ()

    def recreate(self, action: a.RecreateContainer) -> "Task":
        """The new one is made first: what is wrong with it leaves the old one as it was."""
        engine = self._engine
        self._say(Progress("Container", action.name, words.RECREATE, f"({'; '.join(action.reasons)})"))
        old = engine.find(action.old)
        spec = self._replica(action.service, action.number, interim_name(old.id, action.name))
        spec = spec._replace(labels=labels.merged(spec.labels, {labels.REPLACE: old.name}))
        new = engine.create(_inheriting(spec, old) if action.inherit else spec, self._image_id(self._wanted[action.service]))
        contact = engine.begin_stop(old, timeout_s=self._grace(action.service))
        if contact:
            yield Readable(contact.fileno())
            engine.finish_stop(old, contact)
        engine.remove(old, force=True, volumes=not action.inherit, logs_to=new, discard=self._discard)
        engine.rename(new, action.name)
        self._say(Progress("Container", action.name, words.RECREATED))

    def rename(self, action: a.RenameContainer) -> "Iterator[Any]":
        self._engine.rename(self._engine.find(action.id), action.name)
        self._say(Progress("Container", action.name, words.RENAMED))
        yield from ()

    def start(self, action: a.StartContainer) -> "Task":
        engine = self._engine
        container = engine.find(action.name)
        self._say(Progress("Container", container.name, words.STARTING))
        spot = end_of(engine.place(container.id).log)
        contact = engine.begin_start(container, attached=self._attaches(action.service))
        if contact is None:
            self._say(Progress("Container", container.name, words.RUNNING))
            return
        try:
            try:
                yield Readable(contact.fileno())
            except GeneratorExit:                         # the user wants to go: who stops what runs has to see this one run
                self._settle(container, contact)
                raise
            engine.finish_start(container, contact)
            for text in contact.warnings:
                if not text.startswith(NOTICE):
                    self._say(Warned(f"{container.name}: {text}"))
                elif not self._noticed:
                    self._noticed = True
                    self._say(Warned(text))               # of all of them
        except BaseException:
            contact.close()
            raise
        if not self._on_start(container, contact, spot):
            contact.close()
        self._say(Progress("Container", container.name, words.STARTED))

    def _settle(self, container: "Container", contact: "Contact") -> None:
        """Wait for the end of a start that no task waits for any more; it has some seconds for that."""
        import select

        poll = select.poll()
        poll.register(contact.fileno(), select.POLLIN)
        if poll.poll(_CLEARING_MS):
            try:
                self._engine.finish_start(container, contact)
            except (RunError, SandboxError):
                pass                                      # so it does not run, and there is nothing to be stopped

    def stop(self, action: a.StopContainer) -> "Task":
        container = self._find(action.id)
        if container is None:
            return
        self._say(Progress("Container", container.name, words.STOPPING))
        contact = self._engine.begin_stop(container, timeout_s=self._grace(action.service))
        if contact:
            yield Readable(contact.fileno())
            self._engine.finish_stop(container, contact)
        self._say(Progress("Container", container.name, words.STOPPED))

    def remove(self, action: a.RemoveContainer) -> "Iterator[Any]":
        container = self._find(action.id)
        if container is not None:
            self._say(Progress("Container", container.name, words.REMOVING))
            try:
                self._engine.remove(container, force=True, volumes=action.volumes, discard=self._discard)
            except Missing:
                pass                                      # it was removed meanwhile
            self._say(Progress("Container", container.name, words.REMOVED))
        yield from ()

    def _find(self, id: str) -> "Container | None":
        return self._engine.records.container(id)

    def _grace(self, service: str) -> "float | None":
        """Seconds that a container of `service` has to end; None: as it was made."""
        if self._timeout_s is not None:
            return self._timeout_s
        known = self._services.get(service)
        return None if known is None or known.stop_grace_period is None else known.stop_grace_period / _SECOND

    def _replica(self, service: str, number: int, name: str) -> "ContainerSpec":
        want = self._wanted[service]
        for index, word in enumerate(want.service.external_links):
            try:
                self._engine.find(word.partition(":")[0])
            except Missing as error:
                raise InvalidService(("services", service, "external_links", index), f"names a container that there is not: {error}") from error
        spec = replica(want, self._project, number, name, first_containers(self._engine, self._project.name, want), self._image_id(want),
                       tuple(image_id(self._engine.store, one) for one in mounted_images(want)))
        if spec.entrypoint == () and spec.cmd is None:    # as in docker: an entrypoint that is taken away leaves the image's command
            spec = spec._replace(cmd=self._engine.store.images.runtime(Digest(self._image_id(want))).cmd)
        return spec

    def _image_id(self, want: "Wanted") -> str:
        id = image_id(self._engine.store, want.image)
        if not id:
            raise ImageUnavailable(want.image, want.name, "is not here")
        return id

    # ---------------------------------------------------------------- hooks and waits
    def hook(self, action: a.RunHook) -> "Task":
        service = self._services[action.service]
        hook = getattr(service, action.kind)[action.position]
        name = f"services.{service.name}.{action.kind}[{action.position}]"
        if action.kind == "pre_start":
            want = self._wanted[service.name]
            spec = replica(want, self._project, 1, "", first_containers(self._engine, self._project.name, want))
            spec = hooks.before_spec(spec, hook, f"{action.container}-pre_start-{action.position + 1}")
            yield from hooks.run_before(self._engine, spec, image_id(self._engine.store, spec.image), name, self._say)
            return
        container = self._find_named(action.container)
        if container is not None:
            yield from hooks.run_inside(self._engine, container, hook, name, self._say)

    def _find_named(self, name: str) -> "Container | None":
        return self._engine.records.named(name)

    def wait(self, action: a.WaitFor) -> "Task":
        for name in action.containers:
            self._say(Progress("Container", name, words.WAITING))
        with Watched(self._engine, action.containers) as watched:
            try:
                while pending := [one for one in watched.containers if not self._has_come(one, action.condition)]:
                    fds = watched.descriptors(pending)
                    if len(fds) == len(pending):          # else one has just ended
                        yield News(tuple(one.id for one in pending), fds)
            except DependencyFailed as error:
                if action.required:
                    raise
                self._say(Warned(f"optional {error}"))
                return
        for one in watched.containers:
            self._say(Progress("Container", one.name, words.HEALTHY if self._engine.state(one).is_running else words.EXITED))

    def _has_come(self, container: "Container", condition: str) -> bool:
        return verdict(container, self._engine.state(container), condition)


def first_containers(engine: "Engine", project: str, want: "Wanted") -> "dict[str, str]":
    """Names of the first containers of the services that this one refers to; a link may lead to none yet. Raises Missing."""
    shared = [other for _, other in want.shares]
    found = {}
    for other in dict.fromkeys(shared + [word.partition(":")[0] for word in want.service.links]):
        there = [(labels.number_of(dict(one.spec.labels)), one.name) for one in engine.records.containers() if _is_of(one, project, other)]
        if there:
            found[other] = min(there)[1]
        elif other in shared:
            raise Missing("container", f"{project}-{other}-1", f"service `{want.name}` needs it: start `{other}` first")
    return found


def _is_of(container: "Container", project: str, service: str) -> bool:
    own = container.spec.labels
    return (labels.PROJECT, project) in own and (labels.SERVICE, service) in own and (labels.ONE_OFF, "False") in own


def _inheriting(spec: "ContainerSpec", old: "Container") -> "ContainerSpec":
    """With the anonymous volumes of `old`, but for those on targets where something else is to be now."""
    there = {one.target: one for one in old.spec.mounts if one.kind == "volume" and one.anonymous}
    mounts = [one._replace(source=there[one.target].source, anonymous=True) if one.target in there and (one.kind, one.source) == ("volume", "")
              else one for one in spec.mounts]
    taken = {one.target for one in mounts} | {one.target for one in spec.files}
    mounts += [Mount("volume", target, one.source, anonymous=True) for target, one in there.items() if target not in taken]
    return spec._replace(mounts=tuple(mounts))


def _end(pid: int, pidfd: int) -> None:
    """Have a child clear up and end; it has some seconds for that."""
    import os
    import select

    os.kill(pid, _SIGTERM)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(_CLEARING_MS):
        os.kill(pid, _SIGKILL)


def _reap(pid: int) -> int:
    """Exit status of a child that has ended."""
    import os

    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


_METHODS: "dict[type, str]" = {
    a.BuildImage: "build", a.PullImage: "pull", a.CreateNetwork: "create_network", a.RemoveNetwork: "remove_network",
    a.CreateVolume: "create_volume", a.RemoveVolume: "remove_volume", a.RemoveImage: "remove_image", a.CreateContainer: "create",
    a.RecreateContainer: "recreate", a.RenameContainer: "rename", a.StartContainer: "start", a.StopContainer: "stop", a.RemoveContainer: "remove",
    a.RunHook: "hook", a.WaitFor: "wait"}
_KINDS: "dict[type, str]" = {
    a.BuildImage: "Image", a.PullImage: "Image", a.CreateNetwork: "Network", a.RemoveNetwork: "Network", a.CreateVolume: "Volume",
    a.RemoveVolume: "Volume", a.RemoveImage: "Image"}
