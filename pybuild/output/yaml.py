"""Mappings, lists and scalars -> YAML as compose prints it: block style, two spaces, lists indented below their key."""

from runner.load.scalar import float_text, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# words that are booleans to readers of YAML 1.1, and marks of the language
_WORDS = frozenset(("y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "<<", "=", "-", "?"))
_FIRST = frozenset("-?:,[]{}#&*!|>'\"%@` \t")              # cannot begin a plain scalar, some only before a space
_CLOCK = frozenset("0123456789:._+-TtZz ")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", "\x1b": "\\e", "\x07": "\\a", "\x08": "\\b",
            "\x0b": "\\v", "\x0c": "\\f", "\x85": "\\N", "\xa0": "\\_", "\u2028": "\\L", "\u2029": "\\P", "\ufeff": "\\uFEFF"}


def dump(value: "Any") -> str:
    """`value` as a YAML document. Law: a YAML 1.2 reader gives `value` back."""
    out: list[str] = []
    _node(value, 0, out, False)
    return "".join(out)


def _node(value: "Any", depth: int, out: "list[str]", inline: bool) -> None:
    """Write `value` at `depth`; `inline`: after a `- ` that stands where the first key goes."""
    if isinstance(value, dict) and value:
        for index, (key, item) in enumerate(value.items()):
            out.append(("" if inline and index == 0 else "  " * depth) + scalar(key) + ":")
            _after(item, depth + 1, out)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            out.append(("" if inline and index == 0 else "  " * depth) + "-")
            if isinstance(item, dict | list) and item:
                out.append(" ")
                _node(item, depth + 1, out, True)
            else:
                _after(item, depth + 1, out)
    else:
        out.append(_flat(value, depth) + "\n")


def _after(value: "Any", depth: int, out: "list[str]") -> None:
    """What follows `key:` or `-`: on the line if it is short, else below."""
    if isinstance(value, dict | list) and value:
        out.append("\n")
        _node(value, depth, out, False)
    else:
        out.append(f" {_flat(value, depth)}\n")


def _flat(value: "Any", depth: int) -> str:
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    if isinstance(value, str) and "\n" in value and _literal(value):
        body = value[:-1] if value[-1] == "\n" else value
        chomp = "-" if value[-1] != "\n" else "+" if body[-1:] in ("\n", "") else ""
        return f"|{chomp}\n" + "\n".join("  " * depth + line if line else "" for line in body.split("\n"))
    return scalar(value)


def scalar(value: "Any") -> str:
    """One scalar on one line."""
    if isinstance(value, str):
        if not value.isprintable() or value != value.strip(" "):
            return '"' + "".join(_escaped(character) for character in value) + '"'
        if _plain(value):
            return value
        if value in _WORDS or value == "" or _read_as_other(value) or "'" in value:
            return '"' + "".join(_escaped(character) for character in value) + '"'
        return "'" + value + "'"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value:
            return ".nan"
        if value in (float("inf"), float("-inf")):
            return ".inf" if value > 0 else "-.inf"
        return float_text(value)
    return str(value)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def _plain(value: str) -> bool:
    """Whether the string reads as itself without quotes."""
    if not value or value in _WORDS or _read_as_other(value):
        return False
    if value[0] in _FIRST and not (value[0] in "-?:" and len(value) > 1 and value[1] not in " ,[]{}"):
        return False
    return ": " not in value and " #" not in value and value[-1] != ":" and not value.startswith(("---", "..."))


def _read_as_other(value: str) -> bool:
    """Whether some reader might see a number, a null, a boolean, a time or a date."""
    if not isinstance(plain(value), str):
        return True
    return value[0].isdigit() and _CLOCK.issuperset(value) and (":" in value or value[4:5] == "-")


def _literal(value: str) -> bool:
    """Whether `|` can carry the string: every line printable, the first not blank or indented."""
    return value.strip("\n") != "" and value[0] not in " \t\n" and all(line.replace("\t", "").isprintable() for line in value.split("\n"))
