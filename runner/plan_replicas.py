"""The containers that a service has, against those it wants: which are kept, made anew, new, or too many, and why. Pure."""

from kernel.value import Value
from runner.desired import container_name, mounted_images
from runner.difference import differences
from runner.errors import InvalidService

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.desired import Wanted
    from runner.model.project import Project
    from runner.plan import Options
    from runner.present import Present, Seen

    Texts = tuple[str, ...]

_SHORT = 12


class Anew(Value):
    """name: of the container that comes in its place."""

    seen: "Seen"
    name: str
    reasons: "Texts"


class Verdict(Value):
    """names: of all containers there will be, each with the one that is kept as it is, or None for a new one. running: what runs now and stays."""

    anew: "tuple[Anew, ...]" = ()
    new: "tuple[tuple[int, str], ...]" = ()
    excess: "tuple[tuple[Seen, str], ...]" = ()
    renamed: "tuple[tuple[Seen, str], ...]" = ()
    names: "tuple[tuple[str, Seen | None], ...]" = ()
    running: "tuple[Seen, ...]" = ()


def judge(want: "Wanted", project: "Project", present: "Present", gone: "set[str]", options: "Options", verdicts: "Mapping[str, Verdict]") -> Verdict:
    """gone: IDs of containers that do not count any more; verdicts: on the services before it in the order of dependencies."""
    if want.service.container_name and want.replicas > 1:
        raise InvalidService(("services", want.name, "container_name"), f"is one name, and there are to be {want.replicas} containers")

    def name_of(number: int) -> str:
        return container_name(project.name, want.service, number, options.separator)

    seen, excess = _single([one for one in present.of(want.name) if one.id not in gone], name_of)
    reasons = {one.id: _reasons(one, want, present, options, verdicts) for one in seen}
    seen.sort(key=lambda one: (bool(reasons[one.id]), one.number))
    kept, surplus = sorted(seen[:want.replicas], key=lambda one: one.number), seen[want.replicas:]
    excess += [(one, f"there are to be {want.replicas} of {want.name}") for one in surplus]
    anew = tuple(Anew(one, name_of(one.number), reasons[one.id]) for one in kept if reasons[one.id])
    left = [one for one in kept if not reasons[one.id]]
    renamed = tuple((one, name_of(one.number)) for one in left if _is_interim(one.name, name_of(one.number)))
    highest = max((one.number for one in seen), default=0)
    new = tuple((number, name_of(number)) for number in range(highest + 1, highest + 1 + want.replicas - len(kept)))
    titles = {one.id: name for one, name in renamed}
    there: list[tuple[int, str, Seen | None]] = [(one.number, titles.get(one.id, one.name), one) for one in left]
    there += [(one.seen.number, one.name, None) for one in anew]
    there += [(number, name, None) for number, name in new]
    names = tuple((name, one) for _, name, one in sorted(there, key=lambda item: item[0]))
    return Verdict(anew, new, tuple(excess), renamed, names, tuple(one for one in kept if one.is_running))


def interim_name(old: str, name: str) -> str:
    """What the new container is called as long as the old one (an ID) is there."""
    return f"{old[:_SHORT]}_{name}"


def _is_interim(name: str, proper: str) -> bool:
    head, _, tail = name.partition("_")
    return tail == proper and len(head) == _SHORT and not head.strip("0123456789abcdef")


def _single(seen: "list[Seen]", name_of: "object") -> "tuple[list[Seen], list[tuple[Seen, str]]]":
    """One container for each number; an `up` that was killed may have left two, of which the one with the proper name counts."""
    found: dict[int, Seen] = {}
    left = []
    for one in sorted(seen, key=lambda one: (_is_interim(one.name, name_of(one.number)), one.created)):  # type: ignore[operator]
        if one.number in found:
            left.append((one, "it is left over from an update that was interrupted"))
        else:
            found[one.number] = one
    return list(found.values()), left


def _reasons(seen: "Seen", want: "Wanted", present: "Present", options: "Options", verdicts: "Mapping[str, Verdict]") -> "Texts":
    """Why it has to be made anew; () if it has not."""
    if options.recreate == "never":
        return ()
    found: list[str] = []
    targeted = not options.named or want.name in options.named
    if options.recreate == "force" and (targeted or options.recreate_dependencies):
        found.append("forced")
    elif options.recreate_dependencies and not targeted:
        found.append("forced, as a dependency")
    if seen.hash != want.hash:
        found += differences(seen.config, want.config) if seen.config else ["configuration changed"]
        found = found or ["configuration changed"]
    image = present.image(want.image)
    if image and image != seen.image_id:
        found.append(f"image {want.image}: {_digest(seen.image_id)} -> {_digest(image)}")
    mounted = ",".join(present.image(name) for name in mounted_images(want))
    if seen.mounted and mounted.strip(",") and mounted != seen.mounted and seen.hash == want.hash:
        found.append("an image that is mounted in it has changed")
    found += _lacks(seen, want)
    for attribute, other in want.shares:
        if other in verdicts and attribute != "volumes_from":
            found += _moved(seen, attribute, other, verdicts[other])
        elif other in verdicts and verdicts[other].anew:
            found.append(f"{attribute}: {other} is made anew")
    return tuple(dict.fromkeys(found))


def _lacks(seen: "Seen", want: "Wanted") -> "list[str]":
    """Networks and volumes that it is to have and has not, though its configuration is the same: somebody has changed it by hand."""
    if seen.hash != want.hash:
        return []
    found = [f"it is not on network {one.network}" for one in want.spec.endpoints if one.network not in seen.networks]
    mounted = {(one.target, one.source) for one in seen.mounts}
    found += [f"volume {one.source} is not mounted" for one in want.spec.mounts
              if one.kind == "volume" and one.source and (one.target, one.source) not in mounted]
    return found


def _moved(seen: "Seen", attribute: str, other: str, verdict: Verdict) -> "list[str]":
    """It has a namespace of a container of `other` that will not be that service's first any more."""
    first = verdict.names[0][1] if verdict.names else None
    if first is None:
        return [f"{attribute}: {other} is made anew"]
    return [] if dict(seen.shares).get(attribute) == first.id else [f"{attribute}: {other} is another container now"]


def _digest(image: str) -> str:
    return image.removeprefix("sha256:")[:_SHORT]
