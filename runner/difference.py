"""Two configurations of a service -> what differs between them, field by field, as lines for people. Pure.

Values of environment variables and contents of secrets are not shown: a plan is printed in logs that many can read.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MOST = 12                                                 # lines for one container
_WIDTH = 60
_HIDDEN = ("environment", "content of")


def differences(before: str, after: str) -> "tuple[str, ...]":
    """before, after: as desired.Wanted.config has them."""
    import json

    old, new = (_parsed(text, json.loads) for text in (before, after))
    lines = list(_compare("", old, new))
    return (*lines[:MOST], f"and {len(lines) - MOST} more") if len(lines) > MOST else tuple(lines)


def _parsed(text: str, parse: "Any") -> "dict[str, Any]":
    """The service, its `content of` files beside its own attributes."""
    service, *contents = text.split("\n")
    try:
        found = parse(service) if service else {}
    except ValueError:
        return {}
    return {**found, **({"content of": dict(line.partition(" ")[::2] for line in contents)} if contents else {})}


def _compare(path: str, old: "Any", new: "Any") -> "Iterator[str]":
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _compare(f"{path}{_joint(path)}{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and all(isinstance(one, dict) for one in (*old, *new)):
        yield from _compare(path, _keyed(old), _keyed(new))
    elif old != new:
        yield _line(path, old, new)


def _joint(path: str) -> str:
    return "" if not path else " " if path == "content of" else "."


def _keyed(items: "list[dict[str, Any]]") -> "dict[str, Any]":
    """Entries of a list by what they are about, so that one that is put in front does not change all the others."""
    found: dict[str, Any] = {}
    for index, item in enumerate(items):
        key = next((str(item[name]) for name in ("target", "source", "path", "name") if item.get(name)), str(index))
        found[f"{key}#{index}" if key in found else key] = item
    return found


def _line(path: str, old: "Any", new: "Any") -> str:
    if old is None or new is None:
        verb = "added" if old is None else "removed"
        shown = new if old is None else old
        return f"{path}: {verb}" if path.startswith(_HIDDEN) or isinstance(shown, dict | list) else f"{path}: {verb} {_short(shown)}"
    if path.startswith(_HIDDEN):
        return f"{path}: changed"
    return f"{path}: {_short(old)} -> {_short(new)}"


def _short(value: "Any") -> str:
    if isinstance(value, list):
        text = "[" + " ".join(_short(item) for item in value) + "]"
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    else:
        text = str(value) if value != "" else '""'
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= _WIDTH else text[:_WIDTH - 3] + "..."
