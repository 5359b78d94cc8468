"""Sizes and durations as compose writes them: `1.5gb` <-> bytes, `1m30s` <-> nanoseconds."""

_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_UNITS = {"ns": 1, "us": 10 ** 3, "µs": 10 ** 3, "μs": 10 ** 3, "ms": 10 ** 6, "s": 10 ** 9, "m": 60 * 10 ** 9, "h": 3600 * 10 ** 9}
LONGEST = 2 ** 63 - 1                                     # what fits the numbers of the programs that read ours


def size(text: str) -> int:
    """Bytes of `text`: a number, perhaps a space, perhaps one of b, k, m, g, t, p, perhaps `b` or `ib`; case does not matter.

    Raises ValueError.
    """
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    suffix = text[len(number):].lower()
    digits = number.removesuffix(" ")
    if not digits or digits.strip("0123456789.eE+") or len(digits) > 40:
        raise ValueError("no size")
    try:
        value = float(digits)
    except ValueError:
        raise ValueError("no size") from None
    if suffix and (suffix[0] not in _SIZES or suffix[1:] not in (("",) if suffix[0] == "b" else ("", "b", "ib"))):
        raise ValueError(f"`{suffix}` is no unit of sizes")
    value *= _SIZES[suffix[0]] if suffix else 1
    if not value <= LONGEST:
        raise ValueError("larger than any machine")
    return int(value)


def duration(text: str) -> int:
    """Nanoseconds of `text`: numbers with units, largest or smallest first, such as `1h5m30.5s`.

    Raises ValueError.
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest or len(rest) > 200:
        raise ValueError("no duration")
    total = 0
    while rest:
        unsigned = rest.lstrip("0123456789")
        whole = rest[:len(rest) - len(unsigned)]
        part, rest = "", unsigned
        if rest[:1] == ".":
            after = rest[1:].lstrip("0123456789")
            part, rest = rest[1:len(rest) - len(after)], after
        unit = rest[:len(rest) - len(rest.lstrip("nuµμmsh"))]
        while unit not in _UNITS and unit:
            unit = unit[:-1]
        if not (whole or part):
            raise ValueError("no duration")
        if not unit or (len(rest) > len(unit) and rest[len(unit)] not in ".0123456789"):
            shown = rest.rstrip(".0123456789") or rest
            raise ValueError(f"no unit after `{whole or part}`" if not shown else f"`{shown}` is no unit of time")
        total += int(whole or "0") * _UNITS[unit]
        if part:
            total += int(part) * _UNITS[unit] // 10 ** len(part)
        if total > LONGEST:
            raise ValueError("longer than 292 years")
        rest = rest[len(unit):]
    return -total if text[0] == "-" else total


def duration_text(nanoseconds: int) -> str:
    """The text of a duration: the largest units first, no zero in front: `1m0s`, `1.5s`, `500ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, scale in (("ns", 1), ("µs", 10 ** 3), ("ms", 10 ** 6)):
        if rest < scale * 1000:
            return f"{sign}{_fraction(rest, scale)}{unit}"
    minutes, rest = divmod(rest, _UNITS["m"])
    text = f"{_fraction(rest, _UNITS['s'])}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"
    return sign + text


def _fraction(value: int, scale: int) -> str:
    whole, part = divmod(value, scale)
    if not part:
        return str(whole)
    return f"{whole}.{str(part).zfill(len(str(scale)) - 1).rstrip('0')}"
