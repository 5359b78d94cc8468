"""Logging in and out: a credential that a registry takes is kept where docker keeps it, or by a helper. In: a registry and who we are; out: a file.

The file is read again under a lock, changed in the one entry, and replaced at once with mode 0600; everything else that it says stays.
"""

import fcntl
import os
from base64 import b64encode

import msgspec

from kernel.value import Value
from store.registry.credential import AuthFile, Credential, auth_paths, domain_of, key_of, read_auth_file
from store.registry.errors import AccessDenied, InvalidCredentials, RegistryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from store.registry.session import Session

    T = TypeVar("T")


class Kept(Value):
    """Where a credential was put. place: a file, or the helper's program; plain: whether anybody who can read the file can read the password."""

    place: str
    plain: bool


def domain_of_server(text: str) -> str:
    """What a user calls a registry: "", a host, a URL. Raises InvalidCredentials for what is none."""
    from store.errors import InvalidReference
    from store.reference import DEFAULT_DOMAIN, parse_reference

    if not text:
        return DEFAULT_DOMAIN
    domain = domain_of(text.strip())
    try:
        parsed = parse_reference(f"{domain}/x").domain if "." in domain or ":" in domain or domain == "localhost" else ""
    except InvalidReference:
        parsed = ""
    if parsed != domain:
        raise InvalidCredentials(text[:200], "is no registry", "HOST or HOST:PORT, such as registry.example.com")
    return domain


def check(session: "Session", domain: str) -> str:
    """Ask the registry whether it takes the session's credential.

    Returns an identity token, where it gave one that can be kept instead of a password, else "". Raises AccessDenied, RegistryError.
    """
    connection = session.connections(domain)[-1]
    try:
        response = connection.request("GET", "/")
    except AccessDenied as error:
        error.help = ""                                  # to log in is what it would advise
        raise
    connection.drop(response)
    if response.status in (403, 404) or response.status >= 500:
        raise RegistryError(domain, f"says {response.status} to whoever asks whether it is one")
    return connection.authority.refresh_token


def keep(domain: str, credential: Credential, environment: "Mapping[str, str]") -> Kept:
    """Raises InvalidCredentials where the file or the helper does not take it."""
    path, key = auth_paths(environment)[0], key_of(domain)

    def change(file: AuthFile) -> "tuple[dict[str, Any], Kept]":
        helper = file.helper(key)
        entry: "dict[str, str]" = {}
        if helper:
            from store.registry import keychain

            keychain.store(helper, key, credential)
        else:
            entry["auth"] = b64encode(f"{credential.username}:{'' if credential.identity else credential.password}".encode()).decode()
            if credential.identity:
                entry["identitytoken"] = credential.identity
        return {**file.document, "auths": {**file.auths, key: entry}}, Kept(f"docker-credential-{helper}" if helper else path, not helper)

    return _changed(path, change)


def forget(domain: str, environment: "Mapping[str, str]") -> "tuple[bool, tuple[str, ...]]":
    """(whether something was kept; other files that still have a credential of this registry)."""
    paths, key = auth_paths(environment), key_of(domain)

    def change(file: AuthFile) -> "tuple[dict[str, Any], bool]":
        names = [name for name in file.auths if domain_of(name) == domain and ("/" not in name or "://" in name)]
        helper = file.helper(key)
        if helper:
            from store.registry import keychain

            known = keychain.get(helper, key) is not None
            keychain.erase(helper, key)
        else:
            known = False
        return {**file.document, "auths": {k: v for k, v in file.auths.items() if k not in names}}, known or bool(names)

    found = _changed(paths[0], change) if os.path.exists(paths[0]) else False
    others = tuple(path for path in paths[1:] if (file := read_auth_file(path)) is not None and any(domain_of(n) == domain for n in file.auths))
    return found, others


def _changed(path: str, change: "Callable[[AuthFile], tuple[dict[str, Any], T]]") -> "T":
    """Replace the file by what `change` makes of it; returns the rest of what that returned."""
    real = os.path.realpath(path)                        # of a link, what it leads to is replaced
    directory = os.path.dirname(real)
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            document, result = change(read_auth_file(real) or AuthFile(path, {}))
            _replace(real, msgspec.json.format(msgspec.json.encode(document), indent=4) + b"\n")
        finally:
            os.close(lock)
    except OSError as error:
        raise InvalidCredentials(path, f"cannot be written ({(error.strerror or '').lower()})") from error
    return result


def _replace(path: str, data: bytes) -> None:
    new = f"{path}.{os.getpid()}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, path)
    except BaseException:
        os.unlink(new)
        raise
