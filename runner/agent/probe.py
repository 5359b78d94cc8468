"""What this machine allows of networks: rows of `pybuild doctor`, each with the one command that would allow more.

What can be tried is tried, in a child, and undone with it.
"""

import os

from kernel.syscalls import capget
from runner.agent import namespace, uplink
from runner.agent.errors import NetworkFailed
from runner.agent.foreign import Foreign
from runner.agent.nft import Nft
from runner.agent.plumbing import apart
from sandbox.capabilities import NET_ADMIN
from sandbox.probe import LIMITED, NO, YES, Finding

_TABLE = """table inet pyup_probe {
 chain postrouting {
  type nat hook postrouting priority srcnat; policy accept;
  ip saddr 192.0.2.0/24 masquerade
 }
}
"""


def probe() -> tuple[Finding, ...]:
    """All findings for the calling user."""
    return (_bridges(), _translation(), *(_foreign() if not os.geteuid() else ()), _way_out(), _ports(), _ipv6())


def _bridges() -> Finding:
    try:
        apart(_plug)
    except NetworkFailed as error:
        return Finding("container networks", NO, error.reason.lower())
    return Finding("container networks", YES, "bridges, and cables into containers")


def _plug() -> None:
    from kernel.syscalls import CLONE_NEWNET, unshare
    from runner.agent import netlink

    _become_able()
    unshare(CLONE_NEWNET)
    home = netlink.Netlink()
    home.do(netlink.bridge("probe", "02:42:00:00:00:01", 1500))
    bridge = home.link("probe")
    assert bridge, "it was made a moment ago"
    home.do(netlink.address(bridge.number, "192.0.2.1", 24), netlink.up(bridge.number))
    with namespace.fresh() as fd:
        pass
    home.do(netlink.veth("cable", bridge.number, fd, "eth0", "02:42:00:00:00:02", 1500))


def _translation() -> Finding:
    kind = Nft().kind
    if not kind:
        return Finding("ports and addresses", NO, "neither libnftables nor the program `nft` is installed", "sudo apt-get install nftables")
    try:
        apart(_masquerade)
    except NetworkFailed as error:
        return Finding("ports and addresses", NO, f"{kind} is refused: {error.reason}")
    return Finding("ports and addresses", YES, f"translated by nftables ({kind})")


def _masquerade() -> None:
    from kernel.syscalls import CLONE_NEWNET, unshare

    _become_able()
    unshare(CLONE_NEWNET)
    if not capget()[0] & NET_ADMIN:
        raise PermissionError("CAP_NET_ADMIN is missing")
    Nft().rules().run(_TABLE)


def _become_able() -> None:
    """Root of a user namespace, if we are not root."""
    if os.geteuid():
        from sandbox.userns import create

        create()


def _foreign() -> tuple[Finding, ...]:
    nft = Nft()
    if not nft.kind or not capget()[0] & NET_ADMIN:       # in a container: libnftables would write a line of its own to stderr
        return ()
    found = Foreign("pyup_probe", nft.rules).obstacles()
    if not found:
        return (Finding("other firewalls", YES, "none of them drops what is forwarded"),)
    return (Finding("other firewalls", LIMITED, f"{', '.join(found)} would drop what is forwarded; our bridges are let through while there are any"),)


def _way_out() -> Finding:
    if not os.geteuid():
        if namespace.read_sysctl("net/ipv4/ip_forward") == "1":
            return Finding("way out", YES, "this machine forwards")
        return Finding("way out", LIMITED, "net.ipv4.ip_forward is off; the first network switches it on", "sudo sysctl -w net.ipv4.ip_forward=1")
    said: list[str] = []
    chosen = uplink.choose(said.append)
    if not said:
        return Finding("way out", YES, f"through {chosen.name}")
    return Finding("way out", LIMITED, said[0].partition(" (`sudo")[0], uplink.remedy())


def _ports() -> Finding:
    first = int(namespace.read_sysctl("net/ipv4/ip_unprivileged_port_start") or 1024)
    if not os.geteuid() or not first:
        return Finding("published ports", YES, "all")
    return Finding("published ports", LIMITED, f"from {first} on", "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80")


def _ipv6() -> Finding:
    if namespace.read_sysctl("net/ipv6/conf/all/disable_ipv6") == "0":
        return Finding("IPv6", YES, "there for networks that want it")
    return Finding("IPv6", NO, "this machine has none", "sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0")
