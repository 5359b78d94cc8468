"""A network: NetworkSpec, as somebody asked for it, and NetworkRecord, one that exists. Values, and the checks that words have to pass.

Addresses are text. Whatever is written here has been through `check` or comes from the agent, so it may be put into rules and files.
"""

import os

from kernel.value import Value
from runner.agent.errors import InvalidNetwork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Pairs: TypeAlias = tuple[tuple[str, str], ...]

BRIDGE, HOST, NONE = "bridge", "host", "none"             # the names that are always there; also drivers
DRIVERS = (BRIDGE, "macvlan", "ipvlan")
INTERFACE_MAX = 15                                        # IFNAMSIZ - 1
_ALPHANUMERIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_NAME = _ALPHANUMERIC | frozenset("_.-")
_NAME_MAX = 255

# options of the bridge driver, by docker's names; others are kept and shown, and do nothing
BRIDGE_NAME, MTU, ICC = "com.docker.network.bridge.name", "com.docker.network.driver.mtu", "com.docker.network.bridge.enable_icc"
MASQUERADE, BIND_IP = "com.docker.network.bridge.enable_ip_masquerade", "com.docker.network.bridge.host_binding_ipv4"
PARENT, MACVLAN_MODE, IPVLAN_MODE = "parent", "macvlan_mode", "ipvlan_mode"
_MODES = {MACVLAN_MODE: ("bridge", "private", "vepa", "passthru"), IPVLAN_MODE: ("l2", "l3", "l3s")}
_SHORT = {"mtu": MTU, "name": BRIDGE_NAME, "icc": ICC}


class Pool(Value):
    """A subnet and what may be given out of it. In a spec "" leaves the choice; in a record subnet and gateway are said.

    aux_addresses: (what for, address) that are never given out.
    """

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    aux_addresses: "Pairs" = ()


class NetworkSpec(Value):
    """internal: no way out, no published ports. ipv4, ipv6: families that its containers get addresses of."""

    name: str
    driver: str = BRIDGE
    pools: tuple[Pool, ...] = ()
    internal: bool = False
    attachable: bool = False
    ipv4: bool = True
    ipv6: bool = False
    options: "Pairs" = ()
    labels: "Pairs" = ()
    ipam_driver: str = "default"
    ipam_options: "Pairs" = ()


class NetworkRecord(Value):
    """id: 64 hex digits; created: nanoseconds since the epoch; interface: its bridge, or the parent of a macvlan or ipvlan.

    chosen: the subnets were picked here, so another may be when one turns out to be taken.
    """

    id: str
    created: int
    interface: str
    chosen: bool
    spec: NetworkSpec

    @property
    def name(self) -> str:
        return self.spec.name

    def pool(self, family: int) -> Pool | None:
        """The one of this family (4 or 6)."""
        return next((pool for pool in self.spec.pools if (":" in pool.subnet) == (family == 6)), None)

    def option(self, name: str, default: str = "") -> str:
        return dict(self.spec.options).get(name, default)

    def enabled(self, name: str) -> bool:
        """A boolean option that is on unless it is switched off."""
        return self.option(name, "true").lower() not in ("false", "0")


def root_id(root: str) -> str:
    """Six hex digits that tell the interfaces and tables of one root directory from another's."""
    return f"{hash(tuple(os.fsencode(os.path.abspath(root)))) & 0xFFFFFF:06x}"     # ints hash alike in every process


def check(spec: NetworkSpec) -> NetworkSpec:
    """The spec with its options under their full names. Raises InvalidNetwork."""
    if not is_name(spec.name):
        raise InvalidNetwork(spec.name, "is no name for a network",
                             "a name has letters, digits, `_`, `.` and `-`, and begins with a letter or digit")
    if spec.driver in (HOST, NONE, "null"):
        only = HOST if spec.driver == HOST else NONE
        raise InvalidNetwork(spec.name, f"cannot have the driver `{spec.driver}`: there is one such network, called `{only}`")
    if spec.driver not in DRIVERS:
        raise InvalidNetwork(spec.name, f"wants the driver `{spec.driver}`, which is not there", f"drivers are {', '.join(DRIVERS)}")
    if spec.ipam_driver not in ("", "default", "null"):
        raise InvalidNetwork(spec.name, f"wants the IPAM driver `{spec.ipam_driver}`, which is not there", "leave it out, or say `default`")
    if not spec.ipv4 and not spec.ipv6:
        raise InvalidNetwork(spec.name, "has neither IPv4 nor IPv6")
    if spec.driver != BRIDGE and PARENT not in dict(spec.options):
        raise InvalidNetwork(spec.name, f"has the driver `{spec.driver}` and no parent", "name an interface of this machine with `-o parent=eth0`")
    options = tuple((_SHORT.get(key, key), value) for key, value in spec.options)
    for key, value in options:
        _check_option(spec.name, key, value)
    return spec._replace(options=options)


def _check_option(network: str, key: str, value: str) -> None:
    if key == MTU and not (value.isascii() and value.isdigit() and 68 <= int(value) <= 65535):
        raise InvalidNetwork(network, f"wants the MTU `{value}`, which is none", "an MTU is a number from 68 to 65535")
    if key == BRIDGE_NAME and not is_interface(value):
        raise InvalidNetwork(network, f"wants a bridge called `{value}`, which is no name for one",
                             f"at most {INTERFACE_MAX} letters, digits, `_`, `.` and `-`")
    if key in _MODES and value not in _MODES[key]:
        raise InvalidNetwork(network, f"has `{key}` `{value}`, which is none", f"there are {', '.join(_MODES[key])}")
    if key == PARENT and not is_interface(value):
        raise InvalidNetwork(network, f"has the parent `{value}`, which is no name of an interface")
    if key in (ICC, MASQUERADE) and value.lower() not in ("true", "false", "1", "0"):
        raise InvalidNetwork(network, f"has `{key}` neither true nor false: `{value}`")


def is_name(word: str) -> bool:
    """A name as docker allows it for networks and containers."""
    return 0 < len(word) <= _NAME_MAX and word[0] in _ALPHANUMERIC and _NAME.issuperset(word)


def is_interface(word: str) -> bool:
    return 0 < len(word) <= INTERFACE_MAX and word not in (".", "..") and word[0] in _ALPHANUMERIC and _NAME.issuperset(word)


def is_host_name(word: str) -> bool:
    """A name that may stand in /etc/hosts and be asked for: labels of letters, digits, `-` and `_`, parted by dots."""
    labels = word.removesuffix(".").split(".")
    return 0 < len(word) <= 253 and all(0 < len(label) <= 63 and _NAME.issuperset(label) for label in labels)
