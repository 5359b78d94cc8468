"""A connected socket as a stream of bytes, plain or TLS. In: bytes to send; out: bytes received, b"" when the peer will send no more.

One thread may receive while another sends. Either side can end its own half (`half_close`) and go on with the other, under TLS too: there
the end of a half is a close_notify. Timeouts are the kernel's (SO_RCVTIMEO), so that a wait costs one system call.
"""

import mmap
import os
import select
import socket
import struct

_MAPPED = 8 << 20                                      # bytes of a file that are mapped at once


class Stream:
    """A plain one. All methods raise OSError when the connection is broken, TimeoutError when the peer is too slow."""

    scheme = "http"

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._receive_limit = self._send_limit = 0.0

    def handshake(self, seconds: float) -> None:
        """Agree on what has to be agreed on before the first byte; in this time."""

    def fileno(self) -> int:
        return self.socket.fileno()

    def certificate(self) -> "dict[str, object] | None":
        """The client's certificate, verified; None if it has shown none."""
        return None

    # ------------------------------------------------------------ limits
    def limit_receive(self, seconds: float) -> None:
        """How long a receive may wait; 0: for ever."""
        if seconds != self._receive_limit:
            self._receive_limit = seconds
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))

    def limit_send(self, seconds: float) -> None:
        """How long a send may wait for the peer to take some bytes; 0: for ever."""
        if seconds != self._send_limit:
            self._send_limit = seconds
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))

    # ------------------------------------------------------------ bytes
    def receive_into(self, view: memoryview) -> int:
        """At least one byte, as many as are there and fit; 0 when the peer will send no more."""
        try:
            return self.socket.recv_into(view)
        except BlockingIOError:
            raise TimeoutError("nothing was received in time") from None

    def receive(self, size: int) -> bytes:
        try:
            return self.socket.recv(size)
        except BlockingIOError:
            raise TimeoutError("nothing was received in time") from None

    def send(self, data: "bytes | bytearray | memoryview", *, more: bool = False) -> None:
        """All of it. more: further bytes follow at once, so that they can go in one packet."""
        try:
            self.socket.sendall(data, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            raise TimeoutError("nothing was taken in time") from None

    def send_file(self, fd: int, offset: int, count: int) -> None:
        """`count` bytes of an open file; raises ConnectionError if it has fewer."""
        if count >= _MAPPED and is_local(self.socket):
            self._send_mapped(fd, offset, count)
            return
        end = offset + count
        while offset < end:
            try:
                sent = os.sendfile(self.socket.fileno(), fd, offset, min(end - offset, 1 << 30))
            except BlockingIOError:
                raise TimeoutError("nothing was taken in time") from None
            if not sent:
                raise ConnectionError("the file became shorter while it was sent")
            offset += sent

    def _send_mapped(self, fd: int, offset: int, count: int) -> None:
        """As send_file, for a peer on this machine: sendfile hands over single pages, and picking those up costs it more than a copy costs us."""
        end = offset + count
        while offset < end:
            start = offset - offset % mmap.ALLOCATIONGRANULARITY
            try:
                mapped = mmap.mmap(fd, min(end - start, _MAPPED), mmap.MAP_SHARED, mmap.PROT_READ, offset=start)
            except ValueError:
                raise ConnectionError("the file became shorter while it was sent") from None
            with mapped, memoryview(mapped) as view, view[offset - start:] as piece:
                Stream.send(self, piece)
                offset += len(piece)

    def buffered(self) -> bool:
        """Whether `receive` would give something without asking the socket."""
        return False

    # ------------------------------------------------------------ the end
    def is_gone(self) -> bool:
        """Whether the peer has closed its side and left nothing to read; never waits."""
        if not has_hung_up(self.socket.fileno()):
            return False
        try:
            return not self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def half_close(self) -> None:
        """Say that nothing more will be sent; what the peer sends can still be received."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass                                       # the peer was faster

    def end_receiving(self) -> None:
        """From another thread: what has come can still be received, then comes the end of the stream; sending goes on."""
        try:
            self.socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass

    def interrupt(self) -> None:
        """End it from another thread: who waits for bytes gets the end of the stream."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        self.socket.close()


def is_local(connected: socket.socket) -> bool:
    """Whether the peer is on this machine: it has the address that we have."""
    if connected.family == socket.AF_UNIX:
        return True
    return bool(connected.getsockname()[0] == connected.getpeername()[0])


def has_hung_up(fd: int) -> bool:
    """Whether the peer's side of the socket is closed."""
    poll = select.poll()
    poll.register(fd, select.POLLRDHUP)
    return bool(poll.poll(0))


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6) or (1 if 0 < seconds < 1e-6 else 0))
