"""Networks made real: a bridge with the gateway's address, and containers plugged into it.

A bridge is made when it is needed and removed when nothing runs; one that somebody else made, named by an option, is used and left alone.
"""

import os

from kernel.value import Value
from runner.agent import namespace, netlink, plumbing, survey
from runner.agent.address import mac_of, parse_subnet
from runner.agent.errors import NetworkFailed
from runner.agent.netlink import Netlink, NetlinkFailed
from runner.agent.ruleset import Fence
from runner.network import BRIDGE, ICC, IPVLAN_MODE, MACVLAN_MODE, MASQUERADE, MTU, NetworkRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.agent.cell import Cell

_DEFAULT_MTU = 1500


class Plug(Value):
    """One end of a cable to be: what the interface in the container is called and has. Addresses as text, "" for none."""

    interface: str
    mac: str
    address4: str = ""
    prefix4: int = 0
    address6: str = ""
    prefix6: int = 0
    link_local: tuple[str, ...] = ()


class Bridges:
    """root_id: begins the names of what is made here. home: speaks to the namespace that has the bridges."""

    def __init__(self, root_id: str, home: Netlink, mtu: int = _DEFAULT_MTU) -> None:
        self._root_id = root_id
        self._home = home
        self._mtu = mtu
        self._indexes: dict[str, int] = {}                # of the networks that are real, by ID

    def name_for(self, network_id: str) -> str:
        """Of the bridge of a network that has no name for it."""
        return f"pu{self._root_id}-{network_id[:6]}"

    def realise(self, record: NetworkRecord) -> int:
        """Index of the network's bridge, made if it is not there. Raises NetworkError."""
        index = self._indexes.get(record.id)
        if index is not None:
            return index
        try:
            found = self._home.link(record.interface)
            if found and found.kind != "bridge":
                raise NetworkFailed("make the bridge", f"the interface `{record.interface}` is there and is no bridge", "name another one, or none")
            index = found.number if found else self._make(record)
            self._home.do(*self._addresses(record, index), netlink.up(index))
        except NetlinkFailed as error:
            raise NetworkFailed(f"make the bridge of network `{record.name}`", _reason(error), _help(error)) from error
        self._indexes[record.id] = index
        return index

    def _make(self, record: NetworkRecord) -> int:
        gateway = next(pool.gateway for pool in record.spec.pools)
        alias = netlink.alias(record.interface, f"pyup {self._root_id}")
        quiet = () if record.spec.ipv6 else (netlink.no_link_local(record.interface),)
        self._home.do(netlink.bridge(record.interface, mac_of(gateway), self.mtu(record)), alias, *quiet)
        if record.spec.ipv6:
            namespace.write_sysctl(f"net/ipv6/conf/{record.interface}/accept_dad", "0")      # no second's wait for an address that is nobody else's
        made = self._home.link(record.interface)
        assert made, "the bridge was made a moment ago"
        return made.number

    def _addresses(self, record: NetworkRecord, index: int) -> "list[netlink.Request]":
        return [netlink.address(index, pool.gateway, parse_subnet(pool.subnet).prefix) for pool in record.spec.pools]

    def mtu(self, record: NetworkRecord) -> int:
        return int(record.option(MTU, "0")) or self._mtu

    def dissolve(self, record: NetworkRecord) -> None:
        """Remove the bridge if it is ours. Idempotent."""
        self._indexes.pop(record.id, None)
        found = self._home.link(record.interface)
        if found and found.alias == f"pyup {self._root_id}":
            self._home.do(netlink.delete(record.interface))

    # ---------------------------------------------------------------- containers
    def plug(self, record: NetworkRecord, cell: "Cell", plug: Plug) -> str:
        """Put an interface into the cell; the name of its other end here, "" if it has none. Raises NetworkError; nothing is left then."""
        if record.spec.driver != BRIDGE:
            return self._graft(record, cell, plug)
        index = self.realise(record)
        name = f"pv{self._root_id}{os.urandom(3).hex()}"
        try:
            isolated, hairpin = not record.enabled(ICC), _bridges_are_filtered()
            manners = [netlink.port(name, isolated=isolated, hairpin=hairpin)] if isolated or hairpin else []
            pair = netlink.veth(name, index, cell.fd, plug.interface, plug.mac, self.mtu(record))
            self._home.do(pair, netlink.no_link_local(name), *manners, netlink.up(name))
            self._settle(cell, plug)
        except (NetlinkFailed, OSError) as error:
            self.unplug(name)
            raise NetworkFailed(f"connect to network `{record.name}`", _reason(error), _help(error)) from error
        return name

    def _settle(self, cell: "Cell", plug: Plug) -> None:
        """The interface is in the cell; give it what it shall have."""
        name6, value6 = ("accept_dad", "0") if plug.address6 else ("disable_ipv6", "1")
        with namespace.within(cell.fd):
            namespace.write_sysctl(f"net/ipv6/conf/{plug.interface}/{name6}", value6)
        inner = cell.netlink.link(plug.interface)
        assert inner, "the interface was made a moment ago"
        requests = [netlink.address(inner.number, *one) for one in ((plug.address4, plug.prefix4), (plug.address6, plug.prefix6)) if one[0]]
        requests += [netlink.address(inner.number, one, 64 if ":" in one else 16) for one in plug.link_local]
        cell.netlink.do(*requests, netlink.up(inner.number))

    def check_parent(self, record: NetworkRecord) -> None:
        """Of a macvlan or ipvlan. Raises NetworkFailed."""
        if self._home.link(record.interface) is None:
            raise NetworkFailed(f"use network `{record.name}`", f"its parent, the interface `{record.interface}`, is not there")

    def _graft(self, record: NetworkRecord, cell: "Cell", plug: Plug) -> str:
        kind, parent = record.spec.driver, record.interface
        macvlan = kind == "macvlan"
        mode = record.option(MACVLAN_MODE, "bridge") if macvlan else record.option(IPVLAN_MODE, "l2")
        mtu = int(record.option(MTU, "0")) or survey.mtu_of(parent)
        try:
            plumbing.apart(plumbing.make_child, kind, parent, mode, plug.interface, plug.mac if macvlan else "", mtu, cell.fd)
            self._settle(cell, plug)
        except (NetlinkFailed, OSError) as error:
            raise NetworkFailed(f"connect to network `{record.name}`", _reason(error), _help(error)) from error
        return ""

    def unplug(self, name: str) -> None:
        """Remove a cable by its end here. Idempotent."""
        if not name:
            return
        try:
            self._home.do(netlink.delete(name))
        except NetlinkFailed:
            pass                                          # it goes with its namespace

    def mute(self, name: str) -> None:
        """Let nothing pass a cable any more whose container is about to go; the rest of it goes with its namespace."""
        if not name:
            return
        try:
            self._home.do(netlink.down(name))
        except NetlinkFailed:
            pass

    def ours(self) -> list[str]:
        """Names of all interfaces of ours that there are."""
        return [link.name for link in self._home.links() if link.name.startswith((f"pv{self._root_id}", f"pu{self._root_id}"))]


def fence_of(record: NetworkRecord) -> Fence:
    """The network as the firewall sees it."""
    pools = {family: pool.subnet if (pool := record.pool(family)) else "" for family in (4, 6)}
    return Fence(record.interface, pools[4], pools[6], record.spec.internal, record.enabled(MASQUERADE))


def _bridges_are_filtered() -> bool:
    """Whether the kernel applies its rules for IP to frames on bridges as well (br_netfilter): then a container that asks a published port of
    its own is led back by the bridge, and no more by way of the machine."""
    return any(namespace.read_sysctl(f"net/bridge/bridge-nf-call-{family}tables") == "1" for family in ("ip", "ip6"))


def _reason(error: OSError) -> str:
    if isinstance(error, NetlinkFailed) and error.said:
        return error.said[:1].lower() + error.said[1:].removesuffix(".")
    return (error.strerror or str(error)).lower()


def _help(error: OSError) -> str:
    return "`pybuild doctor` shows what this machine allows" if error.errno in (1, 13, 95) else ""
