"""Containers put on networks and taken off: every verb of the agent that concerns one. Everything it is made of is given to it.

Who is where lies in files (members.py) before anybody is told that it was done, so that another agent can go on from them.
"""

import os

from kernel.value import Value
from runner.agent import cell as cells
from runner.agent.answer import Query
from runner.agent.bridge import Bridges, Plug
from runner.agent.cell import Cell
from runner.agent.connecting import Seat, arrange, dns_names, way_out
from runner.agent.conntrack import forget_datagrams
from runner.agent.errors import AlreadyConnected, NetworkFailed, NotConnected
from runner.agent.firewall import Firewall
from runner.agent.form import Member
from runner.agent.hosts import check, check_endpoint, hosts_text, resolv_conf_text
from runner.agent.live import Given, LiveNetworks
from runner.agent.members import Members
from runner.agent.names import Names
from runner.agent.nameserver import Nameserver
from runner.agent.netlink import default_route, delete, no_default_route
from runner.agent.nft import Nft
from runner.agent.ports import Ports, published
from runner.agent.resolver import ResolvConf
from runner.agent.ruleset import Published
from runner.endpoint import Connection, Endpoint, Membership, PortMapping
from runner.network import BIND_IP, BRIDGE, NetworkRecord, NetworkSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Emit = Callable[[str, str, Mapping[str, str]], None]

_SPARE_CELLS = 2


class Parts(Value):
    """What a keeper works with. emit(action, network ID, attributes): to the event log. gateway: that `host-gateway` means, "": each one's own."""

    live: LiveNetworks
    bridges: Bridges
    firewall: Firewall
    ports: Ports
    names: Names
    nameserver: Nameserver
    nft: Nft
    members: Members
    resolv_conf: ResolvConf
    emit: "Emit"
    gateway: str


class _Joint:
    """One connection of a container that there is. veth: our end of the cable."""

    __slots__ = ("connection", "seat", "veth")

    def __init__(self, seat: Seat, connection: Connection, veth: str) -> None:
        self.seat = seat
        self.connection = connection
        self.veth = veth


class _Attached:
    """ways: the connections that have the default routes, of IPv4 and IPv6."""

    __slots__ = ("build", "cell", "joints", "membership", "missed", "ports", "ways")

    def __init__(self, membership: Membership, cell: Cell, *, build: bool = False) -> None:
        self.membership = membership
        self.cell = cell
        self.build = build
        self.joints: list[_Joint] = []
        self.ports: tuple[PortMapping, ...] = ()
        self.ways: "tuple[Connection | None, Connection | None]" = (None, None)
        self.missed = 0                                   # times that nobody was found to hold the namespace

    def targets(self) -> tuple[str, str]:
        four, six = self.ways
        return four.ipv4_address if four else "", six.ipv6_address if six else ""

    def member(self, boot: str) -> Member:
        return Member(self.membership, tuple(joint.connection for joint in self.joints), self.ports,
                      tuple((joint.seat.record.id, joint.veth) for joint in self.joints),
                      self.cell.cookie, self.cell.inode, boot, self.cell.dns_port, self.build)


class Result(Value):
    """What comes of attaching. namespace: an fd that stays the keeper's. gateway: this machine's address as seen from there."""

    namespace: int
    connections: tuple[Connection, ...]
    ports: tuple[PortMapping, ...]
    hosts: str
    resolv_conf: str
    gateway: str


class Keeper:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._attached: "dict[str, _Attached]" = {}
        self._spare: list[Cell] = []

    # ---------------------------------------------------------------- attach and detach
    def attach(self, wanted: Membership, *, namespace: int = -1, build: bool = False, own: NetworkSpec | None = None) -> Result:
        """As Network.attach in runner.endpoint. build: it is a step; own: on this network, that only steps are on."""
        wanted = check(wanted)
        before = self._attached.get(wanted.container)
        kept = {joint.seat.record.id: joint.connection for joint in before.joints} if before else {}
        if before:
            self._let_go(before)
        live = self._parts.live
        found = tuple(live.own(own) if own else live.require(one.network) for one in wanted.endpoints)
        seats = arrange(wanted.name, tuple((live.realise(record), one) for record, one in zip(found, wanted.endpoints)))
        attached = _Attached(wanted, self._take_cell() if namespace < 0 else cells.adopt(os.dup(namespace), self._parts.nft), build=build)
        try:
            for seat in seats:
                self._join(attached, seat, kept.get(seat.record.id))
            self._find_way(attached)
            self._publish(attached, wanted.ports)
            self._parts.members.write(attached.member(self._parts.members.boot))
        except BaseException:
            self._let_go(attached)
            raise
        self._attached[wanted.container] = attached
        self._serve(attached)
        for joint in attached.joints:
            self._tell("connect", attached, joint.seat.record)
        return self._result(attached)

    def detach(self, container: str) -> None:
        """Idempotent."""
        attached = self._attached.get(container)
        if attached:
            self._let_go(attached)
            for joint in attached.joints:
                self._tell("disconnect", attached, joint.seat.record)
        else:
            self._parts.members.remove(container)

    def _let_go(self, attached: _Attached) -> None:
        """Whatever it has, as far as it has got."""
        container = attached.membership.container
        self._withdraw(attached, attached.targets())
        self._parts.ports.release(container)
        self._parts.names.remove(container)
        self._parts.nameserver.stop(container)
        for joint in attached.joints:
            self._parts.bridges.mute(joint.veth)
            self._parts.live.take_back(joint.seat.record.id, joint.connection.ipv4_address, joint.connection.ipv6_address)
        attached.cell.close()
        self._parts.members.remove(container)
        self._attached.pop(container, None)

    def _result(self, attached: _Attached) -> Result:
        wanted, host = attached.membership, self._parts.resolv_conf.read()
        connections = tuple(joint.connection for joint in attached.joints)
        own = [address for one in connections for address in (one.ipv4_address, one.ipv6_address) if address]
        gateway = self._host_gateway(attached)
        return Result(attached.cell.fd, connections, attached.ports, hosts_text(wanted, own, gateway),
                      resolv_conf_text(wanted, host.search, host.options), gateway)

    def _host_gateway(self, attached: _Attached) -> str:
        four, six = attached.ways
        if self._parts.gateway:
            return self._parts.gateway
        return four.ipv4_gateway if four else six.ipv6_gateway if six else ""

    # ---------------------------------------------------------------- one network
    def connect(self, container: str, endpoint: Endpoint) -> Connection:
        """Raises NotConnected if the container is on no network at all, AlreadyConnected, and what `attach` raises."""
        attached = self._attached.get(container)
        if attached is None:
            raise NotConnected(container[:12], "any")
        name = attached.membership.name
        endpoint = check_endpoint(name, endpoint)
        record = self._parts.live.require(endpoint.network)
        if any(joint.seat.record.id == record.id for joint in attached.joints):
            raise AlreadyConnected(name, record.name)
        record = self._parts.live.realise(record)
        used = tuple(joint.seat.interface for joint in attached.joints)
        (seat,) = arrange(name, ((record, endpoint),), used)
        try:
            self._join(attached, seat)
            self._move(attached)
        except BaseException:
            self._part(attached, record.id)
            raise
        self._keep(attached, endpoints=(*attached.membership.endpoints, endpoint))
        self._tell("connect", attached, record)
        return attached.joints[-1].connection

    def disconnect(self, container: str, network: str) -> None:
        """Raises NotConnected, NetworkMissing."""
        record = self._parts.live.require(network)
        attached = self._attached.get(container)
        if attached is None or all(joint.seat.record.id != record.id for joint in attached.joints):
            raise NotConnected(attached.membership.name if attached else container[:12], record.name)
        gone = next(joint.seat.endpoint for joint in attached.joints if joint.seat.record.id == record.id)
        self._part(attached, record.id)
        self._move(attached)
        self._keep(attached, endpoints=tuple(one for one in attached.membership.endpoints if one != gone))
        self._tell("disconnect", attached, record)

    def _join(self, attached: _Attached, seat: Seat, before: Connection | None = None) -> None:
        membership, live = attached.membership, self._parts.live
        given = live.give(seat.record, f"container `{membership.name}`", seat.endpoint, before)
        try:
            plug = Plug(seat.interface, given.mac, given.address4, given.prefix4, given.address6, given.prefix6, seat.endpoint.link_local_ips)
            veth = self._parts.bridges.plug(seat.record, attached.cell, plug)
        except BaseException:
            live.take_back(seat.record.id, given.address4, given.address6)
            raise
        joint = _Joint(seat, _connection(membership, seat, given), veth)
        attached.joints.append(joint)
        self._name(attached, joint)

    def _name(self, attached: _Attached, joint: _Joint) -> None:
        container, connection = attached.membership.container, joint.connection
        record = joint.seat.record
        self._parts.names.add(record.id, record.name, container, connection.dns_names, connection.ipv4_address, connection.ipv6_address)
        for alias, other in joint.seat.endpoint.links:
            self._parts.names.link(container, alias, other)

    def _part(self, attached: _Attached, network: str) -> None:
        for joint in [one for one in attached.joints if one.seat.record.id == network]:
            attached.joints.remove(joint)
            self._parts.names.remove(attached.membership.container, network)
            self._parts.bridges.unplug(joint.veth)
            if not joint.veth:
                attached.cell.netlink.do(delete(joint.seat.interface))
            self._parts.live.take_back(network, joint.connection.ipv4_address, joint.connection.ipv6_address)

    def _keep(self, attached: _Attached, endpoints: tuple[Endpoint, ...]) -> None:
        attached.membership = attached.membership._replace(endpoints=endpoints)
        self._parts.members.write(attached.member(self._parts.members.boot))
        self._serve(attached)

    # ---------------------------------------------------------------- the way out, ports, names
    def _find_way(self, attached: _Attached) -> None:
        """Default routes, where they have to change."""
        seats = tuple((joint.seat, joint.connection) for joint in attached.joints)
        present = {id(joint.connection) for joint in attached.joints}
        ways = (way_out(seats, 4), way_out(seats, 6))
        for family, old, new in zip((4, 6), attached.ways, ways):
            if old is new:
                continue
            attribute = "ipv4_gateway" if family == 4 else "ipv6_gateway"
            if old and id(old) in present and not new:
                attached.cell.netlink.do(no_default_route(self._index(attached, old), getattr(old, attribute)))
            if new:
                if old and id(old) in present:
                    attached.cell.netlink.do(no_default_route(self._index(attached, old), getattr(old, attribute)))
                attached.cell.netlink.do(default_route(self._index(attached, new), getattr(new, attribute)))
        attached.ways = ways

    def _index(self, attached: _Attached, connection: Connection) -> int:
        link = attached.cell.netlink.link(connection.interface)
        if link is None:
            raise NetworkFailed("find the default route", f"the interface `{connection.interface}` is gone")
        return link.number

    def _publish(self, attached: _Attached, mappings: tuple[PortMapping, ...]) -> None:
        """Nothing is published where nothing leads out."""
        way = attached.ways[0] or attached.ways[1]
        if way is None or not mappings:
            return
        joint = next(one for one in attached.joints if one.connection is way)
        if joint.seat.record.spec.driver != BRIDGE:
            return                                        # it has an address on the wire itself
        if address := joint.seat.record.option(BIND_IP):
            mappings = tuple(one if one.host_ip else one._replace(host_ip=address) for one in mappings)
        membership = attached.membership
        attached.ports = self._parts.ports.bind(membership.container, membership.name, mappings, attached.targets())
        self._parts.firewall.publish(published(attached.ports, attached.targets()))

    def _move(self, attached: _Attached) -> None:
        """After its networks have changed: routes, and ports with them."""
        before = attached.targets()
        self._find_way(attached)
        after = attached.targets()
        if before == after or not attached.ports:
            return
        self._withdraw(attached, before)
        if any(after):
            self._parts.ports.retarget(attached.membership.container, after)
            self._parts.firewall.publish(published(attached.ports, after))

    def _withdraw(self, attached: _Attached, targets: tuple[str, str]) -> None:
        gone = published(attached.ports, targets)
        self._parts.firewall.withdraw(gone)
        forget_datagrams({(one.address, one.port) for one in gone if one.protocol == "udp"})

    def _serve(self, attached: _Attached) -> None:
        closed = bool(attached.joints) and all(joint.seat.record.spec.internal for joint in attached.joints)
        given, host = attached.membership.dns, self._parts.resolv_conf
        self._parts.nameserver.serve(attached.cell, Query(attached.membership.container, closed), lambda: given or host.read().servers)

    def _tell(self, action: str, attached: _Attached, record: NetworkRecord) -> None:
        if not attached.build:
            self._parts.emit(action, record.id, {"container": attached.membership.container, "name": record.name, "type": record.spec.driver})

    # ---------------------------------------------------------------- namespaces kept ready
    def _take_cell(self) -> Cell:
        return self._spare.pop() if self._spare else cells.make(self._parts.nft)

    def refill(self) -> bool:
        """Make one spare namespace if there are too few; whether there is more to do."""
        if len(self._spare) < _SPARE_CELLS:
            self._spare.append(cells.make(self._parts.nft))
        return len(self._spare) < _SPARE_CELLS

    # ---------------------------------------------------------------- looking
    def users(self, network: str) -> tuple[str, ...]:
        """Names of the containers on a network, by its ID."""
        return tuple(sorted(one.membership.name for one in self._attached.values() if any(joint.seat.record.id == network for joint in one.joints)))

    def busy(self) -> bool:
        return bool(self._attached)

    def inodes(self) -> set[int]:
        """Of the namespaces of all that is attached."""
        return {one.cell.inode for one in self._attached.values()}

    def drop_unheld(self, held: set[int], besides: tuple[str, ...], patience: int = 2) -> None:
        """Detach whoever's namespace nobody was found to hold, `patience` times in a row: its shim was killed. Not those named in `besides`."""
        for attached in list(self._attached.values()):
            known = attached.cell.inode in held or attached.membership.container in besides
            attached.missed = 0 if known else attached.missed + 1
            if attached.missed >= patience:
                self.detach(attached.membership.container)

    # ---------------------------------------------------------------- after an agent that was killed
    def resume(self, member: Member, fd: int, record: "Callable[[str], NetworkRecord | None]") -> None:
        """Go on with a container that an earlier agent has attached; takes over `fd`, its namespace."""
        attached = _Attached(member.membership, cells.adopt(fd, self._parts.nft, member.dns_port), build=member.build)
        self._attached[member.container] = attached
        endpoints = list(member.membership.endpoints)
        for connection, (network, veth) in zip(member.connections, member.veths):
            found = record(network)
            if found is None:
                continue
            self._parts.live.resume(found)
            self._parts.live.claim(found, f"container `{member.membership.name}`", connection)
            endpoint = next((one for one in endpoints if one.network == found.name or found.id.startswith(one.network)), Endpoint(found.name))
            joint = _Joint(Seat(found, endpoint, connection.interface), connection, veth)
            attached.joints.append(joint)
            self._name(attached, joint)
        seats = tuple((joint.seat, joint.connection) for joint in attached.joints)
        attached.ways = (way_out(seats, 4), way_out(seats, 6))
        attached.ports = member.ports
        self._serve(attached)

    def rebind(self, container: str) -> None:
        """The ports of a container that was resumed. Raises PortInUse: somebody took one meanwhile."""
        attached = self._attached[container]
        if attached.ports:
            self._parts.ports.bind(container, attached.membership.name, attached.ports, attached.targets())

    def containers(self) -> tuple[str, ...]:
        return tuple(self._attached)

    def veths(self) -> set[str]:
        """Our ends of all cables."""
        return {joint.veth for attached in self._attached.values() for joint in attached.joints}

    def published(self) -> tuple[Published, ...]:
        return tuple(one for attached in self._attached.values() for one in published(attached.ports, attached.targets()))

    def close(self) -> None:
        """Let go of the spare namespaces."""
        while self._spare:
            self._spare.pop().close()


def _connection(membership: Membership, seat: Seat, given: Given) -> Connection:
    return Connection(seat.record.name, seat.record.id, os.urandom(32).hex(), seat.interface,
                      given.mac, given.address4, given.prefix4, given.gateway4, given.address6, given.prefix6, given.gateway6,
                      seat.endpoint.aliases, dns_names(membership, seat.endpoint))
