"""Requests to the agent: taken from its socket, answered in order, one connection a client. In: marshalled tuples; out: the same, with descriptors.

A request is (verb, fingerprint of the client's code, inode of its user namespace, what the verb takes). Verbs are the `_on_...` methods. What
will hold for every version: the first two fields, the verb "retire" and the answers ("stale",) and ("ok", ...).
"""

import os
import struct
import sys

from runner.agent import process
from runner.agent.errors import NetworkFailed, to_wire
from runner.agent.form import from_plain, to_plain
from runner.agent.loop import Loop
from runner.agent.standing import ELSEWHERE, OURS, REPLACED
from runner.endpoint import Endpoint, Membership
from runner.errors import RunError
from runner.timers import Timer
from sandbox import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import Any

    from runner.agent.service import Service

_SO_PEERCRED, _SOL_SOCKET = 17, 1
_SWEEP_S = 20.0
_LOOK_S = 3.0                                             # well within the patience of whoever waits for us to make way
_QUIET_S = 1.0                                            # nobody asks for so long: then there is time to tidy up
_TOLD = ("expect", "release")                             # verbs that nobody waits for
_PASSING = ("attach", "connect", "acquire")               # verbs that have to do with namespaces, which belong to a user namespace


class _Client:
    __slots__ = ("builds", "expects", "given", "socket")

    def __init__(self, socket: "_socket.socket") -> None:
        self.socket = socket
        self.builds: set[str] = set()                     # namespaces of steps, which it alone has use for
        self.expects = False                              # to take such
        self.given: list[int] = []                        # descriptors that came with its request


class Server:
    """Serves until nobody needs it: `run` returns when it has stopped listening at `path` and nothing is attached.

    standing: as standing.py says it.
    """

    def __init__(self, door: "_socket.socket", path: str, standing: "Callable[[], str]", fingerprint: int, idle_s: float, loop: Loop,
                 service: "Service", notices: list[str]) -> None:
        self._door = door
        self._path = path
        self._standing = standing
        self._fingerprint = fingerprint
        self._idle_s = idle_s
        self._loop = loop
        self._service = service
        self._notices = notices
        self._user_namespace = os.stat("/proc/self/ns/user").st_ino
        self._clients: "dict[int, _Client]" = {}
        self._idle: "Timer | None" = None
        self._tidy: "Timer | None" = None
        self._leaving_early = False                       # for another agent: what runs is left as it is
        self._orphaned = False                            # our directory is gone: nobody finds us any more, and we see to it that it all ends

    def run(self) -> bool:
        """Whether there is to be tidied up; else another agent goes on with what is here."""
        self._door.setblocking(False)
        self._loop.watch(self._door.fileno(), lambda _: self._on_door())
        self._on_door()                                   # who started us waits there
        self._consider_leaving()
        self._loop.after(_SWEEP_S, self._sweep)
        self._loop.after(_LOOK_S, self._look)
        self._loop.run()
        return not self._leaving_early

    # ---------------------------------------------------------------- connections
    def _on_door(self) -> None:
        try:
            fd = self._door._accept()[0]  # type: ignore[attr-defined]
        except OSError:
            return
        socket = wire.socket_of(fd)
        if struct.unpack("3i", socket.getsockopt(_SOL_SOCKET, _SO_PEERCRED, 12))[1] != os.geteuid():
            socket.close()
            return
        self._clients[fd] = _Client(socket)
        self._loop.watch(fd, lambda _: self._on_request(fd))

    def _on_request(self, fd: int) -> None:
        client = self._clients[fd]
        request, fds = wire.receive(client.socket)
        try:
            if request is None:
                self._hang_up(client)
                return
            client.given = fds
            answer, sent = self._answer(client, request)
            if request[0] in _TOLD:
                return
            try:
                wire.send(client.socket, answer, sent)
            except OSError:
                pass                                      # gone: its end of file is on the way
        finally:
            for one in fds:
                os.close(one)
            self._consider_leaving()
            self._loop.after(0, self._refill)
            if self._tidy:
                self._tidy.cancel()
            self._tidy = self._loop.after(_QUIET_S, process.give_back_memory)

    def _answer(self, client: _Client, request: "tuple[Any, ...]") -> "tuple[tuple[Any, ...], tuple[int, ...]]":
        verb, fingerprint, user_namespace, *rest = request
        if verb == "retire":
            self._retire()
            return ("ok",), ()
        if fingerprint != self._fingerprint:
            return ("stale",), ()
        if verb in _PASSING and user_namespace != self._user_namespace:
            if not self._service.keeper.busy():
                return ("stale",), ()
            return ("failed", *to_wire(NetworkFailed("use the networks", "what runs on them belongs to an earlier user namespace of this user",
                                                    "stop those containers first"))), ()
        try:
            value, sent = getattr(self, f"_on_{verb}")(client, *(from_plain(one) for one in rest))
        except RunError as error:
            return ("failed", *to_wire(error)), ()
        except Exception as error:
            sys.excepthook(*sys.exc_info())               # to the log; whoever asked has to hear something
            reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
            return ("failed", *to_wire(NetworkFailed("use the networks", reason, getattr(error, "help", "")))), ()
        if verb in _TOLD:                                 # nobody reads the answer
            return ("ok",), ()
        notices, self._notices[:] = tuple(self._notices), []
        return ("ok", notices, to_plain(value)), sent

    def _hang_up(self, client: _Client) -> None:
        for container in client.builds:
            self._service.keeper.detach(container)
        self._service.stepping.expected -= client.expects
        self._loop.forget(client.socket.fileno())
        del self._clients[client.socket.fileno()]
        client.socket.close()
        self._consider_leaving()

    # ---------------------------------------------------------------- verbs
    def _on_ping(self, client: _Client) -> "tuple[Any, tuple[int, ...]]":
        """Our process ID."""
        return os.getpid(), ()

    def _on_sweep(self, client: _Client) -> "tuple[Any, tuple[int, ...]]":
        """What is done now and then, at once."""
        self._look_after()
        return None, ()

    def _on_attach(self, client: _Client, wanted: Membership) -> "tuple[Any, tuple[int, ...]]":
        result = self._service.keeper.attach(wanted, namespace=client.given[0] if client.given else -1)
        return (result.connections, result.ports, result.hosts, result.resolv_conf), (result.namespace,)

    def _on_detach(self, client: _Client, container: str) -> "tuple[Any, tuple[int, ...]]":
        self._service.keeper.detach(container)
        return None, ()

    def _on_connect(self, client: _Client, container: str, endpoint: Endpoint) -> "tuple[Any, tuple[int, ...]]":
        return self._service.keeper.connect(container, endpoint), ()

    def _on_disconnect(self, client: _Client, container: str, network: str) -> "tuple[Any, tuple[int, ...]]":
        self._service.keeper.disconnect(container, network)
        return None, ()

    def _on_create(self, client: _Client, spec: "Any") -> "tuple[Any, tuple[int, ...]]":
        return self._service.create(spec), ()

    def _on_remove(self, client: _Client, word: str) -> "tuple[Any, tuple[int, ...]]":
        return self._service.remove(word), ()

    def _on_acquire(self, client: _Client, network: str = "") -> "tuple[Any, tuple[int, ...]]":
        """A namespace for one step of a build."""
        self._on_expect(client)
        container, result = self._service.stepping.take(network)
        client.builds.add(container)
        return (container, result.resolv_conf, result.gateway), (result.namespace,)

    def _on_expect(self, client: _Client) -> "tuple[Any, tuple[int, ...]]":
        """It is going to build."""
        if not client.expects:
            client.expects = True
            self._service.stepping.expected += 1
        return None, ()

    def _on_release(self, client: _Client, container: str) -> "tuple[Any, tuple[int, ...]]":
        client.builds.discard(container)
        self._service.keeper.detach(container)
        return None, ()

    # ---------------------------------------------------------------- leaving
    def _sweep(self) -> None:
        self._loop.after(_SWEEP_S, self._sweep)
        self._look_after()

    def _look(self) -> None:
        self._loop.after(_LOOK_S, self._look)
        self._look_around()

    def _look_around(self) -> None:
        """Whether we are found where we were started."""
        where = self._standing()
        if where == REPLACED:                             # it goes on with what is here as soon as we are gone
            self._leaving_early = True
            self._loop.stop()
            return
        self._orphaned = where != OURS                    # what hid it can be taken away again
        self._consider_leaving()

    def _look_after(self) -> None:
        self._look_around()
        self._service.sweep()
        self._consider_leaving()

    def _refill(self) -> None:
        self._service.stepping.refill()
        self._consider_leaving()
        if self._service.keeper.refill():
            self._loop.after(0, self._refill)

    def _consider_leaving(self) -> None:
        if self._orphaned and not self._service.keeper.busy():
            self._leaving_early = not self._unlink()      # it was made again: what is there belongs to another agent by now
            self._loop.stop()
            return
        idle = not self._clients and not self._service.keeper.busy()
        if idle and not self._idle:
            self._idle = self._loop.after(self._idle_s, self._leave)
        elif self._idle and not idle:
            self._idle.cancel()
            self._idle = None

    def _leave(self) -> None:
        """Stop listening. As long as we listen nobody else binds this path; where it leads to another socket, its directory is another one.

        Whoever knocks at this very moment is not let in: the connection breaks when we end, and is made again to the next agent.
        """
        self._idle = None
        self._on_door()
        if self._clients:
            return
        self._leaving_early = not self._unlink()
        self._loop.stop()

    def _retire(self) -> None:
        """Another version takes over, or somebody wants us gone: at once; who runs is left to run."""
        self._leaving_early = not self._unlink() or self._service.keeper.busy()
        self._loop.stop()

    def _unlink(self) -> bool:
        """The socket's name, if it is ours. Whether nobody else is found there now."""
        where = self._standing()
        if where == OURS:
            try:
                os.unlink(self._path)
            except OSError:
                pass                                      # removed with its directory, just now
        return where not in (REPLACED, ELSEWHERE)
