"""The registries of one command: configuration, credentials and connections. In: names of images; out: their `Repository`.

`Session(load_config(path))`; close it at the end. Everything about one registry is looked up when it is first asked for.
"""

import os
from _thread import allocate_lock

from store.config import Config
from store.registry.credential import Credential, Credentials
from store.registry.endpoint import Endpoint, endpoints
from store.registry.hostfile import certificate_directories, read_hostfile
from store.registry.patience import Patience, Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from store.reference import Reference
    from store.registry.connection import Connection
    from store.registry.glance import Head
    from store.registry.repository import Repository

_MIRROR_ATTEMPTS = 2                     # a mirror is no reason to wait: the next one is asked


class Session:
    """Safe from several threads. credential: use this one for the registry itself, instead of those that are kept; directories: where certs.d lie."""

    def __init__(self, config: Config, environment: "Mapping[str, str] | None" = None, *, patience: "Patience | None" = None,
                 note: "Callable[[str, str], None]" = lambda registry, text: None, credential: "Credential | None" = None,
                 credentials: "Credentials | None" = None, directories: "tuple[str, ...] | None" = None,
                 sleep: "Callable[[float], None] | None" = None) -> None:
        environment = dict(os.environ if environment is None else environment)
        self.config = config
        self._given = credential
        self._credentials = credentials or Credentials(environment)
        self._directories = certificate_directories(environment) if directories is None else directories
        proxies = {name: url for name, url in self._credentials.proxies().items() if name.upper() not in environment}
        around = Surroundings({**proxies, **environment}, patience or Patience(),
                              tuple(self._credentials.headers().items()), note=note)
        self._around = around._replace(sleep=sleep) if sleep else around
        self._connections: "dict[tuple[str, Endpoint, str], Connection]" = {}
        self._lock = allocate_lock()

    def glance(self, reference: "Reference") -> "Head | None":
        """What a tag leads to, where the registry itself can be asked without loading the client; None: the repository has to be asked.

        Raises RegistryBlocked, InvalidConfig.
        """
        found = self._endpoints(reference.domain)
        if len(found) > 1 or self._around.headers:
            return None
        from store.registry.glance import glance

        return glance(found[0], reference.path, reference.tag, self._around.environment)

    def repository(self, reference: "Reference") -> "Repository":
        """Raises RegistryBlocked, InvalidConfig."""
        from store.registry.repository import Repository

        return Repository(reference.domain, reference.path, self.connections(reference.domain, reference.path))

    def connections(self, domain: str, path: str = "") -> "tuple[Connection, ...]":
        """To every endpoint of a registry, the registry itself last. path: of the repository, which may have credentials of its own."""
        return tuple(self._connection(domain, endpoint, path) for endpoint in self._endpoints(domain))

    def _endpoints(self, domain: str) -> "tuple[Endpoint, ...]":
        return endpoints(domain, self.config, lambda host: read_hostfile(host, self._directories))

    def _connection(self, domain: str, endpoint: Endpoint, path: str) -> "Connection":
        from store.registry.connection import Connection

        who = endpoint.host if endpoint.mirror_of else domain
        key = (domain, endpoint, path)
        with self._lock:
            connection = self._connections.get(key)
            if connection is None:
                around = self._around
                if endpoint.mirror_of:
                    around = around._replace(patience=around.patience._replace(attempts=min(_MIRROR_ATTEMPTS, around.patience.attempts)))
                connection = self._connections[key] = Connection(
                    domain, endpoint, around, lambda: self._credential(endpoint, who, path))
            return connection

    def _credential(self, endpoint: Endpoint, who: str, path: str) -> "Credential | None":
        if endpoint.mirror_of:
            return self._credentials.find(who)           # a mirror's own: what the registry is told is not for it
        return self._given or self._credentials.find(who, path)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()
