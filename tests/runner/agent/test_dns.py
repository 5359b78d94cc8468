"""127.0.0.11 in containers: names of others, the world's names through the machine's resolvers, and what hostile queries do."""

import os
import socket
import time

import pytest

from runner.agent.client import Agent
from runner.endpoint import Attachment, Endpoint
from runner.network import NetworkSpec, Pool
from tests.runner.agent.ground import SERVER, Ground, look_up, member, name_server

pytestmark = pytest.mark.userns
MANY = " ".join(f"192.0.2.{number}" for number in range(1, 60))
ANSWERS = {"example.org": "192.0.2.80", "many.org": MANY}


@pytest.fixture
def web(ground: Ground, agent: Agent) -> tuple[Attachment, Attachment]:
    """c1 and c2 on network `web`."""
    agent.create(NetworkSpec("web", pools=(Pool("10.5.0.0/24"), Pool("fd99::/64")), ipv6=True))
    return ground.attach(agent, member(1, Endpoint("web", ("db", "cache")))), ground.attach(agent, member(2, Endpoint("web", ("db",))))


@pytest.mark.parametrize("name", ["c1", "cache", "CACHE", "h1", "c1.web", "cache.web.", f"{1:064x}"[::-1][:12]])
def test_a_neighbour_has_many_names(ground: Ground, web: tuple[Attachment, Attachment], name: str) -> None:
    assert ground.call(web[1].namespace, look_up, name) == ("NOERROR", ("10.5.0.2",))
    assert ground.call(web[1].namespace, look_up, name, "AAAA") == ("NOERROR", ("fd99::2",))


def test_a_service_has_all_its_addresses_in_turn(ground: Ground, web: tuple[Attachment, Attachment]) -> None:
    assert ground.call(web[0].namespace, look_up, "db") == ("NOERROR", ("10.5.0.2", "10.5.0.3"))

    def first() -> str:
        from dnslib import DNSRecord
        return str(DNSRecord.parse(DNSRecord.question("db").send("127.0.0.11", 53)).rr[0].rdata)

    assert {ground.call(web[0].namespace, first) for _ in range(2)} == {"10.5.0.2", "10.5.0.3"}


def test_names_over_tcp(ground: Ground, web: tuple[Attachment, Attachment]) -> None:
    assert ground.call(web[1].namespace, lambda: look_up("cache", tcp=True)) == ("NOERROR", ("10.5.0.2",))


def test_addresses_have_names(ground: Ground, web: tuple[Attachment, Attachment]) -> None:
    assert ground.call(web[1].namespace, look_up, "2.0.5.10.in-addr.arpa", "PTR") == ("NOERROR", ("c1.web.",))
    six = ".".join(reversed("fd990000000000000000000000000002")) + ".ip6.arpa"
    assert ground.call(web[1].namespace, look_up, six, "PTR") == ("NOERROR", ("c1.web.",))


def test_a_known_name_without_that_kind_of_record_is_answered_empty(ground: Ground, agent: Agent) -> None:
    agent.create(NetworkSpec("four"))
    one = ground.attach(agent, member(1, "four"))
    assert ground.call(one.namespace, look_up, "c1", "AAAA") == ("NOERROR", ())
    assert ground.call(one.namespace, look_up, "c1", "MX") == ("NOERROR", ())


def test_names_are_known_on_the_same_network_only(ground: Ground, agent: Agent, web: tuple[Attachment, Attachment]) -> None:
    ground.serve(ground.world, name_server, SERVER, ANSWERS)
    agent.create(NetworkSpec("other"))
    stranger = ground.attach(agent, member(3, "other"))
    assert ground.call(stranger.namespace, look_up, "c1") == ("NXDOMAIN", ())
    agent.connect(member(3).container, Endpoint("web"))
    assert ground.call(stranger.namespace, look_up, "c1")[0] == "NOERROR"
    agent.disconnect(member(3).container, "web")
    assert ground.call(stranger.namespace, look_up, "c1") == ("NXDOMAIN", ())


def test_names_go_with_their_container(ground: Ground, agent: Agent, web: tuple[Attachment, Attachment]) -> None:
    ground.serve(ground.world, name_server, SERVER, ANSWERS)
    agent.detach(member(1).container)
    assert ground.call(web[1].namespace, look_up, "cache") == ("NXDOMAIN", ())
    assert ground.call(web[1].namespace, look_up, "db") == ("NOERROR", ("10.5.0.3",))


def test_a_link_is_for_its_container_only(ground: Ground, agent: Agent, web: tuple[Attachment, Attachment]) -> None:
    ground.serve(ground.world, name_server, SERVER, ANSWERS)
    linked = ground.attach(agent, member(3, Endpoint("web", links=(("store", "c1"), ("box", member(2).container)))))
    assert ground.call(linked.namespace, look_up, "store") == ("NOERROR", ("10.5.0.2",))
    assert ground.call(linked.namespace, look_up, "box") == ("NOERROR", ("10.5.0.3",))
    assert ground.call(web[1].namespace, look_up, "store") == ("NXDOMAIN", ())


def test_port_53_is_free_for_the_image(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge"))

    def bind() -> tuple[str, tuple[str, ...]]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server(("0.0.0.0", 53)):
            udp.bind(("0.0.0.0", 53))
            return look_up("c1")

    assert ground.call(attached.namespace, bind)[0] == "NOERROR"


# ---------------------------------------------------------------- the world's names
def test_the_world_is_asked(ground: Ground, agent: Agent) -> None:
    ground.serve(ground.world, name_server, SERVER, ANSWERS)
    attached = ground.attach(agent, member(1, "bridge"))
    assert ground.call(attached.namespace, look_up, "example.org") == ("NOERROR", ("192.0.2.80",))
    assert ground.call(attached.namespace, lambda: look_up("example.org", tcp=True)) == ("NOERROR", ("192.0.2.80",))
    assert ground.call(attached.namespace, look_up, "nowhere.org") == ("NXDOMAIN", ())


def test_an_answer_that_is_cut_off_is_passed_on_and_whole_over_tcp(ground: Ground, agent: Agent) -> None:
    ground.serve(ground.world, lambda ready: name_server(ready, SERVER, ANSWERS, small=512))
    attached = ground.attach(agent, member(1, "bridge"))

    def truncated() -> bool:
        from dnslib import DNSRecord
        return bool(DNSRecord.parse(DNSRecord.question("many.org").send("127.0.0.11", 53)).header.tc)

    assert ground.call(attached.namespace, truncated)
    assert len(ground.call(attached.namespace, lambda: look_up("many.org", tcp=True))[1]) == 59


def test_a_resolver_of_the_machine_itself_is_asked_too(ground: Ground, agent: Agent) -> None:
    ground.set_resolvers("127.0.0.53")
    ground.serve(ground.machine, name_server, "127.0.0.53", ANSWERS)
    attached = ground.attach(agent, member(1, "bridge"))
    assert ground.call(attached.namespace, look_up, "example.org") == ("NOERROR", ("192.0.2.80",))


def test_a_second_resolver_is_asked_when_the_first_fails(ground: Ground, agent: Agent) -> None:
    ground.set_resolvers("127.0.0.99", "127.0.0.53", SERVER)              # nobody listens; fails; knows
    ground.serve(ground.machine, lambda ready: name_server(ready, "127.0.0.53", {}, code="SERVFAIL"))
    ground.serve(ground.world, name_server, SERVER, ANSWERS)
    attached = ground.attach(agent, member(1, "bridge"))
    assert ground.call(attached.namespace, look_up, "example.org") == ("NOERROR", ("192.0.2.80",))
    assert ground.call(attached.namespace, lambda: look_up("example.org", tcp=True)) == ("NOERROR", ("192.0.2.80",))


def test_no_resolver_at_all_fails_at_once(ground: Ground, agent: Agent) -> None:
    ground.set_resolvers("127.0.0.99")
    attached = ground.attach(agent, member(1, "bridge"))
    begun = time.monotonic()
    assert ground.call(attached.namespace, look_up, "example.org") == ("SERVFAIL", ())
    assert time.monotonic() - begun < 5                   # twice the patience with a silent server would be more


def test_the_resolvers_are_followed_when_they_change(ground: Ground, agent: Agent) -> None:
    ground.serve(ground.world, name_server, SERVER, ANSWERS)
    attached = ground.attach(agent, member(1, "bridge"))
    assert ground.call(attached.namespace, look_up, "example.org")[0] == "NOERROR"
    ground.serve(ground.machine, name_server, "127.0.0.53", {"example.org": "192.0.2.1"})
    (ground.scratch / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    assert ground.call(attached.namespace, look_up, "example.org") == ("NOERROR", ("192.0.2.1",))


def test_servers_of_its_own(ground: Ground, agent: Agent) -> None:
    ground.serve(ground.machine, name_server, "127.0.0.53", {"example.org": "192.0.2.1"})
    attached = ground.attach(agent, member(1, "bridge", dns=("127.0.0.53",), dns_search=("corp.example",), dns_options=("timeout:1",)))
    assert ground.call(attached.namespace, look_up, "example.org") == ("NOERROR", ("192.0.2.1",))
    assert attached.resolv_conf == "nameserver 127.0.0.11\nsearch corp.example\noptions timeout:1 ndots:0\n"


def test_an_internal_network_knows_nothing_of_the_world(ground: Ground, agent: Agent) -> None:
    ground.serve(ground.world, name_server, SERVER, ANSWERS)
    agent.create(NetworkSpec("inside", internal=True))
    attached = ground.attach(agent, member(1, "inside"))
    assert ground.call(attached.namespace, look_up, "example.org") == ("NXDOMAIN", ())
    assert ground.call(attached.namespace, look_up, "c1")[0] == "NOERROR"
    agent.connect(member(1).container, Endpoint("bridge"))
    assert ground.call(attached.namespace, look_up, "example.org") == ("NOERROR", ("192.0.2.80",))


# ---------------------------------------------------------------- hostile queries
def test_garbage_hurts_nobody(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge"))

    def throw() -> None:
        import random
        rolled = random.Random(7)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for _ in range(300):
                udp.sendto(rolled.randbytes(rolled.choice((0, 1, 11, 12, 13, 40, 600, 5000))), ("127.0.0.11", 53))
            udp.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\xc0\x0c\0\1\0\1", ("127.0.0.11", 53))     # a name that points at itself
        for data in (b"\0\0", b"\xff\xff" + bytes(70000), b"\0\x05abcde", (b"\0\x20" + b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\2c1\0\0\1\0\1" + bytes(12)) * 900):
            with socket.create_connection(("127.0.0.11", 53), timeout=30) as tcp:
                try:
                    tcp.sendall(data)
                    tcp.shutdown(socket.SHUT_WR)
                    while tcp.recv(65536):
                        pass
                except OSError:
                    pass

    pid = agent.ask("ping")
    ground.call(attached.namespace, throw)
    assert ground.call(attached.namespace, look_up, "c1")[0] == "NOERROR"
    assert agent.ask("ping") == pid
    log = (ground.scratch / "root/run/agent.log").read_text()
    assert "Traceback" not in log, log


def test_silent_connections_do_not_pile_up(ground: Ground, agent: Agent) -> None:
    attached = ground.attach(agent, member(1, "bridge"))

    def connect() -> str:
        peers = [socket.create_connection(("127.0.0.11", 53)) for _ in range(60)]
        assert look_up("c1")[0] == "NOERROR"
        for peer in peers:
            peer.close()
        return look_up("c1", tcp=True)[0]

    pid = agent.ask("ping")
    before = len(os.listdir(f"/proc/{pid}/fd"))
    ground.call(attached.namespace, connect)
    assert len(os.listdir(f"/proc/{pid}/fd")) <= before + 34
