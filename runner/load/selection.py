"""Which services a command is about: profiles, the services it names and what they depend on, and the resources they use."""

from runner.errors import ServiceMissing
from runner.load.report import closest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from runner.model.project import Project
    from runner.model.service import Service


def activate(project: "Project", profiles: "Iterable[str]") -> "Project":
    """`project` with the services enabled that have one of `profiles` (`*`: any), or none at all. Idempotent."""
    active = tuple(dict.fromkeys(profiles))
    everything = sorted((*project.services, *project.disabled), key=lambda service: service.name)
    enabled = tuple(one for one in everything if not one.profiles or "*" in active or not set(one.profiles).isdisjoint(active))
    return project._replace(services=enabled, disabled=_others(everything, enabled), profiles=active)


def targeted(project: "Project", names: "Iterable[str]") -> "Project":
    """`project` with the profiles active, too, of the services `names`. Raises ServiceMissing."""
    known = {one.name: one for one in (*project.services, *project.disabled)}
    more: list[str] = []
    for name in names:
        if name not in known:
            near = closest(name, known)
            raise ServiceMissing(name, f"did you mean `{near}`?" if near else "")
        if project.service(name) is None:
            more += known[name].profiles
    return activate(project, (*project.profiles, *more)) if more else project


def select(project: "Project", names: "Iterable[str]", dependencies: bool = True) -> "Project":
    """`project` with only the services `names`, and those they depend on; all if there are no names.

    Raises ServiceMissing.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return project
    project = targeted(project, wanted)
    services = {one.name: one for one in project.services}
    chosen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in services and name not in chosen:
            chosen.add(name)
            wanted += [other for other, _ in services[name].depends_on] if dependencies else []
    kept = tuple(one._replace(depends_on=tuple(pair for pair in one.depends_on if pair[0] in chosen))
                 for one in project.services if one.name in chosen)
    left = [one for one in project.services if one.name not in chosen]
    return project._replace(services=kept, disabled=tuple(sorted((*project.disabled, *left), key=lambda one: one.name)))


def used(project: "Project") -> "Project":
    """`project` without the networks, volumes, secrets, configs and models that no enabled service uses."""
    keys: dict[str, set[str]] = {"networks": set(), "volumes": set(), "secrets": set(), "configs": set(), "models": set()}
    for service in project.services:
        keys["networks"].update(key for key, _ in service.networks)
        keys["networks"].update((service.build.network,) if service.build else ())
        keys["volumes"].update(mount.source for mount in service.volumes if mount.type == "volume")
        keys["secrets"].update(grant.source for grant in (*service.secrets, *(service.build.secrets if service.build else ())))
        keys["configs"].update(grant.source for grant in service.configs)
        keys["models"].update(key for key, _ in service.models)
    kept: dict[str, Any] = {kind: tuple(one for one in getattr(project, kind) if one.key in names) for kind, names in keys.items()}
    return project._replace(**kept)


def _others(everything: "list[Service]", enabled: "tuple[Service, ...]") -> "tuple[Service, ...]":
    names = {one.name for one in enabled}
    return tuple(one for one in everything if one.name not in names)
