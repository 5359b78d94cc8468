"""Who reaches whom: networks apart, internal ones, neighbours, the outside."""

import subprocess

import pytest

from runner.agent.client import Agent
from runner.network import ICC, MASQUERADE, NetworkSpec, Pool
from tests.runner.agent.ground import MACHINE, SERVER, SERVER6, WORLD, Ground, ask, member, ruleset, tell_peer

pytestmark = pytest.mark.userns
SHORT_S = 0.4


@pytest.fixture
def server(ground: Ground) -> None:
    ground.serve(ground.world, tell_peer, 80)


@pytest.mark.usefixtures("server")
def test_the_outside_sees_the_machine(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge"))
    assert ground.call(attached.namespace, ask, SERVER, 80) == MACHINE
    assert agent.notices == ["`net.ipv4.ip_forward` was off; it has been switched on, so that containers reach the outside"]


@pytest.mark.usefixtures("server")
def test_the_outside_over_ipv6(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("six", ipv6=True))
    attached = ground.attach(agent, member(1, "six"))
    assert ground.call(attached.namespace, ask, SERVER6, 80) == "fd51::2"


@pytest.mark.usefixtures("server")
def test_without_masquerade_the_container_is_seen_itself(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("bare", pools=(Pool("10.5.0.0/24"),), options=((MASQUERADE, "false"),)))
    attached = ground.attach(agent, member(1, "bare"))
    ground.call(ground.world, lambda: subprocess.run(["ip", "route", "add", "10.5.0.0/24", "via", MACHINE], check=True))
    assert ground.call(attached.namespace, ask, SERVER, 80) == "10.5.0.2"


def test_neighbours_reach_each_other_and_strangers_do_not(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    agent.create(NetworkSpec("other", pools=(Pool("10.6.0.0/24"),)))
    serving = ground.attach(agent, member(1, "web"))
    ground.serve(serving.namespace, tell_peer, 80)
    neighbour, stranger = ground.attach(agent, member(2, "web")), ground.attach(agent, member(3, "other"))
    assert ground.call(neighbour.namespace, ask, "10.5.0.2", 80) == "10.5.0.3"
    assert ground.call(stranger.namespace, ask, "10.5.0.2", 80, SHORT_S) == "TimeoutError"


def test_an_unpublished_port_is_not_reached_from_afar(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    serving = ground.attach(agent, member(1, "web"))
    ground.serve(serving.namespace, tell_peer, 80)
    ground.call(ground.world, lambda: subprocess.run(["ip", "route", "add", "10.5.0.0/24", "via", MACHINE], check=True))
    assert ground.call(ground.world, ask, "10.5.0.2", 80, SHORT_S) == "TimeoutError"
    assert ask("10.5.0.2", 80) == "10.5.0.1"


@pytest.mark.usefixtures("server")
def test_an_internal_network_stays_inside(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("inside", pools=(Pool("10.5.0.0/24"),), internal=True))
    one, two = ground.attach(agent, member(1, "inside")), ground.attach(agent, member(2, "inside"))
    ground.serve(one.namespace, tell_peer, 80)
    assert ground.call(two.namespace, ask, "10.5.0.2", 80) == "10.5.0.3"
    assert ground.call(two.namespace, ask, SERVER, 80, SHORT_S) == "OSError"
    # even if somebody adds a route
    ground.call(two.namespace, lambda: subprocess.run(["ip", "route", "add", "default", "via", "10.5.0.1"], check=True))
    assert ground.call(two.namespace, ask, SERVER, 80, SHORT_S) == "TimeoutError"


def test_host_gateway_is_the_machine(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    ground.serve(ground.machine, tell_peer, 9001)
    attached = ground.attach(agent, member(1, "web", extra_hosts=(("gate", "host-gateway"),)))
    assert "10.5.0.1\tgate\n" in attached.hosts
    assert ground.call(attached.namespace, ask, "10.5.0.1", 9001) == "10.5.0.2"


def test_without_icc_neighbours_do_not_reach_each_other(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("apart", pools=(Pool("10.5.0.0/24"),), options=((ICC, "false"),)))
    one, two = ground.attach(agent, member(1, "apart")), ground.attach(agent, member(2, "apart"))
    ground.serve(one.namespace, tell_peer, 80)
    assert ground.call(two.namespace, ask, "10.5.0.2", 80, SHORT_S) in ("TimeoutError", "OSError")
    assert ask("10.5.0.2", 80) == "10.5.0.1"


def test_rules_are_one_table_of_this_root_only(ground: Ground, agent: Agent) -> None:
    ground.attach(agent, member(1, "bridge"))
    second = ground.agent("second")
    ground.attach(second, member(1, "bridge"))
    tables = {line for line in ruleset().splitlines() if line.startswith("table")}
    assert len(tables) == 2 and all(line.startswith("table inet pyup_") for line in tables)


def test_two_roots_do_not_share_subnets_and_do_not_mix(ground: Ground, agent: Agent) -> None:
    second = ground.agent("second")
    one, two = ground.attach(agent, member(1, "bridge")), ground.attach(second, member(2, "bridge"))
    assert one.connections[0].ipv4_gateway != two.connections[0].ipv4_gateway
    ground.serve(one.namespace, tell_peer, 80)
    assert ground.call(two.namespace, ask, one.connections[0].ipv4_address, 80, SHORT_S) == "TimeoutError"
    assert ground.call(ground.world, ask, WORLD, 80, SHORT_S) == "ConnectionRefusedError"
