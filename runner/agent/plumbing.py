"""What is rarely done to interfaces and routes, by pyroute2. Its import takes 180 ms and 24 MB, so it is loaded in a process of its own, which ends.

What every container needs is in netlink.py.
"""

import marshal
import os

from runner.agent.errors import NetworkFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SCOPE_HOST = 254
_IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}


def apart(function: "Callable[..., Any]", *arguments: "Any") -> "Any":
    """function(*arguments) in a fork, in the network namespace that we are in; what it returns (plain data). Raises NetworkError."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        answer: "tuple[bool, Any]" = (False, "it ended early")
        try:
            os.close(read)
            answer = (True, function(*arguments))
        except BaseException as error:
            answer = (False, str(error) or type(error).__name__)
        finally:
            os.write(write, marshal.dumps(answer))
            os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    done, value = marshal.loads(data) if data else (False, "it ended without a word")
    if not done:
        raise NetworkFailed("arrange the network", str(value))
    return value


def make_child(kind: str, parent: str, mode: str, name: str, mac: str, mtu: int, namespace: int) -> None:
    """An interface of its own on the wire of `parent`, born in the namespace behind the fd. kind: macvlan or ipvlan; mac "": it is the parent's."""
    from pyroute2 import IPRoute

    wanted = {"macvlan_mode": mode} if kind == "macvlan" else {"ipvlan_mode": _IPVLAN_MODES[mode]}
    with IPRoute() as netlink:
        above = netlink.link_lookup(ifname=parent)[0]
        netlink.link("add", ifname=name, kind=kind, link=above, mtu=mtu, net_ns_fd=namespace, **wanted, **({"address": mac} if mac else {}))


def route_marked(mark: int, table: int) -> None:
    """Have packets with this mark delivered here, wherever they are to go. Idempotent."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    with IPRoute() as netlink:
        loopback = netlink.link_lookup(ifname="lo")[0]
        for family in (2, 10):
            try:
                netlink.route("replace", family=family, dst="default", type="local", scope=_SCOPE_HOST, oif=loopback, table=table)
                netlink.rule("add", family=family, fwmark=mark, table=table, priority=table)
            except NetlinkError as error:
                if error.code not in (17, 97):            # it is there; no IPv6 here
                    raise
