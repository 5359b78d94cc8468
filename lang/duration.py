"""Durations as Go writes them: `1m30s`, `1.5h`, `300ms`."""

from lang.errors import Misread

UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
LARGEST = 2**63 - 1


def parse_duration(text: str) -> int:
    """Nanoseconds. Raises Misread, at the first number or unit that does not read."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise Misread(f"`{text}` is no duration", 0, len(text))
    total = 0
    while rest:
        at = len(text) - len(rest)
        number, rest = _while(rest, "0123456789.")
        unit = next((u for u in sorted(UNITS, key=len, reverse=True) if rest.startswith(u)), "")
        whole, _, fraction = number.partition(".")
        if not (whole or fraction) or "." in fraction:
            raise Misread(f"`{text}` is no duration", at, len(text))
        if not rest:
            raise Misread(f"no unit in the duration `{text}`", at, len(text))
        if not unit:
            wrong = _while(rest, "0123456789.", without=True)[0]
            at += len(number)
            raise Misread(f"`{wrong}` is no unit of time", at, at + len(wrong))
        total += int((whole or "0")[:20]) * UNITS[unit] + (int((fraction or "0")[:20]) * UNITS[unit]) // 10 ** len(fraction[:20])
        rest = rest[len(unit):]
        if total > LARGEST:
            raise Misread(f"the duration `{text}` is too long", 0, len(text))
    return -total if text[0] == "-" else total


def format_duration(nanoseconds: int) -> str:
    """As Go prints it: `1m30s`, `1.5s`, `0s`."""
    if not nanoseconds:
        return "0s"
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if left < 10**9:
        unit = next(u for u in ("ns", "µs", "ms") if left < UNITS[u] * 1000)
        return f"{sign}{_decimal(left, UNITS[unit])}{unit}"
    hours, left = divmod(left, UNITS["h"])
    minutes, left = divmod(left, UNITS["m"])
    seconds = f"{_decimal(left, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    digits = str(part).zfill(len(str(unit)) - 1).rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _while(text: str, characters: str, without: bool = False) -> tuple[str, str]:
    end = 0
    while end < len(text) and (text[end] in characters) != without:
        end += 1
    return text[:end], text[end:]
