"""EXPOSE's ports: `80`, `80/udp`, `8000-8010`, and the publishing form `ip:host:container` that is taken too."""

PROTOCOLS = ("tcp", "udp", "sctp")


def parse_ports(text: str) -> list[str]:
    """The container ports that one word names, each `number/protocol`. Raises ValueError with what is wrong."""
    *outer, inner = text.split(":")
    if len(outer) > 1 and not _is_address(":".join(outer[:-1])):
        raise ValueError(f"`{':'.join(outer[:-1])}` is no address")
    number, _, protocol = inner.partition("/")
    protocol = protocol.partition("/")[0] or "tcp"
    if not number:
        raise ValueError(f"no port in `{text}`")
    first, last = _range(number)
    if outer and outer[-1]:
        low, high = _range(outer[-1])
        if last != first and high - low != last - first:
            raise ValueError(f"the ranges of `{text}` differ in length")
    if protocol.lower() not in PROTOCOLS:
        raise ValueError(f"`{protocol}` is no protocol: tcp, udp or sctp")
    return [f"{port}/{protocol.lower()}" for port in range(first, last + 1)]


def _range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if dash and not (low and high):
        raise ValueError(f"`{text}` is no range of ports: first-last")
    first = _port(low)
    last = _port(high) if dash else first
    if last < first:
        raise ValueError(f"the range `{text}` ends before it begins")
    return first, last


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or int(text) > 65535:
        raise ValueError(f"`{text}` is no port: 0 to 65535")
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
