"""HTTP for caches that are no registries: requests that are tried again after trouble, bodies from files, downloads that go on where they broke off.

Redirects are not followed: neither S3 nor GitHub's cache needs one, and a signed request is for one address. Only urllib3 is underneath.
"""

import time

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, NewConnectionError, SSLError, TimeoutError

from builder.cache.depot import file_chunks
from builder.cache.errors import CacheError
from kernel.value import Value
from store.registry.proxy import proxy_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK = 256 << 10
_ANSWER_LIMIT = 8 << 20


class Patience(Value):
    """Seconds; attempts of one request; pause before the second, twice as much before each further one; wait: the longest that we are told to."""

    attempts: int = 5
    pause: float = 0.5
    wait: float = 60.0
    connect: float = 20.0
    idle: float = 60.0
    sleep: "Callable[[float], None]" = time.sleep


class Answer(Value):
    status: int
    headers: "Mapping[str, str]"
    data: bytes


class Part(Value):
    """A body out of an open file."""

    fd: int
    offset: int
    size: int


PATIENCE = Patience()


class _Trouble(Exception):
    """Worth another attempt. wait: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


class Http:
    """Safe from several threads. title: of the cache, for errors."""

    def __init__(self, title: str, environment: "Mapping[str, str]", patience: Patience = PATIENCE) -> None:
        self.title = title
        self._environment, self._patience = environment, patience
        self._pools: dict[str, urllib3.PoolManager] = {}

    def ask(self, method: str, url: str, headers: "Callable[[], dict[str, str]]", body: "bytes | Part" = b"") -> Answer:
        """The answer, whatever its status. headers: made anew for each attempt (signatures have a date). Raises CacheError."""
        def attempt() -> Answer:
            response = self._send(method, url, headers(), body)
            try:
                data = b"" if method == "HEAD" else response.read(_ANSWER_LIMIT, decode_content=False)
            except (HTTPError, OSError) as error:
                raise _Trouble(f"the answer broke off ({error})") from error
            finally:
                response.release_conn()
            self._check(response, data)
            return Answer(response.status, response.headers, data)

        return self._patiently(attempt)

    def chunks(self, size: int, address: "Callable[[int], tuple[str, dict[str, str]]]") -> "Iterator[bytes]":
        """A body of at most `size` bytes. address: (offset) -> URL and headers. Raises Missing, CacheError."""
        done = 0
        attempt = 0
        while done < size or not size:
            attempt += 1
            try:
                for chunk in self._stream(size, done, address):
                    done, attempt = done + len(chunk), 0
                    yield chunk
                return
            except _Trouble as trouble:
                self._pause(attempt, trouble)

    def _stream(self, size: int, start: int, address: "Callable[[int], tuple[str, dict[str, str]]]") -> "Iterator[bytes]":
        url, headers = address(start)
        response = self._send("GET", url, {**headers, **({"Range": f"bytes={start}-"} if start else {})}, b"")
        at = start if response.status == 206 else 0
        try:
            if response.status == 404:
                raise Missing(self.title)
            self._check(response, b"")
            if response.status not in (200, 206):
                raise CacheError(self.title, f"says {response.status}")
            for chunk in response.stream(_CHUNK, decode_content=False):
                skip = max(min(start - at, len(chunk)), 0)
                at += len(chunk)
                if at > size:
                    raise CacheError(self.title, f"sends more than the {size} bytes of a blob")
                if skip < len(chunk):
                    yield chunk[skip:]
            if at < size:
                raise _Trouble("a blob broke off")
        except (HTTPError, OSError) as error:
            raise _Trouble(f"a blob broke off ({error})") from error
        finally:
            response.close() if at < size else response.release_conn()

    def _patiently(self, attempt: "Callable[[], Answer]") -> Answer:
        number = 0
        while True:
            number += 1
            try:
                return attempt()
            except _Trouble as trouble:
                self._pause(number, trouble)

    def _pause(self, number: int, trouble: _Trouble) -> None:
        patience = self._patience
        if number >= patience.attempts or trouble.wait > patience.wait:
            raise CacheError(self.title, f"cannot be reached: {trouble.reason}") from trouble.__cause__
        patience.sleep(trouble.wait or patience.pause * 2 ** (number - 1))

    def _check(self, response: "BaseHTTPResponse", data: bytes) -> None:
        if response.status in _TRANSIENT:
            after = response.headers.get("Retry-After", "").strip()
            raise _Trouble(f"it says {response.status}{word(data)}", float(after) if after.isdecimal() else 0.0)

    def _send(self, method: str, url: str, headers: "dict[str, str]", body: "bytes | Part") -> "BaseHTTPResponse":
        size = body.size if isinstance(body, Part) else len(body)
        content = _read(body) if isinstance(body, Part) else body or None
        sent = {"User-Agent": "pybuild", "Accept-Encoding": "identity", **headers}
        if method in ("PUT", "POST"):
            sent["Content-Length"] = str(size)
        try:
            return self._pool(url).request(
                method, url, body=content, headers=sent, redirect=False, retries=False, preload_content=False, decode_content=False,
                timeout=urllib3.Timeout(connect=self._patience.connect, read=self._patience.idle))
        except (LocationParseError, UnicodeError) as error:
            raise CacheError(self.title, "has an address that is none") from error
        except SSLError as error:
            raise CacheError(self.title, f"cannot be reached: the connection is not secure ({_last(error)})") from error
        except NewConnectionError as error:
            raise _Trouble(f"nobody answers ({_last(error)})") from error
        except TimeoutError as error:
            raise _Trouble("it takes too long") from error
        except (HTTPError, OSError) as error:
            raise _Trouble(f"the connection broke off ({_last(error)})") from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urllib3.util.parse_url(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        proxy = proxy_for(parts.scheme or "", parts.host or "", port, self._environment)
        pool = self._pools.get(proxy)
        if pool is None:
            options = {"num_pools": 4, "maxsize": 8}
            pool = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)     # type: ignore[arg-type]  # as it takes them
            self._pools[proxy] = pool
        return pool

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()


class Missing(CacheError):
    """There is nothing under that name."""

    def __init__(self, cache: str) -> None:
        super().__init__(cache, "has no such thing")


def _read(part: Part) -> "Iterator[bytes]":
    return file_chunks(part.fd, part.size, part.offset)


def word(data: bytes) -> str:
    """What an answer says of itself, made harmless for a terminal."""
    text = "".join(c for c in data[:300].decode(errors="replace") if c.isprintable()).strip()
    return f" ({text})" if text else ""


def _last(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return "".join(c for c in text if c.isprintable())[:160].lower() or type(error).__name__

