"""Annotations of a build's image: `--annotation` and the `annotation..` options of an output -> what its manifest and its descriptor get."""

from builder.errors import BuildError
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.request import Output, Request
    from store.oci import Platform

    Pairs = tuple[tuple[str, str], ...]

MANIFEST, DESCRIPTOR = "manifest", "manifest-descriptor"
LEVELS = (MANIFEST, DESCRIPTOR, "index", "index-descriptor")


class Annotation(Value):
    """platform: "" for an image of any."""

    level: str
    name: str
    value: str
    platform: str = ""


def of_output(request: "Request", output: "Output") -> "tuple[Annotation, ...]":
    """All that an output's image is to have, the output's own last. Raises BuildError."""
    found = [annotation for text in request.annotations for annotation in parse(text)]
    for option, value in output.options:
        head, dot, name = option.partition(".")
        if dot and head.startswith("annotation"):
            found += _levels(head.removeprefix("annotation").removeprefix("-") or MANIFEST, name, value, f"{option}={value}")
    return tuple(found)


def parse(text: str) -> "list[Annotation]":
    """`[LEVEL[PLATFORM],..:]NAME=VALUE`, as buildx has it. Raises BuildError."""
    levels, colon, rest = text.partition(":")
    if not colon or "=" in levels or not all(_is_level(word) for word in levels.split(",")):
        levels, rest = MANIFEST, text
    name, equals, value = rest.partition("=")
    if not equals or not name:
        raise BuildError(f"the annotation `{text}` is no NAME=VALUE")
    return [annotation for level in levels.split(",") for annotation in _levels(level, name, value, text)]


def _is_level(word: str) -> bool:
    return word.partition("[")[0] in LEVELS


def _levels(word: str, name: str, value: str, text: str) -> "list[Annotation]":
    level, bracket, platform = word.partition("[")
    if level not in LEVELS or (bracket and not platform.endswith("]")) or not name:
        raise BuildError(f"the annotation `{text}` has no level `{word}`", help=f"the levels are {', '.join(LEVELS)}")
    if level not in (MANIFEST, DESCRIPTOR):
        raise BuildError(f"the annotation `{text}` is of an index, and an image for one platform has none", help=f"`manifest:{name}={value}`")
    return [Annotation(level, name, value, platform.removesuffix("]"))]


def at_level(annotations: "tuple[Annotation, ...]", level: str, platform: "Platform") -> "Pairs":
    """Those of a level that an image of this platform gets; of two with one name the later counts."""
    own = "/".join(word for word in (platform.os, platform.architecture, platform.variant) if word)
    return tuple({a.name: a.value for a in annotations if a.level == level and a.platform in ("", own)}.items())
