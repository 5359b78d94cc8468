"""What there is of a project now: its containers, networks, volumes and images, as values that the planner compares with what is wanted.

`observe` reads; it holds nothing open and changes nothing but the state of containers that have died unseen.
"""

from kernel.value import Value
from runner import labels
from runner.container import process_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from runner.container import Container
    from runner.engine import Engine
    from runner.state import State
    from store.store import Store

    Texts: TypeAlias = tuple[str, ...]
    Pairs: TypeAlias = tuple[tuple[str, str], ...]


class SeenMount(Value):
    """source: name of the volume, path, or name of the image."""

    target: str
    kind: str
    source: str = ""
    anonymous: bool = False


class Seen(Value):
    """A container of the project. networks: those it is meant to be on. shares: (attribute, ID) of namespaces it has of other containers.

    config: see ContainerSpec.config. mounted: IDs of images that are mounted in it, joined by commas, as far as that was noted.
    """

    id: str
    name: str
    service: str
    number: int = 0
    one_off: bool = False
    hash: str = ""
    image_id: str = ""
    status: str = "created"
    exit_code: int = 0
    health: str = ""
    created: int = 0
    networks: "Texts" = ()
    mounts: "tuple[SeenMount, ...]" = ()
    shares: "Pairs" = ()
    depends_on: str = ""
    config: str = ""
    image: str = ""
    mounted: str = ""

    @property
    def is_running(self) -> bool:
        return self.status in ("running", "paused", "restarting")


class SeenNetwork(Value):
    """key, project, hash: of its labels, "" for one that no project has made."""

    name: str
    id: str = ""
    project: str = ""
    key: str = ""
    hash: str = ""


class SeenVolume(Value):
    name: str
    project: str = ""
    key: str = ""
    hash: str = ""
    users: "Texts" = ()                                   # IDs of containers, of any project


class Present(Value):
    """containers: by service and number. images: (name, ID) of those asked for that are here."""

    project: str
    containers: "tuple[Seen, ...]" = ()
    networks: "tuple[SeenNetwork, ...]" = ()
    volumes: "tuple[SeenVolume, ...]" = ()
    images: "Pairs" = ()

    def of(self, service: str) -> "tuple[Seen, ...]":
        """The service's containers, without one-off ones."""
        return tuple(one for one in self.containers if one.service == service and not one.one_off)

    def network(self, name: str) -> "SeenNetwork | None":
        return next((one for one in self.networks if one.name == name), None)

    def volume(self, name: str) -> "SeenVolume | None":
        return next((one for one in self.volumes if one.name == name), None)

    def image(self, name: str) -> str:
        return dict(self.images).get(name, "")


def observe(engine: "Engine", project: str, *, images: "Iterable[str]" = (), networks: "Iterable[str]" = (),
            volumes: "Iterable[str]" = ()) -> Present:
    """What there is of `project`; of networks and volumes also those called so that are somebody else's."""
    containers = sorted((seen(one, engine.state(one)) for one in of_project(engine, project)), key=lambda one: (one.service, one.number, one.created))
    return Present(project, tuple(containers), _networks(engine, project, set(networks)), _volumes(engine, project, set(volumes)),
                   tuple((name, id) for name in dict.fromkeys(images) if (id := image_id(engine.store, name))))


def image_id(store: "Store", name: str) -> str:
    """The image that a service means by `name`: of the store, else one that is made of this machine; "" if it is not here."""
    image = store.images.resolve(name)
    if image is not None:
        return image.id
    if not name.startswith("host/"):
        return ""
    from builder.base.reserved import is_reserved, known

    return (known(store, name) or "") if is_reserved(name) else ""


def is_foreign(store: "Store", image: str, platform: str) -> bool:
    """Whether an image is for another platform than is wanted ("": any): then it is as if it was not here."""
    if not image or not platform:
        return False
    from store.digest import Digest
    from store.platform import parse_platform

    record = store.images.record(Digest(image))
    wanted, there = parse_platform(platform), parse_platform(record.platform) if record else None
    return there is not None and (there.os, there.architecture) != (wanted.os, wanted.architecture)


def of_project(engine: "Engine", project: str) -> "list[Container]":
    """Containers with the project's label, newest first."""
    return [one for one in engine.records.containers() if (labels.PROJECT, project) in one.spec.labels]


def seen(container: "Container", state: "State") -> Seen:
    spec = container.spec
    own = dict(spec.labels)
    modes = (("network_mode", spec.network_mode), ("pid", spec.pid_mode), ("ipc", spec.ipc_mode), ("uts", spec.uts_mode))
    check = process_of(spec, container.runtime).healthcheck
    health = state.health.status if state.health else "starting" if check and state.is_running else ""
    return Seen(
        container.id, container.name, own.get(labels.SERVICE, ""), labels.number_of(own), labels.is_one_off(own), own.get(labels.HASH, ""),
        container.image_id, state.status, state.exit_code, health if state.is_running else "", container.created,
        tuple(one.network for one in spec.endpoints), tuple(SeenMount(one.target, one.kind, one.source, one.anonymous) for one in spec.mounts),
        tuple((name, mode[10:]) for name, mode in modes if mode.startswith("container:")), own.get(labels.DEPENDS_ON, ""), spec.config, spec.image,
        own.get(labels.IMAGE_VOLUMES, ""))


def _networks(engine: "Engine", project: str, names: "set[str]") -> "tuple[SeenNetwork, ...]":
    from runner.agent.records import Networks

    records = Networks(engine.store.root.path)
    try:
        found = [(one, dict(one.spec.labels)) for one in records.list()]
    finally:
        records.close()
    return tuple(SeenNetwork(one.name, one.id, own.get(labels.PROJECT, ""), own.get(labels.NETWORK, ""), own.get(labels.HASH, ""))
                 for one, own in found if one.name in names or own.get(labels.PROJECT) == project)


def _volumes(engine: "Engine", project: str, names: "set[str]") -> "tuple[SeenVolume, ...]":
    found = ((one, dict(one.labels)) for one in engine.records.volumes())
    return tuple(SeenVolume(one.name, own.get(labels.PROJECT, ""), own.get(labels.VOLUME, ""), own.get(labels.HASH, ""),
                            engine.records.users(one.name))
                 for one, own in found if one.name in names or own.get(labels.PROJECT) == project)
