"""What a container wants of its networks, checked word by word; and the texts of its /etc/hosts and /etc/resolv.conf, made of checked words only."""

from runner.agent.address import is_mac, normal, number_of
from runner.agent.cell import DNS_ADDRESS
from runner.agent.errors import InvalidEndpoint
from runner.endpoint import Endpoint, Membership, PortMapping
from runner.network import is_host_name, is_interface, is_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HOST_GATEWAY = "host-gateway"
_PROTOCOLS = ("tcp", "udp", "sctp")
_OPTION = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-:_")
_ID = frozenset("0123456789abcdef")
_MOST = 1024                                              # names, hosts or ports of one container
_HOSTS = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def check(wanted: Membership) -> Membership:
    """The same with addresses in their one usual form. Raises InvalidEndpoint."""
    bad = _Bad(wanted.name)
    if not wanted.container or not _ID.issuperset(wanted.container):
        raise bad(f"has the ID `{wanted.container[:80]}`, which is none")
    if not is_name(wanted.name):
        raise bad("has a name that is none")
    for name in (wanted.hostname, wanted.domainname):
        if name and not is_host_name(name):
            raise bad(f"is to be called `{name[:80]}`, which is no host name")
    if max(len(wanted.extra_hosts), len(wanted.ports), len(wanted.endpoints), len(wanted.dns), len(wanted.dns_search)) > _MOST:
        raise bad(f"has more than {_MOST} hosts, ports or networks")
    hosts = tuple((_host(name, bad), address if address == HOST_GATEWAY else bad.address(address, f"the host `{name}`"))
                  for name, address in wanted.extra_hosts)
    for word in wanted.dns_search:
        if word != "." and not is_host_name(word):
            raise bad(f"searches `{word[:80]}`, which is no domain")
    for word in wanted.dns_options:
        if not word or not _OPTION.issuperset(word):
            raise bad(f"has the DNS option `{word[:80]}`, which is none")
    return wanted._replace(extra_hosts=hosts, dns=tuple(bad.address(word, "a name server") for word in wanted.dns),
                           endpoints=tuple(check_endpoint(wanted.name, one) for one in wanted.endpoints),
                           ports=tuple(_port(one, bad) for one in wanted.ports))


def check_endpoint(container: str, wanted: Endpoint) -> Endpoint:
    """Raises InvalidEndpoint."""
    bad = _Bad(container)
    for alias in (*wanted.aliases, *(alias for alias, _ in wanted.links)):
        _host(alias, bad)
    if wanted.mac_address and not is_mac(wanted.mac_address):
        raise bad(f"wants the MAC address `{wanted.mac_address[:80]}`, which is none",
                  "a MAC address is as `02:42:ac:11:00:02`, its first number even")
    if wanted.interface_name and not is_interface(wanted.interface_name):
        raise bad(f"wants an interface called `{wanted.interface_name[:80]}`, which is no name for one")
    if len(wanted.aliases) > _MOST or len(wanted.link_local_ips) > _MOST:
        raise bad(f"has more than {_MOST} names or addresses")
    four = bad.address(wanted.ipv4_address, "itself", 4) if wanted.ipv4_address else ""
    six = bad.address(wanted.ipv6_address, "itself", 6) if wanted.ipv6_address else ""
    local = tuple(bad.address(word, "its link") for word in wanted.link_local_ips)
    return wanted._replace(ipv4_address=four, ipv6_address=six, link_local_ips=local, mac_address=wanted.mac_address.lower())


class _Bad:
    """Makes the errors about one container."""

    def __init__(self, container: str) -> None:
        self._container = container[:80]

    def __call__(self, reason: str, help: str = "") -> InvalidEndpoint:
        return InvalidEndpoint(self._container, reason, help)

    def address(self, word: str, what: str, family: int = 0) -> str:
        try:
            number_of(word)
        except ValueError:
            raise self(f"has the address `{word[:80]}` for {what}, which is none") from None
        if family and (":" in word) != (family == 6):
            raise self(f"has the address `{word}` for {what}, which is not of IPv{family}")
        return normal(word)


def _host(name: str, bad: _Bad) -> str:
    if not is_host_name(name):
        raise bad(f"gives the name `{name[:80]}` to a host, which is no host name")
    return name


def _port(one: PortMapping, bad: _Bad) -> PortMapping:
    if one.protocol not in _PROTOCOLS:
        raise bad(f"publishes a port of the protocol `{one.protocol[:20]}`", f"protocols are {', '.join(_PROTOCOLS)}")
    if not 0 < one.container_port < 65536 or not 0 <= one.host_port < 65536 or not 0 <= one.host_port_last < 65536:
        raise bad("publishes a port that is not from 1 to 65535")
    if one.host_port_last and not 0 < one.host_port <= one.host_port_last:
        raise bad(f"publishes on the ports `{one.host_port}-{one.host_port_last}`, which are no range")
    return one._replace(host_ip=bad.address(one.host_ip, "a published port") if one.host_ip else "")


# ---------------------------------------------------------------- the files
def hosts_text(wanted: Membership, own: "Iterable[str]", gateway: str) -> str:
    """own: the container's addresses; gateway: what `host-gateway` stands for, "" leaves such hosts out."""
    known = ((name, gateway if address == HOST_GATEWAY else address) for name, address in wanted.extra_hosts)
    lines = [f"{address}\t{name}\n" for name, address in known if address]
    names = wanted.hostname
    if wanted.domainname and wanted.hostname:
        names = f"{wanted.hostname}.{wanted.domainname} {wanted.hostname}"
    elif "." in wanted.hostname:
        names = f"{wanted.hostname} {wanted.hostname.partition('.')[0]}"
    if names:
        lines += [f"{address}\t{names}\n" for address in own]
    return _HOSTS + "".join(lines)


def resolv_conf_text(wanted: Membership, search: tuple[str, ...], options: tuple[str, ...]) -> str:
    """search, options: the machine's, taken over where the container has none of its own."""
    search = wanted.dns_search or tuple(word for word in search if word == "." or is_host_name(word))
    options = wanted.dns_options or tuple(word for word in options if _OPTION.issuperset(word))
    if not any(word.startswith("ndots:") for word in options):
        options = (*options, "ndots:0")
    lines = [f"nameserver {DNS_ADDRESS}\n"]
    if search and search != (".",):
        lines.append(f"search {' '.join(search)}\n")
    return "".join(lines) + f"options {' '.join(options)}\n"
