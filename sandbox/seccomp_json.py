"""Seccomp profiles in docker's JSON format -> compiled program. Loaded by the command only, when a user names a profile.

Where several rules match a call: one without arguments that allows it wins, else the first in the file.
"""

import json
import os

from kernel import release
from sandbox import capabilities
from sandbox.errors import InvalidSpec
from sandbox.seccomp import ALLOW, ERRNO, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, TRACE, TRAP, Condition, Rule, compile
from sandbox.seccomp_profile import numbered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

PROFILE_MAX = 1 << 20
_ACTIONS = {"ALLOW": ALLOW, "ERRNO": ERRNO, "KILL": KILL_THREAD, "KILL_THREAD": KILL_THREAD, "KILL_PROCESS": KILL_PROCESS, "LOG": LOG,
            "NOTIFY": NOTIFY, "TRACE": TRACE, "TRAP": TRAP}
_OPERATORS = {"EQ": "eq", "NE": "ne", "LT": "lt", "LE": "le", "GT": "gt", "GE": "ge", "MASKED_EQ": "masked"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def load(path: str, held: int = capabilities.DEFAULT, machine: str = "") -> bytes:
    """The program of the profile in the file `path`, for a process that holds the capabilities `held`. Raises OSError, InvalidSpec."""
    with open(path, "rb") as file:
        text = file.read(PROFILE_MAX + 1)
    if len(text) > PROFILE_MAX:
        raise InvalidSpec("seccomp profile", path=path, reason="is larger than 1 MiB")
    try:
        return program(json.loads(text), held, machine)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InvalidSpec("seccomp profile", path=path, reason=f"cannot be understood: {error}") from error


def program(profile: "dict[str, Any]", held: int, machine: str = "") -> bytes:
    """The program of a parsed profile. Raises ValueError, KeyError, TypeError for what is none."""
    machine = machine or os.uname().machine
    rules, default = rules_of(profile, held, machine)
    return compile(numbered(rules, machine), default, machine)


def rules_of(profile: "dict[str, Any]", held: int, machine: str) -> "tuple[dict[str, tuple[Rule, ...]], int]":
    """(name -> rules, default action)."""
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    rules: dict[str, list[Rule]] = {}
    for entry in profile.get("syscalls") or ():
        if not _applies(entry, held, machine):
            continue
        action = _action(entry["action"], entry.get("errnoRet"))
        for name in entry.get("names") or [entry["name"]]:
            rules.setdefault(name, []).extend(Rule(action, conditions) for conditions in _alternatives(entry.get("args") or ()))
    return {name: _ordered(found) for name, found in rules.items()}, default


def _ordered(rules: list[Rule]) -> tuple[Rule, ...]:
    allowed = Rule(ALLOW)
    return (allowed,) if allowed in rules else tuple(rule for rule in rules if rule.conditions) + tuple(rule for rule in rules if not rule.conditions)


def _applies(entry: "dict[str, Any]", held: int, machine: str) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    arch = _ARCHITECTURES[machine]
    kernel = includes.get("minKernel")
    return not (
        (includes.get("arches") and arch not in includes["arches"]) or arch in (excludes.get("arches") or ())
        or any(not held & capabilities.bit(name) for name in includes.get("caps") or ())
        or any(held & capabilities.bit(name) for name in excludes.get("caps") or ())
        or (kernel and release.parse(kernel) > release.RELEASE))


def _alternatives(arguments: "Iterable[dict[str, Any]]") -> list[tuple[Condition, ...]]:
    """Conditions on different arguments hold together; several on one argument are alternatives, as runc reads them."""
    conditions = [_condition(one) for one in arguments]
    if len({one.argument for one in conditions}) < len(conditions):
        return [(one,) for one in conditions]
    return [tuple(conditions)]


def _condition(argument: "dict[str, Any]") -> Condition:
    operator, index, value = _OPERATORS[argument["op"].removeprefix("SCMP_CMP_")], int(argument["index"]), int(argument["value"])
    if not 0 <= index < 6:
        raise ValueError(f"argument {index}")
    if operator == "masked":
        return Condition(index, operator, int(argument.get("valueTwo", 0)), value)
    return Condition(index, operator, value)


def _action(name: str, number: "int | None") -> int:
    short = name.removeprefix("SCMP_ACT_")
    action = _ACTIONS[short]
    return action | (1 if number is None else int(number) & 0xFFFF) if short in ("ERRNO", "TRACE") else action
