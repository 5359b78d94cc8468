"""A volume: what is known of it, what it may be called, and what the options of the local driver mean. Pure."""

from kernel.value import Value
from runner.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Pairs: TypeAlias = tuple[tuple[str, str], ...]

_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_LETTERS = _FIRST | frozenset("_.-")
NAME_MAX = 255
_OPTIONS = ("type", "o", "device", "size")
_NONE = ("", "none", "bind")


class Volume(Value):
    """created: nanoseconds. options: of the driver; anonymous: its name was made up for a container, with which it goes."""

    name: str
    created: int
    driver: str = "local"
    options: "Pairs" = ()
    labels: "Pairs" = ()
    anonymous: bool = False


class Device(Value):
    """What a volume with driver options is: a mount of `source` of type `kind` with `options`; kind "bind": a directory of the host."""

    kind: str
    source: str
    options: "tuple[str, ...]"


def is_name(text: str) -> bool:
    """Whether a volume, or a container, may be called so: two characters at least, as in docker."""
    return 1 < len(text) <= NAME_MAX and text[0] in _FIRST and set(text) <= _LETTERS


def device_of(volume: Volume) -> "Device | None":
    """What is to be mounted for it; None for a plain directory of our own. Raises InvalidOption."""
    options = dict(volume.options)
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise InvalidOption("volume option", unknown[0], "the local driver has no such option", f"it has {', '.join(_OPTIONS)}")
    kind, source = options.get("type", ""), options.get("device", "")
    words = tuple(word for word in options.get("o", "").split(",") if word)
    if "size" in options:
        words += (f"size={options['size']}",)
    if not kind and not source and not words:
        return None
    if kind in _NONE and ({"bind", "rbind"} & set(words) or kind == "bind"):
        if not source.startswith("/"):
            raise InvalidOption("volume option", f"device={source}", "a bind needs the absolute path of a directory")
        return Device("bind", source, words)
    if not kind or not source:
        raise InvalidOption("volume option", "type" if not kind else "device", "is missing: a mount needs `type` and `device`")
    return Device(kind, source, words)
