"""How one attribute goes from a canonical tree into the model, and from the model back into a mapping.

A kind is a pair of functions. Reading raises Unreadable with what is wrong, and where below the attribute.
"""

from kernel.value import Value
from runner.load import command
from runner.load.scalar import float_text, text_of
from runner.load.tree import Map, Seq
from runner.load.unit import duration, duration_text, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.load.tree import Path


class Unreadable(Exception):
    """`reason` says what the attribute, or what is at `path` below it, is or has."""

    def __init__(self, reason: str, path: "Path" = (), help: str = "") -> None:
        super().__init__(reason)
        self.reason, self.path, self.help = reason, path, help


class Kind(Value):
    """`write` is also told whether the mapping becomes JSON, which says some things differently."""

    read: "Callable[[Any], Any]"
    write: "Callable[[Any, bool], Any]"


def _same(value: "Any", json: bool) -> "Any":
    return value


def _number(value: "Any") -> float:
    if value.__class__ is str:
        try:
            return float(value)
        except ValueError:
            raise Unreadable(f"is `{value}`: no number") from None
    if value != value or abs(value) == float("inf"):
        raise Unreadable("is no number that can be counted to")
    return float(value)


def _integer(value: "Any") -> int:
    if value.__class__ is str and not value.lstrip("+-").isdecimal():
        raise Unreadable(f"is `{value}`: no whole number")
    return int(value if value.__class__ is str else _number(value))


def _size(value: "Any") -> int:
    if value.__class__ is int or value == "-1":
        return int(value)
    try:
        return size(text_of(value))
    except ValueError as error:
        raise Unreadable(f"is `{text_of(value)}`: {error}", (), "sizes are written `512m`, `1.5gb`, or in bytes") from None


def _duration(value: "Any") -> int:
    try:
        return duration(value)
    except ValueError as error:
        raise Unreadable(f"is `{value}`: {error}", (), "durations are written `1m30s`, `500ms`") from None


def _microseconds(value: "Any") -> int:
    """A count of microseconds, or a duration."""
    if value.__class__ is str and not value.isdecimal():
        return _duration(value) // 1000
    return _integer(value)


def _mode(value: "Any") -> int:
    if value.__class__ is str:
        digits = value.removeprefix("0o")
        if not digits.isdecimal() or digits.strip("01234567") or len(digits) > 6:
            raise Unreadable(f"is `{value}`: no octal mode")
        return int(digits, 8)
    return _integer(value)


def _texts(value: "Any") -> "tuple[str, ...]":
    return tuple(text_of(item) for item in value) if value.__class__ is Seq else (text_of(value),)


def _words(value: "Any") -> "tuple[str, ...]":
    """A command: the words of a list, or of a string as compose splits it."""
    if value.__class__ is Seq:
        return _texts(value)
    try:
        return command.split(value)[0]
    except ValueError as error:
        raise Unreadable(f"is an invalid command line: {error}") from None


def _test(value: "Any") -> "tuple[str, ...]":
    return _texts(value) if value.__class__ is Seq else ("CMD-SHELL", value)


def _variables(value: "Any") -> "tuple[tuple[str, str | None], ...]":
    if value.__class__ is Map:
        pairs: dict[str, str | None] = {key: None if item is None else text_of(item) for key, item in value.items()}
    else:
        pairs = {}
        for item in value:
            key, equals, word = item.partition("=")
            pairs[key] = word if equals else None
    for key in pairs:
        if key[-1:].isspace():
            raise Unreadable(f"has a variable `{key}`: its name ends in white space", (key,) if value.__class__ is Map else ())
    return tuple(sorted(pairs.items(), key=lambda pair: pair[0]))


def _labels(value: "Any") -> "tuple[tuple[str, str], ...]":
    return tuple((key, word or "") for key, word in _variables(value))


def _hosts(value: "Any") -> "tuple[tuple[str, tuple[str, ...]], ...]":
    found: dict[str, tuple[str, ...]] = {}
    if value.__class__ is Map:
        for host, addresses in value.items():
            found[host] = _texts(addresses)
    else:
        for index, item in enumerate(value):
            host, separator, addresses = item.partition("=") if "=" in item else item.partition(":")
            if not separator:
                raise Unreadable(f"is `{item}`: no address", (index,), "hosts are written `name=address`")
            found[host] = found.get(host, ()) + tuple(addresses.split(","))
    for host in found:
        if not host or ":" in host or "=" in host or any(c.isspace() for c in host):
            raise Unreadable(f"has `{host}`: no name of a host")
        found[host] = tuple(one[1:-1] if one[:1] == "[" and one[-1:] == "]" else one for one in found[host])
        for one in found[host]:
            if any(c.isspace() for c in one):
                raise Unreadable(f"has `{one}`: no address")
    return tuple(sorted(found.items()))


def _count(value: "Any") -> int:
    return -1 if value == "all" else _integer(value)


def plain(value: "Any") -> "Any":
    """Extension data without marks."""
    if value.__class__ is Map:
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if value.__class__ is Seq else value


def extensions(node: Map) -> "tuple[tuple[str, Any], ...]":
    """The `x-` keys of a mapping."""
    return tuple(sorted((key, plain(value)) for key, value in node.items() if key[:2] == "x-" and key[2:3] != "#"))


def _write_number(value: float, json: bool) -> "int | float":
    return int(value) if value == int(value) else float(float_text(value))


def _list(value: "tuple[Any, ...]", json: bool) -> "list[Any]":
    return list(value)


def _dict(value: "tuple[tuple[str, Any], ...]", json: bool) -> "dict[str, Any]":
    return dict(value)


def _write_hosts(value: "tuple[tuple[str, tuple[str, ...]], ...]", json: bool) -> "list[str]":
    return sorted(f"{host}={one}" for host, addresses in value for one in addresses)


TEXT = Kind(text_of, _same)
FLAG = Kind(lambda value: value is True, _same)
INTEGER = Kind(_integer, _same)
NUMBER = Kind(_number, _write_number)
SIZE = Kind(_size, lambda value, json: str(value))
DURATION = Kind(_duration, lambda value, json: duration_text(value))
MICROSECONDS = Kind(_microseconds, _same)
MODE = Kind(_mode, lambda value, json: f"0{value:o}")
TMPFS_MODE = Kind(_mode, _same)
TEXTS = Kind(_texts, _list)
WORDS = Kind(_words, _list)
TEST = Kind(_test, _list)
VARIABLES = Kind(_variables, _dict)
LABELS = Kind(_labels, _dict)
HOSTS = Kind(_hosts, _write_hosts)
COUNT = Kind(_count, _same)
OPTIONS = Kind(lambda value: tuple(sorted((key, _texts(item)) for key, item in value.items())),
               lambda pairs, json: {key: list(words) for key, words in pairs})
