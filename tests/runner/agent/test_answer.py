"""DNS answers as bytes: whatever comes in, what goes out is a whole answer, an order to forward, or nothing."""

import pytest
from dnslib import EDNS0, QTYPE, RCODE, RR, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from runner.agent.answer import Query, answer, fail, is_failure, matches
from runner.agent.names import Names


def names(count: int = 1) -> Names:
    found = Names()
    for number in range(count):
        found.add("n1", "web", f"{number:064x}", (f"c{number}", "db"), f"10.0.{number >> 8}.{number & 255}", "fd00::1" if not number else "")
    return found


ASKER = Query(f"{0:064x}")


def asked(name: str, kind: str = "A", *, asker: Query = ASKER, known: Names | None = None, udp: bool = True, size: int = 0) -> DNSRecord | None:
    query = DNSRecord.question(name, kind)
    if size:
        query.add_ar(EDNS0(udp_len=size))
    reply = answer(query.pack(), asker, known or names(), udp=udp)
    return DNSRecord.parse(reply) if reply else None


def test_an_answer_repeats_id_and_question() -> None:
    query = DNSRecord.question("c0")
    reply = DNSRecord.parse(answer(query.pack(), ASKER, names(), udp=True) or b"")
    assert (reply.header.id, reply.header.qr, reply.header.ra, str(reply.q.qname)) == (query.header.id, 1, 1, "c0.")
    assert [(str(one.rdata), one.ttl) for one in reply.rr] == [("10.0.0.0", 5)]


def test_what_is_not_ours_is_forwarded_or_does_not_exist() -> None:
    assert asked("example.org") is None
    reply = asked("example.org", asker=ASKER._replace(closed=True))
    assert reply is not None and reply.header.rcode == RCODE.NXDOMAIN


def test_many_addresses_are_cut_off_where_they_do_not_fit() -> None:
    short, long, tcp = asked("db", known=names(60)), asked("db", known=names(60), size=1232), asked("db", known=names(60), udp=False)
    assert short is not None and short.header.tc and not short.rr
    assert long is not None and not long.header.tc and len(long.rr) == 60
    assert tcp is not None and not tcp.header.tc and len(tcp.rr) == 60


def test_a_name_of_ours_is_never_forwarded() -> None:
    for kind in ("MX", "TXT", "ANY", "SRV", "AAAA"):
        reply = asked("c0", kind)
        assert reply is not None and reply.header.rcode == RCODE.NOERROR


@pytest.mark.parametrize("name", ["1.0.0.10.in-addr.arpa", "0.0.10.in-addr.arpa", "x.0.0.10.in-addr.arpa", "256.0.0.10.in-addr.arpa", "1.ip6.arpa"])
def test_pointers_to_others_are_forwarded(name: str) -> None:
    assert asked(name, "PTR") is None


def test_answers_and_scraps_are_not_answered() -> None:
    reply = DNSRecord.question("c0").reply().pack()
    assert answer(reply, ASKER, names(), udp=True) == b""
    assert answer(b"\0\1\2", ASKER, names(), udp=True) == b""


def test_other_operations_and_several_questions_are_refused() -> None:
    update = bytearray(DNSRecord.question("c0").pack())
    update[2] |= 5 << 3
    two = bytearray(DNSRecord.question("c0").pack())
    two[5] = 2
    assert DNSRecord.parse(answer(bytes(update), ASKER, names(), udp=True) or b"").header.rcode == RCODE.NOTIMP
    assert (answer(bytes(two), ASKER, names(), udp=True) or b"")[3] & 0xF == RCODE.FORMERR


@given(st.binary(max_size=600))
def test_whatever_comes_in(data: bytes) -> None:
    reply = answer(data, ASKER, names(), udp=True)
    assert reply is None or reply == b"" or (reply[:2] == data[:2] and reply[2] & 0x80)


@given(st.binary(max_size=80))
def test_a_failure_is_made_of_whatever_was_asked(tail: bytes) -> None:
    reply = fail(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + tail)
    assert reply[:2] == b"\x12\x34" and reply[3] & 0xF == 2 and len(reply) >= 12


def test_a_reply_matches_its_question_only() -> None:
    query = DNSRecord.question("example.org")
    good = query.reply()
    good.add_answer(RR("example.org", QTYPE.A, rdata=A("192.0.2.1")))
    other = DNSRecord.question("example.com").reply()
    other.header.id = query.header.id
    wrong = query.reply()
    wrong.header.id ^= 1
    assert matches(query.pack(), good.pack())
    assert not any(matches(query.pack(), one) for one in (other.pack(), wrong.pack(), query.pack(), b"", good.pack()[:11]))
    assert is_failure(fail(query.pack())) and not is_failure(good.pack())


# ---------------------------------------------------------------- names
def test_the_first_network_that_knows_the_name_counts() -> None:
    found = Names()
    for network, address in (("n2", "10.2.0.1"), ("n1", "10.1.0.1")):
        found.add(network, network, "asker", ("me",), f"{address}0", "")
        found.add(network, network, f"other{network}", ("db",), address, "")
    answered = found.find("asker", "db")
    assert answered is not None and answered.address4 == ("10.2.0.1",)
    qualified = found.find("asker", "db.n1")
    assert qualified is not None and qualified.address4 == ("10.1.0.1",)
    found.remove("asker", "n2")
    answered = found.find("asker", "DB.")
    assert answered is not None and answered.address4 == ("10.1.0.1",)
    found.remove("asker")
    assert found.find("asker", "db") is None


def test_owners_take_turns() -> None:
    found = names(3)
    firsts = [answered.address4[0] for _ in range(6) if (answered := found.find(ASKER.asker, "db"))]
    assert sorted(firsts) == sorted(["10.0.0.0", "10.0.0.1", "10.0.0.2"] * 2)
