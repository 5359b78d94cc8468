"""An agent whose directory or socket is no longer what it was, and one that hangs: nobody waits for it for ever, and nobody else is harmed by it."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from kernel.locks import Lock, mark
from runner.agent.client import Agent
from runner.agent.errors import AgentLost
from runner.agent.main import succeed
from runner.agent.standing import ELSEWHERE, GONE, OURS, REPLACED, standing
from runner.network import NetworkSpec, Pool
from tests.runner.agent.ground import Ground, default_gateway, eventually, is_gone, links, look_up, member

pytestmark = pytest.mark.userns


def test_a_path_says_whose_it_is(tmp_path: Path) -> None:
    path, lock = tmp_path / "agent", tmp_path / "agent.alive"
    alive = Lock(str(lock))
    alive.take()
    path.touch()
    own = mark(str(path))

    def now() -> str:
        return standing(str(path), own, str(lock), alive.fd)

    assert now() == OURS
    path.rename(tmp_path / "aside")
    assert now() == GONE
    path.touch()
    assert now() == REPLACED
    lock.rename(tmp_path / "alive.aside")
    assert now() == ELSEWHERE
    lock.touch()
    assert now() == ELSEWHERE
    alive.release()


def test_one_that_waits_for_its_predecessor_gives_up_and_names_it(tmp_path: Path) -> None:
    with Lock(str(tmp_path / "alive")), pytest.raises(AgentLost, match=f"an earlier one, process {os.getpid()}, does not make way") as caught:
        succeed(Lock(str(tmp_path / "alive")), patience_s=0.05)
    assert f"`kill -9 {os.getpid()}`" in caught.value.help


def test_one_whose_socket_was_replaced_hands_over_what_runs(ground: Ground, agent: Agent) -> None:
    one = ground.attach(agent, member(1, "bridge"))
    before = int(agent.ask("ping"))
    (ground.scratch / "root/run/agent").unlink()
    another = ground.agent()
    assert int(another.ask("ping")) != before
    assert is_gone(before)
    assert ground.call(one.namespace, default_gateway)
    assert ground.call(one.namespace, look_up, "c1")[0] == "NOERROR"
    assert agent.ask("ping") == another.ask("ping")


def test_one_whose_root_was_removed_leaves_by_itself(ground: Ground, agent: Agent) -> None:
    """Even while somebody is connected."""
    agent.create(NetworkSpec("web"))
    pid = int(agent.ask("ping"))
    shutil.rmtree(ground.scratch / "root")
    assert eventually(lambda: is_gone(pid), patience_s=60)
    assert eventually(links, lambda found: found == ["lo", "up0"]) == ["lo", "up0"]


def test_one_of_an_earlier_root_at_this_path_leaves_the_new_one_alone(ground: Ground) -> None:
    """As after another file system was mounted there: neither socket, nor index, nor bridges of the agent that is there now."""
    root = ground.root()
    earlier = Agent(str(root), str(root / "run"), idle_s=0.0)
    ground.keep(earlier)
    earlier.create(NetworkSpec("web"))
    before = int(earlier.ask("ping"))
    root.rename(ground.scratch / "aside")
    ground.root()
    agent = ground.agent()
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    one = ground.attach(agent, member(1, "web"))
    now = int(agent.ask("ping"))
    earlier.close()
    assert eventually(lambda: is_gone(before), patience_s=60)
    assert (root / "run/agent").exists() and (root / "networks.db-wal").exists()
    assert int(ground.agent().ask("ping")) == now
    assert ground.call(one.namespace, default_gateway) == "10.5.0.1 eth0"
    agent.create(NetworkSpec("another"))
    assert ground.call(one.namespace, look_up, "c1")[0] == "NOERROR"


def test_one_that_hangs_keeps_nobody_waiting(ground: Ground) -> None:
    root = ground.root()
    agent = Agent(str(root), str(root / "run"), patience_s=0.3)
    ground.keep(agent)
    pid = int(agent.ask("ping"))
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(AgentLost, match=f"it, process {pid}, does not answer"):
        agent.ask("ping")
    with pytest.raises(AgentLost, match="asked to leave"):
        agent.retire()
    os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: is_gone(pid), patience_s=60)
    assert agent.ask("ping")


def test_a_start_that_hangs_keeps_nobody_waiting(ground: Ground) -> None:
    root = ground.root()
    agent = Agent(str(root), str(root / "run"), patience_s=0.1)
    with Lock(str(root / "run/agent.lock")), pytest.raises(AgentLost, match="starting it"):
        agent.ask("ping")
