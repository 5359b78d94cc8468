"""The agent put together: from a root and a run directory to a keeper that goes on from what an earlier agent left, and leaves nothing in the end."""


import os

from runner.agent import namespace, outgoing, plumbing, survey
from runner.agent.bridge import Bridges, fence_of
from runner.agent.errors import NetworkError
from runner.agent.firewall import Firewall
from runner.agent.foreign import Foreign
from runner.agent.form import Member
from runner.agent.forwarder import Forwarder
from runner.agent.forwarding import Forwarding
from runner.agent.keeper import Keeper, Parts
from runner.agent.live import LiveNetworks
from runner.agent.loop import Loop
from runner.agent.members import Members
from runner.agent.names import Names
from runner.agent.nameserver import Nameserver
from runner.agent.netlink import Netlink
from runner.agent.nft import Nft
from runner.agent.outside import Outpost
from runner.agent.ports import Ports
from runner.agent.records import Networks
from runner.agent.resolver import ResolvConf, Resolver
from runner.agent.ruleset import RELAY_MARK
from runner.agent.stepping import Stepping
from runner.network import NetworkRecord, NetworkSpec, root_id
from store.events import Events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.agent.ipam import Taken
    from runner.agent.outside import Outside

_RELAY_TABLE = 7079                                       # of routes


class Service:
    """outside: the machine's network; we are in the namespace that shall have the bridges. say: takes what the user should know.

    relay: nothing leads outside by itself, so what containers send there has to be carried. alive: fd of a lock that says that an agent lives.
    """

    def __init__(self, root: str, run_directory: str, loop: Loop, outside: "Outside", say: "Callable[[str], None]", *,
                 relay: bool = False, alive: int = -1) -> None:
        own = root_id(root)
        self.records = Networks(root)
        self.records.tidy()
        self._say = say
        self._members = Members(run_directory)
        nft = Nft()
        names = Names()
        self._nets = outgoing.nets() if relay else ()
        self._relay_port = 0                              # of what carries what goes outside, once it does
        self._forwarder = Forwarder(outside.another if isinstance(outside, Outpost) else None, alive, loop, self._renew)
        self._bridges = Bridges(own, Netlink(), outside.mtu or survey.mtu_of(survey.uplink()))
        self._firewall = Firewall(f"pyup_{own}", nft.rules, beside=isinstance(outside, Outpost),
                                  relay_port=self._nets[0].getsockname()[1] if self._nets else 0)
        self._forwarding = Forwarding(say, None if isinstance(outside, Outpost) else Foreign(f"pyup_{own}", nft.rules))
        self.live = LiveNetworks(self.records, self._bridges, self._firewall, lambda: _routes(outside), self._prepare)
        self._ports = ports = Ports(self._forwarder, outside.socket, outside.first_port, outside.process)
        nameserver = Nameserver(loop, names, Resolver(loop, outside.socket))
        self._events = Events(root)
        self.keeper = Keeper(Parts(self.live, self._bridges, self._firewall, ports, names, nameserver, nft, self._members, ResolvConf(),
                                   self._emit, outside.gateway))
        self.stepping = Stepping(self.keeper)

    def _prepare(self, record: NetworkRecord) -> None:
        """What the machine has to do before this network becomes real."""
        self._forwarding.prepare(record)
        if self._nets and not record.spec.internal:
            plumbing.apart(plumbing.route_marked, RELAY_MARK, _RELAY_TABLE)
            self._relay()

    def _relay(self) -> None:
        self._relay_port = self._nets[0].getsockname()[1]
        self._forwarder.relay(self._nets)
        for net in self._nets:
            net.close()
        self._nets = ()

    def _renew(self) -> None:
        """The forwarder was killed: another one carries on, with what comes from now on."""
        self._say("the process that forwards ports was killed, and is started again")
        if self._relay_port:
            self._nets = outgoing.nets(self._relay_port)
            self._relay()
        self._ports.forget()
        self._rebind()

    def start(self) -> None:
        """Go on where an earlier agent was stopped: names and ports of what still lives, nothing of what does not."""
        members = self._members.list()
        found = namespace.find({member.inode for member in members})
        for member in members:
            fd = found.pop(member.inode, -1)
            if fd >= 0 and _is_of(fd, member):
                try:
                    self.keeper.resume(member, fd, lambda id: next((one for one in self.records.list(hidden=True) if one.id == id), None))
                    continue
                except (OSError, NetworkError) as error:
                    self._say(f"container `{member.membership.name}` could not be taken over: {error}")
            self._members.remove(member.container)
        for fd in found.values():
            os.close(fd)
        self._firewall.resume(tuple(fence_of(record) for record in self.live.real()), self.keeper.published())
        self._rebind()
        self._sweep_interfaces()
        self._forwarding.keep_only(record.interface for record in self.live.real())

    def _rebind(self) -> None:
        for container in self.keeper.containers():
            try:
                self.keeper.rebind(container)
            except NetworkError as error:
                self._say(str(error))

    def _sweep_interfaces(self) -> None:
        """What an agent that was killed had not finished."""
        kept = self.keeper.veths() | {record.interface for record in self.live.real()}
        for name in self._bridges.ours():
            if name not in kept:
                self._bridges.unplug(name)

    def sweep(self) -> None:
        """To be called now and then: containers whose shim was killed have nobody to detach them."""
        inodes = self.keeper.inodes()
        if inodes:
            found = namespace.find(inodes)
            self.keeper.drop_unheld(set(found), self.stepping.ready())
            for fd in found.values():
                os.close(fd)

    def create(self, spec: NetworkSpec) -> NetworkRecord:
        """A network that is there at once."""
        record = self.live.create(spec)
        try:
            record = self.live.realise(record)
        except BaseException:
            self.records.remove(record.id)
            raise
        self._emit("create", record.id, {"name": record.name, "type": record.spec.driver})
        return record

    def remove(self, word: str) -> NetworkRecord:
        record = self.live.remove(word, self.keeper.users)
        self._forwarding.keep_only(one.interface for one in self.live.real())
        self._emit("destroy", record.id, {"name": record.name, "type": record.spec.driver})
        return record

    def _emit(self, action: str, id: str, attributes: "Mapping[str, str]") -> None:
        try:
            self._events.emit("network", action, id, attributes)
        except OSError as error:                          # a full disk is no reason to keep a container's addresses
            self._say(f"cannot write the event log: {error}")

    def stop(self) -> None:
        """Nothing runs: leave no interface, table or rule behind. Where one cannot be undone (its root was removed), the rest is."""
        for undo in (self.keeper.close, self.live.dissolve_all, self._unplug_all, self._firewall.stop, self._forwarding.stop, self.records.close):
            try:
                undo()
            except Exception as error:
                self._say(f"cannot tidy up: {error}")

    def _unplug_all(self) -> None:
        for name in self._bridges.ours():
            self._bridges.unplug(name)


def _routes(outside: "Outside") -> "tuple[Taken, ...]":
    found = survey.routes()
    return found if outside.process == "self" else (*found, *survey.routes(outside.process))


def _is_of(fd: int, member: Member) -> bool:
    """Whether it is the member's namespace, and not another that has got its number; before Linux 5.14 its interfaces have to do."""
    with namespace.within(fd):
        if member.cookie:
            return namespace.cookie() == member.cookie
        home = Netlink()
        try:
            return all(home.link(one.interface) for one in member.connections)
        finally:
            home.close()
