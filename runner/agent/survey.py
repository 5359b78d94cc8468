"""The machine's own network as /proc shows it: routes, so that no subnet is given out that leads elsewhere, and the way out."""

import _socket
import fcntl
import struct

from runner.agent.address import Subnet
from runner.agent.ipam import Taken

_SIOCGIFMTU = 0x8921
_DEFAULT_MTU = 1500


def routes(process: str = "self") -> tuple[Taken, ...]:
    """Of the network namespace that a process is in; without default routes and what is on every machine."""
    return tuple(Taken(subnet, f"interface `{interface}`", True) for subnet, interface in (*_routes4(process), *_routes6(process))
                 if subnet.prefix and interface != "lo")


def uplink(process: str = "self") -> str:
    """The interface of the default route, "" if there is none."""
    return next((interface for subnet, interface in (*_routes4(process), *_routes6(process)) if not subnet.prefix and interface != "lo"), "")


def mtu_of(interface: str) -> int:
    """1500 if it cannot be told. Of the namespace that we are in."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFMTU, struct.pack("16s16x", interface.encode()))
        return int(struct.unpack_from("=i", answer, 16)[0])
    except OSError:
        return _DEFAULT_MTU
    finally:
        sock.close()


def _rows(path: str) -> list[list[str]]:
    try:
        with open(path) as file:
            return [line.split() for line in file]
    except OSError:
        return []                                         # no IPv6 here


def _routes4(process: str) -> list[tuple[Subnet, str]]:
    found = []
    for row in _rows(f"/proc/{process}/net/route")[1:]:
        first, mask = (int.from_bytes(bytes.fromhex(row[column]), "little") for column in (1, 7))
        found.append((Subnet(4, first & mask, mask.bit_count()), row[0]))
    return found


def _routes6(process: str) -> list[tuple[Subnet, str]]:
    found = []
    for row in _rows(f"/proc/{process}/net/ipv6_route"):
        first, prefix = int(row[0], 16), int(row[1], 16)
        if first >> 120 not in (0xFF, 0xFE):              # multicast and link-local are on every interface
            found.append((Subnet(6, first, prefix), row[9]))
    return found
