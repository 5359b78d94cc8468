"""Containers put on networks and taken off for good: what is kept, what is refused, what the running one is told."""

from pathlib import Path
from typing import Any

import pytest

from runner.agent.errors import AlreadyConnected, NetworkMissing, NotConnected
from runner.agent.records import Networks
from runner.container import Container, ContainerSpec
from runner.endpoint import Connection, Endpoint
from runner.errors import Conflict
from runner.joining import connect, disconnect
from runner.network import NetworkRecord, NetworkSpec
from store.digest import Digest
from store.images import Runtime

ID = "ab" * 32
RUNTIME = Runtime((), (), (), "", "", (), (), "", -1, None, (), "", ())


class Agent:
    def __init__(self, *, knows: bool = True) -> None:
        self.knows = knows
        self.told: list[tuple[str, ...]] = []

    def connect(self, container: str, endpoint: Endpoint) -> Connection:
        if not self.knows:
            raise NotConnected(container[:12], "any")
        self.told.append(("connect", endpoint.network))
        return Connection(endpoint.network, "cd" * 32, "ef" * 32, "eth1", "", "10.0.0.9")

    def disconnect(self, container: str, network: str) -> None:
        self.told.append(("disconnect", network))


class Engine:
    """As much of one as joining needs: one container, its state and its directory."""

    def __init__(self, path: Path, *, running: bool, **spec: Any) -> None:
        self.container = Container(ID, "web", 1, Digest("sha256:" + "0" * 64), ContainerSpec("busybox", **spec), RUNTIME)
        self.path = str(path)
        self.is_running = running
        self.records = self
        (path / "hosts").write_text("127.0.0.1\tlocalhost\n")

    def state(self, _: Container) -> "Engine":
        return self

    def place(self, _: str) -> "Engine":
        return self

    def replace(self, container: Container) -> None:
        self.container = container

    def networks(self) -> tuple[str, ...]:
        return tuple(one.network for one in self.container.spec.endpoints)


@pytest.fixture
def records(tmp_path: Path) -> Any:
    (tmp_path / "root").mkdir()
    found = Networks(str(tmp_path / "root"))
    for name, digit in (("blue", "b"), ("red", "e")):
        found.add(NetworkRecord(digit * 64, 1, f"pu-{name}", True, NetworkSpec(name)))
    yield found
    found.close()


def make(path: Path, *, running: bool = False, **spec: Any) -> Any:
    return Engine(path, running=running, **spec)


def taking(*, knows: bool = True) -> Any:
    return Agent(knows=knows)


def test_a_container_that_does_not_run_is_connected_when_it_is_started(tmp_path: Path, records: Networks) -> None:
    engine, agent = make(tmp_path), taking()
    connect(engine, agent, records, engine.container, Endpoint("bbbb", ("alias",)))
    assert engine.networks() == ("bridge", "blue") and engine.container.spec.endpoints[1].aliases == ("alias",) and agent.told == []


def test_one_that_runs_is_connected_at_once_and_has_its_name_in_hosts(tmp_path: Path, records: Networks) -> None:
    engine, agent = make(tmp_path, running=True, hostname="front", network_mode="red", endpoints=(Endpoint("red"),)), taking()
    connect(engine, agent, records, engine.container, Endpoint("blue"))
    assert agent.told == [("connect", "blue")] and engine.networks() == ("red", "blue")
    assert (tmp_path / "hosts").read_text().splitlines()[-1] == "10.0.0.9\tfront"


def test_off_the_last_network_it_has_none_until_it_is_connected_again(tmp_path: Path, records: Networks) -> None:
    engine, agent = make(tmp_path, running=True), taking()
    disconnect(engine, agent, records, engine.container, "bridge")
    assert (engine.networks(), engine.container.spec.network_mode) == ((), "none")
    connect(engine, agent, records, engine.container, Endpoint("red"))
    assert (engine.networks(), engine.container.spec.network_mode) == (("red",), "red")
    assert agent.told == [("disconnect", "bridge"), ("connect", "red")]


def test_what_is_refused(tmp_path: Path, records: Networks) -> None:
    engine, agent = make(tmp_path, network_mode="red", endpoints=(Endpoint("eeee"),)), taking()
    for error, name in ((AlreadyConnected, "red"), (NetworkMissing, "green")):
        with pytest.raises(error):
            connect(engine, agent, records, engine.container, Endpoint(name))
    with pytest.raises(NotConnected):
        disconnect(engine, agent, records, engine.container, "blue")
    disconnect(engine, agent, records, engine.container, "blue", force=True)
    assert agent.told == [] and engine.networks() == ("eeee",)


@pytest.mark.parametrize(("mode", "said"), [("host", "this machine's network"), ("container:" + ID, "the network of another container")])
def test_who_shares_a_network_has_no_other(tmp_path: Path, records: Networks, mode: str, said: str) -> None:
    engine = make(tmp_path, network_mode=mode)
    with pytest.raises(Conflict, match=said):
        connect(engine, taking(), records, engine.container, Endpoint("blue"))


def test_one_that_was_started_without_any_network_has_to_be_stopped_first(tmp_path: Path, records: Networks) -> None:
    engine = make(tmp_path, running=True, network_mode="none")
    with pytest.raises(Conflict, match="runs without any network"):
        connect(engine, taking(knows=False), records, engine.container, Endpoint("blue"))
    assert engine.networks() == ()
