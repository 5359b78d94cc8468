"""What the machine itself has to allow before containers reach the outside: forwarding switched on, and foreign firewalls that drop by default told.

Everything put into a foreign firewall carries our mark and is removed again.
"""

import os

from runner.agent import namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.agent.foreign import Foreign
    from runner.network import NetworkRecord


class Forwarding:
    """say: takes what the user should know of. foreign: firewalls of others that have to let our bridges through."""

    def __init__(self, say: "Callable[[str], None]", foreign: "Foreign | None" = None) -> None:
        self._say = say
        self._foreign = foreign
        self._done: set[int] = set()

    def prepare(self, record: "NetworkRecord") -> None:
        """Before a network becomes real."""
        if record.spec.internal:
            return
        if record.spec.ipv4:
            self._switch_on(4)
        if record.spec.ipv6:
            self._switch_on(6)
        if self._foreign:
            self._foreign.admit(record.interface)

    def keep_only(self, interfaces: "Iterable[str]") -> None:
        """These bridges are all there are: foreign firewalls are told of no other."""
        if self._foreign:
            self._foreign.keep_only(interfaces)

    def stop(self) -> None:
        """Take back what was put into foreign firewalls."""
        if self._foreign:
            self._foreign.close()

    def _switch_on(self, family: int) -> None:
        if family in self._done:
            return
        self._done.add(family)
        path = "net/ipv4/ip_forward" if family == 4 else "net/ipv6/conf/all/forwarding"
        name = path.replace("/", ".")
        if namespace.read_sysctl(path) != "0":
            return
        if family == 6:
            _keep_router_advertisements()
        if namespace.write_sysctl(path, "1"):
            self._say(f"`{name}` was off; it has been switched on, so that containers reach the outside")
        else:
            self._say(f"`{name}` is off and cannot be switched on: containers do not reach the outside")


def _keep_router_advertisements() -> None:
    """A machine that forwards IPv6 ignores router advertisements, and with them its own default route, unless it is told not to."""
    try:
        interfaces = os.listdir("/proc/sys/net/ipv6/conf")
    except OSError:
        return
    for name in interfaces:
        if name not in ("all", "default", "lo") and namespace.read_sysctl(f"net/ipv6/conf/{name}/accept_ra") == "1":
            namespace.write_sysctl(f"net/ipv6/conf/{name}/accept_ra", "2")
