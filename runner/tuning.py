"""Options of the drivers of networks, as docker calls them, and which of them have an effect here; sysctls of a container's interfaces. Pure."""

from runner.errors import InvalidOption
from runner.network import BIND_IP, BRIDGE_NAME, ICC, IPVLAN_MODE, MACVLAN_MODE, MASQUERADE, MTU, PARENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.endpoint import Connection, Endpoint

    Pairs = tuple[tuple[str, str], ...]

SYSCTLS, INTERFACE = "com.docker.network.endpoint.sysctls", "com.docker.network.endpoint.ifname"
_OF_NETWORKS = frozenset((BRIDGE_NAME, MTU, ICC, MASQUERADE, BIND_IP, PARENT, MACVLAN_MODE, IPVLAN_MODE, "mtu", "name", "icc"))
_OF_ENDPOINTS = frozenset((SYSCTLS, INTERFACE))
_PLACE = "IFNAME"


def without_effect(options: "Pairs", *, endpoint: bool) -> "tuple[str, ...]":
    """Names of options that nothing here knows."""
    known = _OF_ENDPOINTS if endpoint else _OF_NETWORKS
    return tuple(name for name, _ in options if name not in known)


def parse_sysctls(text: str) -> "Pairs":
    """`net.ipv4.conf.IFNAME.log_martians=1,..` -> pairs, the place of the interface's name as it is. Raises ValueError."""
    found = []
    for word in filter(None, text.split(",")):
        name, equals, value = word.strip().partition("=")
        parts = name.split(".")
        if not equals or len(parts) != 5 or parts[0] != "net" or parts[3] != _PLACE:
            raise ValueError(f"`{word.strip()}` is not like `net.ipv4.conf.{_PLACE}.forwarding=1`")
        found.append((name, value))
    return tuple(found)


def interface_sysctls(endpoints: "Iterable[Endpoint]", connections: "Iterable[Connection]") -> "Pairs":
    """What the endpoints say, for the interfaces that they have become. Raises InvalidOption."""
    texts = {one.network: dict(one.driver_opts).get(SYSCTLS, "") for one in endpoints}
    found = []
    for connection in connections:
        text = texts.get(connection.network, "")
        try:
            pairs = parse_sysctls(text)
        except ValueError as error:
            raise InvalidOption("option of a network", f"{SYSCTLS}={text}", str(error)) from None
        # with `/` between the parts: a name of an interface may have dots
        found += [(name.replace(".", "/").replace(_PLACE, connection.interface), value) for name, value in pairs]
    return tuple(found)
