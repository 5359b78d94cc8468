"""Plain YAML scalars: text -> value as compose reads it, value -> text as compose writes it.

This is the core schema of YAML 1.2 with the three things that existing compose files rely on: `0440` is octal, `0b1` is binary,
and `_` may stand between digits. `yes`, `on`, `22:22` and dates are strings.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Scalar: TypeAlias = str | int | float | bool | None

_INFINITY = float("inf")
_WORDS: "dict[str, Scalar]" = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}
_FIRST = frozenset("0123456789+-.~nNtTfF")
_BASES = {"0x": 16, "0X": 16, "0o": 8, "0O": 8, "0b": 2, "0B": 2}


def plain(text: str) -> "Scalar":
    """The value of an unquoted scalar."""
    if not text:
        return None
    if text[0] not in _FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "~nNtTfF":
        return text
    if text[0] == ".":
        number: int | float | None = _decimal(text)
    else:
        digits = text.replace("_", "")
        number = _integer(digits)
        if number is None:
            number = _decimal(digits)
    return text if number is None else number


def _integer(text: str) -> "int | None":
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    base = 10
    if len(digits) > 1 and digits[0] == "0":
        base = _BASES.get(digits[:2], 8)
        digits = digits[2 if base != 8 or digits[1] in "oO" else 1:]
    if not digits.isascii() or not digits.isalnum() or len(digits) > 64:
        return None
    try:
        value = int(sign + digits, base)
    except ValueError:
        return None
    return value if -2 ** 63 <= value < 2 ** 64 else None


def _decimal(text: str) -> "float | None":
    if text.strip("0123456789.eE+-") or len(text) > 400:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) != _INFINITY else None


def text_of(value: "Scalar") -> str:
    """`value` as a word, for where only words can stand: labels, environment, options."""
    if value.__class__ is str:
        return value
    if value is None:
        return ""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float):
        return float_text(value)
    return str(value)


def float_text(value: float) -> str:
    """The shortest text that reads as `value`, as Go prints it: `1`, not `1.0`; an exponent from 1e+06 on, and below 0.0001."""
    if value != value:
        return "NaN"
    if value in (_INFINITY, -_INFINITY):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value)) if value or str(value)[0] != "-" else "-0"
    text = repr(value)
    mantissa, mark, exponent = text.partition("e")
    if not mark and abs(value) < 1e6:
        return text
    if not mark:
        whole, _, part = mantissa.lstrip("-").partition(".")
        digits = (whole + part).rstrip("0")
        mantissa = f"{'-' if value < 0 else ''}{digits[0]}.{digits[1:] or '0'}"
        exponent = str(len(whole) - 1)
    return f"{mantissa.removesuffix('.0')}e{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-').zfill(2)}"
