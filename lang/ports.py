"""EXPOSE's ports: `80`, `80/udp`, `8000-8010`, and the publishing form `ip:host:container` that is taken too."""

from lang.errors import Misread

PROTOCOLS = ("tcp", "udp", "sctp")


def parse_ports(text: str) -> list[str]:
    """The container ports that one word names, each `number/protocol`. Raises Misread, at the part that does not read."""
    *outer, inner = text.split(":")
    if len(outer) > 1 and not _is_address(":".join(outer[:-1])):
        address = ":".join(outer[:-1])
        raise Misread(f"`{address}` is no address", 0, len(address))
    number, _, protocol = inner.partition("/")
    protocol = protocol.partition("/")[0] or "tcp"
    if not number:
        raise Misread(f"no port in `{text}`", 0, len(text))
    at = len(text) - len(inner)
    first, last = _range(number, at)
    if outer and outer[-1]:
        low, high = _range(outer[-1], at - 1 - len(outer[-1]))
        if last != first and high - low != last - first:
            raise Misread(f"the ranges of `{text}` differ in length", 0, len(text))
    if protocol.lower() not in PROTOCOLS:
        at += len(number) + 1
        raise Misread(f"`{protocol}` is no protocol: tcp, udp or sctp", at, at + len(protocol))
    return [f"{port}/{protocol.lower()}" for port in range(first, last + 1)]


def _range(text: str, at: int) -> tuple[int, int]:
    """The first and last port of a part that stands at `at`."""
    low, dash, high = text.partition("-")
    if dash and not (low and high):
        raise Misread(f"`{text}` is no range of ports: first-last", at, at + len(text))
    first = _port(low, at)
    last = _port(high, at + len(low) + 1) if dash else first
    if last < first:
        raise Misread(f"the range `{text}` ends before it begins", at, at + len(text))
    return first, last


def _port(text: str, at: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or int(text) > 65535:
        raise Misread(f"`{text}` is no port: 0 to 65535", at, at + len(text))
    return int(text)


def _is_address(text: str) -> bool:
    if not text:
        return True
    from socket import AF_INET, AF_INET6, inet_pton
    text = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return False
    return True
