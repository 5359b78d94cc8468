"""argv -> Options by a command's Usage. Not argparse: its import costs a third of the whole of a cached build, and docker's habits
(`--flag=false`, `-tname`, options that stop at the image's name) would have to be taught to it anyway."""

from pybuild.option import COUNT, FLAG, GLOBAL, LIST, MAYBE, Option, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TRUE, _FALSE = ("true", "1", "t", "yes", "on"), ("false", "0", "f", "no", "off")


class Options:
    """What the user asked for: an attribute for each option and operand of the command. Options not given hold their defaults."""

    def __init__(self, values: "dict[str, Any]") -> None:
        self.__dict__.update(values)

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


class Misuse(Exception):
    """argv is not what the command takes: one line that says why, and one with the way out or ""."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


class HelpWanted(Exception):
    """--help stood among the command's own words."""


def scan(usage: Usage, argv: list[str]) -> Options:
    """Raises Misuse or HelpWanted."""
    values: dict[str, Any] = {o.attribute(): _default(o) for o in (*GLOBAL, *usage.options)}
    by_name = {name: o for o in (*GLOBAL, *usage.options) for name in o.names.split()}
    operands: list[str] = []
    rest = argv[::-1]
    while rest:
        word = rest.pop()
        if word == "--":
            operands += rest[::-1]
            break
        if len(word) < 2 or word[0] != "-":
            operands.append(word)
            if usage.stop_early:
                operands += rest[::-1]
                break
        elif word in ("-h", "--help") and word not in by_name:
            raise HelpWanted
        else:
            _option(word, rest, by_name, values)
    _operands(usage, operands, values)
    return Options(values)


def _default(option: Option) -> "Any":
    if option.kind == LIST:
        return []
    if option.kind == FLAG:
        return option.default == "true"
    return int(option.default) if option.kind == COUNT and option.default else option.default


def _option(word: str, rest: list[str], by_name: dict[str, Option], values: "dict[str, Any]") -> None:
    name, equals, value = word.partition("=")
    option = by_name.get(name)
    if option is None and word[1] != "-":                # -tNAME, or flags in a cluster: -qf
        name, value = word[:2], word[2:]
        option = by_name.get(name)
        if option is not None and option.kind == FLAG and value and not value.startswith("="):
            rest.append("-" + value)
            value = ""
        value = value.removeprefix("=")
        equals = "=" if value else ""
    if option is None:
        raise Misuse(f"unknown option `{name}`", _similar(name, by_name))
    if option.kind == FLAG:
        if equals and value.lower() not in _TRUE + _FALSE:
            raise Misuse(f"`{name}` is true or false, not `{value}`")
        values[option.attribute()] = not equals or value.lower() in _TRUE
    elif option.kind == MAYBE and not equals:
        values[option.attribute()] = option.implied
    elif not equals and not rest:
        raise Misuse(f"option `{name}` needs a value", f"`{name} {option.metavar or 'VALUE'}`: {option.help}")
    else:
        _store(option, name, value if equals else rest.pop(), values)


def _store(option: Option, name: str, value: str, values: "dict[str, Any]") -> None:
    if option.choices and value not in option.choices:
        raise Misuse(f"`{name}` takes {', '.join(option.choices)}, not `{value}`")
    if option.kind == LIST:
        values[option.attribute()].append(value)
    elif option.kind == COUNT:
        if not value.removeprefix("-").isdigit():
            raise Misuse(f"`{name}` takes a whole number, not `{value}`")
        values[option.attribute()] = int(value)
    else:
        values[option.attribute()] = value


def _similar(name: str, by_name: dict[str, Option]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, [n for n, o in by_name.items() if not o.hidden], 1)
    return f"did you mean `{close[0]}`?" if close else ""


def _operands(usage: Usage, words: list[str], values: "dict[str, Any]") -> None:
    """Deal the operands out by arity; at most one operand takes several."""
    words = list(words)
    for index, operand in enumerate(usage.operands):
        later = sum(1 for o in usage.operands[index + 1:] if o.arity in ("1", "+"))
        if operand.arity in ("1", "+") and not words:
            raise Misuse(f"{operand.name.upper()} is missing: {operand.help}")
        if operand.arity == "1":
            values[operand.name] = words.pop(0)
        elif operand.arity == "?":
            values[operand.name] = words.pop(0) if len(words) > later else None
        else:
            count = max(len(words) - later, 0)
            values[operand.name], words = words[:count], words[count:]
    if words:
        raise Misuse(f"one argument too many: `{words[0]}`")
