"""Published ports: from afar, from the machine's own addresses, from localhost, from other containers; taken ones, ranges, any."""

import os
import socket
from pathlib import Path

import pytest

from runner.agent.client import Agent
from runner.agent.errors import NetworkFailed, PortInUse
from runner.endpoint import Endpoint
from runner.network import NetworkSpec, Pool
from tests.runner.agent.ground import (
    MACHINE,
    MACHINE6,
    WORLD,
    WORLD6,
    Ground,
    ask,
    ask_udp,
    echo,
    eventually,
    member,
    published,
    tell_name,
    tell_peer,
    tell_peer_udp,
)

pytestmark = pytest.mark.userns


@pytest.fixture
def web(ground: Ground, agent: Agent) -> None:
    """A container at 10.5.0.2 that serves port 80, published at 8080."""
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    attached = ground.attach(agent, member(1, "web", ports=(published(80, 8080),)))
    ground.serve(attached.namespace, tell_peer, 80)


@pytest.mark.usefixtures("web")
def test_from_afar_the_peer_is_who_it_is(ground: Ground) -> None:
    assert ground.call(ground.world, ask, MACHINE, 8080) == WORLD


@pytest.mark.usefixtures("web")
def test_from_afar_over_ipv6_to_a_container_without(ground: Ground) -> None:
    assert ground.call(ground.world, ask, MACHINE6, 8080) == "10.5.0.1"


@pytest.mark.usefixtures("web")
@pytest.mark.parametrize(("address", "peer"), [("127.0.0.1", "10.5.0.1"), ("::1", "10.5.0.1"), (MACHINE, MACHINE), ("127.8.9.10", "10.5.0.1")])
def test_from_the_machine_itself(address: str, peer: str) -> None:
    assert ask(address, 8080) == peer


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_from_itself(ground: Ground, agent: Agent, filtered: str) -> None:
    """Also where frames on bridges pass the rules for IP: br_netfilter is loaded, as where docker is installed."""
    for family in ("ip", "ip6"):
        path = Path(f"/proc/sys/net/bridge/bridge-nf-call-{family}tables")
        if path.exists():
            path.write_text(filtered)
    attached = ground.attach(agent, member(1, "bridge", ports=(published(80, 8080),)))
    ground.serve(attached.namespace, tell_peer, 80)
    assert ground.call(attached.namespace, ask, MACHINE, 8080) == attached.connections[0].ipv4_gateway


@pytest.mark.usefixtures("web")
def test_from_its_neighbours(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("other", pools=(Pool("10.6.0.0/24"),)))
    neighbour = ground.attach(agent, member(2, "web"))
    stranger = ground.attach(agent, member(3, "other"))
    assert ground.call(neighbour.namespace, ask, MACHINE, 8080) == "10.5.0.1"
    assert ground.call(stranger.namespace, ask, MACHINE, 8080) == "10.5.0.1"
    assert ground.call(neighbour.namespace, ask, "10.5.0.2", 80) == "10.5.0.3"


def test_an_ipv6_container_sees_ipv6_peers(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("six", pools=(Pool("fd99::/64"),), ipv4=False, ipv6=True))
    attached = ground.attach(agent, member(1, "six", ports=(published(80, 8080),)))
    ground.serve(attached.namespace, tell_peer, 80)
    assert ground.call(ground.world, ask, MACHINE6, 8080) == WORLD6
    assert ask("::1", 8080) == "fd99::1"


def test_loopback_only_is_for_the_machine_only(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge", ports=(published(80, 8080, "127.0.0.1"),)))
    ground.serve(attached.namespace, tell_peer, 80)
    assert ask("127.0.0.1", 8080).endswith(".0.1")
    assert ask(MACHINE, 8080) == "ConnectionRefusedError"
    assert ground.call(ground.world, ask, MACHINE, 8080, 0.5) == "ConnectionRefusedError"
    assert [one.host_ip for one in attached.ports] == ["127.0.0.1"]


def test_one_address_of_the_machine(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge", ports=(published(80, 8080, MACHINE),)))
    ground.serve(attached.namespace, tell_peer, 80)
    assert ground.call(ground.world, ask, MACHINE, 8080) == WORLD
    assert ask(MACHINE, 8080) == MACHINE
    assert ask("127.0.0.1", 8080) == "ConnectionRefusedError"


def test_an_address_that_the_machine_has_not(agent: Agent) -> None:
    with pytest.raises(NetworkFailed, match=r"`192.0.2.99` is no address of this machine"):
        agent.attach(member(1, "bridge", ports=(published(80, 8080, "192.0.2.99"),)))


def test_udp_is_answered_from_the_address_that_was_asked(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    attached = ground.attach(agent, member(1, "web", ports=(published(53, 5353, protocol="udp"),)))
    ground.serve(attached.namespace, tell_peer_udp, 53)
    assert ground.call(ground.world, ask_udp, MACHINE, 5353) == WORLD
    assert [ask_udp(address, 5353) for address in ("127.0.0.1", "127.3.4.5", "::1")] == ["10.5.0.1"] * 3
    assert ask_udp(MACHINE, 5353) == MACHINE


def test_datagrams_that_go_on_coming_reach_the_container_that_is_there_now(ground: Ground, agent: Agent) -> None:
    """The kernel remembers where a flow went; the sender keeps its port."""
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))

    def start(number: int) -> None:
        attached = ground.attach(agent, member(number, Endpoint("web", ipv4_address=f"10.5.0.{number}"), ports=(published(53, 5353, protocol="udp"),)))
        ground.serve(attached.namespace, tell_name, 53, f"c{number}")

    door = ground.call_here(ground.world, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with door:
        door.settimeout(30)
        door.connect((MACHINE, 5353))
        heard = []
        for number in (7, 8):
            start(number)
            door.send(b"?")
            heard.append(door.recv(100))
            agent.detach(member(number).container)
    assert heard == [b"c7", b"c8"]


def test_sctp_is_translated_where_it_can_be(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge", ports=(published(36412, 36412, protocol="sctp"),)))
    assert {(one.protocol, one.host_port) for one in attached.ports} == {("sctp", 36412)}
    with pytest.raises(PortInUse, match=r"36412/sctp.*container `c1`"):
        agent.attach(member(2, "bridge", ports=(published(1, 36412, protocol="sctp"),)))


def test_a_port_of_another_process_is_said_to_be_its(agent: Agent) -> None:
    with socket.create_server(("0.0.0.0", 8080)), pytest.raises(PortInUse) as caught:
        agent.attach(member(1, "bridge", ports=(published(80, 8080),)))
    said = str(caught.value)
    assert said.startswith("port `0.0.0.0:8080/tcp` is already in use by process ") and f"process {os.getpid()} " in said


def test_a_port_of_another_container_is_said_to_be_its(ground: Ground, agent: Agent) -> None:
    ground.attach(agent, member(1, "bridge", ports=(published(80, 8080),)))
    with pytest.raises(PortInUse, match="in use by container `c1`"):
        agent.attach(member(2, "bridge", ports=(published(80, 8080),)))
    ground.attach(agent, member(2, "bridge", ports=(published(80, 8081),)))


def test_a_failed_publication_leaves_no_port_bound(agent: Agent) -> None:
    with socket.create_server(("0.0.0.0", 8081)), pytest.raises(PortInUse):
        agent.attach(member(1, "bridge", ports=(published(80, 8080), published(81, 8081))))
    socket.create_server(("0.0.0.0", 8080)).close()


def test_a_port_is_free_as_soon_as_its_container_is_gone(ground: Ground, agent: Agent) -> None:
    for number in range(5):
        ground.attach(agent, member(number, "bridge", ports=(published(80, 8080), published(53, 8080, protocol="udp"))))
        agent.detach(member(number).container)
    socket.create_server(("0.0.0.0", 8080)).close()


def test_any_free_port_is_the_same_for_both_families(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge", ports=(published(80),)))
    assert {one.host_ip for one in attached.ports} == {"0.0.0.0", "::"}
    (port,) = {one.host_port for one in attached.ports}
    ground.serve(attached.namespace, tell_peer, 80)
    assert ground.call(ground.world, ask, MACHINE, port) == WORLD


def test_a_range_gives_the_first_free_port(ground: Ground, agent: Agent) -> None:
    chosen = [ground.attach(agent, member(number, "bridge", ports=(published(80, 8000, last=8002),))).ports[0].host_port for number in range(3)]
    assert chosen == [8000, 8001, 8002]
    with pytest.raises(NetworkFailed, match="every port from 8000 to 8002 is in use"):
        agent.attach(member(9, "bridge", ports=(published(80, 8000, last=8002),)))


def test_nothing_is_published_of_an_internal_network(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("inside", internal=True))
    attached = ground.attach(agent, member(1, "inside", ports=(published(80, 8080),)))
    assert attached.ports == ()
    assert ask("127.0.0.1", 8080) == "ConnectionRefusedError"


def test_ports_follow_the_way_out(ground: Ground, agent: Agent) -> None:
    for name, subnet in (("alpha", "10.1.0.0/24"), ("beta", "10.2.0.0/24")):
        agent.create(NetworkSpec(name, pools=(Pool(subnet),)))
    attached = ground.attach(agent, member(1, "beta", ports=(published(80, 8080),)))
    ground.serve(attached.namespace, tell_peer, 80)
    assert ask("127.0.0.1", 8080) == "10.2.0.1"
    agent.connect(member(1).container, Endpoint("alpha"))
    assert ask("127.0.0.1", 8080) == "10.1.0.1"
    agent.disconnect(member(1).container, "beta")
    assert ask("127.0.0.1", 8080) == "10.1.0.1"
    assert ground.call(ground.world, ask, MACHINE, 8080) == WORLD


# ---------------------------------------------------------------- through the forwarder
def _exchange(port: int, size: int) -> int:
    """Send and receive at once through an echo, ending our half early; how much came back."""
    data = os.urandom(1 << 16)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        pid = os.fork()
        if not pid:
            sent = 0
            while sent < size:
                peer.sendall(data)
                sent += len(data)
            peer.shutdown(socket.SHUT_WR)
            os._exit(0)
        received = b"" if size == len(data) else None
        total = 0
        while piece := peer.recv(1 << 16):
            total += len(piece)
            if received is not None:
                received += piece
        os.waitpid(pid, 0)
        assert received is None or received == data
        return total


@pytest.mark.parametrize("size", [1 << 16, 1 << 25])
def test_streams_arrive_whole_through_localhost(ground: Ground, agent: Agent, size: int) -> None:
    attached = ground.attach(agent, member(1, "bridge", ports=(published(7, 8080),)))
    ground.serve(attached.namespace, echo, 7)
    assert _exchange(8080, size) == size


def test_a_container_that_does_not_listen_resets(ground: Ground, agent: Agent) -> None:
    ground.attach(agent, member(1, "bridge", ports=(published(7, 8080),)))
    assert ask("127.0.0.1", 8080) == "ConnectionResetError"


def test_many_connections_leave_no_descriptor(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge", ports=(published(80, 8080),)))
    ground.serve(attached.namespace, tell_peer, 80)
    carrier = _carrier_of(agent.ask("ping"))
    assert ask("127.0.0.1", 8080)

    def count() -> int:
        return sum(_is_socket(f"/proc/{carrier}/fd/{name}") for name in os.listdir(f"/proc/{carrier}/fd"))

    before = eventually(count, lambda n: n <= 5)
    for _ in range(60):
        assert ask("127.0.0.1", 8080)
    assert eventually(count, lambda n: n <= before) <= before


def _is_socket(link: str) -> bool:
    try:
        return os.readlink(link).startswith("socket")
    except FileNotFoundError:
        return False                                      # closed since the directory was listed


def _carrier_of(agent: int) -> int:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                words = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue                                      # ended since the directory was listed
        if f" {agent} " in words.partition(") ")[2][:20] and "pyup-ports" in words:
            return int(name)
    raise AssertionError("the forwarder is not there")


