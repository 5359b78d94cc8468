"""Who we are to a registry. In: docker's config.json and containers' auth.json, credential helpers; out: a `Credential` for one host.

A credential belongs to the registry it was kept for, by its exact name; nothing here knows of redirects or realms. Read in this order:
`Credential`, `AuthFile`, `Credentials.find`.
"""

import os
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64  # base64 around it imports re

from kernel.value import Value
from store.config import is_out_of_sight
from store.reference import DEFAULT_DOMAIN
from store.registry.errors import InvalidCredentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

HUB_KEY = "https://index.docker.io/v1/"  # how docker.io is called in these files
_LIMIT = 4 << 20


class Credential(Value):
    """A name with its password, or an identity token, from which the registry's token service makes others."""

    username: str = ""
    password: str = ""
    identity: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.username!r})"          # never in a log or a traceback

    def basic(self) -> str:
        """Value of an Authorization header."""
        return "Basic " + b2a_base64(f"{self.username}:{self.password}".encode(), newline=False).decode()


class AuthFile(Value):
    """What a file says, whichever program wrote it. document: all of it, so that nothing is lost when it is written again."""

    path: str
    document: "dict[str, Any]"

    @property
    def auths(self) -> "dict[str, Any]":
        return _table(self.document.get("auths"))

    def helper(self, key: str) -> str:
        """Name of the helper that keeps this registry's credentials; "" for none."""
        own = _table(self.document.get("credHelpers"))
        return str(own.get(domain_of(key)) or own.get(key) or self.document.get("credsStore") or "")

    def headers(self) -> "dict[str, str]":
        return {str(k): str(v) for k, v in _table(self.document.get("HttpHeaders")).items() if str(k).lower() != "authorization"}

    def proxies(self) -> "dict[str, str]":
        """As environment variables: of the default proxy, which docker gives to builds and containers."""
        default = _table(_table(self.document.get("proxies")).get("default"))
        names = {"httpProxy": "http_proxy", "httpsProxy": "https_proxy", "noProxy": "no_proxy", "allProxy": "all_proxy"}
        return {names[k]: str(v) for k, v in default.items() if k in names and v}


def auth_paths(environment: "Mapping[str, str]") -> "tuple[str, ...]":
    """Where credentials are looked for; the first one is where login writes."""
    if environment.get("REGISTRY_AUTH_FILE"):
        return (environment["REGISTRY_AUTH_FILE"],)
    home = environment.get("HOME") or os.path.expanduser("~")
    uid = os.geteuid()
    runtime = environment.get("XDG_RUNTIME_DIR")
    containers = f"{runtime}/containers" if runtime else f"/run/containers/{uid}"
    config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return (f"{environment.get('DOCKER_CONFIG') or f'{home}/.docker'}/config.json", f"{containers}/auth.json", f"{config}/containers/auth.json")


def read_auth_file(path: str) -> "AuthFile | None":
    """None where there is no file. Raises InvalidCredentials for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if is_out_of_sight(path):
            return None
        raise InvalidCredentials(path, f"cannot be read ({(error.strerror or '').lower()})") from error
    import json  # a third of what msgspec costs, and read before every pull and push

    try:
        document = json.loads(data) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        raise InvalidCredentials(path, f"is not valid JSON ({error})") from error
    if not isinstance(document, dict):
        raise InvalidCredentials(path, "is no JSON object")
    return AuthFile(path, document)


def key_of(domain: str) -> str:
    """How a registry is called in the files."""
    return HUB_KEY if domain == DEFAULT_DOMAIN else domain


def domain_of(key: str) -> str:
    """The registry that a key of a file means: without scheme and path."""
    host = key.split("://", 1)[-1].split("/", 1)[0]
    return DEFAULT_DOMAIN if host in ("index.docker.io", "registry-1.docker.io", "docker.io") else host


class Credentials:
    """Looks credentials up. ask: (helper's name, key) -> credential, so that tests need no programs."""

    def __init__(self, environment: "Mapping[str, str]", ask: "Callable[[str, str], Credential | None] | None" = None) -> None:
        self._paths = auth_paths(environment)
        self._ask = ask
        self._files: "list[AuthFile] | None" = None

    def files(self) -> "list[AuthFile]":
        if self._files is None:
            self._files = [file for path in self._paths if (file := read_auth_file(path)) is not None]
        return self._files

    def find(self, domain: str, path: str = "") -> "Credential | None":
        """For a registry (and the repository in it: files of podman may have an entry for a part of a registry). Raises InvalidCredentials."""
        for file in self.files():
            found = self._in_file(file, domain, path)
            if found is not None:
                return found
        return None

    def _in_file(self, file: AuthFile, domain: str, path: str) -> "Credential | None":
        key = key_of(domain)
        helper = file.helper(key)
        kept = self._helper(helper, key) if helper else None
        if kept is not None:
            return kept
        entries = {name if "/" in name and "://" not in name else domain_of(name): value for name, value in reversed(file.auths.items())}
        names = path.split("/") if path else []
        parts = ["/".join([domain, *names[:count]]) for count in range(len(names), 0, -1)]
        entry = next((found for part in parts if (found := _table(entries.get(part)))), None) or _table(file.auths.get(key) or entries.get(domain))
        return credential_of(entry, file.path) if entry else None

    def _helper(self, name: str, key: str) -> "Credential | None":
        if self._ask is not None:
            return self._ask(name, key)
        from store.registry.keychain import get

        return get(name, key)

    def headers(self) -> "dict[str, str]":
        """HttpHeaders of the files."""
        return {k: v for file in reversed(self.files()) for k, v in file.headers().items()}

    def proxies(self) -> "dict[str, str]":
        return {k: v for file in reversed(self.files()) for k, v in file.proxies().items()}


def credential_of(entry: "dict[str, Any]", path: str) -> "Credential | None":
    """An entry of `auths`: `auth` is base64 of name:password; older files have both in clear; `identitytoken` goes before the password."""
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            username, _, password = a2b_base64(str(entry["auth"]).strip(), strict_mode=True).decode().partition(":")
        except (Base64Error, UnicodeDecodeError, ValueError) as error:
            raise InvalidCredentials(path, "has an `auth` that is no base64 of NAME:PASSWORD") from error
        password = password.rstrip("\0")
    identity = str(entry.get("identitytoken") or "")
    return Credential(username, password, identity) if username or identity else None


def _table(value: "Any") -> "dict[str, Any]":
    return value if isinstance(value, dict) else {}
