"""Flows that the kernel remembers, forgotten: datagrams that go on coming to a published port would be sent to the container that was there before.

ctnetlink, as much as that takes. Of the network namespace that we are in; where the kernel has none of it, nothing is remembered either.
"""

import _socket
import struct

from runner.agent.netlink import attributes, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_NETLINK_NETFILTER = 12
_CT_GET, _CT_DELETE = 0x0101, 0x0102
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY = 1, 2
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_SOURCE = {_socket.AF_INET: 1, _socket.AF_INET6: 3}
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT = 1, 2
_BUFFER = 1 << 17


def forget_datagrams(targets: "Collection[tuple[str, int]]") -> int:
    """Every flow of UDP whose answers come from one of these (address, port); how many there were."""
    if not targets:
        return 0
    try:
        sock = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _NETLINK_NETFILTER)
    except OSError:
        return 0
    try:
        sock.bind((0, 0))
        found = [(family, tuple_) for family in {_socket.AF_INET6 if ":" in address else _socket.AF_INET for address, _ in targets}
                 for tuple_ in _flows(sock, family, targets)]
        for number, (family, tuple_) in enumerate(found, 1000):
            body = struct.pack("=BBH", family, 0, 0) + struct.pack("=HH", 4 + len(tuple_), _CTA_TUPLE_ORIG | 0x8000) + tuple_
            sock.send(struct.pack("=IHHII", 16 + len(body), _CT_DELETE, _NLM_F_REQUEST, number, 0) + body)
        return len(found)
    except OSError:
        return 0
    finally:
        sock.close()


def _flows(sock: "_socket.socket", family: int, targets: "Collection[tuple[str, int]]") -> "Iterator[bytes]":
    """The original tuples, as the kernel gives them."""
    sock.send(struct.pack("=IHHII", 20, _CT_GET, _NLM_F_REQUEST | _NLM_F_DUMP, family, 0) + struct.pack("=BBH", family, 0, 0))
    while True:
        for kind, _, _, body in messages(sock.recv(_BUFFER)):
            if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                return
            parts = dict(attributes(body, 4))
            if _source(parts.get(_CTA_TUPLE_REPLY, b""), family) in targets:
                yield parts[_CTA_TUPLE_ORIG]


def _source(tuple_: bytes, family: int) -> tuple[str, int] | None:
    parts = dict(attributes(tuple_, 0))
    address = dict(attributes(parts.get(_CTA_TUPLE_IP, b""), 0)).get(_SOURCE[family])
    protocol = dict(attributes(parts.get(_CTA_TUPLE_PROTO, b""), 0))
    if not address or protocol.get(_CTA_PROTO_NUM) != bytes((_socket.IPPROTO_UDP,)):
        return None
    return _socket.inet_ntop(family, address), int.from_bytes(protocol.get(_CTA_PROTO_SRC_PORT, b""), "big")
