"""The command's end of the network agent, which is started when there is none: `Agent` is the Network of runner.endpoint.

On the path of every command that runs something: it imports almost nothing. An agent is one process for each run directory.
"""

import _socket
import os
import struct
import sys
from _thread import allocate_lock
from errno import EAGAIN

from kernel.errors import PROCESS_LIMIT
from runner.agent.errors import AgentLost, from_wire
from runner.agent.form import from_plain, to_plain
from runner.endpoint import Attachment, Connection, Endpoint, Membership
from sandbox import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.network import NetworkRecord, NetworkSpec

IDLE_S = 60.0
PATIENCE_S = 60.0                                         # for an answer: it takes milliseconds, and longer where many ask at once
_SOCKET_PATH_MAX = 107
_LOG_MAX = 1 << 20
_TRIES = 8                                                # an agent may leave between two words
_CODE = ("kernel", "runner/agent", "runner/endpoint.py", "runner/network.py", "runner/errors.py", "sandbox/wire.py", "store/index.py")


class Agent:
    """root: the store's directory; run_directory: an existing 0700 directory of the user. Connects at the first request.

    Safe in several threads; after a fork the child has a connection of its own.

    say: takes what the agent wants the user to know, at once; without it that is kept in `notices`, to be cleared by whoever prints it.
    patience_s: who does not answer for so long hangs, and every request raises AgentLost.
    """

    def __init__(self, root: str, run_directory: str, *, idle_s: float = IDLE_S, patience_s: float = PATIENCE_S,
                 say: "Callable[[str], None] | None" = None) -> None:
        self._root = root
        self._run_directory = run_directory
        self._idle_s = idle_s
        self._patience_s = patience_s
        self._socket: "_socket.socket | None" = None
        self._process = 0                                 # whose the socket is
        self._lock = allocate_lock()
        self._fingerprint = 0
        self._starter = 0                                 # a child of ours that ends soon
        self.notices: list[str] = []
        self._say = say or self.notices.append

    # ---------------------------------------------------------------- containers
    def attach(self, membership: Membership, namespace: int = -1) -> Attachment:
        (connections, ports, hosts, resolv_conf), fds = self._ask("attach", membership, sent=(namespace,) if namespace >= 0 else ())
        return Attachment(fds[0], connections, ports, hosts, resolv_conf)

    def detach(self, container: str) -> None:
        """Starts no agent."""
        if self._socket is None or self._process != os.getpid():
            self.close()
            self._socket, self._process = self._dial(), os.getpid()
        if self._socket:
            self._ask("detach", container)
        else:
            from runner.agent.members import Members

            Members(self._run_directory).remove(container)

    def connect(self, container: str, endpoint: Endpoint, namespace: int = -1) -> Connection:
        """namespace: not needed; the agent has it."""
        connection, _ = self._ask("connect", container, endpoint)
        return connection  # type: ignore[no-any-return]

    def disconnect(self, container: str, network: str, namespace: int = -1) -> None:
        self._ask("disconnect", container, network)

    # ---------------------------------------------------------------- networks
    def is_network(self, name: str) -> bool:
        """Asks no agent."""
        from runner.agent.records import Networks

        records = Networks(self._root)
        try:
            return records.find(name) is not None
        finally:
            records.close()

    def create(self, spec: "NetworkSpec") -> "NetworkRecord":
        """Raises InvalidNetwork, NetworkExists, NetworkPredefined, PoolOverlap."""
        record, _ = self._ask("create", spec)
        return record  # type: ignore[no-any-return]

    def remove(self, word: str) -> "NetworkRecord":
        """By name or ID; what it was. Raises NetworkMissing, NetworkInUse, NetworkPredefined."""
        record, _ = self._ask("remove", word)
        return record  # type: ignore[no-any-return]

    def restore(self) -> None:
        """Start the agent if one is missed: names and published ports of what is on networks come back, and what nobody uses goes."""
        from runner.agent.absence import is_missed

        if is_missed(self._run_directory):
            self._ask("ping")

    # ---------------------------------------------------------------- steps of builds
    def acquire(self, network: str = "") -> "tuple[str, str, str, int]":
        """A namespace that nobody had: (its name, text of resolv.conf, address of this machine as seen there, fd). network: see Stepping.take."""
        (name, resolv_conf, gateway), fds = self._ask("acquire", network)
        return name, resolv_conf, gateway, fds[0]

    def release(self, name: str) -> None:
        """Waits for nothing, like `expect`."""
        self._tell("release", name)

    def expect(self) -> None:
        """Steps are about to ask. Starts the agent if none runs; it stays as long as this end is open."""
        if self._socket is None:
            self._process = os.getpid()
            self._socket = self._dial() or self._start()
            self._tell("expect")

    # ---------------------------------------------------------------- the connection
    def close(self) -> None:
        """Lets go of steps' namespaces too. It can be used again."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def retire(self) -> None:
        """Have the agent leave at once; one that keeps containers leaves them as they are, for the next one."""
        socket = self._dial()
        if socket:
            _see_off(socket)

    def ask(self, verb: str, *arguments: "Any") -> "Any":
        """A request without descriptors, for this room."""
        return self._ask(verb, *arguments)[0]

    def _tell(self, verb: str, *arguments: "Any") -> None:
        """A request that has no answer; an agent that cannot be told has let go of us."""
        try:
            if self._socket and self._process == os.getpid():
                wire.send(self._socket, self._request(verb, arguments))
        except OSError:
            pass

    def _request(self, verb: str, arguments: "tuple[Any, ...]") -> "tuple[Any, ...]":
        return (verb, self._code(), os.stat("/proc/self/ns/user").st_ino, *(to_plain(one) for one in arguments))

    def _code(self) -> int:
        """Fingerprint of the code, once it is wanted."""
        self._fingerprint = self._fingerprint or fingerprint()
        return self._fingerprint

    def _ask(self, verb: str, *arguments: "Any", sent: tuple[int, ...] = ()) -> "tuple[Any, list[int]]":
        """(value, descriptors). sent: those that go with it. An agent that left just now is started again, one of another version is replaced."""
        if self._process != os.getpid():
            self._lock = allocate_lock()
            self.close()                                  # our copy of it; the parent goes on with its own
            self._process = os.getpid()
        with self._lock:
            return self._exchange(verb, arguments, sent)

    def _exchange(self, verb: str, arguments: "tuple[Any, ...]", sent: tuple[int, ...]) -> "tuple[Any, list[int]]":
        request = self._request(verb, arguments)
        for _ in range(_TRIES):
            socket = self._socket = self._socket or self._dial() or self._start()
            try:
                wire.send(socket, request, sent)
                answer, fds = wire.receive(socket)
            except (BrokenPipeError, ConnectionResetError):
                answer, fds = None, []
            except BlockingIOError as error:
                self.close()
                raise self._unanswered() from error
            self._reap()
            if answer is None:
                self.close()
            elif answer[0] == "stale":
                _see_off(socket)
                self.close()
            elif answer[0] == "failed":
                raise from_wire(*answer[1:])
            else:
                for text in answer[1]:
                    self._say(text)
                return from_plain(answer[2]), fds
        raise AgentLost(_last_words(self._run_directory))

    def _reap(self) -> None:
        if self._starter:
            try:
                os.waitpid(self._starter, 0)              # it has ended: the agent forked from it before it answered
            except ChildProcessError:
                pass
            self._starter = 0

    def _path(self) -> str:
        path = f"{self._run_directory}/agent"
        if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
            raise AgentLost(f"the path `{path}` is too long for a socket")
        return path

    def _dial(self) -> "_socket.socket | None":
        """None if nobody listens. Raises AgentLost: who listens lets nobody in."""
        path = self._path()
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        patience = struct.pack("ll", int(self._patience_s), int(self._patience_s % 1 * 1_000_000))
        for way in (_socket.SO_SNDTIMEO, _socket.SO_RCVTIMEO):    # not settimeout: with that a queue that is full just now is an error at once
            socket.setsockopt(_socket.SOL_SOCKET, way, patience)
        try:
            socket.connect(path)
            return socket
        except (FileNotFoundError, ConnectionRefusedError):
            socket.close()
            return None
        except BlockingIOError as error:
            socket.close()
            raise self._unanswered() from error

    def _unanswered(self) -> AgentLost:
        from runner.agent.standing import holder, way_out

        pid = holder(f"{self._run_directory}/agent.alive")
        return AgentLost(f"it{f', process {pid},' if pid else ''} does not answer", way_out(pid))

    def _start(self) -> "_socket.socket":
        """The socket is ours and listens before the agent runs: nobody waits for it to appear."""
        from kernel.locks import Lock, mark
        from runner.agent.standing import take_within

        path = self._path()
        lock = Lock(f"{self._run_directory}/agent.lock")
        if not take_within(lock, self._patience_s):
            raise AgentLost("somebody has been starting it for too long")
        try:
            if socket := self._dial():
                return socket                             # somebody was faster
            listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            try:
                fresh = f"{path}.{os.getpid()}"
                listener.bind(fresh)
                listener.listen(128)
                own = mark(fresh)
                os.rename(fresh, path)
                self._starter = _launch(listener.fileno(),
                                        [self._run_directory, self._root, path, own, str(self._code()), str(self._idle_s)])
            except OSError as error:
                limit = f"; {PROCESS_LIMIT}" if error.errno == EAGAIN else ""
                raise AgentLost((error.strerror or str(error)).lower() + limit) from error
            finally:
                listener.close()
        finally:
            lock.release()
        socket = self._dial()
        if socket is None:
            raise AgentLost(_last_words(self._run_directory))
        return socket


def _see_off(socket: "_socket.socket") -> None:
    """Ask the agent at the other end to leave, and wait until it does not listen any more."""
    try:
        wire.send(socket, ("retire", 0, 0))
        while wire.receive(socket)[0] is not None:
            pass
    except BlockingIOError as error:
        raise AgentLost("one that was asked to leave does not") from error
    except OSError:
        pass
    finally:
        socket.close()


def _launch(listener: int, arguments: list[str]) -> int:
    """A small interpreter of its own, with the packages that this one has. It forks at once; the one that we started, whose ID
    this returns, ends."""
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))] or _usual_packages()
    program = f"import sys\nsys.path += {[home, *packages]!r}\nfrom runner.agent.main import main\nmain()"
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", program, *arguments]
    log = os.open(f"{arguments[0]}/agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    if os.fstat(log).st_size > _LOG_MAX:
        os.ftruncate(log, 0)
    null = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, log, 2), (os.POSIX_SPAWN_DUP2, listener, 3)]
    try:
        return os.posix_spawn(sys.executable, command, {"PATH": os.environ.get("PATH", os.defpath)}, file_actions=actions,
                             setsigmask=(), setsigdef=range(1, 32))
    finally:
        os.close(log)
        os.close(null)


def _usual_packages() -> list[str]:
    """Where packages are for a process that was started without them, as a shim is."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home = os.path.dirname(os.path.dirname(sys.executable))
    places = (f"{home}/lib/{version}/site-packages", f"/usr/local/lib/{version}/dist-packages", "/usr/lib/python3/dist-packages")
    return [path for path in places if os.path.isdir(path)]


def fingerprint() -> int:
    """A number that changes with the code the agent would run."""
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = [sys.hexversion]
    for part in _CODE:
        path = f"{home}/{part}"
        names = [path] if part.endswith(".py") else [f"{path}/{name}" for name in sorted(os.listdir(path)) if name.endswith(".py")]
        for name in names:
            status = os.stat(name)
            found += [status.st_size, status.st_mtime_ns]
    return hash(tuple(found))                             # a tuple of ints hashes alike in every process


def _last_words(run_directory: str) -> str:
    try:
        with open(f"{run_directory}/agent.log", "rb") as file:
            return file.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2] or "it ended without a word"
    except OSError:
        return "it ended without a word"
