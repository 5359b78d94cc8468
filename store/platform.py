"""Which of an index's manifests is for this machine. In: descriptors with platforms; out: those that fit, the best first."""

from store.errors import InvalidPlatform
from store.machine import local_platform_words
from store.oci import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.oci import Descriptor

_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}
_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7", "amd64": ""}


def local_platform() -> Platform:
    """This machine's, as images are labelled."""
    _, architecture, *variant = local_platform_words().split("/")
    return Platform(architecture, "linux", variant=variant[0] if variant else "")


def parse_platform(text: str) -> Platform:
    """"linux/arm64/v8", "arm64", "linux": what is not said is this machine's. Raises InvalidPlatform."""
    parts = text.lower().split("/")
    if not all(parts) or len(parts) > 3 or any(c.isspace() for c in text):
        raise InvalidPlatform(text)
    here = local_platform()
    if len(parts) == 1:
        if parts[0] in ("linux", "windows", "darwin", "freebsd"):
            return Platform(here.architecture, parts[0], variant=here.variant)
        parts = ["linux", *parts]
    architecture, variant = _ALIASES.get(parts[1], parts[1]), parts[2] if len(parts) == 3 else ""
    if parts[1] == "armhf":
        variant = variant or "v7"
    return Platform(architecture, parts[0], variant="" if (architecture, variant) == ("arm64", "v8") else variant)


def choose(manifests: "Sequence[Descriptor]", wanted: Platform) -> "Descriptor | None":
    """The manifest for `wanted`; the first of several that fit equally well; None if none fits.

    An exact variant is better than a lower one (arm v7 runs v6 and v5), that than one without a variant; manifests without a platform count as
    fitting if nothing else does.
    """
    best: "tuple[int, Descriptor] | None" = None
    for descriptor in manifests:
        score = _fit(descriptor.platform, wanted)
        if score and (best is None or score > best[0]):
            best = score, descriptor
    return best[1] if best else None


def fits(have: Platform, wanted: Platform) -> bool:
    """Whether an image of `have` is one for `wanted`."""
    return _fit(have, wanted) > 0


def _fit(have: "Platform | None", wanted: Platform) -> int:
    if have is None:
        return 1
    if (have.os, _ALIASES.get(have.architecture, have.architecture)) != (wanted.os, wanted.architecture):
        return 0
    default = _DEFAULT_VARIANT.get(wanted.architecture, "")
    mine, theirs = wanted.variant or default, have.variant or default
    if mine == theirs:
        return 100
    if mine[:1] == theirs[:1] == "v" and mine[1:].isdigit() and theirs[1:].isdigit() and int(theirs[1:]) < int(mine[1:]):
        return 10 + int(theirs[1:])
    return 2 if not have.variant else 0
