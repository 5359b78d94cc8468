"""What a container wants, checked word by word, and the files that are made of it: nothing hostile gets into either."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agent.errors import InvalidEndpoint
from runner.agent.hosts import check, check_endpoint, hosts_text, resolv_conf_text
from runner.agent.ruleset import Fence, Published, add_fence, publish
from runner.endpoint import Endpoint, Membership, PortMapping
from runner.network import is_host_name, is_interface, is_name

GOOD = Membership("ab12", "web", "web", ())


def test_addresses_get_their_usual_form() -> None:
    wanted = check(GOOD._replace(extra_hosts=(("db", "FD00:0::1"), ("gate", "host-gateway")), dns=("0::1",),
                                 endpoints=(Endpoint("n", mac_address="02:42:AC:00:00:01", ipv6_address="FD00::00"),)))
    assert wanted.extra_hosts == (("db", "fd00::1"), ("gate", "host-gateway")) and wanted.dns == ("::1",)
    assert (wanted.endpoints[0].mac_address, wanted.endpoints[0].ipv6_address) == ("02:42:ac:00:00:01", "fd00::")


@pytest.mark.parametrize("changes", [
    {"container": "../../etc/passwd"}, {"container": ""}, {"container": "ABCD"}, {"name": "a b"}, {"name": "-x"}, {"name": ""}, {"name": "x\ny"},
    {"hostname": "a\tb"}, {"hostname": "x" * 64}, {"hostname": "a..b"}, {"domainname": "x y"},
    {"extra_hosts": (("a b", "1.2.3.4"),)}, {"extra_hosts": (("db\n6.6.6.6 bank", "1.2.3.4"),)}, {"extra_hosts": (("db", "1.2.3.4\n6.6.6.6 bank"),)},
    {"extra_hosts": (("db", "1.2.3"),)}, {"extra_hosts": (("db", "host_gateway"),)},
    {"dns": ("1.2.3.4\nnameserver 6.6.6.6",)}, {"dns": ("example.org",)}, {"dns_search": ("a b",)}, {"dns_search": ("a\noptions debug",)},
    {"dns_options": ("ndots:2\nnameserver 6.6.6.6",)}, {"dns_options": ("",)}, {"dns_options": ("a b",)},
    {"ports": (PortMapping(0),)}, {"ports": (PortMapping(80, "icmp"),)}, {"ports": (PortMapping(80, "tcp", "", 70000),)},
    {"ports": (PortMapping(80, "tcp", "1.2.3.4 }", 80),)}, {"ports": (PortMapping(80, "tcp", "", 90, 80),)}, {"ports": (PortMapping(80, "tcp", "", 0, 80),)},
    {"ports": tuple(PortMapping(1) for _ in range(2000))}, {"extra_hosts": tuple(("a", "1.2.3.4") for _ in range(2000))}])
def test_what_is_refused_of_a_container(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidEndpoint) as caught:
        check(GOOD._replace(**changes))  # type: ignore[arg-type]
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


@pytest.mark.parametrize("changes", [
    {"aliases": ("a b",)}, {"aliases": ("",)}, {"aliases": ("x\n",)}, {"links": (("a/b", "c"),)}, {"mac_address": "zz"}, {"mac_address": "01:00:5e:00:00:01"},
    {"interface_name": "eth0; reboot"}, {"interface_name": "0123456789abcdef"}, {"interface_name": "."}, {"interface_name": "a/b"},
    {"ipv4_address": "fd00::1"}, {"ipv6_address": "1.2.3.4"}, {"ipv4_address": "10.0.0.1/24"}, {"link_local_ips": ("x",)}, {"aliases": ("a",) * 2000}])
def test_what_is_refused_of_an_endpoint(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidEndpoint):
        check_endpoint("web", Endpoint("n", **changes))  # type: ignore[arg-type]


def test_the_hosts_file() -> None:
    wanted = GOOD._replace(hostname="web", domainname="corp.example", extra_hosts=(("db", "10.0.0.9"), ("gate", "host-gateway")))
    assert hosts_text(wanted, ("10.0.0.2", "fd00::2"), "10.0.0.1").splitlines()[-4:] == [
        "10.0.0.9\tdb", "10.0.0.1\tgate", "10.0.0.2\tweb.corp.example web", "fd00::2\tweb.corp.example web"]
    assert "gate" not in hosts_text(wanted, (), "")
    assert hosts_text(GOOD._replace(hostname="web.corp.example"), ("10.0.0.2",), "").splitlines()[-1] == "10.0.0.2\tweb.corp.example web"
    assert hosts_text(GOOD._replace(hostname=""), ("10.0.0.2",), "").splitlines()[-1] == "ff02::2\tip6-allrouters"


def test_the_resolv_conf() -> None:
    assert resolv_conf_text(GOOD, ("corp.example",), ("edns0", "trust-ad")) == \
        "nameserver 127.0.0.11\nsearch corp.example\noptions edns0 trust-ad ndots:0\n"
    assert resolv_conf_text(GOOD._replace(dns_search=(".",)), ("corp.example",), ("ndots:3",)) == "nameserver 127.0.0.11\noptions ndots:3\n"
    assert resolv_conf_text(GOOD, ("bad domain", "a;b"), ("x\ny", "edns0")) == "nameserver 127.0.0.11\noptions edns0 ndots:0\n"


@given(st.text(max_size=40))
def test_names_that_pass_have_nothing_that_ends_a_word(word: str) -> None:
    for allowed in (is_name, is_host_name, is_interface):
        if allowed(word):
            assert word.isascii() and not set(word) & set(" \t\n\r\"'{};#$`\\/:,")


def test_rules_are_one_line_an_element() -> None:
    fence = Fence("pu123456-abcdef", "10.0.0.0/24", "fd00::/64", True)
    assert add_fence("t", fence) == (
        'add element inet t bridges { "pu123456-abcdef" }\nadd element inet t inside { "pu123456-abcdef" . "pu123456-abcdef" }\n'
        'add element inet t internal { "pu123456-abcdef" }\nadd element inet t subnets4 { 10.0.0.0/24 }\nadd element inet t subnets6 { fd00::/64 }\n')
    assert publish("t", Published("tcp", "", 8080, "10.0.0.2", 80)) == "add element inet t any4 { tcp . 8080 : 10.0.0.2 . 80 }\n"
    assert publish("t", Published("udp", "fd01::1", 53, "fd00::2", 53)) == "add element inet t at6 { fd01::1 . udp . 53 : fd00::2 . 53 }\n"
