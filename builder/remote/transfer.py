"""HTTP: an address and what is known of it -> its body, in a sink. Redirects are followed here, one by one; a broken transfer is taken up again.

Read in this order: `Known` (what an earlier answer said), `Sink`, `Http.download`. The only importer of urllib3 in this room.
"""

import time

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, NameResolutionError, NewConnectionError, ProxyError, SSLError, TimeoutError

from builder.remote.address import Address, follow, shown
from builder.remote.errors import BadAddress, DownloadFailed
from builder.remote.proxy import proxy_for
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol

    from urllib3 import BaseHTTPResponse

    class Sink(Protocol):
        """Where a body goes. size: bytes so far."""

        @property
        def size(self) -> int: ...
        def write(self, data: bytes) -> None: ...
        def restart(self) -> None: ...

NOT_MODIFIED = 304
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_HOPS = 10
_CHUNK = 256 << 10
_STRONG_S = 60                   # a file that had just been changed when it was answered may have changed again within the same second


class Limits(Value):
    """What a download may take. Seconds and bytes; idle_s: without a byte; wait_s: the longest that a server may have us wait."""

    size: int = 64 << 30
    total_s: float = 6 * 3600.0
    connect_s: float = 30.0
    idle_s: float = 60.0
    attempts: int = 4
    pause_s: float = 0.3         # before the second attempt, twice as much before each further one
    wait_s: float = 30.0


class Known(Value):
    """What an answer said about its body, to ask later whether it still holds. A validator that cannot be trusted is ""."""

    etag: str = ""
    last_modified: str = ""

    def conditions(self) -> dict[str, str]:
        found = {"If-None-Match": self.etag} if self.etag else {}
        return found if found or not self.last_modified else {"If-Modified-Since": self.last_modified}


class Answer(Value):
    """status: 200, or 304 for "as it was": then nothing is in the sink. last_modified: seconds since the epoch, 0 if the server does not say."""

    status: int
    known: Known
    last_modified: int = 0


LIMITS, NOTHING = Limits(), Known()


class _Again(Exception):
    """Worth another attempt. `reason` for people; wait_s: what the server asks for."""

    def __init__(self, reason: str, status: int = 0, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.status, self.wait_s = reason, status, wait_s


class Http:
    """Downloads through the proxies that the environment names. note: told a word now and then, for progress."""

    def __init__(self, environment: "Mapping[str, str]", limits: Limits = LIMITS,
                 note: "Callable[[str], None]" = lambda text: None) -> None:
        self._environment, self._limits, self._note = environment, limits, note
        self._pools: dict[str, urllib3.PoolManager] = {}

    def download(self, address: Address, sink: "Sink", *, authorization: str = "", known: Known = NOTHING) -> Answer:
        """Write the body into the sink, from its beginning to its end.

        authorization: told to the address's own origin only. known: of the body that is here already: if it is as it was, nothing comes.
        Raises DownloadFailed, BadAddress (of a redirect). What has come is then still in the sink.
        """
        transfer = _Transfer(self, address, sink, authorization, known, self._limits)
        pause = self._limits.pause_s
        for attempt in range(1, self._limits.attempts + 1):
            try:
                return transfer.attempt()
            except _Again as trouble:
                if attempt == self._limits.attempts:
                    raise DownloadFailed(shown(address.url), trouble.reason, status=trouble.status) from trouble
                self._note(f"{trouble.reason}; trying again")
                time.sleep(max(pause, trouble.wait_s))
                pause *= 2
        raise AssertionError("no attempt was made")

    def ask(self, address: Address, headers: dict[str, str], authorization: str) -> "tuple[BaseHTTPResponse, Address]":
        """The answer behind all redirects, its body unread, and who gave it. Raises _Again, DownloadFailed, BadAddress."""
        here = address
        for _ in range(_HOPS):
            own = {"Authorization": authorization} if authorization and here.origin == address.origin else {}
            response = self._request(here, {**headers, **own})
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return response, here
            response.close()
            try:
                there = follow(here, location)
            except BadAddress as error:
                raise DownloadFailed(shown(address.url), f"it redirects to `{error.address}`: {error.reason}") from error
            if (here.scheme, there.scheme) == ("https", "http"):
                self._note(f"redirected to {shown(there.url)}, which is not encrypted")
            here = there
        raise DownloadFailed(shown(address.url), f"it redirects more than {_HOPS} times")

    def _request(self, address: Address, headers: dict[str, str]) -> "BaseHTTPResponse":
        try:
            return self._pool(proxy_for(address, self._environment)).request(
                "GET", address.url, headers=headers, redirect=False, retries=False, preload_content=False, decode_content=False,
                timeout=urllib3.Timeout(connect=self._limits.connect_s, read=self._limits.idle_s))
        except (LocationParseError, UnicodeError) as error:
            raise DownloadFailed(shown(address.url), "it is no URL") from error
        except HTTPError as error:
            raise _explained(error, address) from error

    def _pool(self, proxy: str) -> urllib3.PoolManager:
        pool = self._pools.get(proxy)
        if pool is None:
            if not proxy:
                pool = urllib3.PoolManager()
            elif proxy.startswith(("http://", "https://")):
                user = urllib3.util.parse_url(proxy).auth
                pool = urllib3.ProxyManager(proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=user) if user else None)
            else:
                raise BadAddress(shown(proxy), "only http and https proxies are known", help="the environment names it (all_proxy and its like)")
            self._pools[proxy] = pool
        return pool

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()
        self._pools.clear()


def _explained(error: HTTPError, address: Address) -> Exception:
    """A fault of the network in words; _Again where it may pass."""
    if isinstance(error, ProxyError) and isinstance(error.original_error, HTTPError):
        return _Again(f"the proxy cannot be used ({_last(error.original_error)})")
    if isinstance(error, SSLError):
        return DownloadFailed(shown(address.url), f"the connection is not secure ({_last(error)})")
    if isinstance(error, NameResolutionError):
        return _Again(f"there is no host `{address.host}`")
    if isinstance(error, NewConnectionError):
        return _Again(f"`{address.authority}` does not answer ({_last(error)})")
    if isinstance(error, TimeoutError):
        return _Again(f"`{address.authority}` takes too long")
    return _Again(f"the transfer broke off ({_last(error)})")


def _last(error: BaseException) -> str:
    """What the innermost fault says."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return "".join(c for c in text if c.isprintable()).strip("() ").lower()[:200] or type(error).__name__


class _Transfer:
    """One download, over all its attempts."""

    def __init__(self, http: Http, address: Address, sink: "Sink", authorization: str, known: Known, limits: Limits) -> None:
        self._http, self._address, self._sink, self._authorization = http, address, sink, authorization
        self._known, self._limits = known, limits
        self._deadline = time.monotonic() + limits.total_s
        self._first: Answer | None = None                # what the attempt that began the body said of it

    def attempt(self) -> Answer:
        response, origin = self._http.ask(self._address, self._headers(), self._authorization)
        try:
            return self._take(response, origin)
        except HTTPError as error:
            raise _explained(error, origin) from error
        finally:
            response.close()

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": "pybuild", "Accept": "*/*", "Accept-Encoding": "identity"}
        if self._sink.size and self._first is not None:
            validator = self._first.known.etag or self._first.known.last_modified
            if validator and not validator.startswith("W/"):
                return {**headers, "Range": f"bytes={self._sink.size}-", "If-Range": validator}
        return {**headers, **self._known.conditions()}

    def _take(self, response: "BaseHTTPResponse", origin: Address) -> Answer:
        status = response.status
        if status == NOT_MODIFIED and self._known.conditions():
            return Answer(NOT_MODIFIED, self._known)
        if status == 206 and self._first is not None and _begins_at(response.headers.get("Content-Range", ""), self._sink.size):
            self._pour(response)
            return self._first
        if status != 200:
            raise self._refused(response, origin)
        answer = _answer(response)
        if self._known.etag and not self._known.etag.startswith("W/") and answer.known.etag == self._known.etag:
            return Answer(NOT_MODIFIED, self._known)     # a server that does not heed conditions
        if self._sink.size:
            self._sink.restart()
        self._first = answer
        self._pour(response)
        return answer

    def _refused(self, response: "BaseHTTPResponse", origin: Address) -> Exception:
        status = response.status
        if status == 416 and self._sink.size:            # shorter now than what came before: from the beginning
            self._sink.restart()
            self._first = None
            return _Again("the file changed while it was fetched", status)
        reason = f"the server says {status}{f' {_clean(response.reason)}' if response.reason else ''}"
        if status in _TRANSIENT:
            after = response.headers.get("Retry-After", "")
            wait = float(after) if after.isdecimal() else 0.0
            if wait <= self._limits.wait_s:
                return _Again(reason, status, wait)
        help = ""
        if status in (401, 403):
            help = f"a token for it can be given: `--secret id=HTTP_AUTH_TOKEN_{origin.authority},env=..`"
        return DownloadFailed(shown(self._address.url), reason, status=status, help=help)

    def _pour(self, response: "BaseHTTPResponse") -> None:
        sink, limits, told = self._sink, self._limits, time.monotonic()
        length = response.headers.get("Content-Length", "")
        total = sink.size + int(length) if length.isdecimal() else 0
        if total > limits.size:
            raise DownloadFailed(shown(self._address.url), f"it has {total} bytes, more than the {limits.size} that a download may have")
        for data in _decoded(response, shown(self._address.url)):
            sink.write(data)
            now = time.monotonic()
            if sink.size > limits.size:
                raise DownloadFailed(shown(self._address.url), f"it has more than the {limits.size} bytes that a download may have")
            if now > self._deadline:
                raise DownloadFailed(shown(self._address.url), f"it takes longer than {limits.total_s:g} s")
            if now - told > 5:
                told = now
                self._http._note(f"{sink.size / 1e6:.1f} MB{f' of {total / 1e6:.1f} MB' if total else ''}")


def _decoded(response: "BaseHTTPResponse", address: str) -> "Iterator[bytes]":
    """The body as it is meant: a Content-Encoding is the transport's affair, and was not asked for."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    chunks = response.stream(_CHUNK, decode_content=False)
    if encoding in ("", "identity"):
        return chunks
    if encoding not in ("gzip", "x-gzip"):
        raise DownloadFailed(address, f"it comes encoded as `{_clean(encoding)}`, which was not asked for")
    return _gunzipped(chunks, address)


def _gunzipped(chunks: "Iterator[bytes]", address: str) -> "Iterator[bytes]":
    from store.compression import decompress
    from store.errors import InvalidLayer

    try:
        yield from decompress(chunks, "gzip")
    except InvalidLayer as error:
        raise DownloadFailed(address, f"it {error.reason}") from error


def _answer(response: "BaseHTTPResponse") -> Answer:
    headers = response.headers
    modified = seconds_of(headers.get("Last-Modified", ""))
    answered = seconds_of(headers.get("Date", ""))
    encoded = headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")
    trusted = modified and answered - modified >= _STRONG_S and not encoded
    etag = "" if encoded else headers.get("ETag", "").strip()
    return Answer(200, Known(etag, headers.get("Last-Modified", "").strip() if trusted else ""), modified)


def seconds_of(text: str) -> int:
    """An HTTP date as seconds since the epoch; 0 for none, and for one that does not read."""
    from email.utils import parsedate_to_datetime

    try:
        return max(int(parsedate_to_datetime(text).timestamp()), 0) if text else 0
    except (ValueError, TypeError, OverflowError):
        return 0


def _begins_at(content_range: str, position: int) -> bool:
    unit, _, rest = content_range.strip().partition(" ")
    return unit.lower() == "bytes" and rest.partition("-")[0].strip() == str(position)


def _clean(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:100]
