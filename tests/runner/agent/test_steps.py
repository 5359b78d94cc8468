"""The networks of build steps: to the outside and nowhere else, each its own, ready before it is asked for, gone with the build."""

import os

import pytest

from runner.agent import namespace
from runner.agent.client import Agent
from runner.agent.records import Networks
from runner.agent.steps import Step, Steps
from sandbox.errors import NetworkUnavailable
from tests.runner.agent.ground import (
    MACHINE,
    SERVER,
    Ground,
    ask,
    eventually,
    interfaces,
    kill,
    links,
    look_up,
    member,
    name_server,
    tell_peer,
)

pytestmark = pytest.mark.userns
SHORT_S = 0.3


@pytest.fixture
def steps(ground: Ground) -> Steps:
    root = ground.root()
    made = Steps(str(root), str(root / "run"))
    ground.keep(made.agent())
    return made


def cables() -> list[str]:
    return [name for name in links() if name.startswith("pv")]


def test_a_step_reaches_the_outside_only(ground: Ground, agent: Agent) -> None:
    ground.serve(ground.world, tell_peer, 80)
    serving = ground.attach(agent, member(1, "bridge"))
    ground.serve(serving.namespace, tell_peer, 80)
    with Step(agent) as one, Step(agent) as two:
        assert ground.call(one, ask, SERVER, 80) == MACHINE
        address = ground.call(one, interfaces)["eth0"][0].partition("/")[0]
        ground.serve(one, tell_peer, 80)
        assert ground.call(two, ask, address, 80, SHORT_S) in ("TimeoutError", "OSError")
        assert ground.call(two, ask, serving.connections[0].ipv4_address, 80, SHORT_S) == "TimeoutError"


def test_a_step_knows_the_worlds_names_and_not_the_containers(ground: Ground, agent: Agent, steps: Steps) -> None:
    ground.serve(ground.world, name_server, SERVER, {"example.org": "192.0.2.80"})
    ground.attach(agent, member(1, "bridge"))
    with steps.acquire() as fd:
        assert ground.call(fd, look_up, "example.org") == ("NOERROR", ("192.0.2.80",))
        assert ground.call(fd, look_up, "c1") == ("NXDOMAIN", ())


def test_what_goes_with_a_step(ground: Ground, steps: Steps) -> None:
    ground.serve(ground.machine, tell_peer, 9000)
    step = steps.acquire()
    with step as fd:
        assert step.resolv_conf.splitlines()[0] == "nameserver 127.0.0.11"
        assert ground.call(fd, ask, step.gateway, 9000) == ground.call(fd, interfaces)["eth0"][0].partition("/")[0]


def test_a_step_gets_a_namespace_that_nobody_had(ground: Ground, steps: Steps) -> None:
    seen = set()
    for _ in range(6):
        with steps.acquire() as fd:
            seen.add(ground.call(fd, namespace.cookie))
    assert len(seen) == 6


def test_while_somebody_builds_one_is_ready(ground: Ground, steps: Steps) -> None:
    steps.prepare()
    assert len(eventually(cables)) == 1
    with steps.acquire():
        assert len(eventually(cables, lambda found: len(found) == 2)) == 2
    assert len(eventually(cables, lambda found: len(found) == 1)) == 1
    steps.agent().close()
    assert eventually(cables, lambda found: not found) == []


def test_the_one_that_is_ready_is_not_swept_away(ground: Ground, agent: Agent, steps: Steps) -> None:
    steps.prepare()
    before = eventually(cables)
    for _ in range(3):
        agent.ask("sweep")
    assert cables() == before


def test_forks_have_steps_of_their_own(ground: Ground, steps: Steps) -> None:
    steps.prepare()
    eventually(cables)
    read, write = os.pipe()
    pids = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            with steps.acquire() as fd:
                os.write(write, f"{ground.call(fd, namespace.cookie)} ".encode())
            os._exit(0)
        pids.append(pid)
    os.close(write)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    with open(read) as file:
        assert len(set(file.read().split())) == 3
    steps.agent().close()
    assert eventually(cables, lambda found: not found) == []


def test_the_network_of_steps_is_in_no_list(ground: Ground, steps: Steps) -> None:
    with steps.acquire():
        names = [record.name for record in Networks(str(ground.root())).list()]
    assert names == ["bridge", "host", "none"]


def test_a_build_that_is_killed_lets_go_of_all_it_has(ground: Ground, agent: Agent) -> None:
    other = Agent(agent._root, agent._run_directory)
    step = Step(other)
    step.__enter__()
    assert len(eventually(cables, lambda found: len(found) == 2)) == 2
    other.close()                                         # as the kernel does it for a process that is gone
    os.close(step._fd)
    assert eventually(cables, lambda found: not found) == []


def test_after_a_killed_agent_the_next_step_has_its_network(ground: Ground, steps: Steps) -> None:
    ground.serve(ground.world, tell_peer, 80)
    with steps.acquire():
        kill(Agent(str(ground.root()), str(ground.root() / "run")))
    with steps.acquire() as fd:
        assert ground.call(fd, ask, SERVER, 80) == MACHINE


def test_an_agent_that_cannot_be_is_a_step_without_a_network(ground: Ground) -> None:
    steps = Steps(str(ground.root()), str(ground.scratch / ("d" * 100)))
    steps.prepare()
    with pytest.raises(NetworkUnavailable, match=r"cannot give this step a network: .* too long for a socket"):
        steps.acquire().__enter__()
