"""Moments: how users write them, and how they are shown. Nanoseconds since the epoch inside."""

import time

from runner.errors import InvalidOption
from runner.load import unit
from runner.upkeep import SECOND

NEVER = "0001-01-01T00:00:00Z"


def parse_moment(text: str, now: int = 0) -> int:
    """Seconds since the epoch ("1700000000.5"), a date with or without time and zone (else our own), or an age ("10m"). Raises InvalidOption."""
    word = text.strip()
    if word.replace(".", "", 1).isdigit() and word.isascii():
        whole, _, fraction = word.partition(".")
        return int(whole or 0) * SECOND + int(fraction[:9].ljust(9, "0"))
    if word[:4].isdigit() and word[4:5] == "-":
        return _parse_date(text, word)
    try:
        return (now or time.time_ns()) - unit.duration(word)
    except ValueError:
        raise InvalidOption("time", text, "is neither a time nor an age", "for example `2024-05-01T10:00:00`, `1714550000` or `10m`") from None


def _parse_date(text: str, word: str) -> int:
    from datetime import datetime

    body, dot, rest = word.partition(".")
    digits = rest[:len(rest) - len(rest.lstrip("0123456789"))] if dot else ""
    zone = rest[len(digits):] if dot else ""
    if not dot:
        at = max(body.rfind("+"), body.rfind("-", 11), body.find("Z", 11))
        body, zone = (body[:at], body[at:]) if at > 10 else (body, "")
    try:
        seconds = datetime.fromisoformat(body + zone).timestamp()
    except ValueError:
        raise InvalidOption("time", text, "is no date", "for example `2024-05-01T10:00:00Z`") from None
    return int(seconds) * SECOND + int(digits[:9].ljust(9, "0") or 0)


def time_text(nanoseconds: int, *, fixed: bool = False) -> str:
    """RFC 3339 in UTC, docker's word for never for 0. fixed: with all nine digits."""
    if not nanoseconds:
        return NEVER
    seconds, fraction = divmod(nanoseconds, SECOND)
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}"
    return (text if fixed else text.rstrip("0").rstrip(".")) + "Z"
