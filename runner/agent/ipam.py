"""Which subnet a network gets, and which address of it a container: pure, over what is taken.

`settle` makes the pools of a spec definite; `Addresses` gives out what is in one of them.
"""

from kernel.value import Value
from runner.agent.address import Subnet, family_of, number_of, parse_subnet, text_of
from runner.agent.errors import AddressesExhausted, AddressInUse, InvalidNetwork, PoolOverlap
from runner.network import NetworkSpec, Pool

# what docker gives out: sixteen bits each from 172.17 on, then 192.168 in slices of twelve
DEFAULT_POOLS = (*(Subnet(4, (172 << 24) | (second << 16), 16) for second in range(17, 32)),
                 *(Subnet(4, (192 << 24) | (168 << 16) | (third << 8), 20) for third in range(0, 256, 16)))


class Taken(Value):
    """A subnet that is not to be had. owner: as in "network `web`" or "interface `eth0`"; route: it is only a route of the machine's."""

    subnet: Subnet
    owner: str
    route: bool = False

    def forbids(self, subnet: Subnet) -> bool:
        """To somebody who asks for just this subnet: a part of what a route leads to may be taken from it, but not the whole."""
        whole = subnet.family == self.subnet.family and subnet.holds(self.subnet.first) and subnet.holds(self.subnet.last)
        return whole if self.route else subnet.overlaps(self.subnet)


def settle(spec: NetworkSpec, taken: tuple[Taken, ...], unique: int) -> tuple[NetworkSpec, bool]:
    """(the spec with a pool for each family it has, whether a subnet was chosen here).

    unique: a number of the network's own, for IPv6 subnets that nobody else has. Raises InvalidNetwork, PoolOverlap.
    """
    pools: list[Pool] = []
    for pool in spec.pools:
        family = _family(pool)
        if (family == 6 and not spec.ipv6) or (family == 4 and not spec.ipv4):
            continue
        if any(family_of(other.subnet) == family for other in pools if other.subnet):
            raise InvalidNetwork(spec.name, f"has two IPv{family} subnets, and a bridge has one")
        pools.append(pool if pool.subnet else pool._replace(subnet=_choose(spec, family, taken, unique)))
    present = {family_of(pool.subnet) for pool in pools}
    wanted = ([4] if spec.ipv4 else []) + ([6] if spec.ipv6 else [])
    for family in wanted:
        if family not in present:
            pools.append(Pool(_choose(spec, family, taken, unique)))
    given = {pool.subnet for pool in spec.pools}
    settled = tuple(_settle_pool(spec, pool, taken if pool.subnet in given else ()) for pool in sorted(pools, key=lambda one: family_of(one.subnet)))
    return spec._replace(pools=settled), any(pool.subnet not in given for pool in settled)


def _family(pool: Pool) -> int:
    """That of its first word that says so."""
    return family_of(pool.subnet or pool.gateway or pool.ip_range or next((address for _, address in pool.aux_addresses), ""))


def _choose(spec: NetworkSpec, family: int, taken: tuple[Taken, ...], unique: int) -> str:
    private = (Subnet(6, (0xFD << 120) | ((unique + step) % (1 << 56) << 64), 64) for step in range(16))
    for subnet in DEFAULT_POOLS if family == 4 else private:
        if not any(subnet.overlaps(one.subnet) for one in taken):
            return subnet.text
    raise InvalidNetwork(spec.name, "finds every subnet that is given out by default taken", "remove networks that are not needed, or name a subnet")


def _settle_pool(spec: NetworkSpec, pool: Pool, taken: tuple[Taken, ...]) -> Pool:
    try:
        subnet = parse_subnet(pool.subnet)
        if subnet.prefix > (30 if subnet.family == 4 else 126):
            raise ValueError(f"`{pool.subnet}` is too small for a network")
        if subnet.first >> (24 if subnet.family == 4 else 120) in ((0, 127, *range(224, 256)) if subnet.family == 4 else (0, 0xFF)):
            raise ValueError(f"`{pool.subnet}` is not for hosts")
        gateway = number_of(pool.gateway.partition("/")[0]) if pool.gateway else subnet.first + 1
        _inside(subnet, gateway, pool.gateway, "the gateway")
        if pool.ip_range:
            inner = parse_subnet(pool.ip_range)
            if inner.family != subnet.family or not (subnet.holds(inner.first) and subnet.holds(inner.last)):
                raise ValueError(f"the range `{pool.ip_range}` is not in `{subnet.text}`")
        for label, address in pool.aux_addresses:
            _inside(subnet, number_of(address), address, f"the auxiliary address `{label}`")
    except ValueError as error:
        raise InvalidNetwork(spec.name, f"cannot have this subnet: {error}") from None
    for one in taken:
        if one.forbids(subnet):
            raise PoolOverlap(spec.name, subnet.text, one.subnet.text, one.owner)
    return pool._replace(subnet=subnet.text, gateway=text_of(subnet.family, gateway))


def _inside(subnet: Subnet, number: int, text: str, what: str) -> None:
    edges = (subnet.first, subnet.last) if subnet.family == 4 else (subnet.first,)
    if (text and family_of(text) != subnet.family) or not subnet.holds(number) or number in edges:
        raise ValueError(f"{what} `{text}` is no address of a host in `{subnet.text}`")


class Addresses:
    """Gives out the addresses of a pool, each once, going round so that one that was let go of is not given to the next at once."""

    def __init__(self, network: str, pool: Pool) -> None:
        self.network = network
        self.pool = pool
        self.subnet = parse_subnet(pool.subnet)
        self._range = parse_subnet(pool.ip_range) if pool.ip_range else self.subnet
        self._owners: dict[int, str] = {number_of(pool.gateway): "the gateway", self.subnet.first: "the network itself"}
        if self.subnet.family == 4:
            self._owners[self.subnet.last] = "broadcasts"
        for label, address in pool.aux_addresses:
            self._owners[number_of(address)] = f"the auxiliary address `{label}`"
        self._next = self._range.first

    def take(self, owner: str, wanted: str = "", preferred: str = "") -> str:
        """An address for `owner`, "container `web`": `wanted` if it is said, else `preferred` if it is free, else any.

        Raises AddressInUse, AddressesExhausted, InvalidNetwork (`wanted` is not of this subnet).
        """
        if wanted:
            return self._take_wanted(owner, wanted)
        if preferred and self.subnet.holds(number := number_of(preferred)) and number not in self._owners:
            return self._give(number, owner)
        size = self._range.last - self._range.first + 1
        for step in range(min(size, len(self._owners) + 1)):
            number = self._range.first + (self._next - self._range.first + step) % size
            if number not in self._owners:
                self._next = number + 1
                return self._give(number, owner)
        raise AddressesExhausted(self.network, self._range.text)

    def _take_wanted(self, owner: str, wanted: str) -> str:
        try:
            number = number_of(wanted)
        except ValueError as error:
            raise InvalidNetwork(self.network, f"cannot give {owner} its address: {error}") from None
        if family_of(wanted) != self.subnet.family or not self.subnet.holds(number):
            raise InvalidNetwork(self.network, f"cannot give {owner} the address `{wanted}`: its subnet is `{self.subnet.text}`")
        if number in self._owners:
            raise AddressInUse(self.network, wanted, self._owners[number])
        return self._give(number, owner)

    def _give(self, number: int, owner: str) -> str:
        self._owners[number] = owner
        return text_of(self.subnet.family, number)

    def free(self, address: str) -> None:
        """Fine if it is not given out; what the network itself keeps is not let go of."""
        if address and not self._owners.get(number_of(address), "").startswith(("the ", "broadcasts")):
            self._owners.pop(number_of(address), None)
