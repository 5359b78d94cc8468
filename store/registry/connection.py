"""HTTP to one endpoint: pools, TLS, proxies, who we are, redirects, another try after trouble. In: requests; out: responses, bodies unread.

Read in this order: `Connection.request`, `_attempt`. What is meant for one origin (scheme, host, port) is told to no other: neither
credentials nor headers follow a redirect elsewhere, and nothing goes from https to http.
"""

import os
import random
import socket
import ssl
import threading
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
    TimeoutError,
)

from store.config import InvalidConfig
from store.registry.challenge import parse_challenges
from store.registry.endpoint import Endpoint, Tls, host_of, port_of
from store.registry.errors import AccessDenied, RegistryBroken, RegistryError, RegistryUnreachable, printable
from store.registry.glance import AGENT
from store.registry.patience import Patience, Surroundings
from store.registry.proxy import proxy_for
from store.registry.token import Answer, Authority
from store.registry.trouble import alert_of, broken, retry_after, shown_proxy, tunnel_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from urllib3 import BaseHTTPResponse

    from store.registry.credential import Credential

    Body = bytes | Callable[[], Iterable[bytes]]

CHUNK = 1 << 18                          # bytes that are read or sent at once
_HOPS = 8
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_ANSWER_LIMIT = 1 << 20
_OURS = ("certificate required", "bad certificate", "unknown ca", "certificate unknown", "certificate expired", "certificate revoked",
         "unsupported certificate", "access denied")         # alerts that are about the certificate which we showed, or did not
_PROXY_HELP = "the URL of a proxy may have a name and a password: `https_proxy=http://NAME:PASSWORD@HOST:PORT`"
_STRANGER = 2                            # attempts to connect to a host that has never answered: more likely its name is wrong than that it rests

urllib3.disable_warnings(InsecureRequestWarning)         # an insecure registry is one that the user has called so


class Trouble(Exception):
    """Something that may be over at the next attempt: a broken connection, 503. wait: what the registry asks for, seconds; attempts: how many it
    is worth, 0 for as many as our patience says."""

    def __init__(self, error: RegistryError, wait: float = 0.0, attempts: int = 0) -> None:
        super().__init__(str(error))
        self.error, self.wait, self.attempts = error, wait, attempts


class Connection:
    """One endpoint. Safe from several threads."""

    def __init__(self, registry: str, endpoint: Endpoint, around: Surroundings, credential: "Callable[[], Credential | None]") -> None:
        self.registry, self.endpoint = registry, endpoint
        self._around = around
        self._pools: "dict[tuple[str, bool], urllib3.PoolManager]" = {}
        self._lock = threading.RLock()
        self._scheme = endpoint.scheme
        self._reached: "set[str]" = set()                # hosts that have answered
        self.authority = Authority(registry, credential, self._ask_token)

    @property
    def base(self) -> str:
        """What paths are appended to. The first question finds out whether an insecure registry speaks TLS."""
        with self._lock:
            if not self._scheme:
                self._scheme = self._find_scheme()
        return f"{self._scheme}://{self.endpoint.host}{self.endpoint.path}"

    @property
    def patience(self) -> Patience:
        return self._around.patience

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()

    # ------------------------------------------------------------ requests
    def request(self, method: str, path: str, *, scopes: "tuple[str, ...]" = (), headers: "Mapping[str, str] | None" = None, body: "Body" = b"",
                length: "int | None" = None, patient: bool = True) -> "BaseHTTPResponse":
        """The answer, whatever its status is, with its body unread; release or close it.

        path: below `base`, or a whole URL that the registry gave. body: bytes, or what makes an iterator of its pieces for each attempt; length:
        of that in bytes, None for a chunked transfer. patient: try again after trouble; False raises Trouble at once.
        Raises RegistryUnreachable, AccessDenied, RegistryBroken.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._attempt(method, self._absolute(path), scopes, dict(headers or {}), body, length)
            except Trouble as trouble:
                if not patient:
                    raise
                if self.gives_up(attempt, trouble):
                    raise trouble.error from trouble.__cause__
                self.pause(attempt, trouble)

    def gives_up(self, attempt: int, trouble: Trouble) -> bool:
        """Whether attempt number `attempt`, which ended in trouble, was the last one."""
        patience = self._around.patience
        return attempt >= min(patience.attempts, trouble.attempts or patience.attempts) or trouble.wait > patience.longest

    def pause(self, attempt: int, trouble: Trouble) -> None:
        """Wait before attempt number `attempt` + 1, as long as the registry says, or longer each time."""
        patience = self._around.patience
        wait = trouble.wait or min(patience.pause * 2 ** (attempt - 1), patience.longest) * random.uniform(0.8, 1.2)
        self._around.note(self.registry, f"{trouble.error.reason}; trying again")
        self._around.sleep(wait)

    def read(self, response: "BaseHTTPResponse", limit: int) -> bytes:
        """The whole body; raises RegistryBroken above `limit` bytes, Trouble where it breaks off."""
        try:
            data = b"".join(self.chunks(response, limit))
        finally:
            response.release_conn()
        return data

    def chunks(self, response: "BaseHTTPResponse", limit: int) -> "Iterable[bytes]":
        """The body in pieces. Raises RegistryBroken above `limit` bytes, Trouble where it breaks off."""
        size = 0
        try:
            for chunk in response.stream(CHUNK, decode_content=False):
                size += len(chunk)
                if size > limit:
                    response.close()
                    raise RegistryBroken(self.registry, f"sends more than the {limit} bytes that were promised")
                yield chunk
        except (HTTPError, OSError) as error:
            response.close()
            raise Trouble(self._unreachable(error)) from error

    # ------------------------------------------------------------ one attempt
    def _attempt(self, method: str, url: str, scopes: "tuple[str, ...]", headers: "dict[str, str]", body: "Body",
                 length: "int | None") -> "BaseHTTPResponse":
        home = _origin(self.base)
        sent = self._authorization(scopes) if _origin(url) == home else ""
        response, url = self._follow(method, url, headers, sent, body, length)
        if response.status == 401 and _origin(url) == home:
            self.drop(response)
            challenges = parse_challenges(response.headers.getlist("WWW-Authenticate"))
            again = self.authority.answer(challenges, scopes, sent, url.startswith("https:"))
            if not again or again == sent:
                raise AccessDenied(self.registry, _repository_of(scopes), "" if not sent else "the credentials do not suffice")
            response, url = self._follow(method, url, headers, again, body, length)
            if response.status == 401:
                self.drop(response)
                raise AccessDenied(self.registry, _repository_of(scopes), "the credentials do not suffice" if self.authority.has_credential() else "")
        if response.status in _TRANSIENT:
            wait = retry_after(response.headers.get("Retry-After", ""))
            reason = f"says {response.status}{f' {printable(response.reason)}' if response.reason else ''}"
            error = RegistryUnreachable(self.registry, reason + _message(self.drop(response)))
            if response.status == 429:
                error.help = "it limits how often it may be asked; `pybuild login` raises the limit of some"
            raise Trouble(error, wait)
        return response

    def _authorization(self, scopes: "tuple[str, ...]") -> str:
        return self.authority.header(scopes)

    def _follow(self, method: str, url: str, headers: "dict[str, str]", authorization: str, body: "Body",
                length: "int | None") -> "tuple[BaseHTTPResponse, str]":
        """Send, and follow redirects of what only asks. Returns the answer and who gave it."""
        home = _origin(url)
        for _ in range(_HOPS):
            own = _origin(url) == home
            response = self._send(method, url, headers, authorization if own else "", body, length, own)
            location = response.headers.get("Location")
            if method not in ("GET", "HEAD") or response.status not in _REDIRECTS or not location:
                return response, url
            self.drop(response)
            url = self._checked(url, location)
        raise RegistryBroken(self.registry, f"redirects more than {_HOPS} times")

    def _absolute(self, path: str) -> str:
        base = self.base
        if path.startswith("/") or not path:
            url = base + path
            if self.endpoint.mirror_of:
                url += ("&" if "?" in url else "?") + f"ns={self.endpoint.mirror_of}"
            return url
        return path

    def location(self, response: "BaseHTTPResponse", asked: str = "") -> str:
        """Where the answer sends us to go on with an upload. asked: the URL that was asked, if it was one of those. Raises RegistryBroken."""
        found = response.headers.get("Location")
        if not found:
            raise RegistryBroken(self.registry, "begins an upload, and does not say where it goes on")
        return self._checked(asked or f"{self.base}/", found)

    def location_of(self, link: str) -> str:
        """A URL that an answer named, in full. Raises RegistryBroken."""
        return self._checked(f"{self.base}/", link)

    def _checked(self, url: str, location: str) -> str:
        there = urljoin(url, location.strip())
        parts = urlsplit(there)
        if parts.scheme not in ("http", "https") or not parts.hostname or not there.isprintable() or " " in there:
            raise RegistryBroken(self.registry, f"redirects to `{printable(location)}`, which is no address")
        if url.startswith("https:") and parts.scheme != "https":
            raise RegistryBroken(self.registry, f"redirects from https to http (`{printable(there)}`)")
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()

    def _send(self, method: str, url: str, headers: "Mapping[str, str]", authorization: str, body: "Body", length: "int | None",
              own: bool) -> "BaseHTTPResponse":
        around = self._around
        extra = (*around.headers, *self.endpoint.headers) if own else ()
        sent = {"User-Agent": AGENT, "Accept-Encoding": "identity", **dict(extra), **headers}
        if authorization:
            sent["Authorization"] = authorization
        content: "bytes | Iterable[bytes] | None" = body() if callable(body) else body or None
        chunked = callable(body) and length is None
        if callable(body) and length is not None:
            sent["Content-Length"] = str(length)
        elif not callable(body) and method in ("POST", "PUT", "PATCH"):
            sent["Content-Length"] = str(len(body))
        host = urlsplit(url).netloc
        try:
            response = self._pool(url, own).request(
                method, url, body=content, headers=sent, redirect=False, retries=False, preload_content=False, decode_content=False, chunked=chunked,
                timeout=urllib3.Timeout(connect=around.patience.connect, read=around.patience.idle))
            self._reached.add(host)
            return response
        except (LocationParseError, UnicodeError) as error:
            raise RegistryUnreachable(self.registry, f"has an address that is none (`{printable(url)}`)") from error
        except SSLError as error:
            raise self._untrusted(error) from error
        except (HTTPError, OSError) as error:
            if isinstance(error, ProxyError) and tunnel_status(error.original_error)[:1] == "4":
                raise self._unreachable(error) from error
            raise Trouble(self._unreachable(error), attempts=0 if host in self._reached or not _is_unconnected(error) else _STRANGER) from error

    def drop(self, response: "BaseHTTPResponse") -> bytes:
        """An answer whose body nobody wants (a HEAD's too): read so that the connection can be used again, unless it is long."""
        try:
            data = response.read(1 << 14, decode_content=False)
            if response.read(1):
                response.close()
            else:
                response.release_conn()
            return data
        except (HTTPError, OSError):
            response.close()
            return b""

    def _ask_token(self, method: str, url: str, headers: "dict[str, str]", body: bytes) -> Answer:
        response = self._send(method, url, headers, "", body, None, _origin(url) == _origin(self.base))
        if response.status in _TRANSIENT:
            wait = retry_after(response.headers.get("Retry-After", ""))
            self.drop(response)
            raise Trouble(RegistryUnreachable(self.registry, f"has a token service that says {response.status}"), wait)
        return Answer(response.status, self.read(response, _ANSWER_LIMIT))

    # ------------------------------------------------------------ connections
    def _find_scheme(self) -> str:
        """Of an insecure registry: https if it speaks TLS, whoever signed its certificate; else http. It is told nothing."""
        url = f"https://{self.endpoint.host}{self.endpoint.path}/"
        host, port = host_of(self.endpoint.host).strip("[]"), port_of(self.endpoint.host, "https")
        try:
            if proxy_for("https", host, port, self._around.environment):
                self.drop(self._send("GET", url, {}, "", b"", None, False))
            else:
                with socket.create_connection((host, port), self._around.patience.connect) as raw:
                    _context(self.endpoint.tls).wrap_socket(raw, server_hostname=host).close()
            return "https"
        except (Trouble, RegistryError, OSError, UnicodeError) as error:
            return "https" if alert_of(error) else "http"           # who has something against our certificate speaks TLS

    def _pool(self, url: str, own: bool) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = proxy_for(parts.scheme, parts.hostname or "", port_of(parts.netloc, parts.scheme), self._around.environment)
        with self._lock:
            pool = self._pools.get((proxy, own))
            if pool is None:
                pool = self._pools[proxy, own] = self._make_pool(proxy, own)
            return pool

    def _make_pool(self, proxy: str, own: bool) -> urllib3.PoolManager:
        tls = self.endpoint.tls if own or not self._scheme else Tls()
        options = {"num_pools": 8, "maxsize": 8, "blocksize": CHUNK, "ssl_context": _context(tls)}
        if not proxy:
            return urllib3.PoolManager(**options)       # type: ignore[arg-type]  # as PoolManager hands them to its pools
        if not proxy.startswith(("http://", "https://")):
            raise RegistryUnreachable(self.registry, f"would be asked through the proxy `{shown_proxy(proxy)}`, and only http proxies are known")
        try:
            user = urllib3.util.parse_url(proxy).auth
        except LocationParseError as error:
            raise RegistryUnreachable(self.registry, f"would be asked through the proxy `{shown_proxy(proxy)}`, which is no address") from error
        headers = urllib3.util.make_headers(proxy_basic_auth=user) if user else None
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)    # type: ignore[arg-type]  # as above

    # ------------------------------------------------------------ trouble in words
    def _untrusted(self, error: SSLError) -> Exception:
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            reason = text.rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
            return RegistryUnreachable(self.registry, f"has a certificate that cannot be trusted: {printable(reason)}",
                                       f'`ca = FILE` or `insecure = true` under [registry."{self.registry}"] in config.toml')
        if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text or "record layer failure" in text or "UNKNOWN_PROTOCOL" in text:
            return RegistryUnreachable(self.registry, "does not speak TLS",
                                       f'`insecure = true` under [registry."{self.registry}"] in config.toml allows plain http')
        # a server that goes away at once is not always heard to say why
        alert = alert_of(error)
        help = f'if it wants a certificate of ours: `certificate` and `key` under [registry."{self.registry}"] in config.toml'
        if any(word in alert for word in _OURS):
            return RegistryUnreachable(self.registry, f"wants a certificate of ours, or another one ({alert.rpartition('alert ')[2]})", help)
        return Trouble(RegistryUnreachable(self.registry, f"ends the TLS handshake ({printable(text)})", help))

    def _unreachable(self, error: Exception) -> RegistryUnreachable:
        through = " through the proxy" if isinstance(error, ProxyError) else ""
        if isinstance(error, ProxyError) and isinstance(error.original_error, Exception):
            error = error.original_error
            if status := tunnel_status(error):
                return RegistryUnreachable(self.registry, f"cannot be reached: the proxy says {status}", _PROXY_HELP if status[:3] == "407" else "")
        if isinstance(error, NameResolutionError):
            return RegistryUnreachable(self.registry, f"cannot be found{through}: its name does not resolve")
        if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
            return RegistryUnreachable(self.registry, f"does not answer{through}")
        cause: "BaseException | None" = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno:
                return RegistryUnreachable(self.registry, f"cannot be reached{through}: {os.strerror(cause.errno).lower()}")
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, NewConnectionError):
            return RegistryUnreachable(self.registry, f"cannot be reached{through}")
        return RegistryUnreachable(self.registry, broken(error, through))


def _is_unconnected(error: Exception) -> bool:
    """Whether there was not even a connection: no such name, nobody listens, no way there."""
    if isinstance(error, ProxyError) and isinstance(error.original_error, Exception):
        error = error.original_error
    return isinstance(error, NewConnectionError | ConnectTimeoutError)


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs()
    try:
        for path in tls.ca:
            context.load_verify_locations(path)
        for certificate, key in tls.certificates:
            path = certificate
            context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfig(path, "", f"cannot be used as a certificate ({getattr(error, 'strerror', None) or error})") from error
    return context


def _origin(url: str) -> "tuple[str, str]":
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return parts.scheme, host.removesuffix(":443" if parts.scheme == "https" else ":80")


def _repository_of(scopes: "tuple[str, ...]") -> str:
    return scopes[0].split(":")[1] if scopes and scopes[0].startswith("repository:") else ""


def _message(data: bytes) -> str:
    from store.registry.refusal import parse_refusal

    message = parse_refusal(data)[1]
    return f" ({message})" if message else ""
