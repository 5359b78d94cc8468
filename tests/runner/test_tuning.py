"""Options of networks' drivers: which have an effect, and sysctls of a container's interfaces."""

import pytest

from runner.endpoint import Connection, Endpoint
from runner.errors import InvalidOption
from runner.tuning import SYSCTLS, interface_sysctls, parse_sysctls, without_effect


def connection(network: str, interface: str) -> Connection:
    return Connection(network, "1" * 64, "2" * 64, interface, "02:42:00:00:00:01")


def test_sysctls_are_of_the_interface_on_that_network() -> None:
    ends = (Endpoint("a", driver_opts=((SYSCTLS, "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=2"),)), Endpoint("b"))
    found = interface_sysctls(ends, (connection("b", "eth0"), connection("a", "eth1.5")))
    assert found == (("net/ipv4/conf/eth1.5/log_martians", "1"), ("net/ipv6/conf/eth1.5/accept_ra", "2"))


@pytest.mark.parametrize("text", ["net.ipv4.conf.eth0.forwarding=1", "kernel.shmmax=1", "net.ipv4.conf.IFNAME.forwarding", "net.ipv4.ip_forward=1",
                                  "a.ipv4.conf.IFNAME.x=1", "net.ipv4.conf.IFNAME.x.y=1"])
def test_sysctls_of_anything_else_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not like"):
        parse_sysctls(text)
    with pytest.raises(InvalidOption):
        interface_sysctls((Endpoint("a", driver_opts=((SYSCTLS, text),)),), (connection("a", "eth0"),))


def test_options_that_nothing_knows_are_told() -> None:
    assert without_effect((("com.docker.network.driver.mtu", "1400"), ("x", "y")), endpoint=False) == ("x",)
    assert without_effect(((SYSCTLS, ""), ("com.docker.network.driver.mtu", "1400")), endpoint=True) == ("com.docker.network.driver.mtu",)
