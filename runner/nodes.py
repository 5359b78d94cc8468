"""Device nodes of the machine for containers: what a directory of `devices` has, and which nodes that are volumes by themselves may be opened.

Everything that is mounted comes without its devices. A single node may be opened if it is one of the harmless ones that every container has, or if a
rule permits it; of a directory of the machine's /dev those nodes may that a rule permits, each mounted once more, by itself.
"""

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.container import Mount
    from sandbox.spec import Device

_HARMLESS = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0))      # null, zero, full, random, urandom, tty
_ANY = -1


def parse_rule(text: str) -> "tuple[str, int, int, str]":
    """(a, b or c; major; minor; some of "rwm"), -1 for any number. Raises ValueError."""
    parts = text.split()
    if parts == ["a"]:
        return "a", _ANY, _ANY, "rwm"
    if len(parts) != 3 or parts[0] not in ("a", "b", "c") or not parts[2] or set(parts[2]) - set("rwm"):
        raise ValueError("it is not like `c 189:* rwm`")
    major, colon, minor = parts[1].partition(":")
    if not colon:
        raise ValueError(f"`{parts[1]}` is not like `189:*`")
    return parts[0], _number(major), _number(minor), parts[2]


def rule_fault(text: str) -> str:
    """What is wrong with a rule, "" if nothing is."""
    try:
        parse_rule(text)
    except ValueError as error:
        return str(error)
    return ""


def _number(word: str) -> int:
    if word == "*":
        return _ANY
    if not word.isascii() or not word.isdigit() or len(word) > 10 or int(word) > 0xFFFFFFFF:
        raise ValueError(f"`{word}` is neither a number nor `*`")
    return int(word)


def expanded(devices: "Iterable[Device]") -> "tuple[Device, ...]":
    """With the nodes below it for each that is a directory, at the same places below its target; as docker has it. Links are not followed."""
    found: "list[Device]" = []
    for one in devices:
        if not os.path.isdir(one.source):
            found.append(one)
            continue
        for path, _, names in sorted(os.walk(one.source)):
            below = path[len(one.source.rstrip("/")):].strip("/")
            target = f"{one.target.rstrip('/')}/{below}".rstrip("/")
            found += [one._replace(source=f"{path}/{name}", target=f"{target}/{name}") for name in sorted(names) if _is_node(f"{path}/{name}")]
    return tuple(found)


def _is_node(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False                                      # it has just gone
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def openable(mounts: "Iterable[Mount]", rules: "Iterable[str]") -> "frozenset[str]":
    """Targets of those that are single device nodes which may be opened."""
    parsed = [parse_rule(rule) for rule in rules]
    return frozenset(one.target for one in mounts if one.kind == "bind" and _is_openable(one.source, parsed))


def inner(mounts: "Iterable[Mount]", rules: "Iterable[str]", dev: str = "/dev") -> "dict[str, tuple[str, ...]]":
    """target of a directory of the machine's /dev -> nodes that are below it now and that a rule permits, from there. Links are not followed."""
    parsed = [parse_rule(rule) for rule in rules]
    if not parsed:
        return {}
    found = {}
    number = os.stat(dev).st_dev
    for one in mounts:
        if one.kind == "bind" and os.path.isdir(one.source) and os.stat(one.source).st_dev == number:
            top = one.source.rstrip("/")
            paths = (f"{path}/{name}" for path, _, names in sorted(os.walk(top)) for name in sorted(names))
            found[one.target] = tuple(path[len(top) + 1:] for path in paths if _is_node(path) and _is_openable(path, parsed))
    return found


def _is_openable(path: str, rules: "list[tuple[str, int, int, str]]") -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False                                      # said when it is mounted
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return False
    kind, major, minor = "c" if stat.S_ISCHR(status.st_mode) else "b", os.major(status.st_rdev), os.minor(status.st_rdev)
    if kind == "c" and (major, minor) in _HARMLESS:
        return True
    return any(rule[0] in ("a", kind) and rule[1] in (_ANY, major) and rule[2] in (_ANY, minor) and {"r", "w"} <= set(rule[3]) for rule in rules)
