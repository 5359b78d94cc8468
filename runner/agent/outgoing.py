"""What containers send to the outside where no helper program leads there: caught on its way (tproxy) and sent from the machine's own network.

The catching sockets are made in the shared namespace and are transparent: an accepted connection's own address is the one that was dialled.
"""

import _socket
import struct
import time

from runner.agent.address import family_of, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    MakeSocket = Callable[[int, int], "_socket.socket"]
    Watch = Callable[[int, Callable[[], None]], None]
    Forget = Callable[[int], None]

IDLE_S = 90.0
_MOST = 2048                                              # flows of datagrams at once
_BATCH = 64
_RECEIVE_MAX = 65535
_BACKLOG = 1024
_IP_TRANSPARENT, _IPV6_TRANSPARENT, _IP_RECVORIGDSTADDR, _IPV6_RECVORIGDSTADDR = 19, 75, 20, 74


def nets(port: int = 0) -> "tuple[_socket.socket, ...]":
    """The sockets that catch: TCP and UDP of each family that there is, all at one port. To be made in the shared namespace."""
    found: "list[_socket.socket]" = []
    for family in (_socket.AF_INET, _socket.AF_INET6):
        for kind in (_socket.SOCK_STREAM, _socket.SOCK_DGRAM):
            try:
                socket = transparent(family, kind)
            except OSError:
                continue                                  # no IPv6 here
            if family == _socket.AF_INET6:
                socket.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
            socket.bind(("::" if family == _socket.AF_INET6 else "0.0.0.0", port))
            port = int(socket.getsockname()[1])
            if kind == _socket.SOCK_STREAM:
                socket.listen(_BACKLOG)
            elif family == _socket.AF_INET6:
                socket.setsockopt(_socket.IPPROTO_IPV6, _IPV6_RECVORIGDSTADDR, 1)
            else:
                socket.setsockopt(_socket.IPPROTO_IP, _IP_RECVORIGDSTADDR, 1)
            found.append(socket)
    return tuple(found)


def transparent(family: int, kind: int) -> "_socket.socket":
    """A socket that may have an address that is not ours."""
    socket = _socket.socket(family, kind | _socket.SOCK_NONBLOCK)
    try:
        socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family == _socket.AF_INET6:
            socket.setsockopt(_socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
        else:
            socket.setsockopt(_socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
    except OSError:
        socket.close()
        raise
    return socket


def is_outside(address: str) -> bool:
    """Whether a container may send there: not to the machine's loopback by whatever name, not to links, not to many."""
    number = number_of(address)
    if family_of(address) == 4:
        return number >> 24 not in (0, 127) and number >> 28 != 0xE and number != 0xFFFFFFFF
    return number > 1 and number >> 32 != 0xFFFF and number >> 118 != 0x3FA and number >> 120 != 0xFF


class _Flow:
    __slots__ = ("back", "client", "seen", "socket")

    def __init__(self, socket: "_socket.socket", back: "_socket.socket", client: "Any") -> None:
        self.socket = socket
        self.back = back
        self.client = client
        self.seen = time.monotonic()


class OutgoingDatagrams:
    """net: a UDP socket of `nets`. Each pair of sender and receiver has a socket in the machine's network, and one here to answer from."""

    def __init__(self, net: "_socket.socket", make_socket: "MakeSocket", watch: "Watch", forget: "Forget") -> None:
        self._net = net
        self._make_socket = make_socket
        self._watch = watch
        self._forget = forget
        self._flows: "dict[Any, _Flow]" = {}
        watch(net.fileno(), self._on_net)

    def expire(self) -> None:
        """Forget flows that have been silent for long."""
        now = time.monotonic()
        for key, flow in list(self._flows.items()):
            if now - flow.seen > IDLE_S:
                self._drop(key)

    def _on_net(self) -> None:
        for _ in range(_BATCH):
            try:
                data, ancillary, _, client = self._net.recvmsg(_RECEIVE_MAX, _socket.CMSG_SPACE(28))
            except OSError:
                return
            target = _target(ancillary)
            flow = self._flow(client, target) if target and is_outside(target[0]) else None
            if flow:
                try:
                    flow.socket.send(data)
                except OSError:
                    pass                                  # datagrams get lost

    def _flow(self, client: "Any", target: tuple[str, int]) -> _Flow | None:
        key = (client, target)
        flow = self._flows.get(key)
        if flow:
            flow.seen = time.monotonic()
            return flow
        if len(self._flows) >= _MOST:
            self._drop(min(self._flows, key=lambda one: self._flows[one].seen))
        back = socket = None
        try:
            back = transparent(self._net.family, _socket.SOCK_DGRAM)
            back.bind(target)
            socket = self._make_socket(self._net.family, _socket.SOCK_DGRAM)
            socket.connect(target)
        except OSError:
            for one in (back, socket):
                if one:
                    one.close()
            return None
        flow = self._flows[key] = _Flow(socket, back, client)
        self._watch(socket.fileno(), lambda: self._on_answer(flow))
        return flow

    def _on_answer(self, flow: _Flow) -> None:
        for _ in range(_BATCH):
            try:
                data = flow.socket.recv(_RECEIVE_MAX)
            except OSError:
                return
            flow.seen = time.monotonic()
            try:
                flow.back.sendto(data, flow.client)
            except OSError:
                pass

    def _drop(self, key: "Any") -> None:
        flow = self._flows.pop(key)
        self._forget(flow.socket.fileno())
        flow.socket.close()
        flow.back.close()


def _target(ancillary: "list[Any]") -> tuple[str, int] | None:
    """The original destination: a struct sockaddr_in or sockaddr_in6."""
    for level, kind, data in ancillary:
        if level == _socket.IPPROTO_IP and kind == _IP_RECVORIGDSTADDR:
            return _socket.inet_ntop(_socket.AF_INET, data[4:8]), struct.unpack(">H", data[2:4])[0]
        if level == _socket.IPPROTO_IPV6 and kind == _IPV6_RECVORIGDSTADDR:
            return _socket.inet_ntop(_socket.AF_INET6, data[8:24]), struct.unpack(">H", data[2:4])[0]
    return None
