"""A DNS query as bytes -> the answer as bytes, or that it is somebody else's to answer. Pure but for the turns that several owners of a name take."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dnslib import DNSRecord

    from runner.agent.names import Names

TTL_S = 5                                                 # a container that is made anew may have another address
_UDP_MAX = 512                                            # without EDNS
_HEADER = 12
_QUERY_MAX = 4096
_NOERROR, _FORMERR, _SERVFAIL, _NXDOMAIN, _NOTIMP = 0, 1, 2, 3, 4


class Query(Value):
    """Who asks, and whether it may ask the outside too."""

    asker: str
    closed: bool = False


def answer(data: bytes, query: Query, names: "Names", *, udp: bool) -> bytes | None:
    """None: to be forwarded as it is. b"": not to be answered at all.

    A name of ours is never forwarded, whatever is asked about it; a closed asker's unknown names do not exist.
    """
    if len(data) < _HEADER or data[2] & 0x80:
        return b""                                        # too short to answer, or itself an answer
    if len(data) > _QUERY_MAX:
        return fail(data, _FORMERR)
    from dnslib import DNSError, DNSRecord

    try:
        record = DNSRecord.parse(data)
    except (DNSError, ValueError, LookupError, ArithmeticError):
        return fail(data, _FORMERR)
    if record.header.opcode or len(record.questions) != 1:
        return fail(data, _NOTIMP if record.header.opcode else _FORMERR)
    reply = _own(record, query, names)
    if reply is None:
        return fail(data, _NXDOMAIN) if query.closed else None
    packed: bytes = reply.pack()
    return packed if not udp or len(packed) <= _room(record) else reply.truncate().pack()


def fail(data: bytes, code: int = _SERVFAIL) -> bytes:
    """The query sent back with an error; with its question if that can be told from the rest."""
    end = _question_end(data)
    flags = bytes((0x80 | (data[2] & 0x79), 0x80 | code))
    return data[:2] + flags + (b"\0\1" if end else b"\0\0") + bytes(6) + data[_HEADER:end]


def matches(query: bytes, reply: bytes) -> bool:
    """Whether `reply` is one to `query`: same ID, same question, and an answer."""
    end = _question_end(query)
    return len(reply) >= _HEADER and reply[:2] == query[:2] and reply[2] & 0x80 != 0 and \
        (not reply[5] or reply[_HEADER:end].lower() == query[_HEADER:end].lower())


def is_failure(reply: bytes) -> bool:
    """SERVFAIL or REFUSED: another server may know better."""
    return reply[3] & 0xF in (_SERVFAIL, 5)


def _question_end(data: bytes) -> int:
    """Offset behind the first question, 0 if there is no whole one."""
    at = _HEADER
    while at < len(data) and data[at]:
        if data[at] > 63:
            return 0
        at += data[at] + 1
    return at + 5 if at + 5 <= len(data) and data[4:6] == b"\0\1" else 0


def _room(record: "DNSRecord") -> int:
    return max([_UDP_MAX, *(min(int(one.edns_len), 1232) for one in record.ar if one.rtype == 41)])


def _own(record: "DNSRecord", query: Query, names: "Names") -> "DNSRecord | None":
    """None if it is about no name or address of ours."""
    from dnslib import AAAA, PTR, QTYPE, RR, A

    question = record.q
    name = str(question.qname)
    kind = QTYPE.get(question.qtype)
    if kind == "PTR":
        address = _reverse(name.lower())
        owner = names.find_address(query.asker, address) if address else ""
        if not owner:
            return None
        reply = record.reply(aa=0)
        reply.add_answer(RR(question.qname, QTYPE.PTR, rdata=PTR(owner), ttl=TTL_S))
        return reply
    found = names.find(query.asker, name)
    if found is None:
        return None
    reply = record.reply(aa=0)
    if kind == "A":
        reply.add_answer(*(RR(question.qname, QTYPE.A, rdata=A(one), ttl=TTL_S) for one in found.address4))
    elif kind == "AAAA":
        reply.add_answer(*(RR(question.qname, QTYPE.AAAA, rdata=AAAA(one), ttl=TTL_S) for one in found.address6))
    return reply


def _reverse(name: str) -> str:
    """The address that a name below in-addr.arpa or ip6.arpa is of, or ""."""
    from runner.agent.address import text_of

    labels = name.removesuffix(".").split(".")[::-1]
    digits = labels[2:]
    if labels[:2] == ["arpa", "in-addr"] and len(digits) == 4 and all(one.isascii() and one.isdigit() and int(one) < 256 for one in digits):
        return ".".join(str(int(one)) for one in digits)
    if labels[:2] == ["arpa", "ip6"] and len(digits) == 32 and all(len(one) == 1 and one in "0123456789abcdef" for one in digits):
        return text_of(6, int("".join(digits), 16))
    return ""
