"""`--filter key=value`: several values of one key are alternatives, but of labels all must be there; several keys must all hold (docker's rules)."""

from pybuild.scanner import Misuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")

_TOGETHER = ("label", "label!")


class BadFilter(Misuse):
    """A filter that the command does not have. `help` names those it has."""


def parse(words: list[str], known: "Iterable[str]") -> dict[str, list[str]]:
    """{key: values}; raises BadFilter."""
    found: dict[str, list[str]] = {}
    names = sorted(known)
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip().lower()
        if not equals:
            raise BadFilter(f"filter `{word}` is no KEY=VALUE", f"keys are {', '.join(names)}")
        if key not in names:
            raise BadFilter(f"there is no filter `{key}`", f"keys are {', '.join(names)}")
        found.setdefault(key, []).append(value.strip())
    return found


def keep(rows: "Iterable[T]", filters: dict[str, list[str]], tests: "dict[str, Callable[[T, str], bool]]") -> "list[T]":
    return [row for row in rows
            if all((all if key in _TOGETHER else any)(tests[key](row, value) for value in values) for key, values in filters.items())]


def label_matches(labels: dict[str, str], wanted: str) -> bool:
    """`key` or `key=value`."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def matches(pattern: str, name: str) -> bool:
    """Go's path.Match: `*`, `?` and `[..]` match within one component."""
    from fnmatch import fnmatchcase

    patterns, names = pattern.replace("[^", "[!").split("/"), name.split("/")
    return len(patterns) == len(names) and all(fnmatchcase(n, p) for n, p in zip(names, patterns))


def is_true(value: str) -> bool:
    if value.lower() not in ("true", "1", "false", "0"):
        raise BadFilter(f"`{value}` is neither true nor false")
    return value.lower() in ("true", "1")
