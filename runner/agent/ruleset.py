"""The agent's one nftables table as text: pure. The rules never change; networks and published ports are elements of its sets and maps.

What it does: containers reach the outside under the machine's address; networks do not reach each other; from outside only what is published
reaches a container, whether by an address of the machine from afar, from here, or from another container.
"""

from kernel.value import Value

RELAY_MARK = 0x7079                                       # packets that are routed to a socket here
_PROTOCOLS = ("tcp", "udp", "sctp")


class Fence(Value):
    """A network to the firewall. interface: its bridge; subnets: texts; masquerade: its containers take the machine's address to the outside."""

    interface: str
    subnet4: str = ""
    subnet6: str = ""
    internal: bool = False
    masquerade: bool = True


class Published(Value):
    """host_ip "": any address of the machine, of the family of `address`, which is the container's."""

    protocol: str
    host_ip: str
    host_port: int
    address: str
    port: int


def table(name: str, fences: "tuple[Fence, ...]", published: "tuple[Published, ...]", *, beside: bool = False,
          relay_port: int = 0) -> str:
    """Commands that make the table anew, with this in it, in one transaction.

    beside: the namespace is not the machine's own but a helper's other end. relay_port: where what goes out is caught, 0: it is not.
    """
    elements = "".join(add_fence(name, fence) for fence in fences) + "".join(publish(name, one) for one in published)
    chains = _TABLE + (_BESIDE if beside else "") + (_RELAY if relay_port else "")
    chains = chains.replace("TABLE", name).replace("PORT", str(relay_port)).replace("MARK", str(RELAY_MARK))
    return f"{remove_table(name)}{chains}{elements}"


def remove_table(name: str) -> str:
    return f"add table inet {name}\ndelete table inet {name}\n"


def add_fence(name: str, fence: Fence) -> str:
    return _fence(name, "add", fence)


def remove_fence(name: str, fence: Fence) -> str:
    return _fence(name, "delete", fence)


def publish(name: str, one: Published) -> str:
    key, value, where = _element(one)
    return f"add element inet {name} {where} {{ {key} : {value} }}\n"


def unpublish(name: str, one: Published) -> str:
    key, _, where = _element(one)
    return f"delete element inet {name} {where} {{ {key} }}\n"


def _fence(name: str, verb: str, fence: Fence) -> str:
    quoted = f'"{fence.interface}"'
    found = [("bridges", quoted), ("inside", f"{quoted} . {quoted}")]
    found += [("internal", quoted)] if fence.internal else []
    for family, subnet in ((4, fence.subnet4), (6, fence.subnet6)):
        if subnet:
            found.append((f"subnets{family}", subnet))
            found += [(f"natted{family}", subnet)] if fence.masquerade and not fence.internal else []
    return "".join(f"{verb} element inet {name} {where} {{ {what} }}\n" for where, what in found)


def _element(one: Published) -> tuple[str, str, str]:
    assert one.protocol in _PROTOCOLS and 0 < one.host_port < 65536 and 0 < one.port < 65536, one
    family = 6 if ":" in one.address else 4
    key = f"{one.protocol} . {one.host_port}"
    value = f"{one.address} . {one.port}"
    return (f"{one.host_ip} . {key}", value, f"at{family}") if one.host_ip else (key, value, f"any{family}")


# The order in `forward` is the policy. Frames from bridge port to bridge port pass here too where br_netfilter is on: `inside` lets them.
_TABLE = """table inet TABLE {
 set bridges { type ifname; }
 set inside { type ifname . ifname; }
 set internal { type ifname; }
 set subnets4 { type ipv4_addr; flags interval; }
 set subnets6 { type ipv6_addr; flags interval; }
 set natted4 { type ipv4_addr; flags interval; }
 set natted6 { type ipv6_addr; flags interval; }
 map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
 map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
 map at4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
 map at6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
 chain publish {
  dnat ip to ip daddr . meta l4proto . th dport map @at4
  dnat ip to meta l4proto . th dport map @any4
  dnat ip6 to ip6 daddr . meta l4proto . th dport map @at6
  dnat ip6 to meta l4proto . th dport map @any6
 }
 chain prerouting {
  type nat hook prerouting priority dstnat; policy accept;
  iifname @internal return
  meta l4proto { tcp, udp, sctp } fib daddr type local jump publish
 }
 chain output {
  type nat hook output priority -100; policy accept;
  ip daddr 127.0.0.0/8 return
  ip6 daddr ::1 return
  meta l4proto { tcp, udp, sctp } fib daddr type local jump publish
 }
 chain postrouting {
  type nat hook postrouting priority srcnat; policy accept;
  ip saddr @natted4 oifname != @bridges masquerade
  ip6 saddr @natted6 oifname != @bridges masquerade
  ip saddr @subnets4 ip daddr @subnets4 ct status dnat masquerade
  ip6 saddr @subnets6 ip6 daddr @subnets6 ct status dnat masquerade
 }
 chain forward {
  type filter hook forward priority filter; policy accept;
  iifname != @bridges oifname != @bridges return
  iifname . oifname @inside accept
  ct state established,related accept
  ct state invalid drop
  oifname @bridges ct status dnat accept
  oifname @bridges drop
  iifname @internal drop
 }
}
"""

# Debian 12's pasta sends segments without any flag: they belong to no connection, and answering them with a reset would end the one they mean.
_BESIDE = """table inet TABLE {
 chain input {
  type filter hook input priority filter; policy accept;
  ct state invalid drop
 }
}
"""
_RELAY = """table inet TABLE {
 chain relay {
  type filter hook prerouting priority mangle; policy accept;
  iifname != @bridges return
  iifname @internal return
  ip daddr @subnets4 return
  ip6 daddr @subnets6 return
  fib daddr type { local, broadcast, multicast } return
  meta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip to :PORT meta mark set MARK accept
  meta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to :PORT meta mark set MARK accept
 }
}
"""
