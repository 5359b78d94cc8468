"""rtnetlink, as much as attaching a container takes: requests are values, several go out in one datagram, one acknowledgement each comes back.

This is the hot path: 0.5 ms for a whole container, where pyroute2 takes 8 and 180 more to import. What is rare is pyroute2's (plumbing.py).
A `Netlink` speaks to the network namespace that its maker was in.
"""

import _socket
import os
import struct
from errno import EAFNOSUPPORT, EEXIST, ENODEV, ENOENT, ESRCH

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_ROUTE, _SOL_NETLINK, _NETLINK_EXT_ACK, _NETLINK_CAP_ACK = 0, 270, 11, 10
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP, _NLM_F_EXCL, _NLM_F_CREATE, _NLM_F_REPLACE = 0x1, 0x4, 0x300, 0x200, 0x400, 0x100
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_ACK_TLVS = 0x200
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_NEWADDR, _RTM_NEWROUTE, _RTM_DELROUTE = 16, 17, 18, 20, 24, 25
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_ALIAS, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = \
    1, 3, 4, 10, 18, 20, 26, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
_IFLA_BRPORT_HAIRPIN, _IFLA_BRPORT_ISOLATED, _VETH_INFO_PEER, _IFLA_INET6_ADDR_GEN_MODE = 4, 33, 1, 8
_NESTED = 0x8000
_IFF_UP = 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 1, 4, 5, 6
_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK, _RTN_UNICAST = 254, 4, 0, 253, 1
_BUFFER = 1 << 16


class Request(Value):
    """One message without its header. ignored: errnos that count as success."""

    kind: int
    flags: int
    body: bytes
    ignored: tuple[int, ...] = ()


class NetlinkFailed(OSError):
    """The kernel refused request number `position` of a batch; what came before it is done. `said` is its own explanation, or ""."""

    def __init__(self, number: int, position: int, said: str) -> None:
        super().__init__(number, said or os.strerror(number))
        self.position = position
        self.said = said


class Link(Value):
    """A network interface. number: its index; master: that of its bridge, or 0."""

    number: int
    name: str
    kind: str
    master: int
    alias: str


class Netlink:
    """A socket of the namespace that the calling thread is in now; it keeps that namespace alive until it is closed."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _NETLINK_ROUTE)
        self._socket.bind((0, 0))
        for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def do(self, *requests: Request) -> None:
        """Send all of them at once and wait for their answers. Raises NetlinkFailed for the first that failed; later ones were tried all the same."""
        first = self._sequence + 1
        out = bytearray()
        for request in requests:
            self._sequence += 1
            out += struct.pack("=IHHII", 16 + len(request.body), request.kind, request.flags | _NLM_F_REQUEST | _NLM_F_ACK, self._sequence, 0)
            out += request.body + bytes(-len(request.body) % 4)
        self._socket.send(out)
        waiting, failure = len(requests), None
        while waiting:
            for kind, flags, sequence, body in messages(self._socket.recv(_BUFFER)):
                index = sequence - first
                if kind != _NLMSG_ERROR or not 0 <= index < len(requests):
                    continue
                waiting -= 1
                number = -struct.unpack_from("=i", body)[0]
                if number and number not in requests[index].ignored and (failure is None or index < failure.position):
                    failure = NetlinkFailed(number, index, _explanation(flags, body))
        if failure:
            raise failure

    def links(self) -> list[Link]:
        """Every interface of the namespace."""
        found: list[Link] = []
        self._ask(_link_header(), _NLM_F_DUMP)
        while True:
            for kind, _, sequence, body in messages(self._socket.recv(_BUFFER)):
                if sequence == self._sequence and kind == _NLMSG_DONE:
                    return found
                if sequence == self._sequence:
                    found.append(_answer(kind, body))

    def link(self, name: str) -> Link | None:
        """The interface of this name, None if there is none."""
        self._ask(_link_header() + _text(_IFLA_IFNAME, name), 0)
        try:
            while True:
                for kind, _, sequence, body in messages(self._socket.recv(_BUFFER)):
                    if sequence == self._sequence:
                        return _answer(kind, body)
        except NetlinkFailed as error:
            if error.errno == ENODEV:
                return None
            raise

    def _ask(self, body: bytes, flags: int) -> None:
        self._sequence += 1
        self._socket.send(struct.pack("=IHHII", 16 + len(body), _RTM_GETLINK, _NLM_F_REQUEST | flags, self._sequence, 0) + body)


def messages(data: bytes) -> "Iterator[tuple[int, int, int, bytes]]":
    """(type, flags, sequence number, body) of each in what one read gave."""
    at = 0
    while at + 16 <= len(data):
        length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data, at)
        yield kind, flags, sequence, data[at + 16:at + length]
        at += (length + 3) & ~3


def attributes(data: bytes, at: int) -> "Iterator[tuple[int, bytes]]":
    """(type, value) from the offset `at` on."""
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4:at + length]
        at += (length + 3) & ~3


def _explanation(flags: int, body: bytes) -> str:
    """NLMSGERR_ATTR_MSG of an extended acknowledgement whose copy of the request was capped to its header."""
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    return next((value.rstrip(b"\0").decode(errors="replace") for kind, value in attributes(body, 20) if kind == 1), "")


def _answer(kind: int, body: bytes) -> Link:
    if kind == _NLMSG_ERROR:
        raise NetlinkFailed(-struct.unpack_from("=i", body)[0], 0, "")
    index = struct.unpack_from("=BBHiII", body)[3]
    name, link_kind, alias, master = "", "", "", 0
    for kind, value in attributes(body, 16):
        if kind == _IFLA_IFNAME:
            name = value.rstrip(b"\0").decode(errors="replace")
        elif kind == _IFLA_ALIAS:
            alias = value.rstrip(b"\0").decode(errors="replace")
        elif kind == _IFLA_MASTER:
            master = struct.unpack("=I", value)[0]
        elif kind == _IFLA_LINKINFO:
            link_kind = next((v.rstrip(b"\0").decode(errors="replace") for k, v in attributes(value, 0) if k == _IFLA_INFO_KIND), "")
    return Link(index, name, link_kind, master, alias)


# ---------------------------------------------------------------- requests
def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _link_header(index: int = 0, flags: int = 0, changed: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, changed)


def _address(text: str) -> bytes:
    return _socket.inet_pton(_family(text), text)


def _family(text: str) -> int:
    return _socket.AF_INET6 if ":" in text else _socket.AF_INET


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def bridge(name: str, mac: str, mtu: int) -> Request:
    """Make a bridge with a MAC address that stays as ports come and go."""
    body = _link_header() + _text(_IFLA_IFNAME, name) + _attribute(_IFLA_ADDRESS, _mac(mac)) + _number(_IFLA_MTU, mtu)
    body += _attribute(_IFLA_LINKINFO | _NESTED, _text(_IFLA_INFO_KIND, "bridge"))
    return Request(_RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, body)


def alias(name: str, said: str) -> Request:
    """Write a word beside an interface's name."""
    return Request(_RTM_NEWLINK, 0, _link_header() + _text(_IFLA_IFNAME, name) + _attribute(_IFLA_ALIAS, said.encode()))


def no_link_local(name: str) -> Request:
    """Give an interface that is still down no fe80:: address of its own; fine where there is no IPv6."""
    mode = _attribute(_socket.AF_INET6 | _NESTED, _attribute(_IFLA_INET6_ADDR_GEN_MODE, b"\1"))
    body = _link_header() + _text(_IFLA_IFNAME, name) + _attribute(_IFLA_AF_SPEC | _NESTED, mode)
    return Request(_RTM_NEWLINK, 0, body, (EAFNOSUPPORT,))


def veth(name: str, master: int, namespace: int, inner: str, mac: str, mtu: int) -> Request:
    """Make a pair: `name` here, a port of the bridge `master`; `inner`, born in the namespace behind the fd."""
    peer = _link_header() + _text(_IFLA_IFNAME, inner) + _attribute(_IFLA_ADDRESS, _mac(mac))
    peer += _number(_IFLA_MTU, mtu) + _number(_IFLA_NET_NS_FD, namespace)
    info = _text(_IFLA_INFO_KIND, "veth") + _attribute(_IFLA_INFO_DATA | _NESTED, _attribute(_VETH_INFO_PEER | _NESTED, peer))
    body = _link_header() + _text(_IFLA_IFNAME, name) + _number(_IFLA_MTU, mtu) + _number(_IFLA_MASTER, master)
    return Request(_RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, body + _attribute(_IFLA_LINKINFO | _NESTED, info))


def port(name: str, *, isolated: bool, hairpin: bool) -> Request:
    """Of a bridge. isolated: it reaches no other such port; hairpin: what came in by it may go out by it."""
    set_up = _attribute(_IFLA_BRPORT_ISOLATED, b"\1") if isolated else b""
    set_up += _attribute(_IFLA_BRPORT_HAIRPIN, b"\1") if hairpin else b""
    data = _text(_IFLA_INFO_SLAVE_KIND, "bridge") + _attribute(_IFLA_INFO_SLAVE_DATA | _NESTED, set_up)
    return Request(_RTM_NEWLINK, 0, _link_header() + _text(_IFLA_IFNAME, name) + _attribute(_IFLA_LINKINFO | _NESTED, data))


def up(link: int | str) -> Request:
    """By index or name."""
    if isinstance(link, str):
        return Request(_RTM_NEWLINK, 0, _link_header(0, _IFF_UP, _IFF_UP) + _text(_IFLA_IFNAME, link))
    return Request(_RTM_NEWLINK, 0, _link_header(link, _IFF_UP, _IFF_UP))


def down(name: str) -> Request:
    return Request(_RTM_NEWLINK, 0, _link_header(0, 0, _IFF_UP) + _text(_IFLA_IFNAME, name))


def delete(name: str) -> Request:
    """Remove an interface; fine if it is not there."""
    return Request(_RTM_DELLINK, 0, _link_header() + _text(_IFLA_IFNAME, name), (ENODEV, ENOENT))


def address(index: int, ip: str, prefix: int) -> Request:
    """Give an interface an address, used at once: it is not probed for duplicates."""
    packed, family = _address(ip), _family(ip)
    body = struct.pack("=BBBBI", family, prefix, _IFA_F_NODAD if family == _socket.AF_INET6 else 0, 0, index)
    body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
    if family == _socket.AF_INET and prefix < 31:
        broadcast = int.from_bytes(packed, "big") | ((1 << (32 - prefix)) - 1)
        body += _attribute(_IFA_BROADCAST, broadcast.to_bytes(4, "big"))
    return Request(_RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_EXCL, body, (EEXIST,))


def _route(index: int, gateway: str, metric: int) -> bytes:
    family = _family(gateway)
    scope = _RT_SCOPE_UNIVERSE
    body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, _RTN_UNICAST, 0)
    body += _number(_RTA_OIF, index) + _attribute(_RTA_GATEWAY, _address(gateway))
    return body + _number(_RTA_PRIORITY, metric) if metric else body


def default_route(index: int, gateway: str, metric: int = 0) -> Request:
    """Make the default route of the gateway's family lead through it."""
    return Request(_RTM_NEWROUTE, _NLM_F_CREATE | _NLM_F_REPLACE, _route(index, gateway, metric))


def no_default_route(index: int, gateway: str) -> Request:
    return Request(_RTM_DELROUTE, 0, _route(index, gateway, 0), (ESRCH, ENODEV))
