"""One TCP connection to a published port, carried on to the container: bytes move in the kernel, from socket to pipe to socket.

Sockets are watched edge-triggered: whoever is told about one has to pump until nothing moves any more, or be pumped again.
"""

import _socket
import errno
import fcntl
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Pipe: TypeAlias = tuple[int, int]

_CAPACITY = 1 << 18
_SPARE = 32
_ROUNDS = 8                                               # of one connection before others have their turn
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", 1031)
_RESET = struct.pack("ii", 1, 0)                          # SO_LINGER: close with a reset


class Pipes:
    """Empty pipes, kept for the next who needs one: an idle connection has none."""

    def __init__(self) -> None:
        self._spare: "list[Pipe]" = []

    def take(self) -> "Pipe":
        if self._spare:
            return self._spare.pop()
        pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.fcntl(pipe[1], _F_SETPIPE_SZ, _CAPACITY)
        except OSError:
            pass                                          # the user has many already: this one is of the usual size
        return pipe

    def give_back(self, pipe: "Pipe") -> None:
        if len(self._spare) < _SPARE:
            self._spare.append(pipe)
        else:
            discard(pipe)


def discard(pipe: "Pipe") -> None:
    os.close(pipe[0])
    os.close(pipe[1])


class _Flow:
    """One direction. held: bytes that are in the pipe; ended: the source has no more; shut: and the sink knows it."""

    __slots__ = ("ended", "held", "pipe", "shut", "sink", "source")

    def __init__(self, source: "_socket.socket", sink: "_socket.socket") -> None:
        self.source = source
        self.sink = sink
        self.pipe: "Pipe | None" = None
        self.held = 0
        self.ended = False
        self.shut = False

    def pump(self, pipes: Pipes) -> bool:
        """Whether there may be more to move. Raises OSError when either end is broken."""
        if self.shut:
            return False
        if self.pipe is None:
            self.pipe = pipes.take()
        more = True
        for _ in range(_ROUNDS):
            more = self._fill() | self._drain()
            if not more:
                break
        if not self.held:
            pipes.give_back(self.pipe)
            self.pipe = None
            if self.ended:
                self.shut = True
                self.sink.shutdown(_socket.SHUT_WR)
        return more

    def _fill(self) -> bool:
        assert self.pipe
        if self.ended or self.held >= _CAPACITY:
            return False
        try:
            count = os.splice(self.source.fileno(), self.pipe[1], _CAPACITY - self.held, flags=_FLAGS)
        except BlockingIOError:
            return False
        self.ended = not count
        self.held += count
        return count > 0

    def _drain(self) -> bool:
        assert self.pipe
        if not self.held:
            return False
        try:
            count = os.splice(self.pipe[0], self.sink.fileno(), self.held, flags=_FLAGS)
        except BlockingIOError:
            return False
        self.held -= count
        return count > 0


class Relay:
    """client: accepted, not blocking; server: not blocking, its connection under way."""

    __slots__ = ("_connected", "_flows", "client", "server")

    def __init__(self, client: "_socket.socket", server: "_socket.socket") -> None:
        self.client = client
        self.server = server
        self._connected = False
        self._flows = (_Flow(client, server), _Flow(server, client))

    def pump(self, pipes: Pipes) -> "bool | None":
        """Whether there may be more to move; None: it is over, close it."""
        try:
            if not self._connected:
                if failure := self.server.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR):
                    raise OSError(failure, os.strerror(failure))
                try:
                    self.server.getpeername()
                except OSError as error:
                    if error.errno == errno.ENOTCONN:
                        return False                      # still under way
                    raise
                self._connected = True
            more = self._flows[0].pump(pipes) | self._flows[1].pump(pipes)
        except OSError:
            self._reset()
            return None
        return None if self._flows[0].shut and self._flows[1].shut else more

    def _reset(self) -> None:
        """Both ends shall see that it broke, not that it ended."""
        for socket in (self.client, self.server):
            try:
                socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET)
            except OSError:
                pass

    def refuse(self) -> None:
        """Nobody is there."""
        self._reset()
        self.close()

    def close(self) -> None:
        for flow in self._flows:
            if flow.pipe:
                discard(flow.pipe)                        # what is in it is lost with the connection
                flow.pipe = None
        self.client.close()
        self.server.close()
