"""Where a registry's content is asked for: mirrors first, then the registry itself. In: its name and the configuration; out: endpoints.

What is said about a registry comes from config.toml and from the directories that docker, containerd and podman keep for each host
(`certs.d/HOST/` with `hosts.toml`, or with `*.crt`, `*.cert` and `*.key`); config.toml counts more.
"""

from kernel.value import Value
from store.config import Config, RegistryConfig
from store.reference import DEFAULT_DOMAIN
from store.registry.errors import RegistryBlocked
from store.registry.proxy import is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from store.registry.hostfile import HostFile

HUB = "registry-1.docker.io"             # who answers for docker.io
ALL = ("pull", "resolve", "push")


class Tls(Value):
    """ca: PEM files beside the system's; certificates: (certificate, key) PEM files of ours, "" for a key in the same file."""

    verify: bool = True
    ca: "tuple[str, ...]" = ()
    certificates: "tuple[tuple[str, str], ...]" = ()


class Endpoint(Value):
    """One host that answers for a registry. scheme "": https, or http where no TLS answers (only for insecure ones).

    host: with port. path: what the distribution spec's paths are appended to. mirror_of: the registry whose content it has; "" for the registry
    itself. can: of "pull" (blobs and manifests by digest), "resolve" (tags), "push".
    """

    host: str
    scheme: str = "https"
    path: str = "/v2"
    mirror_of: str = ""
    can: "tuple[str, ...]" = ALL
    tls: Tls = Tls()
    headers: "tuple[tuple[str, str], ...]" = ()


def endpoints(domain: str, config: Config, hostfile_of: "Callable[[str], HostFile | None]" = lambda host: None) -> "tuple[Endpoint, ...]":
    """Endpoints of a registry in the order in which they are asked; the last one is the registry itself.

    hostfile_of: what the directories say of a host. Raises RegistryBlocked, and what that raises.
    """
    said = config.registry(domain)
    if said.blocked:
        raise RegistryBlocked(domain)
    mirrors = tuple(_mirror(url, domain, config, hostfile_of) for url in said.mirrors)
    own = _own(domain, said)
    hostfile = hostfile_of(domain)
    if hostfile is None:
        return (*mirrors, own)
    if hostfile.server is not None:                      # another server than its name says
        own = hostfile.server._replace(mirror_of="")
    own = _certified(own, said, hostfile.tls)
    return (*mirrors, *(mirror._replace(mirror_of=domain) for mirror in hostfile.mirrors), own)


def _own(domain: str, said: RegistryConfig) -> Endpoint:
    host = HUB if domain == DEFAULT_DOMAIN else domain
    insecure = is_loopback(host_of(host)) if said.insecure is None else said.insecure
    return Endpoint(host, "" if insecure else "https", tls=_tls(said, insecure))


def _certified(own: Endpoint, said: RegistryConfig, tls: Tls) -> Endpoint:
    """With what the directories say about certificates, unless the configuration says something itself."""
    if tls == Tls() or own.tls.ca or own.tls.certificates:
        return own
    # one of this machine's own is trusted unseen, unless somebody says whom to trust
    if said.insecure is None and tls.ca and not own.tls.verify:
        return own._replace(scheme="https", tls=tls)
    return own._replace(tls=tls._replace(verify=own.tls.verify and tls.verify))


def _tls(said: RegistryConfig, insecure: bool) -> Tls:
    return Tls(not insecure, said.ca, ((said.certificate, said.key),) if said.certificate else ())


def _mirror(url: str, domain: str, config: Config, hostfile_of: "Callable[[str], HostFile | None]") -> Endpoint:
    """A mirror by its URL, or by its name alone; what the configuration says of it as a registry holds for it as a mirror too."""
    scheme, separator, rest = url.rpartition("://")
    host, _, path = rest.partition("/")
    said = config.registry(host)
    own = _own(host, said)
    if scheme != "http" and (hostfile := hostfile_of(host)) is not None:
        own = _certified(own, said, hostfile.tls)
    path = f"/{path.strip('/')}/v2" if path.strip("/") else "/v2"
    return own._replace(scheme=scheme if separator else own.scheme, path=path, mirror_of=domain, can=("pull", "resolve"))


def host_of(authority: str) -> str:
    """Without the port."""
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdecimal() and (":" not in host or host.endswith("]")) else authority


def port_of(authority: str, scheme: str) -> int:
    host = host_of(authority)
    if host != authority:
        return int(authority[len(host) + 1:])
    return 443 if scheme == "https" else 80
