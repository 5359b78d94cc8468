"""Who may do what. In: a request; out: nothing, or the refusal that tells the client how to do better.

Without users everybody may do everything. With users, a user may; with anonymous reading, everybody may read, and tokens are spoken beside basic
authentication (token.py says why).
"""

import re
import time
from base64 import b64decode
from binascii import Error as NoBase64
from threading import Lock

from engine.http.message import Request, Response
from engine.http.route import Route
from engine.registry.answers import document
from engine.registry.errors import RegistryError
from engine.registry.htpasswd import Users
from engine.registry.token import LIFE_S, Tokens

_READING = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?")
TOKEN_PATH = "/token"


class Access:
    """`check` before a route runs; `routes` are its own."""

    def __init__(self, users: "Users | None" = None, *, anonymous_read: bool = False, read_only: bool = False, realm: str = "pybuild registry",
                 url: str = "") -> None:
        """url: what clients call this server, where it is not what their Host header says: "https://registry.example.com"."""
        self._users, self._read_only, self._realm, self._url = users, read_only, realm.replace('"', "'"), url.rstrip("/")
        self._anonymous_read = anonymous_read and users is not None
        self._tokens = Tokens()
        self._throttle = Throttle()

    def routes(self) -> "tuple[Route, ...]":
        return (Route("GET", TOKEN_PATH, self.give_token, "token"),) if self._anonymous_read else ()

    def check(self, request: Request) -> None:
        """Fills in the request's user. Raises UNAUTHORIZED, UNSUPPORTED (a registry that is only read), TOOMANYREQUESTS."""
        reading = request.method in _READING
        if self._users is not None and request.route != "token":
            request.user = self._who(request)
            if not request.user and not (self._anonymous_read and reading and (request.route != "base" or "authorization" in request.headers)):
                raise self._challenge(request)
        elif request.peer.certificate:
            request.user = dict(request.peer.certificate).get("commonName", "")
        if self._read_only and not reading:
            raise RegistryError("UNSUPPORTED", "this registry is only read", headers=(("Allow", "GET, HEAD"),))

    def give_token(self, request: Request) -> Response:
        """The token protocol: basic authentication, or none, against a token."""
        user = self._basic(request) if "authorization" in request.headers else ""
        request.user = user
        token = self._tokens.make(user)
        return document({"token": token, "access_token": token, "expires_in": LIFE_S}, ("Cache-Control", "no-store"))

    # ------------------------------------------------------------ who
    def _who(self, request: Request) -> str:
        """The user; "" for nobody. Raises UNAUTHORIZED for a wrong password, or a token that is not good any more."""
        scheme, _, value = request.header("authorization").partition(" ")
        if not scheme:
            return ""
        if scheme.lower() == "bearer" and self._anonymous_read:
            user = self._tokens.read(value.strip())
            if user is None:
                raise self._challenge(request, "invalid_token")
            return user
        return self._basic(request)

    def _basic(self, request: Request) -> str:
        assert self._users is not None
        scheme, _, value = request.header("authorization").partition(" ")
        try:
            name, colon, password = b64decode(value.strip(), validate=True).decode("utf-8", "surrogateescape").partition(":")
        except NoBase64:
            name = colon = password = ""
        if scheme.lower() != "basic" or not colon:
            raise self._challenge(request)
        self._throttle.check(request.peer.host)
        if not self._users.check(name, password):
            self._throttle.note(request.peer.host)
            raise self._challenge(request)
        return name

    def _challenge(self, request: Request, error: str = "") -> RegistryError:
        if self._anonymous_read and request.route != "token":
            scope = f',scope="repository:{request.parameters["name"]}:pull,push"' if "name" in request.parameters else ""
            problem = f',error="{error}"' if error else ',error="insufficient_scope"' if "authorization" in request.headers else ""
            value = f'Bearer realm="{self._base(request)}{TOKEN_PATH}",service="{self._realm}"{scope}{problem}'
        else:
            value = f'Basic realm="{self._realm}"'
        return RegistryError("UNAUTHORIZED", "authentication is needed", headers=(("WWW-Authenticate", value),))

    def _base(self, request: Request) -> str:
        """What the client calls this server."""
        host = request.header("host")
        return self._url or f"{request.scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"


class Throttle:
    """Passwords that were wrong, by address: after `limit` within `window_s` further ones are not even looked at."""

    def __init__(self, limit: int = 20, window_s: float = 60.0) -> None:
        self._limit, self._window_s = limit, window_s
        self._failures: "dict[str, list[float]]" = {}
        self._lock = Lock()

    def check(self, host: str) -> None:
        """Raises TOOMANYREQUESTS."""
        now = time.monotonic()
        with self._lock:
            recent = [t for t in self._failures.get(host, ()) if now - t < self._window_s]
            if recent:
                self._failures[host] = recent
            else:
                self._failures.pop(host, None)
        if len(recent) >= self._limit:
            wait = int(self._window_s - (now - recent[0])) + 1
            raise RegistryError("TOOMANYREQUESTS", "too many wrong passwords came from this address", headers=(("Retry-After", str(wait)),))

    def note(self, host: str) -> None:
        with self._lock:
            if len(self._failures) > 10_000:           # an attacker with many addresses does not fill the memory
                self._failures.clear()
            self._failures.setdefault(host, []).append(time.monotonic())
