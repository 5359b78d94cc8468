"""What docker, containerd and podman keep about a host: `certs.d/HOST/`. In: directories; out: mirrors and TLS settings.

`hosts.toml` is containerd's (server, and tables of hosts that are asked before it); without it, `*.crt` are authorities, and each `X.cert` with
its `X.key` is a certificate of ours. The first directory that has something about the host counts.
"""

import os

from kernel.value import Value
from store.config import InvalidConfig, is_out_of_sight, user_config
from store.registry.endpoint import ALL, Endpoint, Tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_LIMIT = 1 << 20
_SYSTEM = ("/etc/pybuild/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d", "/etc/containerd/certs.d")


class HostFile(Value):
    """mirrors: in the order in which they are asked; server: who answers for the registry, None for itself; tls: how to talk to it."""

    mirrors: "tuple[Endpoint, ...]" = ()
    server: "Endpoint | None" = None
    tls: Tls = Tls()


def certificate_directories(environment: "Mapping[str, str]") -> "tuple[str, ...]":
    user = user_config(environment)
    return (*(f"{user}/{name}/certs.d" for name in ("pybuild", "docker", "containers", "containerd")), *_SYSTEM)


def read_hostfile(domain: str, directories: "tuple[str, ...]") -> "HostFile | None":
    """None where no directory says anything. Raises InvalidConfig for a hosts.toml that is damaged."""
    for directory in directories:
        for name in (domain, domain.replace(":", "_") + "_" if ":" in domain else "", "_default"):
            if name and os.path.isdir(f"{directory}/{name}") and (found := _read(f"{directory}/{name}", domain)):
                return found
    return None


def _read(directory: str, domain: str) -> "HostFile | None":
    path = f"{directory}/hosts.toml"
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT)
    except FileNotFoundError:
        tls = _plain(directory)
        return HostFile(tls=tls) if tls != Tls() and not directory.endswith("/_default") else None
    except OSError as error:
        if is_out_of_sight(path):
            return None
        raise InvalidConfig(path, "", f"cannot be read ({(error.strerror or '').lower()})") from error
    return _hosts(data, path, domain)


def _plain(directory: str) -> Tls:
    """Certificates that lie there by their endings."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:                                      # not ours to read
        return Tls()
    authorities = tuple(f"{directory}/{name}" for name in names if name.endswith(".crt"))
    pairs = tuple((f"{directory}/{name}", f"{directory}/{name[:-5]}.key") for name in names if name.endswith(".cert"))
    for certificate, key in pairs:
        if not os.path.exists(key):
            raise InvalidConfig(certificate, "", f"has no key beside it (`{os.path.basename(key)}`)")
    return Tls(ca=authorities, certificates=pairs)


def _hosts(data: bytes, path: str, domain: str) -> HostFile:
    import tomllib

    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidConfig(path, "", f"is not valid TOML: {error}") from error
    hosts = document.get("host", {})
    if not isinstance(hosts, dict):
        raise InvalidConfig(path, "host", "is no table")
    mirrors = tuple(_endpoint(url, table, path) for url, table in hosts.items())
    server = document.get("server")
    own = _endpoint(server, document, path) if isinstance(server, str) and server else None
    tls = own.tls if own else _tls(document, path)
    if own and own.host == domain and own.scheme == "https" and not own.headers and own.path == "/v2":
        own = None
    return HostFile(mirrors, own, tls)


def _endpoint(url: str, table: "Any", path: str) -> Endpoint:
    if not isinstance(table, dict):
        raise InvalidConfig(path, f"host.{url}", "is no table")
    scheme, separator, rest = url.rpartition("://")
    host, _, prefix = rest.partition("/")
    if not host or (separator and scheme not in ("http", "https")):
        raise InvalidConfig(path, url, "is no address of a registry")
    prefix = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
    if table.get("override_path") is not True and not prefix.endswith("/v2"):
        prefix += "/v2"
    can = table.get("capabilities", list(ALL))
    headers = table.get("header", {})
    if not isinstance(can, list) or not isinstance(headers, dict):
        raise InvalidConfig(path, url, "has `capabilities` that are no list, or a `header` that is no table")
    pairs = tuple((str(name), str(item)) for name, value in headers.items() for item in (value if isinstance(value, list) else [value]))
    return Endpoint(host, scheme or "https", prefix or "/", can=tuple(str(c) for c in can), tls=_tls(table, path), headers=pairs)


def _tls(table: "dict[str, Any]", path: str) -> Tls:
    base = os.path.dirname(path)
    ca = [os.path.join(base, item) for item in _list(table.get("ca")) if isinstance(item, str)]
    pairs = []
    client = table.get("client")
    for item in [client] if isinstance(client, str) else _list(client):
        certificate, key = (item[0], item[1] if len(item) > 1 else "") if isinstance(item, list) and item else (item, "")
        if not isinstance(certificate, str) or not isinstance(key, str):
            raise InvalidConfig(path, "client", "is no certificate with its key")
        pairs.append((os.path.join(base, certificate), os.path.join(base, key) if key else ""))
    return Tls(table.get("skip_verify") is not True, tuple(ca), tuple(pairs))


def _list(value: "Any") -> "list[Any]":
    return value if isinstance(value, list) else [] if value is None else [value]
