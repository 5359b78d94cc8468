"""Published ports: bound on the machine, so that nobody else takes them, and led to containers; a port that is taken is an error that says by whom.

Where the kernel translates addresses (root), what comes from afar never sees these sockets; loopback, and ordinary users, go through the forwarder.
"""

import _socket
import errno
import os

from kernel.value import Value
from runner.agent.address import family_of, number_of
from runner.agent.errors import NetworkFailed, PortForbidden, PortInUse
from runner.agent.ruleset import Published
from runner.endpoint import PortMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    MakeSocket = Callable[[int, int], "_socket.socket"]

    class Carrier(Protocol):
        """The forwarder."""

        def open(self, socket: "_socket.socket", target: tuple[str, int]) -> int: ...
        def retarget(self, key: int, target: tuple[str, int]) -> None: ...
        def close(self, key: int) -> None: ...

_TRIES = 16                                               # to find a port that is free in both families
_BACKLOG = 1024
_KINDS = {"tcp": _socket.SOCK_STREAM, "udp": _socket.SOCK_DGRAM}
_ANY = {4: "0.0.0.0", 6: "::"}


class Bound(Value):
    """One bound address. key: the forwarder's, -1 where no socket is behind it (sctp)."""

    mapping: PortMapping
    key: int


class Ports:
    """make_socket: in the machine's own network; first_port: the lowest that may be bound by an ordinary user; process: one in that network."""

    def __init__(self, forwarder: "Carrier", make_socket: "MakeSocket", first_port: int = 0, process: str = "self") -> None:
        self._process = process
        self._forwarder = forwarder
        self._make_socket = make_socket
        self._first_port = first_port
        self._bound: "dict[str, list[Bound]]" = {}        # by container
        self._titles: "dict[str, str]" = {}

    def bind(self, container: str, title: str, mappings: "Iterable[PortMapping]", targets: tuple[str, str]) -> tuple[PortMapping, ...]:
        """One mapping for each address and port that is bound now. targets: the container's addresses of both families, "" for none.

        Raises PortInUse, PortForbidden, NetworkError; nothing is bound then.
        """
        self._titles[container] = title
        done: list[Bound] = self._bound.setdefault(container, [])
        try:
            for mapping in mappings:
                done += self._bind(mapping, targets)
        except BaseException:
            self.release(container)
            raise
        return tuple(one.mapping for one in done)

    def retarget(self, container: str, targets: tuple[str, str]) -> None:
        for one in self._bound.get(container, []):
            if one.key >= 0:
                self._forwarder.retarget(one.key, _target(one.mapping, targets))

    def release(self, container: str) -> None:
        """Idempotent."""
        self._titles.pop(container, None)
        for one in self._bound.pop(container, []):
            if one.key >= 0:
                self._forwarder.close(one.key)

    def forget(self) -> None:
        """The forwarder is another one, which has nothing yet."""
        self._bound.clear()

    # ---------------------------------------------------------------- one mapping
    def _bind(self, mapping: PortMapping, targets: tuple[str, str]) -> list[Bound]:
        wanted = (mapping.host_ip,) if mapping.host_ip else (_ANY[4], _ANY[6])
        if mapping.host_port_last:
            return self._bind_in_range(mapping, wanted, targets)
        for last in (*[False] * (0 if mapping.host_port else _TRIES), True):
            try:
                return self._bind_at(mapping, mapping.host_port, wanted, targets)
            except PortInUse:
                if last:
                    raise
        raise AssertionError("the last try returns or raises")

    def _bind_in_range(self, mapping: PortMapping, wanted: tuple[str, ...], targets: tuple[str, str]) -> list[Bound]:
        for port in range(mapping.host_port, mapping.host_port_last + 1):
            try:
                return self._bind_at(mapping, port, wanted, targets)
            except PortInUse:
                continue
        raise NetworkFailed("publish a port", f"every port from {mapping.host_port} to {mapping.host_port_last} is in use")

    def _bind_at(self, mapping: PortMapping, port: int, wanted: tuple[str, ...], targets: tuple[str, str]) -> list[Bound]:
        """On each of the addresses that the machine has a family for, at one and the same port."""
        if mapping.protocol not in _KINDS:
            return self._reserve(mapping, port, wanted)
        sockets: "list[tuple[str, _socket.socket]]" = []
        try:
            for address in wanted:
                socket = self._open(mapping, address, port, optional=len(wanted) > 1 and bool(sockets))
                if socket:
                    port = port or int(socket.getsockname()[1])
                    sockets.append((address, socket))
            done: list[Bound] = []
            for address, socket in sockets:
                one = mapping._replace(host_ip=address, host_port=port, host_port_last=0)
                done.append(Bound(one, self._forwarder.open(socket, _target(one, targets))))
            return done
        finally:
            for _, socket in sockets:
                socket.close()

    def _open(self, mapping: PortMapping, address: str, port: int, *, optional: bool) -> "_socket.socket | None":
        family = _socket.AF_INET6 if family_of(address) == 6 else _socket.AF_INET
        try:
            socket = self._make_socket(family, _KINDS[mapping.protocol])
        except OSError:
            if optional:
                return None                               # no IPv6 on this machine
            raise
        try:
            if family == _socket.AF_INET6:
                socket.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
            if mapping.protocol == "tcp":
                socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            socket.bind((address, port))
            if mapping.protocol == "tcp":
                socket.listen(_BACKLOG)
            return socket
        except OSError as error:
            socket.close()
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(address, port, mapping.protocol, self._holder(address, port, mapping.protocol)) from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise PortForbidden(port, self._first_port) from error
            if error.errno == errno.EADDRNOTAVAIL:
                if optional:
                    return None
                raise NetworkFailed(f"publish port {port}", f"`{address}` is no address of this machine") from error
            raise NetworkFailed(f"publish port {port}", os.strerror(error.errno or 0).lower()) from error

    def _reserve(self, mapping: PortMapping, port: int, wanted: tuple[str, ...]) -> list[Bound]:
        """A protocol that the kernel alone forwards: only our own containers can be in the way."""
        if not port:
            raise NetworkFailed("publish a port", f"a port of {mapping.protocol} needs a number on the machine too")
        for address in wanted:
            if holder := self._own_holder(address, port, mapping.protocol):
                raise PortInUse(address, port, mapping.protocol, holder)
        return [Bound(mapping._replace(host_ip=address, host_port=port, host_port_last=0), -1) for address in wanted]

    # ---------------------------------------------------------------- who has it
    def _holder(self, address: str, port: int, protocol: str) -> str:
        return self._own_holder(address, port, protocol) or process_at(port, protocol, self._process)

    def _own_holder(self, address: str, port: int, protocol: str) -> str:
        for container, found in self._bound.items():
            for one in found:
                same = one.mapping.host_ip == address or address in _ANY.values() or one.mapping.host_ip in _ANY.values()
                if one.mapping.host_port == port and one.mapping.protocol == protocol and same:
                    return f"container `{self._titles.get(container, container[:12])}`"
        return ""


def published(mappings: "Iterable[PortMapping]", targets: tuple[str, str]) -> tuple[Published, ...]:
    """What the kernel can translate: all but loopback, and IPv6 to a container that has only IPv4."""
    found = []
    for one in mappings:
        family = family_of(one.host_ip)
        target = targets[0 if family == 4 else 1]
        if target and not _is_loopback(one.host_ip):
            found.append(Published(one.protocol, "" if one.host_ip in _ANY.values() else one.host_ip, one.host_port, target, one.container_port))
    return tuple(found)


def _target(mapping: PortMapping, targets: tuple[str, str]) -> tuple[str, int]:
    """The address of the same family if there is one."""
    four, six = targets
    return (six or four if family_of(mapping.host_ip) == 6 else four or six), mapping.container_port


def _is_loopback(address: str) -> bool:
    number = number_of(address)
    return number >> 24 == 127 if family_of(address) == 4 else number == 1


def process_at(port: int, protocol: str, process: str = "self") -> str:
    """"process 12 (`name`)" of whoever has the port in the network that `process` is in, "" if that cannot be seen."""
    inodes = set()
    for suffix in ("", "6"):
        try:
            with open(f"/proc/{process}/net/{protocol}{suffix}") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:
            continue
        inodes |= {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] in ("0A", "07")}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in filter(str.isdigit, os.listdir("/proc") if wanted else ()):
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{name}") in wanted:
                    with open(f"/proc/{pid}/comm") as file:
                        return f"process {pid} (`{file.read().strip()}`)"
        except OSError:
            continue
    return ""
