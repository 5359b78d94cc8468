"""The identity of a service's configuration: what must change for its containers to be made anew."""

from runner.load.fields import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.model.service import Service

_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def config_hash(service: "Service", contents: "Iterable[tuple[str, bytes]]" = ()) -> str:
    """The sha256, in hex, of all that a container of `service` is made of.

    Not in it: build, pull policy, number of replicas, dependencies, profiles, and the files that its environment came from.
    contents: the secrets and configs it is given, as (target, bytes); none: the hash is the one that docker compose makes.
    """
    deploy = service.deploy._replace(replicas=None) if service.deploy else None
    service = service._replace(build=None, pull_policy="", pull_refresh_after="", scale=None, depends_on=(), profiles=(), deploy=deploy,
                               env_file=(), label_file=(), extends=None)
    import json
    from hashlib import sha256
    text = json.dumps(write(service, True), ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)
    digest = sha256(text.encode("utf-8", "surrogatepass"))
    for target, content in sorted(contents):
        digest.update(b"\0" + target.encode("utf-8", "surrogatepass") + b"\0" + sha256(content).digest())
    return digest.hexdigest()
