"""Plans made without a machine: a Present that compose files would have led to, and what carrying a plan out would make of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner import action as a
from runner.desired import Wanted, wanted
from runner.desired_mounts import Contents
from runner.load.config import in_dependency_order
from runner.load.identity import resource_hash
from runner.load.project import LoadOptions, load
from runner.model.project import Project
from runner.plan import Options, plan
from runner.plan_images import Policy
from runner.present import Present, Seen, SeenMount, SeenNetwork, SeenVolume


def project_of(path: Path, **options: Any) -> Project:
    return load(LoadOptions(str(path.parent), {}, (str(path),), "shop", **options)).project


def wanted_of(project: Project, scale: Mapping[str, int] | None = None) -> tuple[Wanted, ...]:
    contents = Contents(project)
    return tuple(wanted(one, project, contents, (scale or {}).get(one.name, one.replicas())) for one in in_dependency_order(project))


def image_id(name: str) -> str:
    return f"sha256:{name.encode().hex():0<64}"[:71]


def seen_of(want: Wanted, number: int, called: str, **changes: Any) -> Seen:
    """A running container as a plan would have made it."""
    spec = want.spec
    health = "healthy" if want.service.healthcheck else ""
    made = Seen(f"{called.encode().hex():0<64}"[:64], called, want.name, number, False, want.hash, image_id(want.image), "running", 0, health, number,
                tuple(one.network for one in spec.endpoints),
                tuple(SeenMount(one.target, one.kind, one.source, not one.source) for one in spec.mounts), config=want.config, image=want.image)
    return made._replace(**changes)


def present_of(project: Project, said: Mapping[str, Any]) -> Present:
    """What there is. said: see the cases of test_plan.py."""
    counts = said.get("services", {})
    found = []
    for want in wanted_of(project):
        for number in range(1, counts.get(want.name, 0) + 1):
            name = want.service.container_name or f"shop-{want.name}-{number}"
            found.append(seen_of(want, number, name, **said.get("changes", {}).get(f"{want.name}-{number}", {})))
    by_service = {seen.service: seen.id for seen in reversed(found)}
    shares = {want.name: tuple((key, by_service[other]) for key, other in want.shares if other in by_service) for want in wanted_of(project)}
    found = [seen._replace(shares=shares.get(seen.service, ())) for seen in found]
    found += [Seen(**{"id": f"{one['name'].encode().hex():0<64}"[:64], "service": "", **one}) for one in said.get("more", ())]
    exist = bool(counts) or bool(said.get("more"))
    networks = [SeenNetwork(one.name, project="shop", key=one.key, hash=resource_hash(one)) for one in project.networks if exist and not one.external]
    volumes = [SeenVolume(one.name, "shop", one.key, resource_hash(one), tuple(seen.id for seen in found if any(m.source == one.name for m in seen.mounts)))
               for one in project.volumes if exist and not one.external]
    networks += [SeenNetwork(name) for name in said.get("networks", ())]
    volumes += [SeenVolume(name) for name in said.get("volumes", ())]
    images = {want.image: image_id(want.image) for want in wanted_of(project)} if said.get("images") is None else said["images"]
    return Present("shop", tuple(sorted(found, key=lambda one: (one.service, one.number))), tuple(networks), tuple(volumes), tuple(images.items()))


def options_of(said: Mapping[str, Any]) -> Options:
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in said.items() if key not in ("images", "scale")}
    return Options(**given)._replace(images=Policy(**said.get("images", {})))


# ---------------------------------------------------------------- carrying out, on paper
def carried_out(done: a.Plan, project: Project, present: Present, wants: tuple[Wanted, ...]) -> Present:
    """The Present there would be. Everything runs, is healthy at once, and nothing ends."""
    by_name = {want.name: want for want in wants}
    containers = {seen.id: seen for seen in present.containers}
    networks, volumes = list(present.networks), list(present.volumes)
    images = dict(present.images)
    for step in done.steps:
        act = step.action
        match act:
            case a.BuildImage() | a.PullImage():
                images[act.image] = image_id(act.image)
            case a.CreateNetwork():
                one = next(one for one in project.networks if one.key == act.key)
                networks.append(SeenNetwork(one.name, project="shop", key=one.key, hash=resource_hash(one)))
            case a.RemoveNetwork():
                networks = [one for one in networks if one.name != act.name]
            case a.CreateVolume():
                volume = next(one for one in project.volumes if one.key == act.key)
                volumes.append(SeenVolume(volume.name, "shop", volume.key, resource_hash(volume)))
            case a.RemoveVolume():
                volumes = [one for one in volumes if one.name != act.name]
            case a.CreateContainer() | a.RecreateContainer():
                if isinstance(act, a.RecreateContainer):
                    del containers[act.old]
                made = seen_of(by_name[act.service], act.number, act.name, status="created", image_id=images[by_name[act.service].image])
                made = made._replace(id=f"{len(containers):x}{made.id}"[:64])
                containers[made.id] = made
            case a.RenameContainer():
                containers[act.id] = containers[act.id]._replace(name=act.name)
            case a.StopContainer():
                containers[act.id] = containers[act.id]._replace(status="exited")
            case a.RemoveContainer():
                assert not containers[act.id].is_running, f"{act} removes what runs"
                del containers[act.id]
            case a.StartContainer():
                (id,) = [seen.id for seen in containers.values() if seen.name == act.name]
                containers[id] = containers[id]._replace(status="running")
            case _:
                pass
    first = {name: next((seen.id for seen in sorted(containers.values(), key=lambda one: one.number) if seen.service == name), "") for name in by_name}
    found = [seen._replace(shares=tuple((key, first[other]) for key, other in by_name[seen.service].shares)) if seen.service in by_name else seen
             for seen in containers.values()]
    return Present("shop", tuple(sorted(found, key=lambda one: (one.service, one.number))), tuple(networks), tuple(volumes), tuple(images.items()))


def plan_again(project: Project, present: Present, options: Options, wants: tuple[Wanted, ...]) -> tuple[a.Plan, a.Plan]:
    """The plan, and the plan after it was carried out: of the same wishes, but that nothing is forced, and images are as they should be."""
    first = plan(wants, project, present, options)
    recreate = "diverged" if options.recreate == "force" else options.recreate
    later = options._replace(recreate=recreate, recreate_dependencies=False, images=Policy(settled=True))
    return first, plan(wants, project, carried_out(first, project, present, wants), later)
