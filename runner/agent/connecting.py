"""Decisions about a container and its networks: order, interfaces, names, which one leads out. Pure."""

from kernel.value import Value
from runner.agent.errors import InvalidEndpoint
from runner.endpoint import Connection, Endpoint, Membership
from runner.network import NetworkRecord, is_host_name, is_interface
from runner.tuning import INTERFACE


class Seat(Value):
    """A place of a container's on a network."""

    record: NetworkRecord
    endpoint: Endpoint
    interface: str


def arrange(container: str, wanted: "tuple[tuple[NetworkRecord, Endpoint], ...]", used: "tuple[str, ...]" = ()) -> tuple[Seat, ...]:
    """In the order of connecting, each with the name of its interface; `used` are taken. Raises InvalidEndpoint."""
    ordered = sorted(wanted, key=lambda pair: -pair[1].priority)
    if len({record.id for record, _ in ordered}) < len(ordered):
        raise InvalidEndpoint(container, "is to be on one network twice")
    named = [endpoint.interface_name or dict(endpoint.driver_opts).get(INTERFACE, "") for _, endpoint in ordered]
    for name in filter(None, named):
        if not is_interface(name) or name == "lo" or [*named, *used].count(name) > 1:
            raise InvalidEndpoint(container, f"cannot have an interface called `{name}`")
    free = (f"eth{number}" for number in range(len(used) + 2 * len(named) + 1) if f"eth{number}" not in {*used, *named})
    return tuple(Seat(record, endpoint, name or next(free)) for (record, endpoint), name in zip(ordered, named))


def way_out(seats: "tuple[tuple[Seat, Connection], ...]", family: int) -> Connection | None:
    """The connection that has the default route: the highest gw_priority, among equals the first by name; none where none leads out."""
    found = [(-seat.endpoint.gw_priority, seat.record.name, connection) for seat, connection in seats
             if (connection.ipv4_gateway if family == 4 else connection.ipv6_gateway) and not seat.record.spec.internal]
    return min(found, key=lambda one: one[:2])[2] if found else None


def dns_names(membership: Membership, endpoint: Endpoint) -> tuple[str, ...]:
    """What others on the network may call the container; its own name first."""
    short = membership.container[:12]
    names = (membership.name, *endpoint.aliases, short, *((membership.hostname,) if membership.hostname else ()))
    return tuple(dict.fromkeys(name for name in names if is_host_name(name)))
