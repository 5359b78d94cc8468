"""How a service is built -> the Request that the builder takes. Reads the Dockerfile and its ignore file; builds nothing."""

import os

from builder.request import Request, Secret, read_ignore
from kernel.value import Value
from runner.desired_mounts import Contents
from runner.errors import InvalidService
from runner.load.config import image_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.request import CacheAddress, Tree
    from runner.model.build import Build
    from runner.model.project import Project
    from runner.model.service import Service

    Pairs = tuple[tuple[str, str], ...]

_NAMES = ("Dockerfile", "dockerfile", "Containerfile")


class Changes(Value):
    """What the command line says over the files. ssh: (name, source as in builder.agents)."""

    build_args: "Pairs" = ()
    no_cache: bool = False
    pull: bool = False
    memory: int = 0
    ssh: "Pairs" = ()
    proxies: "Pairs" = ()


class Fetched(Value):
    """A build context that is not a directory of this machine, as it was fetched."""

    dockerfile: str
    text: bytes
    tree: "Tree | None"


def request(service: "Service", image: str, project: "Project", changes: Changes, fetched: "Fetched | None" = None) -> Request:
    """Raises InvalidService for what is not there or cannot be done."""
    build, at = service.build, ("services", service.name, "build")
    assert build is not None
    if fetched is not None:
        name, text, ignore_name, ignore = fetched.dockerfile, fetched.text, "", b""
    else:
        name, text = _dockerfile(build, at)
        ignore_name, ignore = read_ignore(build.context, name)
    made = Request(
        build.context if fetched is None else "", name, text, ignore, ignore_name, build.target or None,
        tuple(sorted({**{key: value for key, value in build.args if value is not None}, **dict(changes.build_args)}.items())),
        _contexts(build, project), _platform(service, build, at), build.labels, names=(image, *build.tags), network=_network(build, project),
        add_hosts=tuple(f"{host}:{address}" for host, addresses in build.extra_hosts for address in addresses),
        secrets=_secrets(service, build, project), ssh=tuple({**dict(_ssh(build, at)), **dict(changes.ssh)}.items()),
        allow=(*build.entitlements, *(("security.insecure",) if build.privileged else ())), no_cache=build.no_cache or changes.no_cache,
        no_cache_stages=build.no_cache_filter, pull=build.pull or changes.pull, shm_size=build.shm_size,
        ulimits=tuple(f"{key}={one.soft}:{one.soft if one.single else one.hard}" for key, one in build.ulimits), memory=changes.memory,
        proxies=changes.proxies, cache_from=_caches(build.cache_from, (*at, "cache_from")), cache_to=_caches(build.cache_to, (*at, "cache_to")))
    return made if fetched is None else made._replace(tree=fetched.tree)


def _network(build: "Build", project: "Project") -> str:
    """A network of the project by its key, or any by its name; it has to be there."""
    named = {one.key: one.name for one in project.networks if one.key != "default"}
    return named.get(build.network, build.network) or "default"


def _caches(words: "tuple[str, ...]", at: "tuple[str, ...]") -> "tuple[CacheAddress, ...]":
    if not words:
        return ()
    from builder.cache.address import parse_address
    from builder.errors import BuildError

    found = []
    for index, word in enumerate(words):
        try:
            found.append(parse_address(word, to=at[-1] == "cache_to"))
        except BuildError as error:
            raise InvalidService((*at, index), f"is no cache: {error}", error.help) from error
    return tuple(found)


def _dockerfile(build: "Build", at: "tuple[str, ...]") -> "tuple[str, bytes]":
    """(path, bytes)."""
    if build.dockerfile_inline:
        return os.path.join(build.context, "Dockerfile"), build.dockerfile_inline.encode("utf-8", "surrogateescape")
    if not os.path.isdir(build.context):
        raise InvalidService((*at, "context"), f"is `{build.context}`, which is no directory")
    path = os.path.join(build.context, build.dockerfile or "Dockerfile")
    if (build.dockerfile or "Dockerfile") == "Dockerfile":
        path = next((one for one in (os.path.join(build.context, name) for name in _NAMES) if os.path.exists(one)), path)
    try:
        with open(path, "rb") as file:
            return path, file.read()
    except OSError as error:
        raise InvalidService((*at, "dockerfile"), f"cannot be read from `{path}`: {(error.strerror or '').lower()}") from error


def _contexts(build: "Build", project: "Project") -> "Pairs":
    """Other services' images are named as images."""
    services = {one.name: one for one in (*project.services, *project.disabled)}
    found = []
    for name, value in build.additional_contexts:
        if value.startswith("service:"):
            value = f"docker-image://{image_name(services[value[8:]], project.name)}"
        found.append((name, value))
    return tuple(found)


def _platform(service: "Service", build: "Build", at: "tuple[str, ...]") -> str:
    if len(build.platforms) > 1 and service.platform not in build.platforms:
        raise InvalidService((*at, "platforms"), f"has {len(build.platforms)} platforms, and a service runs on one",
                             "`platform:` of the service says which; `pybuild --platform` builds for several")
    return service.platform or (build.platforms[0] if build.platforms else "")


def _secrets(service: "Service", build: "Build", project: "Project") -> "tuple[Secret, ...]":
    contents = Contents(project)
    found = []
    for index, grant in enumerate(build.secrets):
        declared = contents.declared("secrets", grant.source, ("services", service.name, "build", "secrets", index))
        found.append(Secret(grant.target or grant.source, declared.file, "" if declared.file else declared.environment))
    return tuple(found)


def secret_variables(build: "Build", project: "Project") -> "Pairs":
    """(name, value) of variables that secrets of the build come from: they may be set in a file of variables only."""
    declared = {one.key: one for one in project.secrets}
    found = (declared[grant.source] for grant in build.secrets if grant.source in declared)
    return tuple((one.environment, one.value) for one in found if one.environment and one.value is not None)


def _ssh(build: "Build", at: "tuple[str, ...]") -> "Pairs":
    if not build.ssh:
        return ()
    from builder.agents import source_of
    from builder.errors import BuildError

    found = []
    for name, path in build.ssh:
        socket = path or os.environ.get("SSH_AUTH_SOCK", "")
        if not socket:
            raise InvalidService((*at, "ssh"), f"wants the agent `{name}`, and SSH_AUTH_SOCK is not set")
        try:
            found.append((name, source_of(socket)))
        except BuildError as error:
            raise InvalidService((*at, "ssh"), str(error)) from error
    return tuple(found)
