"""Values of networks as bytes, for the socket and for files that outlive a version.

Fields go by name; those with their default are left out, unknown ones ignored.
"""

import marshal

from kernel.value import Value
from runner.endpoint import Connection, Endpoint, Membership, PortMapping
from runner.network import NetworkRecord, NetworkSpec, Pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KIND = ""                                                # the key of a value's class name: no field is called that


class Member(Value):
    """A container on its networks, as the agent knows it. cookie, inode: of its network namespace; boot: of the machine, whose cookies they are.

    build: it is a step of a build, known by a number. dns_port: where its 127.0.0.11 is answered; veths: (network ID, interface of ours).
    """

    membership: Membership
    connections: tuple[Connection, ...]
    ports: tuple[PortMapping, ...]
    veths: tuple[tuple[str, str], ...]
    cookie: int
    inode: int
    boot: str
    dns_port: int = 0
    build: bool = False

    @property
    def container(self) -> str:
        return self.membership.container


KINDS: "dict[str, Any]" = {kind.__name__: kind for kind in (
    Connection, Endpoint, Membership, PortMapping, NetworkRecord, NetworkSpec, Pool, Member)}


def to_bytes(value: "Any") -> bytes:
    """A value of KINDS, or a tuple of such and of what marshal takes."""
    return marshal.dumps(to_plain(value))


def from_bytes(data: bytes) -> "Any":
    return from_plain(marshal.loads(data))


def to_plain(value: "Any") -> "Any":
    if not isinstance(value, tuple):
        return value
    if not hasattr(value, "_fields"):
        return tuple(to_plain(item) for item in value)
    defaults = value._defaults  # type: ignore[attr-defined]
    required = len(value) - len(defaults)
    kept = {name: to_plain(field) for index, (name, field) in enumerate(zip(value._fields, value))
            if index < required or field != defaults[index - required]}
    return {_KIND: type(value).__name__, **kept}


def from_plain(plain: "Any") -> "Any":
    if isinstance(plain, dict):
        kind = KINDS[plain[_KIND]]
        return kind(**{name: from_plain(field) for name, field in plain.items() if name in kind._fields})
    if isinstance(plain, tuple):
        return tuple(from_plain(item) for item in plain)
    return plain
