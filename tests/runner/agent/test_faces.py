"""`pyup network ..` as a user types it."""

import json
from pathlib import Path

import pytest

from pybuild.__main__ import run
from tests.runner.agent.ground import Ground, member

pytestmark = pytest.mark.userns


class Shell:
    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self._root = root
        self._capture = capture

    def __call__(self, line: str, status: int = 0) -> str:
        """`pyup LINE`; its stdout, or its stderr where it is to fail."""
        found = run("pyup", ["--root", str(self._root), *line.split()])
        out, err = self._capture.readouterr()
        assert found == status, out + err
        return err if status else out


@pytest.fixture
def pyup(ground: Ground, capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(ground.root(), capfd)


def test_create_shows_the_id_and_ls_the_network(pyup: Shell) -> None:
    id = pyup("network create --label tier=front web").strip()
    assert len(id) == 64
    assert pyup("network ls --format {{.Name}},{{.Driver}}").split() == ["bridge,bridge", "host,host", "none,null", "web,bridge"]
    assert pyup("network ls -q --filter label=tier=front").strip() == id[:12]
    assert pyup("network ls --filter type=custom --no-trunc -q").strip() == id
    (row,) = pyup("network ls --filter type=custom --format json").splitlines()
    assert {key: json.loads(row)[key] for key in ("Internal", "IPv4", "Labels")} == {"Internal": "false", "IPv4": "true", "Labels": "tier=front"}


def test_inspect_shows_subnets_and_containers(ground: Ground, pyup: Shell) -> None:
    pyup("network create --subnet 10.5.0.0/24 --ip-range 10.5.0.64/26 --gateway 10.5.0.9 --aux-address printer=10.5.0.70 "
         "--subnet fd99::/64 --ipv6 --internal -o mtu=1400 web")
    ground.attach(ground.agent(), member(1, "web"))
    (shown,) = json.loads(pyup("network inspect web"))
    assert shown["IPAM"]["Config"] == [
        {"Subnet": "10.5.0.0/24", "IPRange": "10.5.0.64/26", "Gateway": "10.5.0.9", "AuxiliaryAddresses": {"printer": "10.5.0.70"}},
        {"Subnet": "fd99::/64", "Gateway": "fd99::1"}]
    assert shown["Internal"] and shown["EnableIPv6"] and shown["Options"] == {"com.docker.network.driver.mtu": "1400"}
    (container,) = shown["Containers"].values()
    assert (container["Name"], container["IPv4Address"], container["IPv6Address"]) == ("c1", "10.5.0.64/24", "fd99::2/64")


def test_several_networks_are_removed_as_far_as_they_can_be(ground: Ground, pyup: Shell) -> None:
    for name in ("one", "two"):
        pyup(f"network create {name}")
    ground.attach(ground.agent(), member(1, "two"))
    said = pyup("network rm one two three bridge", 1)
    assert said.splitlines() == [
        "error: network `two` is in use by `c1`", "  = help: stop them, or disconnect them from it",
        "error: no such network: `three`", "  = help: `pyup network ls` shows those that exist",
        "error: cannot remove the network `bridge`: it is always there"]
    assert " one " not in pyup("network ls")
    pyup("network rm -f three")


def test_prune_removes_what_nobody_is_on(ground: Ground, pyup: Shell) -> None:
    for name in ("one", "two", "three"):
        pyup(f"network create --label n={name} {name}")
    ground.attach(ground.agent(), member(1, "two"))
    assert pyup("network prune -f --filter label!=n=three") == "Deleted Networks:\none\n\n"
    assert pyup("network ls -q --filter dangling=true --format {{.Name}}").split() == ["three"] or "three" in pyup("network ls --filter dangling=true")


@pytest.mark.parametrize(("line", "said"), [
    ("network create bad/name", "error: network `bad/name` is no name for a network"),
    ("network create bridge", "error: cannot create the network `bridge`: it is always there"),
    ("network create -d overlay x", "error: network `x` wants the driver `overlay`, which is not there"),
    ("network create --subnet 10.0.0.0/99 x", "error: `10.0.0.0/99` is no subnet: `address/length` is expected"),
    ("network create --subnet 10.0.0.0/24 --gateway 10.0.0.255 x",
     "error: network `x` cannot have this subnet: the gateway `10.0.0.255` is no address of a host in `10.0.0.0/24`"),
    ("network create -o com.docker.network.bridge.name=0123456789abcdef x",
     "error: network `x` wants a bridge called `0123456789abcdef`, which is no name for one"),
])
def test_what_cannot_be_is_one_clear_error(pyup: Shell, line: str, said: str) -> None:
    assert pyup(line, 1).splitlines()[0] == said


def test_a_subnet_of_this_machine_is_refused(pyup: Shell) -> None:
    said = pyup("network create --subnet 198.51.100.0/24 x", 1)
    assert said.splitlines()[0] == "error: subnet `198.51.100.0/24` of network `x` overlaps `198.51.100.0/24` of interface `up0`"
