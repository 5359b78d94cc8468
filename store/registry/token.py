"""Proof of who we are, for one host: basic, or bearer tokens fetched for a scope and kept until they expire. In: challenges; out: header values.

A token service may be on another host than the registry; it gets the credentials of the registry that named it, as the protocol has it, but
never over plain http when the registry itself is asked by https.
"""

import json
import threading
import time
from urllib.parse import urlencode, urlsplit

from kernel.value import Value
from store.registry.errors import AccessDenied, RegistryBroken, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from store.registry.challenge import Challenge
    from store.registry.credential import Credential

_EARLY_S = 10                            # a token that ends within this is not used any more
_LIFETIME_S = 60                         # of a token that does not say, by the protocol
_CLIENT = "pybuild"


class Answer(Value):
    """status and body of a token service's answer."""

    status: int
    data: bytes


class Authority:
    """What one host wants to be told. ask: (method, url, headers, body) -> Answer; thread-safe.

    scopes are the protocol's: "repository:library/busybox:pull".
    """

    def __init__(self, registry: str, credential: "Callable[[], Credential | None]", ask: "Callable[[str, str, dict[str, str], bytes], Answer]",
                 clock: "Callable[[], float]" = time.monotonic) -> None:
        self._registry, self._find, self._ask, self._clock = registry, credential, ask, clock
        self._lock = threading.Lock()
        self._scheme = ""                # "basic" or "bearer" once the host has said so
        self._realm = self._service = ""
        self._tokens: "dict[tuple[str, ...], tuple[str, float]]" = {}
        self._credential: "tuple[Credential | None] | None" = None
        self.refresh_token = ""          # the last one a token service gave: what login keeps

    def header(self, scopes: "tuple[str, ...]") -> str:
        """What to send with a request, as far as it is known before the host has been asked; "" for nothing."""
        with self._lock:
            if self._scheme == "basic":
                credential = self._own()
                return credential.basic() if credential else ""
            return self._bearer(scopes) if self._scheme == "bearer" else ""

    def answer(self, challenges: "Iterable[Challenge]", scopes: "tuple[str, ...]", sent: str, secure: bool) -> str:
        """What to send after a 401; "" if there is nothing better than what was `sent`. secure: whether the host was asked by https.

        Raises AccessDenied, RegistryBroken.
        """
        with self._lock:
            for challenge in challenges:
                if challenge.scheme == "bearer":
                    self._take_bearer(challenge, scopes, sent, secure)
                    return self._bearer(scopes or tuple(challenge.get("scope").split()))
                if challenge.scheme == "basic":
                    credential = self._own()
                    if credential is None or not credential.username:
                        return ""
                    self._scheme = "basic"
                    return credential.basic() if credential.basic() != sent else ""
        return ""

    def has_credential(self) -> bool:
        with self._lock:
            return self._own() is not None

    def _own(self) -> "Credential | None":
        if self._credential is None:
            self._credential = (self._find(),)
        return self._credential[0]

    def _take_bearer(self, challenge: "Challenge", scopes: "tuple[str, ...]", sent: str, secure: bool) -> None:
        realm = urlsplit(challenge.get("realm"))
        if realm.scheme not in ("http", "https") or not realm.hostname:
            raise RegistryBroken(self._registry, f"names a token service that is none: `{printable(challenge.get('realm'))}`")
        if secure and realm.scheme != "https":
            raise RegistryBroken(self._registry, f"is asked by https, and names a token service without: `{printable(challenge.get('realm'))}`")
        self._scheme, self._realm, self._service = "bearer", challenge.get("realm"), challenge.get("service")
        known = self._tokens.get(scopes)
        if known and f"Bearer {known[0]}" == sent:       # it did not help
            del self._tokens[scopes]

    def _bearer(self, scopes: "tuple[str, ...]") -> str:
        known = self._tokens.get(scopes)
        if known is None or known[1] <= self._clock():
            known = self._tokens[scopes] = self._fetch(scopes)
        return f"Bearer {known[0]}"

    def _fetch(self, scopes: "tuple[str, ...]") -> "tuple[str, float]":
        """(token, when it ends)."""
        credential = self._own()
        if credential is not None and credential.identity:
            form = [("grant_type", "refresh_token"), ("service", self._service), ("client_id", _CLIENT), ("scope", " ".join(scopes)),
                    ("refresh_token", credential.identity)]
            answer = self._ask("POST", self._realm, {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode())
        else:
            query = [("service", self._service), *(("scope", scope) for scope in scopes), ("client_id", _CLIENT)]
            headers = {}
            if credential is not None:
                query += [("account", credential.username), ("offline_token", "true")]
                headers["Authorization"] = credential.basic()
            separator = "&" if urlsplit(self._realm).query else "?"
            answer = self._ask("GET", f"{self._realm}{separator}{urlencode([pair for pair in query if pair[1]])}", headers, b"")
        return self._token(answer, credential is not None)

    def _token(self, answer: Answer, known: bool) -> "tuple[str, float]":
        if answer.status in (400, 401, 403):
            what = "its token service does not take these credentials" if known else "it tells nothing to strangers"
            raise AccessDenied(self._registry, "", what)
        if answer.status != 200:
            raise RegistryBroken(self._registry, f"has a token service that says {answer.status}")
        try:
            document = json.loads(answer.data)
        except (ValueError, RecursionError) as error:
            raise RegistryBroken(self._registry, "has a token service that does not answer with JSON") from error
        found = document if isinstance(document, dict) else {}
        text = found.get("token") or found.get("access_token")
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise RegistryBroken(self._registry, "has a token service that gives no token")
        refresh, lifetime = found.get("refresh_token"), found.get("expires_in")
        if isinstance(refresh, str) and refresh:
            self.refresh_token = refresh
        seconds = lifetime if isinstance(lifetime, int) else _LIFETIME_S
        return text, self._clock() + max(seconds, _LIFETIME_S) - _EARLY_S
