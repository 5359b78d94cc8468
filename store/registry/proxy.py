"""Which proxy to go through, by the environment: http_proxy, https_proxy, all_proxy and no_proxy, in small or capital letters. Pure."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_for(scheme: str, host: str, port: int, environment: "Mapping[str, str]") -> str:
    """URL of the proxy, "" for none. This machine itself is never asked through one."""
    found = _setting(environment, f"{scheme}_proxy") or _setting(environment, "all_proxy")
    if not found or is_loopback(host) or is_excepted(host, port, _setting(environment, "no_proxy")):
        return ""
    return found if "://" in found else f"http://{found}"


def _setting(environment: "Mapping[str, str]", name: str) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""


def is_loopback(host: str) -> bool:
    """localhost, 127.0.0.0/8, ::1. host: without port, brackets allowed."""
    host = host.strip("[]").lower()
    if host in ("localhost", "::1"):
        return True
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() and int(part) < 256 for part in parts)


def is_excepted(host: str, port: int, exceptions: str) -> bool:
    """Whether `no_proxy` names the host: `*`, a domain with all below it, host:port, an address, or a network such as 10.0.0.0/8."""
    host = host.strip("[]").lower()
    for entry in exceptions.split(","):
        name = entry.strip().lower()
        if name == "*":
            return True
        head, colon, tail = name.rpartition(":")
        if colon and tail.isdecimal() and (":" not in head or head.endswith("]")):
            if int(tail) != port:
                continue
            name = head
        name = name.strip("[]").removeprefix("*").removeprefix(".")
        if name and (host == name or host.endswith(f".{name}") or _in_network(host, name)):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    if "/" not in network:
        return False
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
