"""A container on its networks: what is asked of whoever keeps the networks, and what comes of it. Values, and the Network that takes them.

Addresses are text without a prefix length, checked where they are made into rules; names are checked by whoever writes them into a file.
"""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, TypeAlias

    Texts: TypeAlias = tuple[str, ...]
    Pairs: TypeAlias = tuple[tuple[str, str], ...]


class Endpoint(Value):
    """One network a container is to be on. network: name or ID; aliases: names it answers to there, beside its own and its short ID.

    ipv4_address, ipv6_address, mac_address, interface_name: "" leaves the choice. gw_priority: the highest one has the default route.
    priority: networks are connected in falling order of it. links: (alias, name or ID of another container) that only it can look up.
    """

    network: str
    aliases: "Texts" = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: "Texts" = ()
    mac_address: str = ""
    gw_priority: int = 0
    priority: int = 0
    interface_name: str = ""
    links: "Pairs" = ()
    driver_opts: "Pairs" = ()


class PortMapping(Value):
    """A port of the container that is reached from outside. host_ip "": every address; host_port 0: any free one.

    host_port_last: with it, the first free one of host_port to host_port_last; 0: host_port itself. protocol: tcp, udp or sctp.
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    host_port_last: int = 0


class Membership(Value):
    """All that a container wants of the network. container: its ID; name: without slash; hostname, domainname: its own, as in its UTS names.

    extra_hosts: (name, address or "host-gateway"). dns, dns_search, dns_options: as in resolv.conf; () takes the host's over.
    """

    container: str
    name: str
    hostname: str
    endpoints: "tuple[Endpoint, ...]"
    ports: "tuple[PortMapping, ...]" = ()
    domainname: str = ""
    extra_hosts: "Pairs" = ()
    dns: "Texts" = ()
    dns_search: "Texts" = ()
    dns_options: "Texts" = ()


class Connection(Value):
    """One endpoint as it came to be. network: its name; the IDs are 64 hex digits; "" and 0 where there is no such address."""

    network: str
    network_id: str
    endpoint_id: str
    interface: str
    mac_address: str
    ipv4_address: str = ""
    ipv4_prefix: int = 0
    ipv4_gateway: str = ""
    ipv6_address: str = ""
    ipv6_prefix: int = 0
    ipv6_gateway: str = ""
    aliases: "Texts" = ()
    dns_names: "Texts" = ()


class Attachment(Value):
    """What `attach` gives. namespace: fd of the network namespace, the caller's to close; the container is on its networks as long as one is open.

    ports: one entry for each address and port that is bound, with the port that was chosen. hosts, resolv_conf: the files' whole text.
    """

    namespace: int
    connections: "tuple[Connection, ...]"
    ports: "tuple[PortMapping, ...]"
    hosts: str
    resolv_conf: str


if TYPE_CHECKING:
    class Network(Protocol):
        """Who keeps the networks (the agent, seen from a command or a shim; a fake in tests). Modes `none`, `host`, `container:` need nobody."""

        def attach(self, membership: Membership, namespace: int = -1) -> Attachment:
            """Put the container on its networks, in this network namespace if there is one already.

            An attachment of the same container that is left over is replaced, keeping its addresses.

            Raises RunError: PortInUse, NetworkMissing, AddressInUse; nothing is left then.
            """
            ...

        def detach(self, container: str) -> None:
            """Free its addresses, names and ports. Idempotent. Starts no agent: where none runs there is nothing to free but records."""
            ...

        def connect(self, container: str, endpoint: Endpoint, namespace: int) -> Connection:
            """Put a running container on one more network. namespace: an fd of its own."""
            ...

        def disconnect(self, container: str, network: str, namespace: int) -> None:
            """Take a running container off a network."""
            ...

        def is_network(self, name: str) -> bool:
            """Whether there is a network of this name or ID; asked when a container is created."""
            ...
