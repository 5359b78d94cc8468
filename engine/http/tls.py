"""TLS: a server's context from its files, and a stream over OpenSSL's memory buffers.

Not `SSLSocket`: there one half cannot be closed while the other goes on, and two threads cannot wait at once. Here OpenSSL only computes, under a
lock that is never held while waiting; the socket is read and written outside of it.
"""

import os
import socket
import ssl
import time
from threading import Lock

from engine.errors import InvalidCertificate
from engine.http.stream import Stream, has_hung_up

_PLAIN = (b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
          b"an HTTP request was sent to where TLS is spoken: ask by https\n")
_PIECE = 256 << 10


def server_context(certificate: str, key: str, client_authorities: str = "") -> ssl.SSLContext:
    """A context from PEM files. client_authorities: who must have signed the client's certificate; "" asks for none.

    Raises InvalidCertificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, certificate, key)
    if client_authorities:
        try:
            context.load_verify_locations(client_authorities)
        except (OSError, ssl.SSLError) as error:
            raise InvalidCertificate(client_authorities, _reason(error)) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Use these from the next handshake on; also to renew them while serving. Raises InvalidCertificate."""
    def no_password() -> str:
        raise InvalidCertificate(key or certificate, "its key is encrypted")

    try:
        context.load_cert_chain(certificate, key or None, password=no_password)
    except (OSError, ssl.SSLError) as error:
        wrong = next((path for path in (certificate, key) if path and not os.access(path, os.R_OK)), certificate)
        raise InvalidCertificate(wrong, _reason(error)) from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no PEM certificate and key").lower().replace("_", " ")
    return (error.strerror or "it cannot be read").lower()


class TlsStream(Stream):
    """The server's side of a TLS connection."""

    scheme = "https"

    def __init__(self, connected: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(connected)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._computing = Lock()                       # OpenSSL's state: never held while waiting
        self._sending = Lock()                         # keeps what is sent in the order in which it was encrypted
        self._decrypted = bytearray()                  # taken out early by half_close
        self._ended = False

    def handshake(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self.limit_receive(max(until - time.monotonic(), 0.01))
                self._feed()
                continue
            except ssl.SSLError as error:
                if error.reason == "HTTP_REQUEST":     # a client that knows no alerts
                    super().send(_PLAIN)
                else:
                    self._flush()                      # the alert that says why
                raise
            self._flush()
            return

    def certificate(self) -> "dict[str, object] | None":
        return dict(self._tls.getpeercert() or {}) or None

    # ------------------------------------------------------------ bytes
    def receive_into(self, view: memoryview) -> int:
        while True:
            with self._computing:
                count = self._take(view)
            self._flush()
            if count >= 0:
                return count
            self._feed()

    def receive(self, size: int) -> bytes:
        buffer = bytearray(min(size, 16 << 10))        # a record has no more
        return bytes(buffer[:self.receive_into(memoryview(buffer))])

    def _take(self, view: memoryview) -> int:
        """Decrypted bytes into `view`; 0 at the end, -1 if more must come from the socket first."""
        if self._decrypted:
            count = min(len(view), len(self._decrypted))
            view[:count] = self._decrypted[:count]
            del self._decrypted[:count]
            return count
        count = 0
        while count < len(view) and not self._ended:
            try:
                taken: int = self._tls.read(len(view) - count, view[count:])  # type: ignore[assignment]  # as it is with a buffer
            except ssl.SSLWantReadError:
                return count or -1
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                taken = 0
            count += taken
            self._ended = not taken
        return count

    def _feed(self) -> None:
        """One receive from the socket into OpenSSL."""
        data = super().receive(_PIECE)
        with self._computing:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def send(self, data: "bytes | bytearray | memoryview", *, more: bool = False) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            with self._sending:
                with self._computing:
                    self._tls.write(view[start:start + _PIECE])
                    encrypted = self._outgoing.read()
                super().send(encrypted, more=more)
        self._flush()

    def send_file(self, fd: int, offset: int, count: int) -> None:
        while count:
            data = os.pread(fd, min(count, _PIECE), offset)
            if not data:
                raise ConnectionError("the file became shorter while it was sent")
            self.send(data)
            offset += len(data)
            count -= len(data)

    def _flush(self) -> None:
        """Send what OpenSSL has made beside the data: handshakes, alerts, key updates. If somebody is sending, that one does it."""
        while self._outgoing.pending and self._sending.acquire(blocking=False):
            try:
                with self._computing:
                    encrypted = self._outgoing.read()
                super().send(encrypted)
            finally:
                self._sending.release()

    def buffered(self) -> bool:
        return bool(self._decrypted or self._tls.pending() or self._incoming.pending)

    # ------------------------------------------------------------ the end
    def is_gone(self) -> bool:
        return has_hung_up(self.socket.fileno())

    def half_close(self) -> None:
        try:
            with self._sending:
                with self._computing:
                    self._take_early()
                    try:
                        self._tls.unwrap()
                    except ssl.SSLError:
                        pass                           # "want read": the peer's own close_notify is not there yet, and need not be
                    encrypted = self._outgoing.read()
                super().send(encrypted)
        except OSError:
            pass                                       # the peer was faster

    def _take_early(self) -> None:
        """Decrypt what has come in already: OpenSSL's shutdown would stumble over it."""
        early = bytearray(16 << 10)
        while (count := self._take_new(early)) > 0:
            self._decrypted += early[:count]

    def _take_new(self, buffer: bytearray) -> int:
        kept, self._decrypted = self._decrypted, bytearray()
        try:
            return self._take(memoryview(buffer))
        finally:
            self._decrypted = kept

    def close(self) -> None:
        self.limit_send(1.0)
        self.half_close()
        super().close()
