"""Containers with an address on the machine's own wire."""

import pytest

from runner.agent.client import Agent
from runner.agent.errors import InvalidNetwork, NetworkFailed
from runner.endpoint import Endpoint
from runner.network import NetworkSpec, Pool
from tests.runner.agent.ground import SERVER, WORLD, Ground, ask, default_gateway, interfaces, kill, links, look_up, member, published, tell_peer

pytestmark = pytest.mark.userns
LAN = NetworkSpec("lan", "macvlan", (Pool("198.51.100.0/24", WORLD, "198.51.100.128/25"),), options=(("parent", "up0"),))


def test_a_container_on_the_wire(ground: Ground, agent: Agent) -> None:
    ground.serve(ground.world, tell_peer, 80)
    agent.create(LAN)
    attached = ground.attach(agent, member(1, "lan", ports=(published(80, 8080),)))
    address = attached.connections[0].ipv4_address
    assert address == "198.51.100.128" and attached.ports == ()
    assert ground.call(attached.namespace, ask, SERVER, 80) == address
    assert ground.call(attached.namespace, default_gateway) == f"{WORLD} eth0"
    ground.serve(attached.namespace, tell_peer, 80)
    assert ground.call(ground.world, ask, address, 80) == WORLD
    assert ground.call(attached.namespace, look_up, "c1") == ("NOERROR", (address,))


def test_it_can_be_left_and_joined_again(ground: Ground, agent: Agent) -> None:
    agent.create(LAN)
    attached = ground.attach(agent, member(1, "bridge", "lan"))
    agent.disconnect(member(1).container, "lan")
    assert ground.call(attached.namespace, interfaces).keys() == {"lo", "eth0"}
    assert agent.connect(member(1).container, Endpoint("lan")).interface == "eth1"


def test_the_parent_is_never_removed(ground: Ground, agent: Agent) -> None:
    agent.create(LAN)
    ground.attach(agent, member(1, "lan"))
    agent.detach(member(1).container)
    agent.remove("lan")
    assert "up0" in links()


def test_it_is_resumed_after_a_kill(ground: Ground, agent: Agent) -> None:
    agent.create(LAN)
    attached = ground.attach(agent, member(1, "lan"))
    kill(agent)
    agent.restore()
    assert ground.call(attached.namespace, look_up, "c1")[0] == "NOERROR"
    assert ground.attach(agent, member(2, "lan")).connections[0].ipv4_address == "198.51.100.129"


def test_without_a_parent_or_with_one_that_is_not_there(agent: Agent) -> None:
    with pytest.raises(InvalidNetwork, match="has the driver `macvlan` and no parent"):
        agent.create(LAN._replace(options=()))
    with pytest.raises(NetworkFailed, match="its parent, the interface `nope`, is not there"):
        agent.create(LAN._replace(options=(("parent", "nope"),), pools=(Pool("10.9.0.0/24"),)))
    with pytest.raises(InvalidNetwork, match="has `macvlan_mode` `odd`, which is none"):
        agent.create(LAN._replace(options=(("parent", "up0"), ("macvlan_mode", "odd"))))
