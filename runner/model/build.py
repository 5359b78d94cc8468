"""How the image of a service is built, and how its source is watched."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Texts: TypeAlias = tuple[str, ...]
    Labels: TypeAlias = tuple[tuple[str, str], ...]
    Variables: TypeAlias = tuple[tuple[str, str | None], ...]     # None: a variable that had no value to take over
    Extensions: TypeAlias = tuple[tuple[str, Any], ...]


class Ulimit(Value):
    """`single`: it was written as one number."""

    soft: int = 0
    hard: int = 0
    single: bool = False


class Grant(Value):
    """A secret or config that a service, or its build, may read. `mode` is an octal mode as a number."""

    source: str = ""
    target: str = ""
    uid: str = ""
    gid: str = ""
    mode: "int | None" = None
    extensions: "Extensions" = ()


class Build(Value):
    """How a service's image is built. `ssh`: key -> path, None for the agent."""

    context: str = ""
    dockerfile: str = ""
    dockerfile_inline: str = ""
    entitlements: "Texts" = ()
    args: "Variables" = ()
    provenance: str = ""
    sbom: str = ""
    ssh: "Variables" = ()
    labels: "Labels" = ()
    cache_from: "Texts" = ()
    cache_to: "Texts" = ()
    no_cache: bool = False
    no_cache_filter: "Texts" = ()
    additional_contexts: "Labels" = ()
    pull: bool = False
    extra_hosts: "tuple[tuple[str, Texts], ...]" = ()
    isolation: str = ""
    network: str = ""
    target: str = ""
    secrets: "tuple[Grant, ...]" = ()
    shm_size: int = 0                                     # bytes
    tags: "Texts" = ()
    ulimits: "tuple[tuple[str, Ulimit], ...]" = ()
    platforms: "Texts" = ()
    privileged: bool = False
    extensions: "Extensions" = ()


class Hook(Value):
    """A command run in the container, or for `pre_start` in one of its own before the container starts."""

    command: "Texts | None" = None
    image: str = ""
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    environment: "Variables" = ()
    per_replica: bool = False
    extensions: "Extensions" = ()


class Watch(Value):
    path: str = ""
    action: str = ""                                      # rebuild, sync, restart, sync+restart, sync+exec
    target: str = ""
    exec: "Hook | None" = None
    include: "Texts" = ()
    ignore: "Texts" = ()
    initial_sync: bool = False
    extensions: "Extensions" = ()


class Develop(Value):
    watch: "tuple[Watch, ...]" = ()
    extensions: "Extensions" = ()
