"""Containers on networks: addresses, routes, names of interfaces, several networks, connecting and disconnecting."""

import os
import subprocess

import pytest

from runner.agent.client import Agent
from runner.agent.errors import (
    AddressesExhausted,
    AddressInUse,
    AlreadyConnected,
    InvalidEndpoint,
    InvalidNetwork,
    NetworkInUse,
    NetworkMissing,
    NotConnected,
)
from runner.endpoint import Endpoint
from runner.network import NetworkSpec, Pool
from tests.runner.agent.ground import Ground, default_gateway, eventually, interfaces, links, member

pytestmark = pytest.mark.userns


def test_attach_gives_an_address_and_a_way_out(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    attached = ground.attach(agent, member(1, "web"))
    assert ground.call(attached.namespace, interfaces) == {"lo": ("127.0.0.1/8", "::1/128"), "eth0": ("10.5.0.2/24",)}
    assert ground.call(attached.namespace, default_gateway) == "10.5.0.1 eth0"
    (connection,) = attached.connections
    assert (connection.ipv4_address, connection.ipv4_prefix, connection.ipv4_gateway) == ("10.5.0.2", 24, "10.5.0.1")


def test_attach_with_ipv6(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"), Pool("fd99::/64")), ipv6=True))
    attached = ground.attach(agent, member(1, "web"))
    addresses = ground.call(attached.namespace, interfaces)["eth0"]
    assert "10.5.0.2/24" in addresses and "fd99::2/64" in addresses
    assert ground.call(attached.namespace, default_gateway, 6) == "fd99::1 eth0"


def test_attach_with_chosen_addresses(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"), Pool("fd99::/64")), ipv6=True))
    wanted = Endpoint("web", ipv4_address="10.5.0.77", ipv6_address="fd99::77", mac_address="02:42:aa:bb:cc:dd", link_local_ips=("169.254.9.9",))
    attached = ground.attach(agent, member(1, wanted))
    addresses = ground.call(attached.namespace, interfaces)["eth0"]
    assert {"10.5.0.77/24", "fd99::77/64", "169.254.9.9/16"} <= set(addresses)
    assert attached.connections[0].mac_address == "02:42:aa:bb:cc:dd"
    link = ground.call(attached.namespace, lambda: subprocess.run(["ip", "link", "show", "eth0"], capture_output=True, text=True).stdout)
    assert "02:42:aa:bb:cc:dd" in link


def test_attach_takes_an_address_that_is_taken(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    ground.attach(agent, member(1, "web"))
    with pytest.raises(AddressInUse) as caught:
        agent.attach(member(2, Endpoint("web", ipv4_address="10.5.0.2")))
    assert str(caught.value) == "address `10.5.0.2` of network `web` is in use by container `c1`"
    with pytest.raises(AddressInUse, match="the gateway"):
        agent.attach(member(2, Endpoint("web", ipv4_address="10.5.0.1")))


def test_attach_takes_an_address_of_another_subnet(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    with pytest.raises(InvalidNetwork, match=r"its subnet is `10.5.0.0/24`"):
        agent.attach(member(1, Endpoint("web", ipv4_address="10.6.0.2")))


def test_attach_when_every_address_is_given_out(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("tiny", pools=(Pool("10.5.0.0/30"),)))
    ground.attach(agent, member(1, "tiny"))
    with pytest.raises(AddressesExhausted):
        agent.attach(member(2, "tiny"))
    agent.detach(member(1).container)
    assert ground.attach(agent, member(3, "tiny")).connections[0].ipv4_address == "10.5.0.2"


def test_a_failed_attach_leaves_nothing(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web"))
    before = links()
    with pytest.raises(NetworkMissing):
        agent.attach(member(1, "web", "nowhere"))
    with pytest.raises(AddressInUse):
        agent.attach(member(1, "web", Endpoint("bridge", ipv4_address="172.18.0.1")))
    assert eventually(lambda: [name for name in links() if name not in before and not name.startswith("pu")], lambda found: not found) == []
    agent.remove("web")


def test_attach_again_keeps_the_addresses(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web"))
    ground.attach(agent, member(1, "web"))
    second = ground.attach(agent, member(2, "web"))
    again = ground.attach(agent, member(2, "web"))
    assert again.connections[0].ipv4_address == second.connections[0].ipv4_address


def test_low_ports_and_ping_are_for_everybody(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge"))

    def settings() -> list[str]:
        return [open(f"/proc/sys/net/ipv4/{name}").read().split()[-1] for name in ("ip_unprivileged_port_start", "ping_group_range")]

    assert ground.call(attached.namespace, settings) == ["0", "2147483647"]


# ---------------------------------------------------------------- several networks
def test_several_networks_in_order_of_priority(ground: Ground, agent: Agent) -> None:
    for name in ("alpha", "beta", "gamma"):
        agent.create(NetworkSpec(name))
    attached = ground.attach(agent, member(1, "gamma", Endpoint("alpha", interface_name="front"), Endpoint("beta", priority=10)))
    assert [(one.network, one.interface) for one in attached.connections] == [("beta", "eth0"), ("gamma", "eth1"), ("alpha", "front")]


def test_the_default_route_follows_gw_priority_then_the_name(ground: Ground, agent: Agent) -> None:
    for name, subnet in (("alpha", "10.1.0.0/24"), ("beta", "10.2.0.0/24")):
        agent.create(NetworkSpec(name, pools=(Pool(subnet),)))
    by_name = ground.attach(agent, member(1, "beta", "alpha"))
    assert ground.call(by_name.namespace, default_gateway) == "10.1.0.1 eth1"
    by_priority = ground.attach(agent, member(2, "alpha", Endpoint("beta", gw_priority=1)))
    assert ground.call(by_priority.namespace, default_gateway) == "10.2.0.1 eth1"


def test_an_internal_network_has_no_default_route(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("inside", internal=True))
    attached = ground.attach(agent, member(1, "inside"))
    assert ground.call(attached.namespace, default_gateway) == ""


def test_one_network_twice_is_refused(ground: Ground, agent: Agent) -> None:
    record = agent.create(NetworkSpec("web"))
    with pytest.raises(InvalidEndpoint, match="on one network twice"):
        agent.attach(member(1, "web", record.id[:12]))


def test_host_is_no_network_to_join(ground: Ground, agent: Agent) -> None:
    with pytest.raises(InvalidNetwork, match="cannot be joined"):
        agent.attach(member(1, "host"))


# ---------------------------------------------------------------- connect and disconnect
def test_connect_and_disconnect_while_it_runs(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("one", pools=(Pool("10.1.0.0/24"),)))
    agent.create(NetworkSpec("two", pools=(Pool("10.2.0.0/24"),)))
    attached = ground.attach(agent, member(1, "two"))
    connection = agent.connect(member(1).container, Endpoint("one"))
    assert (connection.interface, connection.ipv4_address) == ("eth1", "10.1.0.2")
    assert ground.call(attached.namespace, default_gateway) == "10.1.0.1 eth1"
    agent.disconnect(member(1).container, "one")
    assert ground.call(attached.namespace, interfaces).keys() == {"lo", "eth0"}
    assert ground.call(attached.namespace, default_gateway) == "10.2.0.1 eth0"
    agent.disconnect(member(1).container, "two")
    assert ground.call(attached.namespace, default_gateway) == ""
    assert agent.connect(member(1).container, Endpoint("two")).interface == "eth0"


def test_connect_twice_and_disconnect_twice(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web"))
    agent.create(NetworkSpec("other"))
    ground.attach(agent, member(1, "web"))
    with pytest.raises(AlreadyConnected):
        agent.connect(member(1).container, Endpoint("web"))
    with pytest.raises(NotConnected):
        agent.disconnect(member(1).container, "other")
    with pytest.raises(NotConnected):
        agent.connect(member(2).container, Endpoint("web"))


# ---------------------------------------------------------------- detach
def test_detach_frees_everything(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web"))
    attached = ground.attach(agent, member(1, "web"))
    with pytest.raises(NetworkInUse, match="`c1`"):
        agent.remove("web")
    agent.detach(member(1).container)
    agent.detach(member(1).container)
    agent.remove("web")
    ground.let_go(attached)
    assert eventually(lambda: [name for name in links() if name.startswith("p")], lambda found: not found) == []


def test_the_agent_runs_out_of_nothing_over_many_attachments(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web"))
    pid = agent.ask("ping")
    for number in range(12):
        os.close(agent.attach(member(number, "web")).namespace)
        agent.detach(member(number).container)
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for number in range(40):
        os.close(agent.attach(member(number, "web")).namespace)
        agent.detach(member(number).container)
    assert len(os.listdir(f"/proc/{pid}/fd")) <= before + 2
