"""What urllib3 and a registry's headers say of trouble, in our words. In: exceptions and header values; out: text and numbers."""

import http.client
import ssl
import time

from urllib3.exceptions import IncompleteRead

from store.registry.errors import printable


def tunnel_status(error: "BaseException | None") -> str:
    """Status and reason of a proxy that makes no way to the registry; "" where it is something else."""
    found = str(error).partition("Tunnel connection failed: ")[2]
    return printable(found, 100) if found[:3].isdecimal() else ""


def shown_proxy(proxy: str) -> str:
    """The URL of a proxy without who we are to it."""
    scheme, separator, rest = proxy.rpartition("://")
    return printable(f"{scheme}{separator}{rest.rpartition('@')[2]}")


def broken(error: Exception, through: str) -> str:
    """What happened to a connection. urllib3 puts the error that it met behind a text of its own."""
    inner = next((part for part in error.args[::-1] if isinstance(part, Exception)), error)
    if isinstance(inner, IncompleteRead):
        return f"broke off{through} after {inner.partial} of {(inner.partial or 0) + (inner.expected or 0)} bytes"
    if isinstance(inner, http.client.RemoteDisconnected):
        return f"closed the connection{through} without an answer"
    return f"broke off{through} ({printable(str(inner), 160)})"


def alert_of(error: "BaseException | None") -> str:
    """What the other side said when it ended a TLS handshake, "" if it said nothing of the kind."""
    while error is not None:
        if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
            return error.reason.lower().replace("_", " ")
        error = error.__cause__ or error.__context__
    return ""


def retry_after(text: str) -> float:
    """Seconds from now that Retry-After says, as a number or a date; 0 for nothing."""
    text = text.strip()
    if text.isdecimal():
        return float(text[:9])
    if not text:
        return 0.0
    from email.utils import mktime_tz, parsedate_tz

    date = parsedate_tz(text)
    try:
        return max(mktime_tz(date) - time.time(), 0.0) if date else 0.0
    except (ValueError, OverflowError):
        return 0.0
