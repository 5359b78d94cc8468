"""Signals by name and number, as users write them. Without the `signal` module: its enums cost a millisecond."""

import _signal  # type: ignore[import-not-found]

from runner.errors import InvalidOption

_NUMBERS: "dict[str, int]" = {name[3:]: int(getattr(_signal, name)) for name in dir(_signal) if name.startswith("SIG") and name[3:].isalnum() }
_LAST = 64


def parse_signal(text: str) -> int:
    """"SIGTERM", "term", "15", "RTMIN+3" -> number. Raises InvalidOption."""
    word = text.strip().upper().removeprefix("SIG")
    if word.isascii() and word.isdigit() and 1 <= int(word) <= _LAST:
        return int(word)
    base, plus, offset = word.partition("+") if "+" in word else word.partition("-")
    number = _NUMBERS.get(base, 0)
    if plus and base in ("RTMIN", "RTMAX") and offset.isascii() and offset.isdigit():
        number += int(offset) if plus == "+" else -int(offset)
        number = number if _NUMBERS["RTMIN"] <= number <= _NUMBERS["RTMAX"] else 0
    elif plus:
        number = 0
    if not number:
        raise InvalidOption("signal", text, "is none of this system")
    return number


def signal_name(number: int) -> str:
    """"SIGTERM"; the number where it has no name."""
    return next((f"SIG{name}" for name, value in _NUMBERS.items() if value == number), str(number))
