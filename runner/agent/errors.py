"""What can be wrong with a network, or with putting a container on it. Each crosses from the agent to the command as its class name and arguments."""

from runner.errors import RunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class NetworkError(RunError):
    """The root of these. Each is made of its `args` again, at the other end of the socket."""


class NetworkFailed(NetworkError):
    """The machine refused: `step` is what was being done, `reason` what it said."""

    def __init__(self, step: str, reason: str, help: str = "") -> None:
        super().__init__(step, reason, help)
        self.step, self.reason, self.help = step, reason, help

    def __str__(self) -> str:
        return f"cannot {self.step}: {self.reason}"


class InvalidNetwork(NetworkError):
    """A network that was asked for makes no sense; `what` is its name."""

    def __init__(self, what: str, reason: str, help: str = "") -> None:
        super().__init__(what, reason, help)
        self.what, self.reason, self.help = what, reason, help

    def __str__(self) -> str:
        return _printable(f"network `{self.what}` {self.reason}")


class InvalidEndpoint(NetworkError):
    """What a container wants of its networks makes no sense; `container` is its name."""

    def __init__(self, container: str, reason: str, help: str = "") -> None:
        super().__init__(container, reason, help)
        self.container, self.reason, self.help = container, reason, help

    def __str__(self) -> str:
        return _printable(f"container `{self.container}` {self.reason}")


class NetworkMissing(NetworkError):
    """No network has this name or ID."""

    def __init__(self, name: str, help: str = "") -> None:
        super().__init__(name, help)
        self.name, self.help = name, help

    def __str__(self) -> str:
        return _printable(f"no such network: `{self.name}`")


class NetworkExists(NetworkError):
    """The name is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is a network `{self.name}` already"


class NetworkAmbiguous(NetworkError):
    """`name` begins the IDs of several networks."""

    help = "more digits of the ID would tell them apart"

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name, count)
        self.name, self.count = name, count

    def __str__(self) -> str:
        return f"network `{self.name}` is ambiguous: {self.count} IDs begin with it"


class NetworkPredefined(NetworkError):
    """One of the networks that are always there, and cannot be made or removed."""

    def __init__(self, name: str, doing: str) -> None:
        super().__init__(name, doing)
        self.name, self.doing = name, doing

    def __str__(self) -> str:
        return f"cannot {self.doing} the network `{self.name}`: it is always there"


class NetworkInUse(NetworkError):
    """Containers are on it; `containers` are their names."""

    help = "stop them, or disconnect them from it"

    def __init__(self, name: str, containers: tuple[str, ...]) -> None:
        super().__init__(name, containers)
        self.name, self.containers = name, containers

    def __str__(self) -> str:
        return f"network `{self.name}` is in use by {', '.join(f'`{name}`' for name in self.containers)}"


class PoolOverlap(NetworkError):
    """A subnet that was asked for overlaps `other`, which `owner` has: a network, or an interface or route of the machine."""

    help = "choose another subnet, or leave it out and one is chosen"

    def __init__(self, network: str, subnet: str, other: str, owner: str) -> None:
        super().__init__(network, subnet, other, owner)
        self.network, self.subnet, self.other, self.owner = network, subnet, other, owner

    def __str__(self) -> str:
        return f"subnet `{self.subnet}` of network `{self.network}` overlaps `{self.other}` of {self.owner}"


class AddressInUse(NetworkError):
    """An address that was asked for is another's; `owner` says whose."""

    def __init__(self, network: str, address: str, owner: str) -> None:
        super().__init__(network, address, owner)
        self.network, self.address, self.owner = network, address, owner

    def __str__(self) -> str:
        return f"address `{self.address}` of network `{self.network}` is in use by {self.owner}"


class AddressesExhausted(NetworkError):
    """Every address of the network, or of its `ip_range`, is given out."""

    help = "remove containers, or give the network a larger subnet"

    def __init__(self, network: str, range: str) -> None:
        super().__init__(network, range)
        self.network, self.range = network, range

    def __str__(self) -> str:
        return f"network `{self.network}` has no free address left in `{self.range}`"


class PortInUse(NetworkError):
    """A port to be published is taken; `holder` says by whom, or is ""."""

    help = "publish another port, or stop what uses this one"

    def __init__(self, address: str, port: int, protocol: str, holder: str = "") -> None:
        super().__init__(address, port, protocol, holder)
        self.address, self.port, self.protocol, self.holder = address, port, protocol, holder

    def __str__(self) -> str:
        where = f"[{self.address}]" if ":" in self.address else self.address
        return f"port `{where}:{self.port}/{self.protocol}` is already in use" + (f" by {self.holder}" if self.holder else "")


class PortForbidden(NetworkError):
    """An ordinary user may not listen there; `first` is the lowest port that it may."""

    def __init__(self, port: int, first: int) -> None:
        super().__init__(port, first)
        self.port, self.first = port, first
        self.help = f"publish a port from {first} on, or let root run `sysctl net.ipv4.ip_unprivileged_port_start={port}`"

    def __str__(self) -> str:
        return f"port `{self.port}` cannot be published: an ordinary user may listen on port {self.first} and above"


class NotConnected(NetworkError):
    """The container is not on that network, or on none."""

    def __init__(self, container: str, network: str) -> None:
        super().__init__(container, network)
        self.container, self.network = container, network

    def __str__(self) -> str:
        return f"container `{self.container}` is not connected to network `{self.network}`"


class AlreadyConnected(NetworkError):
    """The container is on that network."""

    def __init__(self, container: str, network: str) -> None:
        super().__init__(container, network)
        self.container, self.network = container, network

    def __str__(self) -> str:
        return f"container `{self.container}` is already connected to network `{self.network}`"


class AgentLost(NetworkError):
    """The network agent went away, or could not be started."""

    def __init__(self, reason: str, help: str = "") -> None:
        super().__init__(reason, help)
        self.reason, self.help = reason, help

    def __str__(self) -> str:
        return f"cannot reach the network agent: {self.reason}"


def _printable(text: str) -> str:
    """Without what would move a terminal's cursor: these texts repeat words of files that may be hostile."""
    return "".join(c if c.isprintable() else "?" for c in text)


KINDS: "dict[str, type[NetworkError]]" = {kind.__name__: kind for kind in (
    NetworkFailed, InvalidNetwork, InvalidEndpoint, NetworkMissing, NetworkExists, NetworkAmbiguous, NetworkPredefined, NetworkInUse, PoolOverlap,
    AddressInUse, AddressesExhausted, PortInUse, PortForbidden, NotConnected, AlreadyConnected, AgentLost)}


def to_wire(error: RunError) -> "tuple[Any, ...]":
    kind = next((one.__name__ for one in type(error).__mro__ if one.__name__ in KINDS), "")
    return (kind, *error.args) if kind else (NetworkFailed.__name__, "use the networks", str(error), error.help)


def from_wire(kind: str, *arguments: "Any") -> NetworkError:
    """The error again."""
    return KINDS[kind](*arguments)
