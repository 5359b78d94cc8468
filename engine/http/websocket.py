"""Web sockets on a hijacked connection, by wsproto. In: a request for one; out: a `Socket` that receives and sends whole messages.

No extensions are offered: compressed frames of a hostile client could unpack to any size.
"""

from threading import Lock

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from engine.errors import RequestFault
from engine.http.channel import Channel
from engine.http.message import Hijack, Request, Response, WebSocket


def opened(request: Request, content: WebSocket) -> Response:
    """The answer to the handshake, after which the socket runs. Raises RequestFault for what is no handshake of version 13."""
    headers = request.headers
    key = headers.get("sec-websocket-key", "")
    connection = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    if request.method != "GET" or headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in connection or len(key) != 24:
        raise RequestFault(400, "this is answered by a web socket only, and the request does not ask for one")
    if headers.get("sec-websocket-version") != "13":
        raise RequestFault(426, "only version 13 of web sockets is spoken here")
    offered = [token.strip() for token in headers.get("sec-websocket-protocol", "").split(",")]
    chosen = next((name for name in content.protocols if name in offered), "")
    token = generate_accept_token(key.encode("latin-1"))

    def run(channel: Channel) -> None:
        socket = Socket(channel, content.message_limit)
        try:
            content.run(socket)
        finally:
            socket.close()

    accepted = (("Sec-WebSocket-Accept", token.decode() if isinstance(token, bytes) else str(token)),)
    return Response(101, accepted + ((("Sec-WebSocket-Protocol", chosen),) if chosen else ()), Hijack(run, "websocket"))


class Socket:
    """Messages both ways. One thread may receive while others send."""

    def __init__(self, channel: Channel, message_limit: int) -> None:
        self._channel = channel
        self._limit = message_limit
        self._protocol = Connection(ConnectionType.SERVER)
        self._lock = Lock()                            # of the protocol's state and of the order of what is sent
        self._events: "list[object]" = []
        self.code = 0                                  # how the client closed it

    def receive(self) -> "bytes | str | None":
        """The next message, whole; None when the client has closed, left, or broken the protocol."""
        parts: "list[bytes | str]" = []
        size = 0
        while True:
            event = self._next()
            if event is None:
                return None
            if isinstance(event, BytesMessage | TextMessage):
                data = bytes(event.data) if isinstance(event, BytesMessage) else event.data
                size += len(data)
                if size > self._limit:
                    self.close(CloseReason.MESSAGE_TOO_BIG, f"a message has more than {self._limit} bytes")
                    return None
                parts.append(data)
                if event.message_finished:
                    return b"".join(parts) if isinstance(data, bytes) else "".join(parts)  # type: ignore[arg-type]  # all are of one kind

    def _next(self) -> object:
        while not self._events:
            data = self._channel.receive()
            if not data:
                return None
            with self._lock:
                try:
                    self._protocol.receive_data(data)
                    self._events += self._protocol.events()
                except RemoteProtocolError as error:
                    self._close(error.event_hint.code if isinstance(error.event_hint, CloseConnection) else CloseReason.PROTOCOL_ERROR, "")
                    return None
        event = self._events.pop(0)
        if isinstance(event, Ping):
            self._answer(event.response())
        elif isinstance(event, CloseConnection):
            self.code = int(event.code)
            self._answer(event.response())
            return None
        return event

    def send(self, data: "bytes | str") -> None:
        """One message. After a close it does nothing."""
        self._answer(BytesMessage(data=data) if isinstance(data, bytes) else TextMessage(data=data))

    def close(self, code: int = CloseReason.NORMAL_CLOSURE, reason: str = "") -> None:
        """Say goodbye. Idempotent."""
        with self._lock:
            self._close(code, reason)

    def _close(self, code: int, reason: str) -> None:
        if self._protocol.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self._channel.send(self._protocol.send(CloseConnection(code=code, reason=reason or None)))

    def _answer(self, event: "BytesMessage | TextMessage | Pong | CloseConnection") -> None:
        with self._lock:
            try:
                data = self._protocol.send(event)
            except LocalProtocolError:
                return                                 # it is closed already
            self._channel.send(data)
