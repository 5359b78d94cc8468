"""Addresses and subnets as numbers: parsed strictly, compared, written again. Pure; no `ipaddress`, which costs 6 ms to import."""

import _socket

from kernel.value import Value

_BITS = {4: 32, 6: 128}
_FAMILY = {4: _socket.AF_INET, 6: _socket.AF_INET6}


class Subnet(Value):
    """family: 4 or 6; first: the number of its network address; prefix: length in bits."""

    family: int
    first: int
    prefix: int

    @property
    def last(self) -> int:
        return self.first | ((1 << (_BITS[self.family] - self.prefix)) - 1)

    @property
    def text(self) -> str:
        return f"{text_of(self.family, self.first)}/{self.prefix}"

    def holds(self, number: int) -> bool:
        return self.first <= number <= self.last

    def overlaps(self, other: "Subnet") -> bool:
        return self.family == other.family and self.first <= other.last and other.first <= self.last


def family_of(text: str) -> int:
    return 6 if ":" in text else 4


def number_of(text: str) -> int:
    """Raises ValueError if `text` is no address."""
    family = family_of(text)
    try:
        packed = _socket.inet_pton(_FAMILY[family], text)
    except (OSError, ValueError, UnicodeEncodeError):
        raise ValueError(f"`{text}` is no IPv{family} address") from None
    return int.from_bytes(packed, "big")


def text_of(family: int, number: int) -> str:
    return _socket.inet_ntop(_FAMILY[family], number.to_bytes(_BITS[family] // 8, "big"))


def normal(text: str) -> str:
    """The address in its one usual form. Raises ValueError."""
    return text_of(family_of(text), number_of(text))


def parse_subnet(text: str) -> Subnet:
    """`address/length`; the bits after the prefix are zero. Raises ValueError."""
    subnet, number = parse_interface(text)
    if number != subnet.first:
        raise ValueError(f"`{text}` has bits set after its prefix; the subnet is `{subnet.text}`")
    return subnet


def parse_interface(text: str) -> tuple[Subnet, int]:
    """(subnet, address) of `address/length`. Raises ValueError."""
    address, slash, length = text.partition("/")
    family = family_of(address)
    if not slash or not length.isascii() or not length.isdigit() or len(length) > 3 or int(length) > _BITS[family]:
        raise ValueError(f"`{text}` is no subnet: `address/length` is expected")
    number, prefix = number_of(address), int(length)
    host = _BITS[family] - prefix
    return Subnet(family, number >> host << host, prefix), number


def mac_of(address: str) -> str:
    """A MAC address that goes with an IP address, so that neighbours who remember the one are not misled when it is given out again."""
    number = number_of(address)
    tail = (number ^ number >> 32 ^ number >> 64 ^ number >> 96) & 0xFFFFFFFF
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *tail.to_bytes(4, "big")))


def is_mac(text: str) -> bool:
    """A unicast Ethernet address, as `02:42:ac:11:00:02`."""
    parts = text.split(":")
    if len(parts) != 6 or not all(len(part) == 2 and all(c in "0123456789abcdefABCDEF" for c in part) for part in parts):
        return False
    return not int(parts[0], 16) & 1 and any(int(part, 16) for part in parts)
