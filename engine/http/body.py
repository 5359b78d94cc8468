"""Bodies of requests: read by length straight from the connection, or by chunks through h11. In: a stream that stands behind a head; out: bytes.

Read them to their end or not at all: what the handler leaves is the connection's affair. Every wait is bounded by the limits.
"""

import time
from collections.abc import Callable, Iterator

import h11

from engine.errors import ClientGone, RequestFault
from engine.http.limits import Limits
from engine.http.stream import Stream

_PIECE = 1 << 20
_CHUNKED_PIECE = 256 << 10


class Body:
    """An empty one, and what all have in common."""

    length: "int | None" = 0                           # bytes; None: as many as come

    def __init__(self) -> None:
        self.received = 0
        self.complete = True
        self.started = True                            # False: the client waits to be told to go on

    def receive_into(self, view: memoryview) -> int:
        """At least one byte into `view`; 0 at the end. Raises ClientGone if the connection ends first, RequestFault if the body is too slow."""
        return 0

    def leftover(self) -> bytes:
        """What came behind the body: the next request, or the first bytes of a hijacked stream."""
        return b""

    def pieces(self, size: int = _PIECE) -> "Iterator[memoryview]":
        """All of it, bit by bit. Each view is good until the next is asked for."""
        buffer = memoryview(bytearray(size if self.length is None else max(1, min(size, self.length))))
        while count := self.receive_into(buffer):
            yield buffer[:count]

    def read(self, limit: int) -> bytes:
        """All of it. Raises RequestFault (413) above `limit` bytes."""
        if self.length is not None and self.length > limit:
            raise RequestFault(413, f"the body has {self.length} bytes, and {limit} are allowed here")
        found = bytearray()
        for piece in self.pieces(64 << 10):
            found += piece
            if len(found) > limit:
                raise RequestFault(413, f"the body has more than the {limit} bytes that are allowed here")
        return bytes(found)


class _Timed(Body):
    """A body that comes over the connection: every wait has an end, and so has the whole."""

    def __init__(self, stream: Stream, limits: Limits, go_on: "Callable[[], None] | None") -> None:
        super().__init__()
        self._stream, self._limits, self._go_on = stream, limits, go_on
        self.complete = False
        self.started = go_on is None
        self._began = 0.0

    def _start(self) -> None:
        self._began = time.monotonic()
        if self._go_on is not None and not self.started:
            self._go_on()
        self.started = True

    def _wait(self) -> None:
        """Set how long the next receive may take."""
        if not self._began:
            self._start()
        limits = self._limits
        left = self._began + limits.body_s + self.received / limits.body_rate - time.monotonic()
        if left <= 0:
            raise RequestFault(408, f"the body came at less than {limits.body_rate} bytes a second")
        self._stream.limit_receive(limits.body_s if left > limits.body_s else max(left, 0.01))


class SizedBody(_Timed):
    """A body whose length the head says."""

    def __init__(self, stream: Stream, limits: Limits, early: bytes, length: int, go_on: "Callable[[], None] | None" = None) -> None:
        super().__init__(stream, limits, go_on)
        self.length: "int | None" = length
        self._early = early[:length]
        self._rest = early[length:]
        self._left = length                            # not yet given away
        self.complete = not length
        if early:
            self.started = True                        # it did not wait

    def receive_into(self, view: memoryview) -> int:
        if not self._left:
            return 0
        if self._early:
            count = min(len(view), len(self._early))
            view[:count] = self._early[:count]
            self._early = self._early[count:]
        else:
            self._wait()
            try:
                count = self._stream.receive_into(view[:self._left])
            except TimeoutError:
                raise RequestFault(408, "the body did not come in time") from None
            if not count:
                raise ClientGone
        self._left -= count
        self.received += count
        self.complete = not self._left
        return count

    def leftover(self) -> bytes:
        return self._rest


class ChunkedBody(_Timed):
    """A body in chunks; h11 finds their bounds."""

    length: "int | None" = None

    def __init__(self, stream: Stream, limits: Limits, parser: "h11.Connection", go_on: "Callable[[], None] | None" = None) -> None:
        super().__init__(stream, limits, go_on)
        self._parser = parser
        self._early: "bytes | bytearray | memoryview" = b""
        if parser.trailing_data[0]:
            self.started = True

    def receive_into(self, view: memoryview) -> int:
        if not self._early:
            self._early = self._next()
        count = min(len(view), len(self._early))
        view[:count] = self._early[:count]
        self._early = memoryview(self._early)[count:] if count < len(self._early) else b""
        return count

    def _next(self) -> "bytes | bytearray":
        """The next bytes of the body; empty at its end."""
        while not self.complete:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                raise RequestFault(400, f"the body is not chunked as HTTP wants it: {error}") from error
            if event is h11.NEED_DATA:
                self._parser.receive_data(self._more())
            elif isinstance(event, h11.Data):
                self.received += len(event.data)
                return event.data
            else:                                      # EndOfMessage
                self.complete = True
        return b""

    def _more(self) -> bytes:
        self._wait()
        try:
            data = self._stream.receive(_CHUNKED_PIECE)
        except TimeoutError:
            raise RequestFault(408, "the body did not come in time") from None
        if not data:
            raise ClientGone
        return data

    def leftover(self) -> bytes:
        return bytes(self._parser.trailing_data[0]) if self.complete else b""
