"""Values on the wire and in files, errors across the socket, decisions about seats, ports without a kernel."""

import socket
from typing import Any

import pytest

from runner.agent.connecting import Seat, arrange, dns_names, way_out
from runner.agent.document import document
from runner.agent.errors import KINDS, InvalidEndpoint, NetworkFailed, PortInUse, from_wire, to_wire
from runner.agent.firewall import Firewall
from runner.agent.form import Member, from_bytes, from_plain, to_bytes, to_plain
from runner.agent.members import Members
from runner.agent.nft import RulesFailed
from runner.agent.ports import Ports, published
from runner.agent.resolver import ResolvConf
from runner.agent.ruleset import Fence, Published
from runner.endpoint import Connection, Endpoint, Membership, PortMapping
from runner.errors import RunError
from runner.network import NetworkRecord, NetworkSpec, Pool, check, root_id

RECORD = NetworkRecord("ab" * 32, 1, "pu1-ab", True, NetworkSpec("web", pools=(Pool("10.0.0.0/24", "10.0.0.1"),), labels=(("a", "b"),)))
CONNECTION = Connection("web", "ab" * 32, "cd" * 32, "eth0", "02:42:0a:00:00:02", "10.0.0.2", 24, "10.0.0.1")
MEMBER = Member(Membership("ef" * 32, "db", "db", (Endpoint("web", ("store",)),), (PortMapping(80),)), (CONNECTION,), (), (("ab" * 32, "pv1"),), 5, 6, "boot")


@pytest.mark.parametrize("value", [RECORD, CONNECTION, MEMBER, MEMBER.membership, RECORD.spec, (RECORD, "x", (1, None))])
def test_values_survive_as_bytes(value: Any) -> None:
    assert from_bytes(to_bytes(value)) == value and type(from_bytes(to_bytes(value))) is type(value)


def test_a_field_of_a_later_version_is_passed_over() -> None:
    plain = to_plain(RECORD)
    plain["colour"] = "red"
    assert from_plain(plain) == RECORD


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_error_crosses_the_socket(kind: type[RunError]) -> None:
    import inspect

    examples = {"int": 7, "str": "word", "tuple[str, ...]": ("a", "b")}
    arguments = [examples[str(one.annotation).strip("'").replace("<class ", "").rstrip(">").strip("'")] for one in inspect.signature(kind).parameters.values()]
    error = kind(*arguments)
    again = from_wire(*to_wire(error))
    assert (type(again), str(again), again.help) == (type(error), str(error), error.help)
    assert str(error) and not str(error).endswith(".")


def test_a_stranger_among_errors_crosses_too() -> None:
    again = from_wire(*to_wire(RulesFailed("no such table", "add element ..")))
    assert isinstance(again, NetworkFailed) and str(again) == "cannot change the firewall: no such table"
    assert str(from_wire(*to_wire(RunError("odd")))) == "cannot use the networks: odd"


def test_members_are_files_that_a_torn_one_does_not_spoil(tmp_path: Any) -> None:
    members = Members(str(tmp_path))
    assert members.list() == ()
    kept = MEMBER._replace(boot=members.boot)
    members.write(kept)
    members.write(kept._replace(membership=kept.membership._replace(container="aa"), boot="another start of the machine"))
    (tmp_path / "members" / "bb").write_bytes(to_bytes(kept)[:20])
    (tmp_path / "members" / "cc").write_bytes(to_bytes(kept))
    assert members.list() == (kept,)
    members.remove(kept.container)
    members.remove(kept.container)
    assert members.list() == ()


def test_the_document_has_dockers_names() -> None:
    shown = document(RECORD, (MEMBER, MEMBER._replace(build=True, membership=MEMBER.membership._replace(container="99"))))
    assert shown["IPAM"] == {"Driver": "default", "Options": None, "Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]}
    assert shown["Containers"] == {"ef" * 32: {"Name": "db", "EndpointID": "cd" * 32, "MacAddress": "02:42:0a:00:00:02", "IPv4Address": "10.0.0.2/24",
                                               "IPv6Address": ""}}


def test_short_names_of_options_are_understood() -> None:
    assert check(NetworkSpec("n", options=(("mtu", "1400"),))).options == (("com.docker.network.driver.mtu", "1400"),)


def test_roots_have_different_digits() -> None:
    assert len({root_id(f"/var/lib/{number}") for number in range(50)}) == 50 and len(root_id("/x")) == 6


# ---------------------------------------------------------------- seats
def record(name: str, **changes: Any) -> NetworkRecord:
    return NetworkRecord(name * 8, 1, name, True, NetworkSpec(name, **changes))


def test_seats_are_in_order_of_priority_with_free_names() -> None:
    wanted = ((record("a"), Endpoint("a")), (record("b"), Endpoint("b", priority=5)), (record("c"), Endpoint("c", interface_name="eth1")))
    assert [(seat.record.name, seat.interface) for seat in arrange("x", wanted, ("eth0",))] == [("b", "eth2"), ("a", "eth3"), ("c", "eth1")]
    option = (("com.docker.network.endpoint.ifname", "wan"),)
    assert arrange("x", ((record("a"), Endpoint("a", driver_opts=option)),))[0].interface == "wan"


@pytest.mark.parametrize("names", [("lo", ""), ("net0", "net0"), ("eth0", "")])
def test_names_of_interfaces_that_cannot_be(names: tuple[str, str]) -> None:
    wanted = tuple((record(key), Endpoint(key, interface_name=name)) for key, name in zip("ab", names))
    with pytest.raises(InvalidEndpoint, match="cannot have an interface"):
        arrange("x", wanted, ("eth0",))


def test_the_way_out() -> None:
    def seat(name: str, priority: int = 0, **changes: Any) -> tuple[Seat, Connection]:
        return Seat(record(name, **changes), Endpoint(name, gw_priority=priority), "eth0"), CONNECTION._replace(network=name)

    def found(*seats: tuple[Seat, Connection]) -> str:
        way = way_out(seats, 4)
        return way.network if way else ""

    assert found(seat("b"), seat("a")) == "a"
    assert found(seat("b", 1), seat("a")) == "b"
    assert found(seat("b"), seat("a", -1)) == "b"
    assert found(seat("a", internal=True)) == "" == found()
    assert way_out((seat("a"),), 6) is None


def test_names_of_a_container_are_said_once() -> None:
    wanted = Membership("0123456789abcdef", "web", "web", ())
    assert dns_names(wanted, Endpoint("n", ("www", "web", "not a name"))) == ("web", "www", "0123456789ab")


# ---------------------------------------------------------------- ports
class Carrier:
    def __init__(self) -> None:
        self.open_ones: dict[int, tuple[str, int]] = {}

    def open(self, socket: Any, target: tuple[str, int]) -> int:
        self.open_ones[len(self.open_ones) + 1] = target
        return len(self.open_ones)

    def retarget(self, key: int, target: tuple[str, int]) -> None:
        self.open_ones[key] = target

    def close(self, key: int) -> None:
        del self.open_ones[key]


class Machine:
    """Sockets of a machine where some ports are taken."""

    def __init__(self, *taken: int) -> None:
        self.taken = set(taken)

    def socket(self, family: int, kind: int) -> Any:
        return _Socket(self, family)


class _Socket:
    def __init__(self, machine: Machine, family: int) -> None:
        self.machine, self.family, self.port = machine, family, 0

    def setsockopt(self, *_: Any) -> None: ...
    def listen(self, _: int) -> None: ...
    def close(self) -> None: ...

    def bind(self, address: tuple[str, int]) -> None:
        if address[1] in self.machine.taken or (self.family == socket.AF_INET6 and address[1] == 40000):
            raise OSError(98, "in use")
        self.port = address[1] or (40000 if 40000 not in self.machine.taken else 40001)
        if not address[1]:
            self.machine.taken |= {40000} if self.port == 40000 else set()

    def getsockname(self) -> tuple[str, int]:
        return "", self.port


def test_any_port_is_tried_again_where_ipv6_has_it_already() -> None:
    ports = Ports(Carrier(), Machine().socket)
    assert [one.host_port for one in ports.bind("a", "web", (PortMapping(80),), ("10.0.0.2", ""))] == [40001, 40001]


def test_a_failure_lets_go_of_what_was_bound() -> None:
    carrier = Carrier()
    ports = Ports(carrier, Machine(81).socket)
    with pytest.raises(PortInUse):
        ports.bind("a", "web", (PortMapping(80, "tcp", "", 80), PortMapping(81, "tcp", "", 81)), ("10.0.0.2", ""))
    assert carrier.open_ones == {}


def test_each_family_leads_to_its_own_address_if_there_is_one() -> None:
    carrier = Carrier()
    Ports(carrier, Machine().socket).bind("a", "web", (PortMapping(80, "tcp", "", 8080),), ("10.0.0.2", "fd00::2"))
    assert list(carrier.open_ones.values()) == [("10.0.0.2", 80), ("fd00::2", 80)]


def test_what_the_kernel_translates() -> None:
    bound = tuple(PortMapping(80, "tcp", address, 8080) for address in ("0.0.0.0", "::", "127.0.0.1", "::1", "192.0.2.1"))
    assert published(bound, ("10.0.0.2", "")) == (Published("tcp", "", 8080, "10.0.0.2", 80), Published("tcp", "192.0.2.1", 8080, "10.0.0.2", 80))
    assert published(bound[:2], ("", "fd00::2")) == (Published("tcp", "", 8080, "fd00::2", 80),)


# ---------------------------------------------------------------- the table
class Rules:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.broken = False

    def run(self, commands: str) -> str:
        if self.broken and not commands.startswith("add table"):
            raise RulesFailed("no such table", commands)
        self.done.append(commands)
        return ""

    def close(self) -> None: ...


def test_the_table_is_written_whole_once_and_then_changed_in_steps() -> None:
    rules = Rules()
    firewall = Firewall("t", lambda: rules)
    fence = Fence("pu1", "10.0.0.0/24")
    for _ in range(2):
        firewall.fence(fence)
        firewall.publish([Published("tcp", "", 80, "10.0.0.2", 80)])
    firewall.withdraw([Published("tcp", "", 80, "10.0.0.2", 80), Published("tcp", "", 99, "10.0.0.2", 80)])
    firewall.unfence("pu1")
    firewall.unfence("pu1")
    assert [one.count("\n") for one in rules.done][1:] == [1, 1, 4] and rules.done[0].startswith("add table inet t\ndelete table inet t\ntable inet t {")


def test_a_table_that_somebody_flushed_is_written_anew() -> None:
    rules = Rules()
    firewall = Firewall("t", lambda: rules)
    firewall.fence(Fence("pu1", "10.0.0.0/24"))
    rules.broken = True
    firewall.publish([Published("tcp", "", 80, "10.0.0.2", 80)])
    assert rules.done[-1].startswith("add table") and "tcp . 80 : 10.0.0.2 . 80" in rules.done[-1] and '"pu1"' in rules.done[-1]


# ---------------------------------------------------------------- resolv.conf
def test_resolv_conf_is_read_as_the_resolver_reads_it(tmp_path: Any) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# comment\nnameserver 192.0.2.1 # first\nnameserver fe80::1%eth0\ndomain old.example\nsearch a.example b.example\n"
                    "options ndots:2 edns0\noptions rotate\nsortlist 10.0.0.0\nnameserver\n")
    found = ResolvConf(str(path)).read()
    assert (found.servers, found.search, found.options) == (
        ("192.0.2.1", "fe80::1%eth0"), ("a.example", "b.example"), ("ndots:2", "edns0", "rotate"))
    assert ResolvConf(str(tmp_path / "missing")).read().servers == ()
