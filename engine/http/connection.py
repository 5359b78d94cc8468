"""One connection: requests are read, given to the handler, answered, until either side has enough. h11 parses and frames; bodies go round it.

Every way out of here closes what the response held open. A handler's exception becomes a response by `on_error`, unless the head was sent
already: then the connection ends without the mark of an end, so that the client knows.
"""

import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

import h11

from engine.errors import ClientGone, RequestFault
from engine.http.body import Body, ChunkedBody, SizedBody
from engine.http.channel import Channel
from engine.http.limits import Limits
from engine.http.message import Done, Empty, File, Handler, Hijack, Peer, Request, Response, Stream, WebSocket
from engine.http.stream import Stream as Connected
from kernel.value import Value

_RECEIVE = 64 << 10
_BODILESS = (204, 304)


class Service(Value):
    """What all connections of a server share. on_done: told of every request that is over."""

    handler: "Handler"
    on_error: "Callable[[Request | None, Exception], Response]"
    on_done: "Callable[[Done], None]"
    limits: Limits
    product: str                                       # the Server header


class Connection:
    """Run `serve` in a thread of its own; other threads may only ask `idle_since`, and call `finish` and `interrupt`."""

    def __init__(self, stream: Connected, peer: Peer, service: Service, watch: "Callable[[int, Callable[[], None] | None], None]",
                 on_idle: "Callable[[], None]") -> None:
        """watch: call this when the peer of the descriptor hangs up, or (None) no longer. on_idle: told before each wait for a request."""
        self._stream, self._peer, self._service, self._watch, self._on_idle = stream, peer, service, watch, on_idle
        self._limits = service.limits
        self._leftover = b""
        self._finishing = False
        self._sent = 0
        self.idle_since = 0.0                          # monotonic; 0.0: at work

    # ------------------------------------------------------------ from other threads
    def finish(self) -> None:
        """Take no further request."""
        self._finishing = True
        if self.idle_since:
            self._stream.end_receiving()

    def interrupt(self) -> None:
        """End it now."""
        self._stream.interrupt()

    # ------------------------------------------------------------ the life of it
    def serve(self) -> None:
        """Until it is over; raises nothing."""
        try:
            self._stream.limit_send(self._limits.send_s)
            self._stream.handshake(self._limits.head_s)
            if certificate := self._stream.certificate():
                self._peer = self._peer._replace(certificate=_subject(certificate))
            while self._exchange():
                pass
        except OSError:
            pass                                       # the client left, or what it speaks is not TLS
        finally:
            self._stream.close()

    def _exchange(self) -> bool:
        """One request and its answer; whether there may be another."""
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head)
        try:
            head = self._read_head(parser)
            if head is None:
                return False
            body = self._body(parser, head)
            request = self._request(head, body)
        except (RequestFault, h11.RemoteProtocolError) as error:
            return self._refuse(parser, error)
        began, clock = time.time(), time.perf_counter()
        self._sent = 0
        status, fault, again = 0, "", False
        try:
            response, fault = self._handle(request)
            status = response.status
            try:
                again = self._answer(parser, request, response)
            finally:
                response.close()
        except ClientGone:
            pass
        except (OSError, h11.LocalProtocolError) as error:
            fault = fault or ("" if isinstance(error, OSError) else f"{type(error).__name__}: {error}")
        except Exception as error:                     # of a body's generator, with the head sent
            fault = f"{type(error).__name__}: {error}"
        finally:
            self._watch(self._stream.fileno(), None)
            self._service.on_done(Done(request, status, body.received, self._sent, time.perf_counter() - clock, began, fault))
        return again

    # ------------------------------------------------------------ reading
    def _read_head(self, parser: "h11.Connection") -> "h11.Request | None":
        """The next request's head; None when there is none. A client that takes its time for it is cut off."""
        if self._leftover:
            parser.receive_data(self._leftover)
        started = time.monotonic() if self._leftover else 0.0
        self._leftover = b""
        try:
            while (event := parser.next_event()) is h11.NEED_DATA:
                if not started:
                    data = self._wait_idle()
                    started = time.monotonic()
                else:
                    self._stream.limit_receive(max(self._limits.head_s - (time.monotonic() - started), 0.01))
                    data = self._stream.receive(_RECEIVE)
                if not data:
                    return None
                parser.receive_data(data)
        except TimeoutError:
            if started:
                raise RequestFault(408, "the request's headers did not come in time") from None
            return None
        return event if isinstance(event, h11.Request) else None

    def _wait_idle(self) -> bytes:
        self._stream.limit_receive(self._limits.idle_s)
        self.idle_since = time.monotonic()
        self._on_idle()
        try:
            return b"" if self._finishing else self._stream.receive(_RECEIVE)
        finally:
            self.idle_since = 0.0

    def _body(self, parser: "h11.Connection", head: "h11.Request") -> Body:
        """The request's body, and in it whatever else came with the head."""
        if not head.http_version.startswith(b"1."):
            raise RequestFault(505, "only HTTP/1.1 and 1.0 are spoken here")
        early = bytes(parser.trailing_data[0])
        lengths = [value for name, value in head.headers if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _ in head.headers)
        if chunked and (lengths or head.http_version == b"1.0"):
            raise RequestFault(400, "the body is both chunked and not")          # what request smuggling is made of
        go_on = self._go_on if parser.they_are_waiting_for_100_continue else None
        if chunked:
            return ChunkedBody(self._stream, self._limits, parser, go_on)
        if lengths and int(lengths[0]):
            return SizedBody(self._stream, self._limits, early, int(lengths[0]), go_on)
        self._leftover = early
        return Body()

    def _go_on(self) -> None:
        self._stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _request(self, head: "h11.Request", body: Body) -> Request:
        headers: "dict[str, str]" = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Request(head.method.decode("latin-1"), head.target.decode("latin-1"), headers, body, self._peer, self._stream,
                       head.http_version.decode("latin-1"), lambda call: self._watch(self._stream.fileno(), lambda: self._left(call)))

    def _left(self, call: "Callable[[], None]") -> None:
        if self._stream.is_gone():                     # else it has only said that this was its last request
            call()

    def _handle(self, request: Request) -> "tuple[Response, str]":
        """The response, and what went wrong on this side, if anything."""
        try:
            response = self._service.handler(request)
            if isinstance(response.body, WebSocket):
                from engine.http.websocket import opened

                response = opened(request, response.body)
            return response, ""
        except ClientGone:
            raise
        except Exception as error:
            response = self._service.on_error(request, error)
            return response, f"{type(error).__name__}: {error}" if response.status >= 500 else ""

    # ------------------------------------------------------------ answering
    def _answer(self, parser: "h11.Connection", request: Request, response: Response) -> bool:
        """Send the response; whether the connection can be used again."""
        content = response.body
        if isinstance(content, Hijack):
            return self._hijack(request, response, content)
        drained = self._drain(request.body)
        if not isinstance(content, Stream):
            self._watch(self._stream.fileno(), None)   # before the client has all it wants, and may close
        headers = [("Date", _date()), ("Server", self._service.product), *response.headers]
        if response.status not in _BODILESS and (length := _length(content)) is not None:
            headers.append(("Content-Length", str(length)))
        if not drained or self._finishing:
            headers.append(("Connection", "close"))
        head = parser.send(h11.Response(status_code=response.status, headers=headers, reason=_reason(response.status))) or b""
        bodiless = request.method == "HEAD" or response.status in _BODILESS
        self._send_content(parser, head, b"" if bodiless else content)
        if end := parser.send(h11.EndOfMessage()):
            self._stream.send(end)
        if not drained:
            self._linger()
            return False
        self._leftover = request.body.leftover() or self._leftover
        return parser.our_state is h11.DONE

    def _send_content(self, parser: "h11.Connection", head: bytes, content: object) -> None:
        stream = self._stream
        if isinstance(content, bytes):
            if content:
                parser.send_with_data_passthrough(h11.Data(data=content))
                self._sent += len(content)
            stream.send(head + content if len(content) < _RECEIVE else head, more=len(content) >= _RECEIVE)
            if len(content) >= _RECEIVE:
                stream.send(content)
        elif isinstance(content, File):
            stream.send(head, more=content.length > 0)
            parser.send_with_data_passthrough(h11.Data(data=_Sized(content.length)))  # type: ignore[arg-type]  # h11 wants the length only
            stream.send_file(content.fd, content.offset, content.length)
            self._sent += content.length
        elif isinstance(content, Stream):
            stream.send(head)
            for chunk in content.chunks:
                for part in parser.send_with_data_passthrough(h11.Data(data=chunk)) or ():  # type: ignore[arg-type]  # a view will do
                    stream.send(part, more=len(part) < 16)
                self._sent += len(chunk)
            self._watch(stream.fileno(), None)
        else:
            stream.send(head)

    def _drain(self, body: Body) -> bool:
        """Read what the handler has left of the body, if that is little; False: it is not at its end, and the connection has to be."""
        if body.complete:
            return True
        if not body.started or (body.length is not None and body.length - body.received > self._limits.drain):
            return False
        limit = body.received + self._limits.drain
        try:
            for _ in body.pieces(_RECEIVE):
                if body.received > limit:
                    return False
        except (RequestFault, OSError):
            return False
        return True

    def _linger(self) -> None:
        """The client is still sending: closing now would reset the connection, and it would never see the answer."""
        self._stream.half_close()
        self._stream.limit_receive(self._limits.linger_s)
        until = time.monotonic() + self._limits.linger_s
        try:
            while time.monotonic() < until and self._stream.receive(_RECEIVE):
                pass
        except OSError:
            pass

    def _refuse(self, parser: "h11.Connection", error: Exception) -> bool:
        """Answer what is no request of ours, and close."""
        status = error.status if isinstance(error, RequestFault) else getattr(error, "error_status_hint", 400)
        response = self._service.on_error(None, RequestFault(status, str(error)))
        body = response.body if isinstance(response.body, bytes) else b""
        lines = [f"HTTP/1.1 {response.status} {_reason(response.status).decode()}", f"Date: {_date()}", f"Server: {self._service.product}",
                 *(f"{name}: {value}" for name, value in response.headers), f"Content-Length: {len(body)}", "Connection: close", "", ""]
        self._stream.send("\r\n".join(lines).encode("latin-1") + body)
        self._linger()
        return False

    # ------------------------------------------------------------ leaving HTTP
    def _hijack(self, request: Request, response: Response, content: Hijack) -> bool:
        """Send the head, then let the handler have the connection. Never again HTTP."""
        ending = [("Connection", "Upgrade"), ("Upgrade", content.protocol)] if response.status == 101 else [("Connection", "close")]
        self._stream.send(_raw_head(response.status, content.reason, [*response.headers, *ending]))
        self._stream.limit_receive(0)
        self._stream.limit_send(0)
        channel = Channel(self._stream, request.body.leftover() or self._leftover)
        try:
            content.run(channel)
        finally:
            request.body.received += channel.received
            self._sent += channel.sent
        return False


class _Sized:
    """Stands for so many bytes, where only their number is asked for."""

    __slots__ = ("_length",)

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


def _length(content: object) -> "int | None":
    if isinstance(content, bytes):
        return len(content)
    return content.length if isinstance(content, File | Empty | Stream) else None


def _raw_head(status: int, reason: str, headers: "list[tuple[str, str]]") -> bytes:
    lines = [f"HTTP/1.1 {status} {reason or _reason(status).decode()}", *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header with a line break")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


_reasons = {status.value: status.phrase.encode() for status in HTTPStatus}
_last_date = (0, "")


def _reason(status: int) -> bytes:
    return _reasons.get(status, b"")


def _date() -> str:
    global _last_date
    now = int(time.time())
    if _last_date[0] != now:
        _last_date = (now, formatdate(now, usegmt=True))
    return _last_date[1]


def _subject(certificate: "dict[str, object]") -> "tuple[tuple[str, str], ...]":
    """The subject of a certificate as Python's ssl gives it: names and values."""
    subject = certificate.get("subject", ())
    assert isinstance(subject, tuple)
    return tuple((str(name), str(value)) for part in subject for name, value in part)


