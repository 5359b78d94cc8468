"""The machine's own network, as seen by an agent that may live beside it: sockets made in it, programs run in it.

`Here` is for an agent that is in it. `Outpost` is for one of an ordinary user: a small process that stays there when the agent leaves for the
namespace that the user's bridges are in. It holds that namespace, and goes on holding it if the agent is killed.
"""

import _socket
import os
import select

from kernel.syscalls import close_range
from runner.agent import namespace, process
from sandbox import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Outside(Protocol):
        """process: its /proc entry shows the machine's network. first_port: the lowest that may be bound. mtu: of the way out, 0: of its link.

        gateway: the address by which containers reach the machine, "": that of their own gateway.
        """

        process: str
        first_port: int
        mtu: int
        gateway: str

        def socket(self, family: int, kind: int) -> "_socket.socket":
            """Not blocking, not bound. Raises OSError."""
            ...

NAME = "pyup-outpost"
_SOMEWHERE = ("192.0.2.1", 9)


class Here:
    """We are in the machine's own network."""

    process = "self"
    first_port = 0
    mtu = 0
    gateway = ""

    def socket(self, family: int, kind: int) -> "_socket.socket":
        return _socket.socket(family, kind | _socket.SOCK_NONBLOCK)


class Outpost:
    """The agent's end, or the forwarder's, of the process that has stayed."""

    mtu = 0
    gateway = ""

    def __init__(self, socket: "_socket.socket", pid: int, first_port: int) -> None:
        self._socket = socket
        self.pid = pid
        self.process = str(pid)
        self.first_port = first_port

    def socket(self, family: int, kind: int) -> "_socket.socket":
        _, fds = self._ask(("socket", family, kind))
        return wire.socket_of(fds[0])

    def address(self) -> str:
        """The machine's own, as far hosts see it; "" if it has no way out."""
        socket = self.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        try:
            socket.connect(_SOMEWHERE)                    # sends nothing
            return str(socket.getsockname()[0])
        except OSError:
            return ""
        finally:
            socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def hold(self, namespace_fd: int) -> None:
        """Keep this namespace alive from now on."""
        self._ask(("hold",), (namespace_fd,))

    def spawn(self, argv: tuple[str, ...], fds: tuple[int, ...]) -> int:
        """Start a program there; its ID. fds: inherited by it under the numbers from 3 on; its standard error is the first of them."""
        (pid,), _ = self._ask(("spawn", argv), fds)
        return int(pid)

    def wait(self, pid: int) -> int:
        """Until a program that was started there has ended; its exit status."""
        (status,), _ = self._ask(("wait", pid))
        return int(status)

    def another(self) -> "Outpost":
        """The same process, through a connection of its own."""
        ours, theirs = wire.pair()
        self._ask(("door",), (theirs.fileno(),))
        theirs.close()
        return Outpost(ours, self.pid, self.first_port)

    def dismiss(self) -> None:
        """It ends, and lets go of what it holds."""
        try:
            self._ask(("end",))
        except OSError:
            pass
        self._socket.close()

    def _ask(self, request: "tuple[Any, ...]", fds: tuple[int, ...] = ()) -> "tuple[tuple[Any, ...], list[int]]":
        wire.send(self._socket, request, fds)
        answer, received = wire.receive(self._socket)
        if answer is None:
            raise OSError(5, "the process that keeps the way out is gone")
        if answer[0] == "failed":
            raise OSError(answer[1], os.strerror(answer[1]))
        return answer[1:], received


def post() -> Outpost:
    """Leave a process here, in the network that we are in now."""
    ours, theirs = wire.pair()
    first_port = int(namespace.read_sysctl("net/ipv4/ip_unprivileged_port_start") or 1024)
    pid = os.fork()
    if not pid:
        try:
            close_range(3, theirs.fileno() - 1)
            close_range(theirs.fileno() + 1)
            process.rename(NAME)
            _Stay(theirs).run()
        finally:
            os._exit(1)
    theirs.close()
    return Outpost(ours, pid, first_port)


class _Stay:
    """The process itself."""

    def __init__(self, door: "_socket.socket") -> None:
        self._doors = {door.fileno(): door}
        self._held: list[int] = []

    def run(self) -> None:
        while self._doors:
            ready, _, _ = select.select(list(self._doors), [], [])
            for fd in ready:
                self._on_request(self._doors[fd])
        if self._held:
            select.select([], [], [])                     # the agent was killed: another one comes for what is held, and ends us
        os._exit(0)

    def _on_request(self, door: "_socket.socket") -> None:
        message, fds = wire.receive(door)
        if message is None:
            del self._doors[door.fileno()]
            door.close()
            return
        try:
            answer, sent = self._answer(message, fds)
        except OSError as error:
            answer, sent = ("failed", error.errno or 5), ()
        try:
            wire.send(door, answer, sent)
        except OSError:
            pass
        for fd in (*fds, *sent):
            os.close(fd)

    def _answer(self, message: "tuple[Any, ...]", fds: list[int]) -> "tuple[tuple[Any, ...], tuple[int, ...]]":
        verb = message[0]
        if verb == "socket":
            return ("ok",), (_socket.socket(message[1], message[2] | _socket.SOCK_NONBLOCK).detach(),)
        if verb == "hold":
            self._held.append(os.dup(fds[0]))
        elif verb == "door":
            door = wire.socket_of(os.dup(fds[0]))
            self._doors[door.fileno()] = door
        elif verb == "spawn":
            null = os.open("/dev/null", os.O_RDWR)
            # high copies first, so that none is overwritten before it is used
            high = [os.dup2(fd, 200 + number) for number, fd in enumerate(fds)]
            actions: "list[tuple[int, ...]]" = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, high[0], 2)]
            actions += [(os.POSIX_SPAWN_DUP2, fd, 3 + number) for number, fd in enumerate(high)]
            actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in high]
            try:
                pid = os.posix_spawn(message[1][0], list(message[1]), {"PATH": os.defpath}, file_actions=actions, setsid=True,
                                     setsigmask=(), setsigdef=range(1, 32))
            finally:
                for fd in (null, *high):
                    os.close(fd)
            return ("ok", pid), ()
        elif verb == "wait":
            return ("ok", os.waitstatus_to_exitcode(os.waitpid(message[1], 0)[1])), ()
        elif verb == "end":
            os._exit(0)
        return ("ok",), ()
