"""The agent's life: started once, gone when idle without a trace, killed at any moment without loss, replaced by another version."""

import os
import random
import shutil
import signal
import socket
import time

import pytest

from runner.agent.client import Agent
from runner.agent.errors import AgentLost, NetworkError
from runner.agent.steps import Step
from runner.endpoint import Endpoint
from runner.network import NetworkSpec, Pool
from tests.fork import in_fork
from tests.runner.agent.ground import (
    MACHINE,
    SERVER,
    WORLD,
    Ground,
    ask,
    default_gateway,
    eventually,
    is_gone,
    kill,
    links,
    look_up,
    member,
    name_server,
    published,
    ruleset,
    tell_peer,
)

pytestmark = pytest.mark.userns
LONG = bool(os.environ.get("PYBUILD_LONG"))


def test_one_agent_serves_everybody(ground: Ground) -> None:
    """Eight commands start it at once."""
    root = ground.root()

    def ping() -> int:
        return int(Agent(str(root), str(root / "run")).ask("ping"))

    read, write = os.pipe()
    children = []
    for _ in range(8):
        pid = os.fork()
        if not pid:
            os.write(write, b"%d\n" % ping())
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    assert len(set(os.read(read, 1000).split())) == 1


def test_when_idle_it_leaves_nothing(ground: Ground) -> None:
    agent = ground.agent(idle_s=0.2)
    agent.create(NetworkSpec("web"))
    attached = ground.attach(agent, member(1, "web", ports=(published(80, 8080),)))
    with Step(agent):
        pass
    agent.detach(member(1).container)
    ground.let_go(attached)
    pid = int(agent.ask("ping"))
    agent.close()
    assert eventually(lambda: is_gone(pid))
    assert eventually(links, lambda found: found == ["lo", "up0"]) == ["lo", "up0"]
    assert ruleset() == ""
    assert {path.name for path in (ground.scratch / "root/run").iterdir() if path.is_socket()} == set()
    assert agent.is_network("web")


def test_when_its_root_is_removed_it_leaves_nothing(ground: Ground) -> None:
    """Even while something runs: it goes with the last container, and needs no record for it."""
    agent = ground.agent()
    attached = ground.attach(agent, member(1, "bridge"))
    with Step(agent):
        pid = int(agent.ask("ping"))
        shutil.rmtree(ground.root())
        agent.ask("sweep")
        assert not is_gone(pid) and ask(MACHINE, 1) == "ConnectionRefusedError"
    agent.detach(member(1).container)
    ground.let_go(attached)
    agent.close()
    assert eventually(lambda: is_gone(pid))
    assert eventually(links, lambda found: found == ["lo", "up0"]) == ["lo", "up0"]
    assert ruleset() == ""


def test_a_network_that_slept_is_as_it_was(ground: Ground) -> None:
    agent = ground.agent(idle_s=0.1)
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    pid = int(agent.ask("ping"))
    agent.close()
    assert eventually(lambda: is_gone(pid))
    assert ground.attach(agent, member(1, "web")).connections[0].ipv4_address == "10.5.0.2"


def test_it_stays_as_long_as_somebody_is_connected_or_attached(ground: Ground) -> None:
    agent = ground.agent(idle_s=0.05)
    pid = agent.ask("ping")
    time.sleep(0.3)                                       # what must not happen takes time
    assert agent.ask("ping") == pid
    ground.attach(agent, member(1, "bridge"))
    agent.close()
    time.sleep(0.3)
    assert agent.ask("ping") == pid


def test_an_agent_that_leaves_at_once_serves_everybody_all_the_same(ground: Ground) -> None:
    """Three clients that come and go, an agent that is gone whenever nobody is there."""
    root = ground.root()
    children = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            done = 0
            try:
                for _ in range(12):
                    agent = Agent(str(root), str(root / "run"), idle_s=0.0)
                    done += int(agent.ask("ping")) > 0
                    agent.close()
            finally:
                os._exit(done)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [12, 12, 12]


# ---------------------------------------------------------------- killed
def test_killed_it_loses_no_network(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    ground.serve(ground.world, tell_peer, 80)
    one = ground.attach(agent, member(1, "web", ports=(published(80, 8080),)))
    two = ground.attach(agent, member(2, "web"))
    ground.serve(one.namespace, tell_peer, 80)
    kill(agent)
    assert ground.call(two.namespace, ask, "10.5.0.2", 80) == "10.5.0.3"
    assert ground.call(two.namespace, ask, SERVER, 80) == MACHINE
    assert ground.call(ground.world, ask, MACHINE, 8080) == WORLD
    assert ground.call(two.namespace, default_gateway) == "10.5.0.1 eth0"


def test_the_next_command_brings_names_and_ports_back(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    ground.serve(ground.world, name_server, SERVER, {"example.org": "192.0.2.80"})
    one = ground.attach(agent, member(1, Endpoint("web", ("db",)), ports=(published(80, 8080), published(81, protocol="udp"))))
    two = ground.attach(agent, member(2, "web"))
    ground.serve(one.namespace, tell_peer, 80)
    kill(agent)
    assert ask("127.0.0.1", 8080) == "ConnectionRefusedError"
    agent.restore()
    assert ask("127.0.0.1", 8080) == "10.5.0.1"
    assert ground.call(two.namespace, look_up, "db") == ("NOERROR", ("10.5.0.2",))
    assert ground.call(two.namespace, look_up, "example.org") == ("NOERROR", ("192.0.2.80",))
    assert ground.attach(agent, member(3, "web")).connections[0].ipv4_address == "10.5.0.4"
    with pytest.raises(NetworkError, match="in use by container `c1`"):
        agent.attach(member(4, "web", ports=(published(80, 8080),)))


def test_restore_starts_no_agent_where_nothing_runs(ground: Ground, agent: Agent) -> None:
    agent.restore()
    assert not (ground.scratch / "root/run/agent").exists()


def test_a_container_that_ended_meanwhile_is_not_brought_back(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/30"),)))
    gone = ground.attach(agent, member(1, "web", ports=(published(80, 8080),)))
    kill(agent)
    ground.let_go(gone)
    assert ground.attach(agent, member(2, "web", ports=(published(80, 8080),))).connections[0].ipv4_address == "10.5.0.2"


def test_detach_without_an_agent_starts_none(ground: Ground, agent: Agent) -> None:
    gone = ground.attach(agent, member(1, "bridge"))
    kill(agent)
    ground.let_go(gone)
    pid = (ground.scratch / "root/run/members" / member(1).container)
    assert pid.exists()
    agent.detach(member(1).container)
    assert not pid.exists()


def test_what_a_killed_agent_had_begun_is_swept_up(ground: Ground, agent: Agent) -> None:
    """A cable without a container, as of an attach that was not finished."""
    from runner.network import root_id

    agent.ask("ping")
    kill(agent)
    name = f"pv{root_id(agent._root)}abcdef"
    assert os.system(f"ip link add {name} type veth peer name xx0") == 0
    agent.ask("ping")
    assert eventually(lambda: name not in links())


def test_killed_at_random_moments(ground: Ground, agent: Agent) -> None:
    """Whatever it was doing: nobody who was attached loses anything, and the next command works."""
    rolled = random.Random(20)
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/16"),)))
    steady = ground.attach(agent, member(1, Endpoint("web", ("steady",)), ports=(published(80, 8080),)))
    ground.serve(steady.namespace, tell_peer, 80)
    for moment in range(600 if LONG else 12):
        pid = int(agent.ask("ping"))
        killer = os.fork()
        if not killer:
            time.sleep(rolled.random() * 0.012)
            os.kill(pid, signal.SIGKILL)
            os._exit(0)
        mates = []
        try:
            for number in range(2, 6):
                mates.append(ground.attach(agent, member(number, "web", ports=(published(80, 8000 + number),))))
        except (AgentLost, NetworkError):
            pass                                          # it was killed while we waited; the second try may have been, too
        os.waitpid(killer, 0)
        eventually(lambda pid=pid: is_gone(pid))  # type: ignore[misc]
        agent.close()
        agent.ask("ping")
        assert ask("127.0.0.1", 8080) == "10.5.0.1", moment
        for mate in mates:
            assert ground.call(mate.namespace, look_up, "steady") == ("NOERROR", ("10.5.0.2",)), moment
            assert ground.call(mate.namespace, ask, "10.5.0.2", 80) == mate.connections[0].ipv4_address, moment
        for number in range(2, 6):
            agent.detach(member(number).container)
        for mate in mates:
            ground.let_go(mate)


def test_a_container_whose_shim_was_killed_is_let_go_of(ground: Ground, agent: Agent) -> None:
    gone = ground.attach(agent, member(1, "bridge", ports=(published(80, 8080),)))
    kept = ground.attach(agent, member(2, "bridge"))
    ground.let_go(gone)
    for _ in range(3):
        agent.ask("sweep")
    assert ground.call(kept.namespace, look_up, "c1")[0] != "NOERROR"
    assert ground.call(kept.namespace, look_up, "c2")[0] == "NOERROR"
    socket.create_server(("0.0.0.0", 8080)).close()


# ---------------------------------------------------------------- replaced
def test_another_version_takes_over(ground: Ground, agent: Agent) -> None:
    one = ground.attach(agent, member(1, "bridge", ports=(published(80, 8080),)))
    ground.serve(one.namespace, tell_peer, 80)
    before = agent.ask("ping")
    newer = Agent(agent._root, agent._run_directory)
    newer._fingerprint = 7
    assert newer.ask("ping") != before
    assert ask("127.0.0.1", 8080).endswith(".0.1")
    assert ground.call(one.namespace, look_up, "c1")[0] == "NOERROR"
    newer.close()


def test_retired_with_containers_it_leaves_them(ground: Ground, agent: Agent) -> None:
    one = ground.attach(agent, member(1, "bridge"))
    agent.close()
    agent.retire()
    assert ground.call(one.namespace, default_gateway)
    assert ground.call(one.namespace, look_up, "c1")[0] == "NOERROR" if agent.ask("ping") else False


def test_an_agent_that_cannot_start_says_why(ground: Ground) -> None:
    agent = ground.agent()
    (ground.scratch / "root/networks.db").write_bytes(b"this is no database, and long enough to be seen as such" * 20)
    with pytest.raises(NetworkError) as caught:
        agent.attach(member(1, "bridge"))
    assert "networks.db" in str(caught.value) and "Traceback" not in str(caught.value)


def test_strangers_are_not_served(ground: Ground, agent: Agent, unprivileged: object) -> None:
    """Another user's connection is closed without an answer, even if the directory let it in."""
    from tests.users import User
    assert isinstance(unprivileged, User)
    agent.ask("ping")
    path = ground.scratch / "root/run/agent"
    path.chmod(0o777)
    for parent in (ground.scratch, ground.scratch / "root", ground.scratch / "root/run"):
        parent.chmod(0o755)

    def knock() -> bytes:
        unprivileged.become()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.connect(str(path))
            try:
                door.send(b"x")
                return door.recv(100)
            except OSError:
                return b""

    assert in_fork(knock) == b""


def test_bridges_of_a_killed_agent_go_with_the_next_command(ground: Ground, agent: Agent) -> None:
    """Although no container is on a network any more."""
    agent.create(NetworkSpec("web"))
    attached = ground.attach(agent, member(1, "web"))
    agent.detach(member(1).container)
    ground.let_go(attached)
    kill(agent)
    assert links() != ["lo", "up0"]
    agent.restore()
    assert eventually(links, lambda found: found == ["lo", "up0"]) == ["lo", "up0"]
