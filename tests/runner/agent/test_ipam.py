"""Subnets and addresses: what is chosen, what is refused, and the laws of giving out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agent.address import Subnet, is_mac, mac_of, normal, number_of, parse_interface, parse_subnet, text_of
from runner.agent.errors import AddressesExhausted, AddressInUse, InvalidNetwork, PoolOverlap
from runner.agent.ipam import DEFAULT_POOLS, Addresses, Taken, settle
from runner.network import NetworkSpec, Pool

FOUR, SIX = st.integers(0, 2**32 - 1), st.integers(0, 2**128 - 1)


@given(st.one_of(st.tuples(st.just(4), FOUR), st.tuples(st.just(6), SIX)))
def test_addresses_survive_being_written(one: tuple[int, int]) -> None:
    family, number = one
    assert number_of(text_of(family, number)) == number
    assert normal(text_of(family, number)) == text_of(family, number)


@given(FOUR, st.integers(0, 32))
def test_subnets_survive_being_written(number: int, prefix: int) -> None:
    subnet, address = parse_interface(f"{text_of(4, number)}/{prefix}")
    assert parse_subnet(subnet.text) == subnet and subnet.holds(address) and address == number


@given(FOUR, st.integers(0, 32), FOUR, st.integers(0, 32))
def test_subnets_overlap_when_one_holds_the_other(one: int, one_prefix: int, two: int, two_prefix: int) -> None:
    first, _ = parse_interface(f"{text_of(4, one)}/{one_prefix}")
    second, _ = parse_interface(f"{text_of(4, two)}/{two_prefix}")
    assert first.overlaps(second) == second.overlaps(first) == (first.holds(second.first) or second.holds(first.first))


@pytest.mark.parametrize("word", ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "a::b::c", "1.2.3.4 ", "1.2.3.4\n", "::ffff:1.2.3.400", "\u0661.1.1.1"])
def test_what_is_no_address(word: str) -> None:
    with pytest.raises(ValueError, match="is no IPv"):
        number_of(word)


@pytest.mark.parametrize("word", ["10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/0x8", "::/129", "10.0.0.1/8"])
def test_what_is_no_subnet(word: str) -> None:
    with pytest.raises(ValueError, match="`"):
        parse_subnet(word)


def test_mac_addresses() -> None:
    assert mac_of("172.17.0.2") == "02:42:ac:11:00:02" and is_mac(mac_of("fd00::1"))
    assert not any(map(is_mac, ("", "02:42:ac:11:00", "02:42:ac:11:00:0g", "03:42:ac:11:00:02", "00:00:00:00:00:00", "02-42-ac-11-00-02", "ff:ff:ff:ff:ff:ff")))


# ---------------------------------------------------------------- which subnet
def subnets(spec: NetworkSpec, *taken: str, unique: int = 5) -> list[str]:
    found, _ = settle(spec, tuple(Taken(parse_subnet(one), "network `x`") for one in taken), unique)
    return [pool.subnet for pool in found.pools]


def test_the_first_default_subnet_that_is_free() -> None:
    assert subnets(NetworkSpec("n")) == ["172.17.0.0/16"]
    assert subnets(NetworkSpec("n"), "172.17.5.0/24", "172.18.0.0/15") == ["172.20.0.0/16"]
    assert subnets(NetworkSpec("n"), "172.16.0.0/12") == ["192.168.0.0/20"]


def test_no_default_subnet_left() -> None:
    with pytest.raises(InvalidNetwork, match="finds every subnet"):
        subnets(NetworkSpec("n"), *(one.text for one in DEFAULT_POOLS))


def test_ipv6_gets_a_subnet_of_its_own_where_it_is_wanted() -> None:
    assert subnets(NetworkSpec("n", ipv6=True)) == ["172.17.0.0/16", "fd00:0:0:5::/64"]
    assert subnets(NetworkSpec("n", ipv6=True, ipv4=False)) == ["fd00:0:0:5::/64"]
    assert subnets(NetworkSpec("n", pools=(Pool("fd99::/64"),))) == ["172.17.0.0/16"]


def test_what_is_left_open_is_filled_in() -> None:
    (found, chosen) = settle(NetworkSpec("n", pools=(Pool("10.1.0.0/24"), Pool("fd01::/64")), ipv6=True), (), 1)
    assert found.pools == (Pool("10.1.0.0/24", "10.1.0.1"), Pool("fd01::/64", "fd01::1")) and not chosen


def test_a_subnet_that_was_asked_for_overlaps_another() -> None:
    with pytest.raises(PoolOverlap) as caught:
        subnets(NetworkSpec("n", pools=(Pool("10.1.0.0/16"),)), "10.1.2.0/24")
    assert str(caught.value) == "subnet `10.1.0.0/16` of network `n` overlaps `10.1.2.0/24` of network `x`"


def test_a_part_of_what_a_route_leads_to_may_be_taken_but_not_all() -> None:
    route = Taken(parse_subnet("10.0.0.0/8"), "interface `tun0`", True)
    assert settle(NetworkSpec("n", pools=(Pool("10.1.0.0/16"),)), (route,), 1)[0].pools[0].subnet == "10.1.0.0/16"
    with pytest.raises(PoolOverlap):
        settle(NetworkSpec("n", pools=(Pool("10.0.0.0/8"),)), (route,), 1)
    assert settle(NetworkSpec("n"), (Taken(parse_subnet("172.0.0.0/8"), "interface `tun0`", True),), 1)[0].pools[0].subnet == "192.168.0.0/20"


@pytest.mark.parametrize(("pool", "said"), [
    (Pool("10.0.0.0/24", "10.0.1.1"), "the gateway `10.0.1.1` is no address of a host"),
    (Pool("10.0.0.0/24", "10.0.0.0"), "the gateway `10.0.0.0` is no address of a host"),
    (Pool("10.0.0.0/24", "10.0.0.255"), "is no address of a host"),
    (Pool("10.0.0.0/24", "fd00::1"), "is no address of a host"),
    (Pool("10.0.0.0/24", ip_range="10.0.1.0/25"), "the range `10.0.1.0/25` is not in `10.0.0.0/24`"),
    (Pool("10.0.0.0/24", ip_range="10.0.0.0/23"), "is not in"),
    (Pool("10.0.0.0/24", aux_addresses=(("router", "10.0.9.9"),)), "the auxiliary address `router` `10.0.9.9` is no address"),
    (Pool("10.0.0.0/31"), "is too small"), (Pool("10.0.0.0/32"), "is too small"),
    (Pool("127.0.0.0/8"), "is not for hosts"), (Pool("224.0.0.0/8"), "is not for hosts"), (Pool("0.0.0.0/8"), "is not for hosts"),
    (Pool("10.0.0.0/24; drop"), "is no subnet"), (Pool("10.0.0.1/24"), "has bits set after its prefix; the subnet is `10.0.0.0/24`"),
])
def test_a_pool_that_makes_no_sense(pool: Pool, said: str) -> None:
    with pytest.raises(InvalidNetwork) as caught:
        settle(NetworkSpec("n", pools=(pool,)), (), 1)
    assert said in str(caught.value)


def test_two_subnets_of_one_family() -> None:
    with pytest.raises(InvalidNetwork, match="two IPv4 subnets"):
        subnets(NetworkSpec("n", pools=(Pool("10.0.0.0/24"), Pool("10.0.1.0/24"))))


# ---------------------------------------------------------------- which address
def test_addresses_go_round() -> None:
    pool = Addresses("n", Pool("10.0.0.0/29", "10.0.0.1", aux_addresses=(("printer", "10.0.0.3"),)))
    assert [pool.take("c") for _ in range(3)] == ["10.0.0.2", "10.0.0.4", "10.0.0.5"]
    pool.free("10.0.0.2")
    assert [pool.take("c"), pool.take("c")] == ["10.0.0.6", "10.0.0.2"]
    with pytest.raises(AddressesExhausted):
        pool.take("c")


def test_a_range_bounds_what_is_given_but_not_what_is_asked_for() -> None:
    pool = Addresses("n", Pool("10.0.0.0/24", "10.0.0.1", "10.0.0.128/31"))
    assert pool.take("c", "10.0.0.9") == "10.0.0.9"
    assert [pool.take("c"), pool.take("c")] == ["10.0.0.128", "10.0.0.129"]
    with pytest.raises(AddressesExhausted, match=r"10.0.0.128/31"):
        pool.take("c")


def test_a_preferred_address_is_given_if_it_is_free() -> None:
    pool = Addresses("n", Pool("10.0.0.0/24", "10.0.0.1"))
    assert pool.take("a", preferred="10.0.0.7") == "10.0.0.7"
    assert pool.take("b", preferred="10.0.0.7") == "10.0.0.2"
    assert pool.take("b", preferred="10.9.0.7") == "10.0.0.3"


@pytest.mark.parametrize(("address", "owner"), [("10.0.0.1", "the gateway"), ("10.0.0.0", "the network itself"), ("10.0.0.255", "broadcasts"),
                                                ("10.0.0.3", "the auxiliary address `printer`"), ("10.0.0.2", "container `web`")])
def test_whose_an_address_is(address: str, owner: str) -> None:
    pool = Addresses("n", Pool("10.0.0.0/24", "10.0.0.1", aux_addresses=(("printer", "10.0.0.3"),)))
    pool.take("container `web`")
    with pytest.raises(AddressInUse) as caught:
        pool.take("container `x`", address)
    assert caught.value.owner == owner


def test_what_the_network_keeps_is_not_let_go_of() -> None:
    pool = Addresses("n", Pool("10.0.0.0/24", "10.0.0.1"))
    for address in ("10.0.0.0", "10.0.0.1", "10.0.0.255", "10.0.0.77", ""):
        pool.free(address)
    assert pool.take("c") == "10.0.0.2"


@given(st.lists(st.one_of(st.just(None), st.integers(0, 30)), max_size=60))
def test_no_address_is_given_twice(steps: list[int | None]) -> None:
    """None: take one; a number: free the one that was given as that."""
    pool = Addresses("n", Pool("10.0.0.0/28", "10.0.0.1"))
    held: list[str] = []
    for step in steps:
        if step is None:
            try:
                address = pool.take("c")
            except AddressesExhausted:
                assert len(held) == 13
                continue
            assert address not in held and pool.subnet.holds(number_of(address))
            held.append(address)
        elif step < len(held):
            pool.free(held.pop(step))


def test_a_subnet_is_its_own_text() -> None:
    assert Subnet(6, 0xFD << 120, 64).text == "fd00::/64"
