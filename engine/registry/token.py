"""Bearer tokens: who somebody is, signed, for a few minutes. In: a user's name, or "" for nobody; out: text that only this server can make and read.

They exist for one reason: docker sends a password only to a registry that refuses it at first, and then cannot pull without one. So a registry that
everybody may read and some may write has to speak the token protocol.
"""

import hashlib
import hmac
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode

LIFE_S = 300


class Tokens:
    """Of one server: a restart makes all of them worthless, and clients then ask for new ones."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def make(self, user: str, now: "float | None" = None) -> str:
        until = int((time.time() if now is None else now) + LIFE_S)
        said = urlsafe_b64encode(f"{until} {user}".encode("utf-8", "surrogateescape"))
        return f"{said.decode()}.{self._sign(said)}"

    def read(self, token: str, now: "float | None" = None) -> "str | None":
        """The user, "" for nobody; None if the token is not ours, or too old."""
        said, _, signature = token.partition(".")
        if not said.isascii() or not signature.isascii() or not hmac.compare_digest(self._sign(said.encode()), signature):
            return None
        until, _, user = urlsafe_b64decode(said).decode("utf-8", "surrogateescape").partition(" ")
        return user if int(until) > (time.time() if now is None else now) else None

    def _sign(self, said: bytes) -> str:
        return urlsafe_b64encode(hmac.new(self._key, said, hashlib.sha256).digest()).decode()
