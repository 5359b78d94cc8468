"""Words -> values where an attribute is no word: `privileged: ${DEBUG}`, `scale: "3"`.

A cast returns the value and a warning ("" for none), or raises ValueError with what the word is not.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Cast: TypeAlias = Callable[[str], tuple[bool | int | float, str]]

_LOOSE = {"y": True, "yes": True, "on": True, "n": False, "no": False, "off": False}


def boolean(text: str) -> "tuple[bool, str]":
    word = text.lower()
    if word in ("true", "false"):
        return word == "true", ""
    if word in _LOOSE:
        value = _LOOSE[word]
        return value, f"\"{text}\" for boolean is not supported by YAML 1.2, please use `{str(value).lower()}`"
    raise ValueError("neither `true` nor `false`")


def integer(text: str) -> "tuple[int, str]":
    digits = text[1:] if text[:1] in ("+", "-") else text
    if digits.isascii() and digits.isdigit() and len(digits) < 20:
        return int(text), ""
    raise ValueError("no whole number")


def number(text: str) -> "tuple[float, str]":
    if text and not text.strip("0123456789.eE+-"):
        try:
            value = float(text)
        except ValueError:
            value = float("inf")
        if abs(value) != float("inf"):
            return value, ""
    raise ValueError("no number")
