"""Which proxy to go through, by the environment: http_proxy, https_proxy, all_proxy, no_proxy, in small or capital letters. Pure."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.remote.address import Address


def proxy_for(address: "Address", environment: "Mapping[str, str]") -> str:
    """URL of the proxy, "" for none. This machine itself is never asked through a proxy."""
    found = _value(environment, f"{address.scheme}_proxy") or _value(environment, "all_proxy")
    if not found or is_local(address.host) or is_excepted(address.host, address.port, _value(environment, "no_proxy")):
        return ""
    return found if "://" in found else f"http://{found}"


def _value(environment: "Mapping[str, str]", name: str) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""


def is_local(host: str) -> bool:
    return host == "localhost" or _in_network(host, "127.0.0.0/8") or _in_network(host, "::1/128")


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether `no_proxy` names the host: `*`, a domain (with all below it), host:port, an address, or a network as 10.0.0.0/8."""
    for entry in no_proxy.split(","):
        entry = entry.strip().lower()
        if entry == "*":
            return True
        name, colon, wanted = entry.rpartition(":")
        if colon and wanted.isdecimal() and ":" not in name.strip("[]"):
            if int(wanted) != port:
                continue
            entry = name
        entry = entry.strip("[]").removeprefix("*.").removeprefix(".")
        if entry and (host == entry or host.endswith(f".{entry}") or _in_network(host, entry)):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    if not (host[:1].isdigit() or ":" in host) or "/" not in network:
        return False
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
