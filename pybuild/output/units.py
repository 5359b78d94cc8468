"""Numbers for people, and people's numbers: sizes, durations and times as docker writes and reads them."""

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Bytes in units of 1000, three significant digits: 1234567 -> "1.23MB"."""
    step = 0
    value = float(count)
    while value >= 999.5 and step < len(_DECIMAL) - 1:
        value /= 1000
        step += 1
    return f"{value:.4g}{_DECIMAL[step]}" if step == 0 else f"{value:.3g}{_DECIMAL[step]}"


def ago(seconds: float) -> str:
    """"3 minutes": how docker rounds an age (seconds)."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return _plural(int(seconds), "second")
    minutes = int(seconds / 60)
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(minutes / 60 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 14:
        return _plural(int(hours / 24), "day")
    if hours < 24 * 60:
        return _plural(int(hours / 24 / 7), "week")
    if hours < 24 * 365 * 2:
        return _plural(int(hours / 24 / 30), "month")
    return _plural(int(hours / 24 / 365), "year")


def _plural(count: int, unit: str) -> str:
    return f"{count} {unit}" + ("" if count == 1 else "s")


_BINARY = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def parse_size(text: str) -> int:
    """"64m", "1.5g", "512KiB" -> bytes, in units of 1024 as docker's memory options; ValueError if it is none."""
    word = text.strip().lower()
    digits = len(word) - len(word.lstrip("0123456789."))
    unit = word[digits:].strip()
    for ending in ("ib", "b"):
        if len(unit) > 1 and unit.endswith(ending):
            unit = unit.removesuffix(ending)
            break
    if not digits or unit not in _BINARY:
        raise ValueError(f"`{text}` is no size")
    return int(float(word[:digits]) * _BINARY[unit])


def parse_duration(text: str) -> float:
    """A Go duration ("1h30m", "1.5s", "100ms") in seconds; ValueError if it is none."""
    units = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    rest, total, sign = text.strip(), 0.0, 1
    if rest[:1] in ("-", "+"):
        sign, rest = (-1 if rest[0] == "-" else 1), rest[1:]
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f"`{text}` is no duration")
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = next((u for u in ("ns", "us", "µs", "ms", "s", "m", "h") if rest[digits:].startswith(u)), None)
        if not digits or unit is None:
            raise ValueError(f"`{text}` is no duration")
        total += float(rest[:digits]) * units[unit]
        rest = rest[digits + len(unit):]
    return sign * total
