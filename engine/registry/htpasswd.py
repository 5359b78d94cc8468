"""Users of an htpasswd file, as `htpasswd -B` writes it. In: a file, a name and a password; out: whether they belong together.

Only bcrypt lines count: everything else that htpasswd can write is broken. bcrypt is slow on purpose, so what was right once is remembered as a
keyed digest, and one check runs at a time. The file is read again when it changes; while it is unreadable, what was read last counts.
"""

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from threading import Lock

from engine.errors import EngineError

_PREFIXES = ("$2y$", "$2b$", "$2a$")
_LOOK_S = 1.0                                          # how often the file is looked at
# of the password `U*U`, from the test vectors of the crypt_blowfish library
_KNOWN = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"


class InvalidUsers(EngineError):
    """A file of users that cannot be used."""

    def __init__(self, path: str, reason: str, help: str = "") -> None:
        super().__init__(path, reason)
        self.path, self.reason, self.help = path, reason, help

    def __str__(self) -> str:
        return f"the file of users `{self.path}` {self.reason}"


def parse_users(path: str, text: str) -> "dict[str, str]":
    """name -> bcrypt hash. Raises InvalidUsers, with the line."""
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, hashed = line.partition(":")
        if not colon or not name:
            raise InvalidUsers(path, f"has no `name:hash` in line {number}")
        if not hashed.startswith(_PREFIXES) or len(hashed) != 60:
            raise InvalidUsers(path, f"has no bcrypt hash for `{name}` in line {number}", f"make it with `htpasswd -nB {name}`")
        users[name] = hashed
    return users


class Users:
    def __init__(self, path: str, crypt: "Callable[[bytes, str], bool] | None" = None) -> None:
        """Raises InvalidUsers; also where this machine cannot check bcrypt."""
        self._path = path
        self._crypt = crypt or find_crypt(path)
        self._key = os.urandom(32)
        self._right: "dict[tuple[str, str], bytes]" = {}
        self._checking, self._reading = Lock(), Lock()
        self._looked = time.monotonic()
        self._users, self._stamp = self._read()

    def check(self, name: str, password: str) -> bool:
        """Takes as long for a name that does not exist as for one that does."""
        self._look()
        hashed = self._users.get(name)
        digest = hmac.new(self._key, password.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
        if hashed and hmac.compare_digest(self._right.get((name, hashed), b""), digest):
            return True
        with self._checking:
            matches = self._crypt(password.encode("utf-8", "surrogateescape"), hashed or next(iter(self._users.values()), _KNOWN))
        if not (matches and hashed):
            return False
        self._right[name, hashed] = digest
        return True

    def _look(self) -> None:
        if time.monotonic() - self._looked < _LOOK_S:
            return
        with self._reading:
            self._looked = time.monotonic()
            try:
                if _stamp(os.stat(self._path)) != self._stamp:
                    self._users, self._stamp = self._read()
                    self._right = {}
            except (OSError, InvalidUsers):
                pass

    def _read(self) -> "tuple[dict[str, str], tuple[int, int, int]]":
        try:
            with open(self._path, encoding="utf-8", errors="surrogateescape") as file:
                stamp = _stamp(os.fstat(file.fileno()))
                return parse_users(self._path, file.read()), stamp
        except OSError as error:
            raise InvalidUsers(self._path, f"cannot be read: {(error.strerror or '').lower()}") from error


def _stamp(status: os.stat_result) -> "tuple[int, int, int]":
    return status.st_ino, status.st_mtime_ns, status.st_size


def find_crypt(path: str) -> "Callable[[bytes, str], bool]":
    """How this machine checks bcrypt: the C library's crypt(3) through Python's own module, which is gone from 3.13 on, or the `bcrypt` package.

    Whichever it is has to get a known hash right. Raises InvalidUsers if there is none.
    """
    for make in (_of_libc, _of_package):
        crypt = make()
        if crypt and crypt(b"U*U", _KNOWN) and not crypt(b"U*V", _KNOWN):
            return crypt
    raise InvalidUsers(path, "cannot be checked: neither this machine's crypt(3) nor a package knows bcrypt", "install the Python package `bcrypt`")


def _of_libc() -> "Callable[[bytes, str], bool] | None":
    try:
        from _crypt import crypt  # type: ignore[import-not-found]  # the module around it warns of its removal
    except ImportError:
        return None

    def check(password: bytes, hashed: str) -> bool:
        if b"\0" in password:
            return False
        try:
            found = crypt(password.decode(), hashed)
        except UnicodeDecodeError:                     # Python's module takes text
            return False
        return bool(found) and hmac.compare_digest(found, hashed)

    return check


def _of_package() -> "Callable[[bytes, str], bool] | None":
    from importlib import import_module

    try:
        checkpw = import_module("bcrypt").checkpw      # optional: not a dependency where the C library will do
    except ImportError:
        return None

    def check(password: bytes, hashed: str) -> bool:
        if b"\0" in password:
            return False
        return bool(checkpw(password[:72], hashed.encode()))

    return check
