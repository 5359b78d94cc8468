"""The network of a RUN as the builder sees it: what comes of a mode, of a provider that has something, and of one that has nothing."""

import os
from collections.abc import Callable
from types import TracebackType

import pytest

from builder.errors import BuildError
from builder.network import StepNet, check, give, hosts_text, parse_host
from sandbox.errors import NetworkUnavailable


class OneNetwork:
    """A StepNetwork, and the provider that has it."""

    def __init__(self, error: NetworkUnavailable | None = None) -> None:
        self.resolv_conf, self.gateway = "nameserver 127.0.0.11\n", "172.20.0.1"
        self.notices: tuple[str, ...] = ("mind the gap",)
        self.log: list[str] = []
        self._error = error

    def prepare(self) -> None:
        self.log.append("prepared")

    def acquire(self, network: str = "") -> "OneNetwork":
        self.log += [network] if network else []
        return self

    def __enter__(self) -> int:
        if self._error:
            raise self._error
        self.log.append("entered")
        return 77

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.log.append("left")


class Held:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.undo: list[Callable[[], object]] = []
        self.say: Callable[[str], None] = self.said.append

    def later(self, undo: Callable[[], object]) -> None:
        self.undo.append(undo)


def text_of(net: StepNet, path: str) -> str:
    return next(file.content for file in net.files if file.target == path).decode()


def test_a_step_has_the_network_it_was_given_until_it_is_gone() -> None:
    provider, held = OneNetwork(), Held()
    net = give("default", provider, ("m:host-gateway",), "box", held)
    assert (net.namespace, text_of(net, "/etc/resolv.conf"), held.said) == (77, "nameserver 127.0.0.11\n", ["note: mind the gap"])
    assert "172.20.0.1\tm\n" in text_of(net, "/etc/hosts")
    assert provider.log == ["entered"]
    held.undo[0]()
    assert provider.log == ["entered", "left"]


def test_without_a_network_it_is_said_why_and_the_step_goes_on() -> None:
    held = Held()
    net = give("default", OneNetwork(NetworkUnavailable("give this step a network", reason="no pasta", help="install `passt`")), (), "box", held)
    assert (net.namespace, held.undo) == ("none", [])
    assert held.said == ["warning: cannot give this step a network: no pasta; it runs without (install `passt`)"]


@pytest.mark.parametrize("mode", ["none", "host"])
def test_other_modes_ask_nobody(mode: str) -> None:
    provider = OneNetwork()
    assert give(mode, provider, (), "box", Held()).namespace == mode
    assert provider.log == []


def test_on_the_machines_network_host_gateway_is_its_loopback() -> None:
    assert "127.0.0.1\tm\n" in text_of(give("host", None, ("m=host-gateway",), "box", Held()), "/etc/hosts")


def test_on_the_machines_network_its_name_servers_are_all_there() -> None:
    with open("/etc/resolv.conf") as file:
        assert text_of(give("host", None, (), "box", Held()), "/etc/resolv.conf").split() == file.read().split()


def test_the_hosts_file() -> None:
    assert hosts_text(("db:10.0.0.7", "six=::1", "gone:host-gateway"), "box", "") == (
        "127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.7\tdb\n::1\tsix\n")


@pytest.mark.parametrize(("word", "found"), [
    ("db:10.0.0.7", ("db", "10.0.0.7")), ("db=10.0.0.7", ("db", "10.0.0.7")), ("db:::1", ("db", "::1")), ("db:[fd00::7]", ("db", "fd00::7")),
    ("m:host-gateway", ("m", "host-gateway"))])
def test_hosts_as_docker_takes_them(word: str, found: tuple[str, str]) -> None:
    assert parse_host(word) == found


@pytest.mark.parametrize("word", ["db", "db:", ":10.0.0.7", "db:10.0.0", "db:nowhere", "a b:10.0.0.7", "a\n1.2.3.4 b:10.0.0.7", "#a:10.0.0.7", "d:1.2.3.4\n"])
def test_what_adds_no_host(word: str) -> None:
    with pytest.raises(BuildError, match="adds no host"):
        check("default", (word,))


@pytest.mark.parametrize("mode", ["container:mine", "service:mine", "a b", "a/b"])
def test_a_network_that_steps_cannot_be_on(mode: str) -> None:
    with pytest.raises(BuildError, match=f"steps cannot be on the network `{mode}`"):
        check(mode, ())


def test_a_network_of_containers_is_asked_for_by_name() -> None:
    provider = OneNetwork()
    assert give("mine", provider, (), "box", Held()).namespace == 77
    assert provider.log == ["mine", "entered"]


def test_without_the_network_that_it_asked_for_a_step_does_not_run() -> None:
    with pytest.raises(NetworkUnavailable, match="no such network"):
        give("mine", OneNetwork(NetworkUnavailable("give this step a network", reason="no such network")), (), "box", Held())


def test_no_descriptor_is_opened_for_nothing() -> None:
    before = os.listdir("/proc/self/fd")
    give("none", None, (), "box", Held())
    assert os.listdir("/proc/self/fd") == before
