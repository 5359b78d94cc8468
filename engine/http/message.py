"""What a handler takes and gives: `Request` -> `Response`. The handler decides; the connection acts on what it returned.

A response's body is one of the kinds below. `File`, `Stream` and `Hijack` hold something open: whoever makes one gives it away, and the connection
closes it, whatever happens.
"""

import os
from collections.abc import Callable, Iterator
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

from engine.errors import ClientGone, RequestFault
from engine.http.body import Body
from engine.http.stream import Stream as Connected
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.http.channel import Channel
    from engine.http.websocket import Socket

_QUERY_FIELDS = 1000


class Peer(Value):
    """Who is at the other end. TCP: host and port; unix socket: uid and pid, as the kernel knows them. certificate: its subject, TLS only."""

    host: str
    port: int = 0
    uid: int = -1
    pid: int = 0
    certificate: "tuple[tuple[str, str], ...]" = ()

    def __str__(self) -> str:
        return f"uid={self.uid}" if self.uid >= 0 else f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Request:
    """One request. `path` is decoded, `query` keeps the last of several values; `parameters` are what the route's pattern named."""

    __slots__ = ("_gone", "_stream", "body", "headers", "method", "parameters", "path", "peer", "queries", "query", "route", "scheme", "target",
                 "user", "version")

    def __init__(self, method: str, target: str, headers: "dict[str, str]", body: Body, peer: Peer, stream: Connected, version: str = "1.1",
                 on_gone: "Callable[[Callable[[], None]], None] | None" = None) -> None:
        """Raises RequestFault for a target that is none."""
        self.method, self.target, self.headers, self.body, self.peer, self.version = method, target, headers, body, peer, version
        self.scheme = stream.scheme
        raw, _, query = _origin_form(target).partition("?")
        self.path = unquote(raw) if "%" in raw else raw
        self.queries: "list[tuple[str, str]]" = _parse_query(query) if query else []
        self.query: "dict[str, str]" = dict(self.queries)
        self.parameters: "dict[str, str]" = {}
        self.route = ""                                # the pattern that matched
        self.user = ""                                 # who the handler found it to be, for the log
        self._stream = stream
        self._gone = on_gone

    def header(self, name: str, default: str = "") -> str:
        """name: lower-case. Several headers of one name are joined with commas."""
        return self.headers.get(name, default)

    # ------------------------------------------------------------ the client may leave
    def is_gone(self) -> bool:
        """Whether the client has closed the connection; never waits."""
        return self._stream.is_gone()

    def on_gone(self, call: "Callable[[], None]") -> None:
        """Let `call` be called, at most once and from another thread, when the client closes the connection while this request is served."""
        if self._gone is not None:
            self._gone(call)

    def wait(self, fds: "tuple[int, ...]", timeout_s: "float | None" = None) -> "tuple[int, ...]":
        """Wait until some of `fds` can be read; those; () after the time. Raises ClientGone when the client leaves meanwhile."""
        import select

        poll = select.poll()
        poll.register(self._stream.fileno(), select.POLLRDHUP)
        for fd in fds:
            poll.register(fd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(None if timeout_s is None else timeout_s * 1000)]
        if self._stream.fileno() in ready and self._stream.is_gone():
            raise ClientGone
        return tuple(fd for fd in ready if fd in fds)


def _origin_form(target: str) -> str:
    """`/path?query`, also of `http://host/path?query` and `*`."""
    if target.startswith("/") or target == "*":
        return target
    scheme, found, rest = target.partition("://")
    if not found or scheme.lower() not in ("http", "https"):
        raise RequestFault(400, "the request's target is no path")
    return "/" + rest.partition("/")[2]


def _parse_query(query: str) -> "list[tuple[str, str]]":
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS)
    except ValueError:
        raise RequestFault(400, f"the query has more than {_QUERY_FIELDS} fields") from None


# ---------------------------------------------------------------- bodies of responses
class File(Value):
    """`length` bytes of the open file `fd` from `offset`."""

    fd: int
    offset: int
    length: int

    def close(self) -> None:
        os.close(self.fd)


class Empty(Value):
    """No body, though the headers say how long it would be: the answer to a HEAD that need not open anything."""

    length: int


class Stream:
    """Bytes as they come; the headers are sent before the first. length: None if it is not known."""

    __slots__ = ("chunks", "length")

    def __init__(self, chunks: "Iterator[bytes | memoryview]", length: "int | None" = None) -> None:
        self.chunks, self.length = chunks, length

    def close(self) -> None:
        close = getattr(self.chunks, "close", None)
        if close is not None:
            close()


class Hijack(Value):
    """The connection stops being HTTP: after the head, `run` has the channel until it returns. reason: the words behind the status.

    With status 101 the head says `Connection: Upgrade` and the protocol; with 200 the bytes are a body that ends with the connection.
    """

    run: "Callable[[Channel], None]"
    protocol: str = "tcp"
    reason: str = ""


class WebSocket(Value):
    """The connection becomes a web socket, `run` has it until it returns. protocols: what this side speaks, the best first."""

    run: "Callable[[Socket], None]"
    protocols: "tuple[str, ...]" = ()
    message_limit: int = 1 << 20                       # bytes of one message


Content: TypeAlias = bytes | File | Empty | Stream | Hijack | WebSocket
Handler: TypeAlias = "Callable[[Request], Response]"


class Response(Value):
    """headers: content-length, date, server and connection are the connection's affair."""

    status: int = 200
    headers: "tuple[tuple[str, str], ...]" = ()
    body: "Content" = b""

    def close(self) -> None:
        """Let go of what the body holds open."""
        if isinstance(self.body, File | Stream):
            self.body.close()


class Done(Value):
    """One request that is over, for logs and metrics. Bytes are of bodies; status 0: the client left before there was an answer."""

    request: Request
    status: int
    received: int
    sent: int
    seconds: float
    began: float                                       # seconds since 1970
    error: str = ""                                    # a fault of this side: type and text of the exception
