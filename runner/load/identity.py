"""The identity of a service's configuration: what must change for its containers to be made anew."""

from _hashlib import openssl_sha256 as sha256  # `hashlib` itself costs a millisecond

from runner.load.fields import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from runner.model.project import Network, Volume
    from runner.model.service import Service

    Contents: TypeAlias = Iterable[tuple[str, bytes]]

_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def config_hash(service: "Service", contents: "Contents" = ()) -> str:
    """The sha256, in hex, of all that a container of `service` is made of.

    Not in it: build, pull policy, number of replicas, dependencies, profiles, and the files that its environment came from.
    contents: the secrets and configs it is given, as (target, bytes); none: the hash is the one that docker compose makes.
    """
    return text_hash(config_text(service), contents)


def text_hash(text: str, contents: "Contents" = ()) -> str:
    """config_hash of a service of which there is the `config_text`."""
    digest = sha256(text.encode("utf-8", "surrogatepass"))
    for target, content in sorted(contents):
        digest.update(b"\0" + target.encode("utf-8", "surrogatepass") + b"\0" + sha256(content).digest())
    return digest.hexdigest()


def config_text(service: "Service") -> str:
    """The service as JSON, without what is not in its hash."""
    deploy = service.deploy._replace(replicas=None) if service.deploy else None
    return _json(service._replace(build=None, pull_policy="", pull_refresh_after="", scale=None, depends_on=(), profiles=(), deploy=deploy,
                                  env_file=(), label_file=(), extends=None))


def resource_hash(resource: "Network | Volume") -> str:
    """The sha256, in hex, of what a network or volume is made of."""
    return sha256(_json(resource._replace(extensions=())).encode("utf-8", "surrogatepass")).hexdigest()


def _json(value: "Service | Network | Volume") -> str:
    import json

    return json.dumps(write(value, True), ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)
