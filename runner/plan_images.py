"""Which images have to be built or pulled before a project's containers can be made. Pure; adds steps to a draft."""

from kernel.value import Value
from runner.action import IMAGES, BuildImage, PullImage
from runner.desired import images
from runner.errors import ImageUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.action import Draft
    from runner.desired import Wanted
    from runner.model.project import Project
    from runner.model.service import Service
    from runner.present import Present

    Pairs = tuple[tuple[str, str], ...]

ALWAYS, MISSING, NEVER, BUILD = "always", "missing", "never", "build"
_DAY = 86_400
_UNITS = {"w": 7 * _DAY, "d": _DAY, "h": 3600, "m": 60, "s": 1}


class Policy(Value):
    """build: "always", "never" or "" (where the image is missing). pull: "" (as each service says), "always", "missing", "never" or "build".

    pulled: so has been what was to be pulled. settled: everything that there is to do about images has been done. renew: nothing cached is used.
    cached: (service, image ID) of builds whose result is known.
    ages: (image name, seconds since it was last looked for).
    """

    build: str = ""
    pull: str = ""
    settled: bool = False
    pulled: bool = False
    renew: bool = False
    cached: "Pairs" = ()
    ages: "tuple[tuple[str, int], ...]" = ()


def add(draft: "Draft", wanted: "tuple[Wanted, ...]", project: "Project", present: "Present", policy: Policy) -> None:
    """Raises ImageUnavailable for an image that may neither be built nor pulled."""
    services = {one.name: one for one in (*project.services, *project.disabled)}
    built = {want.image: want.service for want in wanted if want.service.build}
    done: dict[str, int] = {}                             # image name -> step
    for want in wanted:
        if want.service.build is None and want.image in built:
            continue                                      # it is the image of a service that is built
        if want.image not in done:
            step = _step(draft, want.service, want.image, services, present, policy, done)
            if step:
                done[want.image] = step
    for want in wanted:
        for image in images((want,)):                     # those of hooks and mounts
            if image not in done and image not in built and not present.image(image):
                done[image] = _pull(draft, want.service._replace(build=None), image, "", policy.pull or want.service.pull_policy or MISSING, policy)


def _step(draft: "Draft", service: "Service", image: str, services: "dict[str, Service]", present: "Present", policy: Policy,
          done: "dict[str, int]") -> int:
    """The number of the step that gets the image; 0 if it is here, and good."""
    here = present.image(image)
    if policy.settled:
        if not here:
            raise ImageUnavailable(image, service.name, "is not here")
        return 0
    pull = policy.pull or service.pull_policy or MISSING
    if policy.pulled and here and pull == ALWAYS:
        return 0
    if service.build is not None and (pull != ALWAYS or policy.build == "always" or policy.pulled):
        reason = _why_build(service, here, pull, policy)
        if reason and policy.build != "never":
            return build_step(draft, service, image, reason, services, present, done)
    return _pull(draft, service, image, here, pull, policy)


def _why_build(service: "Service", here: str, pull: str, policy: Policy) -> str:
    wanted = "--build" if policy.build == "always" else "pull_policy: build" if pull == BUILD else ""
    if wanted and here and dict(policy.cached).get(service.name) == here:
        return ""                                         # it would be the same
    return wanted or ("" if here else "it is missing")


def build_step(draft: "Draft", service: "Service", image: str, reason: str, services: "dict[str, Service]", present: "Present",
               done: "dict[str, int]") -> int:
    """Build it, with what it takes from other services' images first. done: image name -> step, for those that are on the draft."""
    assert service.build is not None
    before = []
    for _, value in service.build.additional_contexts:
        other = services.get(value.removeprefix("service:")) if value.startswith("service:") else None
        if other is not None and other.build is not None:
            name = other.image or f"{present.project}-{other.name}"
            if name not in done:
                done[name] = build_step(draft, other, name, f"the build of {service.name} takes from it", services, present, done)
            before.append(done[name])
    return draft.add(IMAGES, BuildImage(service.name, image, (reason,) if reason else ()), before)


def _pull(draft: "Draft", service: "Service", image: str, here: str, pull: str, policy: Policy) -> int:
    if pull in (NEVER, BUILD) or (service.build is not None and pull != ALWAYS):
        if here:
            return 0
        if service.build is not None and policy.build == "never":
            raise ImageUnavailable(image, service.name, "is not here, and is not to be built", "leave `--no-build` out")
        what = f"is not here for the platform `{service.platform}`" if service.platform else "is not here"
        raise ImageUnavailable(image, service.name, f"{what}, and is never to be pulled", "`pybuild load -i FILE` reads an archive")
    reason = "it is missing"
    if here:
        limit = _refresh_after(service, pull)
        reason = f"pull policy: {pull}" if pull == ALWAYS or (limit >= 0 and dict(policy.ages).get(image, limit) >= limit) else ""
    return draft.add(IMAGES, PullImage(service.name, image, (reason,), optional=service.build is not None)) if reason else 0


def _refresh_after(service: "Service", pull: str) -> int:
    """Seconds after which an image is looked for again; -1: never."""
    if pull == "daily":
        return _DAY
    if pull == "weekly":
        return 7 * _DAY
    word = service.pull_refresh_after if pull == "refresh" else pull.removeprefix("every_") if pull.startswith("every_") else ""
    total, digits = 0, ""
    for letter in word:
        if letter in _UNITS and digits:
            total, digits = total + int(digits) * _UNITS[letter], ""
        elif letter.isascii() and letter.isdigit():
            digits += letter
        else:
            return -1
    return total if word and not digits else -1
