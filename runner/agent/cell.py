"""A network namespace made ready for a container or a build step: loopback up, 127.0.0.11 answered, low ports and ping open to everybody.

The sockets of the DNS are bound in it, on ports of their own, and queries to port 53 are redirected to them: 0.0.0.0:53 stays free for the image.
"""

import _socket
import os

from runner.agent import namespace, netlink
from runner.agent.netlink import Netlink
from runner.agent.nft import Nft, RulesFailed

DNS_ADDRESS = "127.0.0.11"
_DNS_PORT = 53
_BACKLOG = 16
_LOOPBACK = 1                                             # its index in every namespace


class Cell:
    """The namespace lives until this is closed and everybody else has let go of it too. netlink: speaks to it."""

    __slots__ = ("cookie", "dns_port", "fd", "inode", "netlink", "tcp", "udp")

    def __init__(self, fd: int, nft: Nft, dns_port: int = 0) -> None:
        """Call it in the namespace that `fd` leads to; `dns_port`: the one to use if it is free."""
        self.fd = fd
        self.inode = os.fstat(fd).st_ino
        self.cookie = namespace.cookie()
        self.netlink = Netlink()
        self.netlink.do(netlink.up(_LOOPBACK))
        namespace.write_sysctl("net/ipv4/ip_unprivileged_port_start", "0")
        namespace.write_sysctl("net/ipv4/ping_group_range", "0 2147483647", "0 65535", "0 0")
        self.udp, self.tcp = _sockets(dns_port)
        if not _redirect(nft, self.udp.getsockname()[1], self.tcp.getsockname()[1], again=dns_port > 0):
            self.udp.close()
            self.tcp.close()
            self.udp, self.tcp = _sockets(_DNS_PORT)      # no redirects on this machine: better a port that is taken than no names
        self.dns_port = int(self.udp.getsockname()[1])

    def close(self) -> None:
        """Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.netlink.close()
            self.udp.close()
            self.tcp.close()


def make(nft: Nft) -> Cell:
    """A new one."""
    with namespace.fresh() as fd:
        return Cell(fd, nft)


def adopt(fd: int, nft: Nft, dns_port: int = 0) -> Cell:
    """The cell of a container that an earlier agent has attached, or of a new namespace that somebody else has made; takes the fd over."""
    with namespace.within(fd):
        return Cell(fd, nft, dns_port)


def _sockets(port: int) -> "tuple[_socket.socket, _socket.socket]":
    """UDP and TCP on one port, or where that is taken on two."""
    udp = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK)
    tcp = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
    tcp.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    _bind(udp, port)
    _bind(tcp, udp.getsockname()[1])
    tcp.listen(_BACKLOG)
    return udp, tcp


def _bind(socket: "_socket.socket", port: int) -> None:
    try:
        socket.bind((DNS_ADDRESS, port))
    except OSError:
        socket.bind((DNS_ADDRESS, 0))


def _redirect(nft: Nft, udp: int, tcp: int, *, again: bool) -> bool:
    """again: the namespace may have the table already. In a new one there must be no deletion: closing the context would wait for it, 10 ms."""
    if not nft.kind:
        return False
    rules = nft.rules()
    try:
        rules.run((_GONE if again else "") + _TABLE.format(udp=udp, tcp=tcp))
        return True
    except RulesFailed:
        return False
    finally:
        rules.close()


_GONE = "add table ip pyup_dns\ndelete table ip pyup_dns\n"
_TABLE = """table ip pyup_dns {{
 chain output {{
  type nat hook output priority -100; policy accept;
  ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:{udp}
  ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:{tcp}
 }}
}}
"""
