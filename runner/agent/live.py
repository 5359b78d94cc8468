"""The networks as they are in use: their records, the addresses given out of them, their bridges.

In: specs and names; out: NetworkRecords that are real.
"""

import time

from kernel.value import Value
from runner.agent.address import mac_of, parse_subnet
from runner.agent.bridge import Bridges, fence_of
from runner.agent.errors import InvalidNetwork, NetworkExists, NetworkInUse, NetworkPredefined
from runner.agent.firewall import Firewall
from runner.agent.ipam import Addresses, Taken, settle
from runner.agent.records import PREDEFINED, Networks, new_id
from runner.endpoint import Connection, Endpoint
from runner.network import BRIDGE, BRIDGE_NAME, HOST, NONE, PARENT, NetworkRecord, NetworkSpec, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Given(Value):
    """What a container got of a network; "" and 0 where the network has not that family."""

    mac: str
    address4: str = ""
    prefix4: int = 0
    gateway4: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""


class LiveNetworks:
    """routes: what the machine's routes lead to now. prepare: called with a network before it becomes real."""

    def __init__(self, records: Networks, bridges: Bridges, firewall: Firewall, routes: "Callable[[], tuple[Taken, ...]]",
                 prepare: "Callable[[NetworkRecord], None]") -> None:
        self._records = records
        self._bridges = bridges
        self._firewall = firewall
        self._routes = routes
        self._prepare = prepare
        self._real: "dict[str, NetworkRecord]" = {}       # by ID
        self._addresses: "dict[str, list[Addresses]]" = {}

    # ---------------------------------------------------------------- records
    def create(self, spec: NetworkSpec) -> NetworkRecord:
        """Raises InvalidNetwork, NetworkExists, NetworkPredefined, PoolOverlap."""
        if spec.name in PREDEFINED:
            raise NetworkPredefined(spec.name, "create")
        spec = check(spec)
        return self._add(spec)

    def _add(self, spec: NetworkSpec) -> NetworkRecord:
        with self._records:
            if self._records.named(spec.name):
                raise NetworkExists(spec.name)
            id = new_id()
            own = spec.driver == BRIDGE
            interface = dict(spec.options).get(BRIDGE_NAME if own else PARENT) or self._bridges.name_for(id)
            for other in self._records.list(hidden=True):
                if own and other.interface == interface:
                    raise InvalidNetwork(spec.name, f"wants the bridge `{interface}`, which network `{other.name}` has")
            spec, chosen = settle(spec, self._taken(interface), int(id[:14], 16))
            record = NetworkRecord(id, time.time_ns(), interface, chosen, spec)
            self._records.add(record)
        return record

    def remove(self, word: str, users: "Callable[[str], tuple[str, ...]]") -> NetworkRecord:
        """users: names of the containers on a network, by its ID. Raises NetworkMissing, NetworkInUse, NetworkPredefined."""
        record = self._records.require(word)
        if record.name in PREDEFINED:
            raise NetworkPredefined(record.name, "remove")
        if found := users(record.id):
            raise NetworkInUse(record.name, found)
        self._records.remove(record.id)
        self.dissolve(record)
        return record

    def require(self, word: str) -> NetworkRecord:
        """Raises NetworkMissing, or InvalidNetwork for those that are modes rather than networks."""
        record = self._records.require(word)
        if record.name in (HOST, NONE):
            raise InvalidNetwork(record.name, "cannot be joined beside others", f"use it as the network mode: `--network {record.name}`")
        return record

    def own(self, spec: NetworkSpec) -> NetworkRecord:
        """A network of the agent's own, made if it is missing."""
        return self._records.named(spec.name) or self._add(spec)

    # ---------------------------------------------------------------- real ones
    def realise(self, record: NetworkRecord) -> NetworkRecord:
        """Make it real if it is not, with another subnet if the one that was chosen for it leads elsewhere by now. Raises NetworkError."""
        if record.id in self._real:
            return self._real[record.id]
        record = self._settle_again(record)
        self._make_real(record)
        if record.spec.driver == BRIDGE:
            self._firewall.fence(fence_of(record))
        return record

    def _make_real(self, record: NetworkRecord) -> None:
        if record.spec.driver == BRIDGE:
            self._prepare(record)
            self._bridges.realise(record)
        else:
            self._bridges.check_parent(record)
        self._real[record.id] = record

    def resume(self, record: NetworkRecord) -> None:
        """It has containers, and is as it was."""
        self._make_real(record)

    def _settle_again(self, record: NetworkRecord) -> NetworkRecord:
        taken = self._taken(record.interface, besides=record.id)
        pools = [parse_subnet(pool.subnet) for pool in record.spec.pools]
        if pools and not (record.chosen and any(pool.overlaps(one.subnet) for pool in pools for one in taken)):
            return record
        bare = record.spec._replace(pools=() if record.chosen else record.spec.pools)
        spec, chosen = settle(bare, taken, int(record.id[:14], 16))
        record = record._replace(spec=spec, chosen=chosen, interface=record.interface or self._bridges.name_for(record.id))
        self._records.replace(record)
        self._addresses.pop(record.id, None)
        return record

    def _taken(self, interface: str, besides: str = "") -> tuple[Taken, ...]:
        others = [record for record in self._records.list(hidden=True) if record.id != besides]
        ours = {record.interface for record in others} | {interface}
        found = [Taken(parse_subnet(pool.subnet), f"network `{record.name}`") for record in others for pool in record.spec.pools]
        return (*found, *(one for one in self._routes() if one.owner.split("`")[1] not in ours))

    def dissolve(self, record: NetworkRecord) -> None:
        """It is not real any more. Idempotent."""
        self._addresses.pop(record.id, None)
        if self._real.pop(record.id, None) and record.spec.driver == BRIDGE:
            self._firewall.unfence(record.interface)
        self._bridges.dissolve(record)

    def dissolve_all(self) -> None:
        """Nothing is real any more, and the agent's own networks do not exist."""
        for record in self._records.list(hidden=True):
            if record.interface:
                self.dissolve(record)
            if record.name.startswith("."):
                self._records.remove(record.id)

    def real(self) -> tuple[NetworkRecord, ...]:
        """Those that are bridges now."""
        return tuple(record for record in self._real.values() if record.spec.driver == BRIDGE)

    # ---------------------------------------------------------------- addresses
    def give(self, record: NetworkRecord, owner: str, endpoint: Endpoint, before: Connection | None = None) -> Given:
        """Addresses for `owner`; those it had before if it can be. Raises AddressInUse, AddressesExhausted, InvalidNetwork."""
        given = Given("")
        try:
            for addresses in self._pools(record):
                four = addresses.subnet.family == 4
                wanted = endpoint.ipv4_address if four else endpoint.ipv6_address
                preferred = (before.ipv4_address if four else before.ipv6_address) if before else ""
                address = addresses.take(owner, wanted, preferred)
                prefix, gateway = addresses.subnet.prefix, "" if record.spec.internal else addresses.pool.gateway
                given = given._replace(address4=address, prefix4=prefix, gateway4=gateway) if four else \
                    given._replace(address6=address, prefix6=prefix, gateway6=gateway)
            if endpoint.ipv6_address and not given.address6:
                raise InvalidNetwork(record.name, f"cannot give {owner} the address `{endpoint.ipv6_address}`: it has no IPv6",
                                     "enable it with `enable_ipv6: true`")
            if endpoint.ipv4_address and not given.address4:
                raise InvalidNetwork(record.name, f"cannot give {owner} the address `{endpoint.ipv4_address}`: it has no IPv4")
        except BaseException:
            self.take_back(record.id, given.address4, given.address6)
            raise
        return given._replace(mac=endpoint.mac_address or mac_of(given.address4 or given.address6))

    def claim(self, record: NetworkRecord, owner: str, connection: Connection) -> None:
        """They are given out already."""
        for addresses in self._pools(record):
            address = connection.ipv4_address if addresses.subnet.family == 4 else connection.ipv6_address
            if address:
                addresses.take(owner, address)

    def take_back(self, network: str, *given: str) -> None:
        for addresses in self._addresses.get(network, []):
            for address in given:
                if address and (":" in address) == (addresses.subnet.family == 6):
                    addresses.free(address)

    def _pools(self, record: NetworkRecord) -> list[Addresses]:
        found = self._addresses.get(record.id)
        if found is None:
            found = self._addresses[record.id] = [Addresses(record.name, pool) for pool in record.spec.pools]
        return found
