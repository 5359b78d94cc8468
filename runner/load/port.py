"""A published port in one word -> its long form: `[HOST_IP:][PUBLISHED:]TARGET[/PROTOCOL]`, ranges included."""

from _socket import AF_INET, AF_INET6, inet_pton  # `socket` itself costs 5 ms of start-up

_PROTOCOLS = ("tcp", "udp", "sctp")


def parse(text: str) -> "list[dict[str, str | int]]":
    """The ports that `text` publishes, as compose orders them: by the text of target and protocol.

    Raises ValueError.
    """
    left, _, target = text.rpartition(":")
    host, _, published = left.rpartition(":")
    target, slash, protocol = target.partition("/")
    protocol = protocol.lower() if slash and protocol else "tcp"
    if protocol not in _PROTOCOLS:
        raise ValueError(f"`{protocol}` is no protocol: those are tcp, udp and sctp")
    if host:
        host = address(host)
    if not target:
        raise ValueError("no container port")
    first, last = _range(target, "container port")
    if not first:
        raise ValueError("0 is no container port")
    begin, end = _range(published, "host port") if published else (0, 0)
    if published and last != first and last - first != end - begin:
        raise ValueError(f"the ranges `{published}` and `{target}` differ in length")
    ports: list[dict[str, str | int]] = []
    for offset in range(last - first + 1):
        port: dict[str, str | int] = {"mode": "ingress"}
        if host:
            port["host_ip"] = host
        port["target"] = first + offset
        if published:
            port["published"] = f"{begin}-{end}" if first == last and begin != end else str(begin + offset)
        port["protocol"] = protocol
        ports.append(port)
    return sorted(ports, key=lambda port: str(port["target"]))


def address(text: str) -> str:
    """An IP address, without the brackets that an IPv6 one may have.

    Raises ValueError.
    """
    bare = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    for family in (AF_INET, AF_INET6):
        try:
            inet_pton(family, bare)
        except (OSError, ValueError):
            continue
        return bare
    raise ValueError(f"`{text}` is no IP address")


def _range(text: str, noun: str) -> "tuple[int, int]":
    begin, dash, end = text.partition("-")
    if not dash:
        end = begin
    if all(part.isascii() and part.isdigit() and len(part) <= 5 and int(part) < 65536 for part in (begin, end)) and int(begin) <= int(end):
        return int(begin), int(end)
    raise ValueError(f"`{text}` is no {noun}")
