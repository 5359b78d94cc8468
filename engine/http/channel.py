"""A hijacked connection: raw bytes both ways after the head. In: the stream, and what the client had sent behind its request; out: those bytes first.

One thread may receive while another sends. b"" from `receive` is the client's half-close: what is sent still reaches it.
"""

from collections.abc import Callable

from engine.http.stream import Stream


class Channel:
    __slots__ = ("_early", "_stream", "received", "sent")

    def __init__(self, stream: Stream, early: bytes = b"") -> None:
        self._stream = stream
        self._early = early
        self.received = self.sent = 0

    def receive(self, size: int = 64 << 10) -> bytes:
        """Waits for at least one byte; b"" when the client will send no more."""
        if self._early:
            data, self._early = self._early[:size], self._early[size:]
        else:
            data = self._stream.receive(size)
        self.received += len(data)
        return data

    def send(self, data: "bytes | bytearray | memoryview") -> None:
        """All of it, waiting as long as the client does not take it."""
        self._stream.send(data)
        self.sent += len(data)

    def half_close(self) -> None:
        """Nothing more will be sent; `receive` goes on."""
        self._stream.half_close()

    def fileno(self) -> int:
        """For poll: but ask `buffered` first, there may be bytes that the socket does not know of any more."""
        return self._stream.fileno()

    def buffered(self) -> bool:
        """Whether `receive` would give something at once without the socket."""
        return bool(self._early) or self._stream.buffered()

    def limit_receive(self, seconds: float) -> None:
        """How long `receive` waits before it raises TimeoutError; 0, as it is in the beginning: for ever."""
        self._stream.limit_receive(seconds)

    def is_gone(self) -> bool:
        return self._stream.is_gone()

    def interrupt(self) -> None:
        """From another thread: end it now, both ways; who waits in `receive` gets b""."""
        self._stream.interrupt()


def pump(channel: Channel, write: "Callable[[bytes], object]") -> None:
    """Give all that the client sends to `write`, until its half-close."""
    while data := channel.receive():
        write(data)
