"""The same for an ordinary user: through pasta, through slirp4netns, and through the relay where neither can be used."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel.syscalls import CLONE_NEWNET, MS_BIND, PR_SET_PDEATHSIG, mount, prctl, setns
from runner.agent import namespace
from runner.agent.client import Agent
from runner.agent.errors import PortForbidden
from runner.agent.steps import Step
from runner.endpoint import Attachment
from runner.network import NetworkSpec, Pool
from sandbox import userns
from tests.fork import in_fork
from tests.runner.agent.ground import (
    MACHINE,
    SERVER,
    Ground,
    ask,
    ask_udp,
    eventually,
    interfaces,
    look_up,
    member,
    name_server,
    published,
    tell_peer,
    tell_peer_udp,
)
from tests.users import User

pytestmark = pytest.mark.userns


@pytest.fixture(params=["pasta", "slirp4netns", "relay"])
def helper(request: pytest.FixtureRequest, ground: Ground) -> str:
    """A machine that has this one only."""
    name: str = request.param
    if name != "relay":
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")
        ground.allow_tun()
    for other in {"pasta", "slirp4netns"} - {name}:
        if path := shutil.which(other):
            mount(b"/dev/null", path.encode(), None, MS_BIND)
    return name


@pytest.fixture
def root(ground: Ground, unprivileged: User) -> Iterator[Path]:
    path = ground.root(f"r{os.urandom(4).hex()}", unprivileged)
    yield path
    shutil.rmtree(path)


class Inside:
    """What the user's processes do: all in a fork of the test that has become the user, root of its user namespace."""

    def __init__(self, root: Path) -> None:
        run = str(root / "run")
        userns.enter(run)
        self.agent = Agent(str(root), run, idle_s=0.5)
        self.attached: dict[int, Attachment] = {}

    def attach(self, number: int, *networks: str, **fields: object) -> Attachment:
        self.attached[number] = self.agent.attach(member(number, *networks, **fields))
        return self.attached[number]

    def call(self, number: int, function: Callable[..., object], *arguments: object) -> object:
        """In the network of a container."""
        def there() -> object:
            setns(self.attached[number].namespace, CLONE_NEWNET)
            return function(*arguments)
        return in_fork(there)

    def serve(self, number: int, server: Callable[..., None], *arguments: object) -> int:
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            setns(self.attached[number].namespace, CLONE_NEWNET)
            server(lambda: os.write(write, b"."), *arguments)
        assert os.read(read, 1)
        return pid


def finally_leave(inside: Inside, servers: list[int]) -> None:
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for number in inside.attached:
        inside.agent.detach(member(number).container)
    inside.agent.close()


def reaching(root: Path) -> dict[str, object]:
    inside = Inside(root)
    inside.agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    inside.attach(1, "web", ports=(published(80, 8080), published(53, 5353, protocol="udp")))
    second = inside.attach(2, "web", extra_hosts=(("gate", "host-gateway"),))
    gateway = next(line.split()[0] for line in second.hosts.splitlines() if line.endswith("\tgate"))
    servers = [inside.serve(1, tell_peer, 80), inside.serve(1, tell_peer_udp, 53)]
    try:
        return {
            "neighbour": inside.call(2, ask, "10.5.0.2", 80),
            "outside": inside.call(2, ask, SERVER, 80),
            "outside by udp": inside.call(2, ask_udp, SERVER, 90),
            "name": inside.call(2, look_up, "c1"),
            "world's name": inside.call(2, look_up, "example.org"),
            "world's name by tcp": inside.call(2, lambda: look_up("example.org", tcp=True)),
            "localhost": ask("127.0.0.1", 8080),
            "localhost by ipv6": ask("::1", 8080),
            "own address": ask(MACHINE, 8080),
            "udp": ask_udp("127.0.0.1", 5353),
            "machine by host-gateway": inside.call(2, ask, gateway, 9001),
            "machine's loopback": inside.call(2, ask, "127.0.0.1", 9000),
            "notices": inside.agent.notices,
        }
    finally:
        finally_leave(inside, servers)


def test_what_a_users_containers_reach(ground: Ground, unprivileged: User, root: Path, helper: str) -> None:
    ground.serve(ground.world, tell_peer, 80)
    ground.serve(ground.world, tell_peer_udp, 90, SERVER)
    ground.serve(ground.world, name_server, SERVER, {"example.org": "192.0.2.80"})
    ground.serve(ground.machine, tell_peer, 9000, "127.0.0.1")
    ground.serve(ground.machine, tell_peer, 9001)
    found = unprivileged.call(reaching, root)
    notices = found.pop("notices")
    assert found.pop("machine by host-gateway") == ("ConnectionRefusedError" if helper == "pasta" else MACHINE)
    assert found == {
        "neighbour": "10.5.0.3", "outside": MACHINE, "outside by udp": MACHINE, "name": ("NOERROR", ("10.5.0.2",)),
        "world's name": ("NOERROR", ("192.0.2.80",)), "world's name by tcp": ("NOERROR", ("192.0.2.80",)),
        "localhost": "10.5.0.1", "localhost by ipv6": "10.5.0.1", "own address": "10.5.0.1", "udp": "10.5.0.1",
        "machine's loopback": "ConnectionRefusedError"}
    if helper == "relay":
        assert len(notices) == 1 and "relay: TCP and UDP, not ping" in notices[0]      # type: ignore[arg-type,index]
    else:
        assert notices == []
    assert eventually(lambda: _of(root), lambda found: not found) == []


def test_published_from_afar(ground: Ground, unprivileged: User, root: Path) -> None:
    def served(ready: Callable[[], None]) -> None:
        unprivileged.become()
        inside = Inside(root)
        inside.attach(1, "bridge", ports=(published(80, 8080),))
        inside.serve(1, tell_peer, 80)
        ready()
        signal.pause()

    ground.serve(ground.machine, served)
    assert ground.call(ground.world, ask, MACHINE, 8080).endswith(".0.1")
    assert "up0" in interfaces() and not [name for name in interfaces() if name.startswith("pu")]


def test_a_low_port_is_forbidden_with_the_way_out(unprivileged: User, root: Path) -> None:
    def publish(root: Path) -> tuple[str, str, str]:
        inside = Inside(root)
        try:
            inside.attach(1, "bridge", ports=(published(80, 80),))
        except PortForbidden as error:
            return type(error).__name__, str(error), error.help
        finally:
            inside.agent.close()
        raise AssertionError

    assert unprivileged.call(publish, root) == (
        "PortForbidden", "port `80` cannot be published: an ordinary user may listen on port 1024 and above",
        "publish a port from 1024 on, or let root run `sysctl net.ipv4.ip_unprivileged_port_start=80`")


def killed(root: Path) -> list[object]:
    inside = Inside(root)
    inside.agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"),)))
    inside.attach(1, "web", ports=(published(80, 8080),))
    inside.attach(2, "web")
    servers = [inside.serve(1, tell_peer, 80)]
    try:
        pid = int(inside.agent.ask("ping"))
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"))
        inside.agent.close()
        between = inside.call(2, ask, "10.5.0.2", 80)
        inside.agent.restore()
        found = [between, inside.call(2, ask, SERVER, 80), ask("127.0.0.1", 8080), inside.call(2, look_up, "c1")]
        inside.attach(3, "web")
        return [*found, inside.call(3, ask, "10.5.0.2", 80), inside.call(3, ask, SERVER, 80)]
    finally:
        finally_leave(inside, servers)


def test_killed_it_is_restored_with_its_way_out(ground: Ground, unprivileged: User, root: Path, helper: str) -> None:
    ground.serve(ground.world, tell_peer, 80)
    assert unprivileged.call(killed, root) == ["10.5.0.3", MACHINE, "10.5.0.1", ("NOERROR", ("10.5.0.2",)), "10.5.0.4", MACHINE]
    assert eventually(lambda: _of(root), lambda found: not found) == []


def step(root: Path) -> list[object]:
    inside = Inside(root)
    with Step(inside.agent) as fd:
        def there() -> list[object]:
            setns(fd, CLONE_NEWNET)
            return [ask(SERVER, 80), look_up("example.org"), namespace.read_sysctl("net/ipv4/ip_unprivileged_port_start")]
        found = in_fork(there)
    inside.agent.close()
    return found


def test_a_step_of_a_users_build(ground: Ground, unprivileged: User, root: Path) -> None:
    ground.serve(ground.world, tell_peer, 80)
    ground.serve(ground.world, name_server, SERVER, {"example.org": "192.0.2.80"})
    assert unprivileged.call(step, root) == [MACHINE, ("NOERROR", ("192.0.2.80",)), "0"]


def bulk(root: Path) -> int:
    """Some megabytes from the world, by way of the relay."""
    import socket

    inside = Inside(root)
    inside.attach(1, "bridge")

    def fetch() -> int:
        total = 0
        with socket.create_connection((SERVER, 80), timeout=30) as peer:
            while data := peer.recv(1 << 16):
                total += len(data)
        return total

    try:
        found = inside.call(1, fetch)
        assert isinstance(found, int)
        return found
    finally:
        finally_leave(inside, [])


def _pour(ready: Callable[[], None]) -> None:
    import socket
    with socket.create_server(("0.0.0.0", 80)) as door:
        ready()
        while True:
            peer, _ = door.accept()
            with peer:
                peer.sendall(bytes(1 << 24))


def test_much_through_the_relay(ground: Ground, unprivileged: User, root: Path) -> None:
    ground.serve(ground.world, _pour)
    assert unprivileged.call(bulk, root) == 1 << 24


def test_a_user_namespace_of_its_own_is_replaced_when_idle(ground: Ground, unprivileged: User, root: Path) -> None:
    """The zygote was killed and nobody knows any more where it was: commands are in another user namespace than the agent, which gives way."""
    def scenario(root: Path) -> tuple[bool, str]:
        def first() -> int:
            inside = Inside(root)
            inside.attach(1, "bridge")
            finally_leave(inside, [])
            return int(inside.agent.ask("ping"))

        agent = in_fork(first)
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and b"sandbox.zygote" in _line(path) and str(root).encode() in _line(path):
                os.kill(int(path.name), signal.SIGKILL)
        (root / "run/userns").unlink()
        time.sleep(0.05)

        def second() -> tuple[int, str]:
            inside = Inside(root)
            address = inside.attach(1, "bridge").connections[0].ipv4_address
            finally_leave(inside, [])
            return int(inside.agent.ask("ping")), address

        pid, address = in_fork(second)
        return pid != agent, address.rpartition(".")[0]

    replaced, network = unprivileged.call(scenario, root)
    assert replaced and network


def _line(path: Path) -> bytes:
    try:
        return (path / "cmdline").read_bytes()
    except OSError:
        return b""


def _of(root: Path) -> list[str]:
    """Processes of agents of this root, and interfaces that they left."""
    names = [path.name for path in Path("/proc").iterdir() if path.name.isdigit() and str(root).encode() in _line(path) and b"zygote" not in _line(path)]
    return names + [name for name in interfaces() if name.startswith(("pu", "pv"))]



def test_a_user_without_subordinate_ids(ground: Ground, unprivileged_single: User) -> None:
    """As far as the agent goes: its namespace has one id, and that is enough for networks."""
    ground.serve(ground.world, tell_peer, 80)
    ground.serve(ground.world, name_server, SERVER, {"example.org": "192.0.2.80"})
    root = ground.root(f"r{os.urandom(4).hex()}", unprivileged_single)
    try:
        assert unprivileged_single.call(step, root) == [MACHINE, ("NOERROR", ("192.0.2.80",)), "0"]
    finally:
        shutil.rmtree(root)
