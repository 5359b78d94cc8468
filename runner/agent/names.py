"""Who is called what: the names that containers have on their networks, as the DNS asks for them. A structure in memory.

Names are compared without regard to case, and only within the networks of whoever asks.
"""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Answer(Value):
    """Addresses of each family, and the name that they were found by; an owner whose name exists may have none of a family."""

    address4: tuple[str, ...]
    address6: tuple[str, ...]


class _Entry(Value):
    container: str
    names: tuple[str, ...]
    address4: str
    address6: str


class Names:
    def __init__(self) -> None:
        self._networks: "dict[str, list[_Entry]]" = {}    # by ID
        self._titles: "dict[str, str]" = {}               # names of networks, by ID
        self._memberships: "dict[str, list[str]]" = {}    # container -> IDs of its networks, in order
        self._links: "dict[str, dict[str, str]]" = {}     # container -> (alias -> container)
        self._turn = 0

    def add(self, network: str, title: str, container: str, names: "Iterable[str]", address4: str, address6: str) -> None:
        self._titles[network] = title.lower()
        entry = _Entry(container, tuple(name.lower() for name in names), address4, address6)
        self._networks.setdefault(network, []).append(entry)
        self._memberships.setdefault(container, []).append(network)

    def link(self, container: str, alias: str, other: str) -> None:
        """`container` alone calls `other`, an ID or a name, by this name."""
        self._links.setdefault(container, {})[alias.lower()] = other.lower()

    def remove(self, container: str, network: str = "") -> None:
        """From one network, or all. Idempotent."""
        for one in [network] if network else self._memberships.get(container, []):
            self._networks[one] = [entry for entry in self._networks.get(one, []) if entry.container != container]
            if not self._networks[one]:
                del self._networks[one]
        if network:
            self._memberships[container] = [one for one in self._memberships.get(container, []) if one != network]
        else:
            self._memberships.pop(container, None)
            self._links.pop(container, None)

    def find(self, asker: str, name: str) -> Answer | None:
        """What `asker` means by `name`, on the first of its networks where it means something; several owners take turns. None: nothing of ours."""
        name = name.lower().removesuffix(".")
        linked = self._links.get(asker, {}).get(name)
        for network in self._memberships.get(asker, []):
            short = name.removesuffix(f".{self._titles[network]}")
            found = [entry for entry in self._networks.get(network, [])
                     if short in entry.names or (linked and linked in (entry.container, *entry.names))]
            if found:
                self._turn += 1
                first = self._turn % len(found)
                found = found[first:] + found[:first]
                return Answer(tuple(one.address4 for one in found if one.address4), tuple(one.address6 for one in found if one.address6))
        return None

    def find_address(self, asker: str, address: str) -> str:
        """`name.network` of the container that has `address` on one of the asker's networks, or ""."""
        for network in self._memberships.get(asker, []):
            for entry in self._networks.get(network, []):
                if address in (entry.address4, entry.address6):
                    return f"{entry.names[0]}.{self._titles[network]}"
        return ""
