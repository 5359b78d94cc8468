"""A small world of network namespaces for tests: "the machine", in which agents are started, and "the world", which its uplink leads to.

Nothing touches the real machine's network: the test process itself is in the private machine's namespaces while a Ground is open.
"""

import os
import select
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from kernel.syscalls import CLONE_NEWNET, CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, PR_SET_PDEATHSIG, mount, prctl, setns, unshare
from runner.agent.client import Agent
from runner.endpoint import Attachment, Endpoint, Membership, PortMapping
from tests.fork import in_fork
from tests.users import User

T = TypeVar("T")

MACHINE, WORLD, SERVER = "198.51.100.2", "198.51.100.1", "203.0.113.7"
MACHINE6, WORLD6, SERVER6 = "fd51::2", "fd51::1", "fd52::7"
_LINKS = f"""
ip link set lo up
ip link add up0 type veth peer name w0 netns {{world}}
ip link set up0 up
ip addr add {MACHINE}/24 dev up0
ip -6 addr add {MACHINE6}/64 dev up0 nodad
"""
_WORLD_LINKS = f"""
ip link set lo up
ip link set w0 up
ip addr add {WORLD}/24 dev w0
ip -6 addr add {WORLD6}/64 dev w0 nodad
ip addr add {SERVER}/32 dev lo
ip -6 addr add {SERVER6}/128 dev lo nodad
"""
_ROUTES = f"""
ip route add default via {WORLD}
ip -6 route add default via {WORLD6}
"""


class Ground:
    """machine, world: fds of their network namespaces."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._roots: list[Path] = []
        self._servers: list[int] = []
        self._agents: list[Agent] = []
        self._fds: list[int] = []

    def __enter__(self) -> "Ground":
        self._cwd = os.getcwd()
        self._before = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in ("net", "mnt")]
        unshare(CLONE_NEWNET)
        self.world = os.open("/proc/self/ns/net", os.O_RDONLY)
        unshare(CLONE_NEWNET | CLONE_NEWNS)
        self.machine = os.open("/proc/self/ns/net", os.O_RDONLY)
        mount(None, b"/", None, MS_REC | MS_PRIVATE)
        mount(b"none", b"/sys", b"sysfs", 0)              # as this namespace's
        _shell(_LINKS.format(world=f"/proc/{os.getpid()}/fd/{self.world}"))
        self.call(self.world, _shell, _WORLD_LINKS)
        _shell(_ROUTES)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")      # a new namespace has what the real machine has
        self.set_resolvers(SERVER)
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self._agents:
            agent.close()
        for pid in self._servers:
            _kill(pid)
            os.waitpid(pid, 0)
        while left := _processes_of(self._roots):         # until there is none: one may just have started another
            for pid in left:
                _kill(pid)
            eventually(lambda: all(map(is_gone, left)))
        for fd in self._fds:
            os.close(fd)
        setns(self._before[0], CLONE_NEWNET)
        setns(self._before[1], CLONE_NEWNS)
        os.chdir(self._cwd)
        for fd in (*self._before, self.machine, self.world):
            os.close(fd)

    # ---------------------------------------------------------------- the machine
    def set_resolvers(self, *addresses: str, extra: str = "") -> None:
        """What /etc/resolv.conf of the machine says."""
        path = self.scratch / "resolv.conf"
        path.write_text("".join(f"nameserver {one}\n" for one in addresses) + extra)
        path.chmod(0o644)
        mount(os.fsencode(path), b"/etc/resolv.conf", None, MS_BIND)

    def allow_tun(self) -> None:
        """Make /dev/net/tun what it is on most machines: open to everybody."""
        directory = self.scratch / "dev"
        directory.mkdir()
        mount(b"none", os.fsencode(directory), b"tmpfs", 0, b"mode=755")
        mask = os.umask(0)
        os.mknod(directory / "tun", 0o20666, os.makedev(10, 200))
        os.umask(mask)
        mount(os.fsencode(directory / "tun"), b"/dev/net/tun", None, MS_BIND)

    # ---------------------------------------------------------------- agents
    def root(self, name: str = "root", owner: User | None = None) -> Path:
        """A root directory with its run directory, below it."""
        base = owner.home / "agent" if owner else self.scratch
        path = base / name
        for one in (base, path, path / "run"):
            one.mkdir(exist_ok=True)
            if owner:
                os.chown(one, owner.uid, owner.gid)
                one.chmod(0o700)
        self._roots.append(path)
        return path

    def agent(self, name: str = "root", idle_s: float = 30.0) -> Agent:
        """Closed when the ground is left."""
        root = self.root(name)
        self._agents.append(Agent(str(root), str(root / "run"), idle_s=idle_s))
        return self._agents[-1]

    def keep(self, agent: Agent) -> None:
        """Have it closed when the ground is left."""
        self._agents.append(agent)

    def attach(self, agent: Agent, membership: Membership) -> Attachment:
        """Attached; the namespace is held until the ground is left, as by a container's shim."""
        attachment = agent.attach(membership)
        self._fds.append(attachment.namespace)
        return attachment

    def let_go(self, attachment: Attachment) -> None:
        """As if its container had ended without a word."""
        self._fds.remove(attachment.namespace)
        os.close(attachment.namespace)

    # ---------------------------------------------------------------- elsewhere
    def call(self, namespace: int, function: Callable[..., T], *arguments: Any) -> T:
        """function(*arguments) in a network namespace, in a fork."""
        def there() -> T:
            setns(namespace, CLONE_NEWNET)
            return function(*arguments)

        return in_fork(there)

    def call_here(self, namespace: int, function: Callable[[], T]) -> T:
        """function() in a network namespace, in this process: for sockets."""
        setns(namespace, CLONE_NEWNET)
        try:
            return function()
        finally:
            setns(self.machine, CLONE_NEWNET)

    def serve(self, namespace: int, server: Callable[..., None], *arguments: Any) -> int:
        """Run server(ready, *arguments) in a namespace until the ground is left; it calls ready() when it listens. Its process ID."""
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                for agent in self._agents:
                    agent.close()                         # or it would count as one more client
                setns(namespace, CLONE_NEWNET)
                server(lambda: os.write(write, b"."), *arguments)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(write)
        with open(read, "rb") as file:
            assert file.read(1), "the server did not start"
        self._servers.append(pid)
        return pid


def member(number: int, *networks: "str | Endpoint", **fields: Any) -> Membership:
    """Container `cN`, host name `hN`."""
    endpoints = tuple(one if isinstance(one, Endpoint) else Endpoint(one) for one in networks)
    return Membership(f"{number:064x}"[::-1], fields.pop("name", f"c{number}"), fields.pop("hostname", f"h{number}"), endpoints, **fields)


def published(port: int, host_port: int = 0, host_ip: str = "", protocol: str = "tcp", last: int = 0) -> PortMapping:
    return PortMapping(port, protocol, host_ip, host_port, last)


# ---------------------------------------------------------------- what servers do, and clients
def tell_peer(ready: Callable[[], None], port: int, address: str = "") -> None:
    """Whoever connects is told its own address, as seen here."""
    family = socket.AF_INET6 if ":" in address or not address else socket.AF_INET
    with socket.create_server((address, port), family=family, dualstack_ipv6=not address, backlog=64) as door:
        ready()
        while True:
            peer, name = door.accept()
            with peer:
                peer.sendall(name[0].removeprefix("::ffff:").encode())


def echo(ready: Callable[[], None], port: int, address: str = "0.0.0.0") -> None:
    """Sends back what it gets, until the other end has no more."""
    with socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=64) as door:
        ready()
        while True:
            peer, _ = door.accept()
            with peer:
                while data := peer.recv(1 << 16):
                    peer.sendall(data)


def tell_peer_udp(ready: Callable[[], None], port: int, address: str = "0.0.0.0") -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind((address, port))
        ready()
        while True:
            _, name = door.recvfrom(1500)
            door.sendto(name[0].encode(), name)


def tell_name(ready: Callable[[], None], port: int, name: str) -> None:
    """Datagrams are answered with a name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("0.0.0.0", port))
        ready()
        while True:
            _, sender = door.recvfrom(1500)
            door.sendto(name.encode(), sender)


def name_server(ready: Callable[[], None], address: str, answers: dict[str, str], *, small: int = 0, code: str = "") -> None:
    """Knows A records by name. small: more UDP bytes than that are cut off. code: it answers everything so."""
    from dnslib import QTYPE, RCODE, RR, A, DNSRecord

    def answer(data: bytes) -> bytes:
        query = DNSRecord.parse(data)
        reply = query.reply()
        name = str(query.q.qname).rstrip(".")
        reply.header.rcode = getattr(RCODE, code or ("NOERROR" if name in answers else "NXDOMAIN"))
        for one in answers.get(name, "").split():
            reply.add_answer(RR(query.q.qname, QTYPE.A, rdata=A(one), ttl=60))
        return reply.pack()  # type: ignore[no-any-return]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server((address, 53)) as tcp:
        udp.bind((address, 53))
        ready()
        while True:
            for one in select.select([udp, tcp], [], [])[0]:
                if one is udp:
                    data, name = udp.recvfrom(1500)
                    reply = answer(data)
                    udp.sendto(reply if not small or len(reply) <= small else DNSRecord.parse(reply).truncate().pack(), name)
                else:
                    peer, _ = tcp.accept()
                    with peer:
                        data = peer.recv(1500)
                        reply = answer(data[2:])
                        peer.sendall(len(reply).to_bytes(2, "big") + reply)


def ask(address: str, port: int, timeout_s: float = 2.0) -> str:
    """What a TCP server says, or the error's name."""
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as peer:
            return peer.recv(1000).decode()
    except OSError as error:
        return type(error).__name__


def ask_udp(address: str, port: int, timeout_s: float = 2.0) -> str:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.settimeout(timeout_s)
        try:
            door.connect((address, port))
            door.send(b"?")
            return door.recv(1000).decode()
        except OSError as error:
            return type(error).__name__


def look_up(name: str, kind: str = "A", *, tcp: bool = False, server: str = "127.0.0.11") -> tuple[str, tuple[str, ...]]:
    """(response code, answers) of a DNS server."""
    from dnslib import RCODE, DNSRecord

    reply = DNSRecord.parse(DNSRecord.question(name, kind).send(server, 53, tcp=tcp, timeout=8))
    return RCODE[reply.header.rcode], tuple(sorted(str(one.rdata) for one in reply.rr))


def interfaces() -> dict[str, tuple[str, ...]]:
    """Addresses by interface, `address/prefix`; of the namespace that we are in."""
    lines = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[str, tuple[str, ...]] = {}
    for words in map(str.split, lines):
        found[words[1]] = (*found.get(words[1], ()), words[3])
    return found


def links() -> list[str]:
    lines = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split()[1].rstrip(":").partition("@")[0] for line in lines]


def default_gateway(family: int = 4) -> str:
    words = subprocess.run(["ip", f"-{family}", "route", "show", "default"], capture_output=True, text=True, check=True).stdout.split()
    return f"{words[2]} {words[4]}" if words else ""


def ruleset() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def eventually(question: Callable[[], T], wanted: Callable[[T], bool] = bool, patience_s: float = 60.0) -> T:
    """The first answer that is as wanted; the last one if none is."""
    deadline = time.monotonic() + patience_s
    while True:
        answer = question()
        if wanted(answer) or time.monotonic() > deadline:
            return answer
        time.sleep(0.02)


def kill(agent: Agent) -> int:
    """kill -9 it, wait until it is gone, close the connection; what its ID was."""
    pid = int(agent.ask("ping"))
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_gone(pid))
    agent.close()
    return pid


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except OSError:
        return True


def _shell(script: str) -> None:
    subprocess.run(["sh", "-ec", script], check=True)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _processes_of(roots: list[Path]) -> list[int]:
    """Agents and what belongs to them: their command lines have the root directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if any(str(root) in line for root in roots) and "bin/pytest" not in line:
                found.append(int(entry.name))
    return found
