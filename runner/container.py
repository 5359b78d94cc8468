"""What a container is to be: ContainerSpec, as somebody asked for it, and Container, the record of one that exists. Values only.

Where the image has a say, None means that nothing was said, so the image's word counts: `Process` is what comes of both (see `process_of`).
Times are nanoseconds, sizes bytes, modes octal; names of attributes are the Engine API's where it has one.
"""

import os

from kernel.value import Value
from runner.endpoint import Endpoint, PortMapping
from runner.upkeep import Healthcheck, LogOptions, Restart
from sandbox.spec import NO_LIMITS, Device, Limits, Rlimit
from store.images import Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from runner.idrange import IdRange
    from store.digest import Digest

    Texts: TypeAlias = tuple[str, ...]
    Pairs: TypeAlias = tuple[tuple[str, str], ...]

STOP_TIMEOUT_S = 10


class Mount(Value):
    """kind: "bind" (source: a path of the host), "volume" (source: its name; "" makes an anonymous one), "tmpfs", "image" (source: its name).

    create: a missing source of a bind is made as a directory. propagation "": private. options: of a tmpfs, as mount(8) takes them.
    """

    kind: str
    target: str
    source: str = ""
    readonly: bool = False
    create: bool = False
    propagation: str = ""
    recursive: bool = True
    nocopy: bool = False
    subpath: str = ""
    driver: str = ""
    driver_options: "Pairs" = ()
    labels: "Pairs" = ()
    size: int = 0
    mode: int = 0
    options: "Texts" = ()
    anonymous: bool = False                               # the name in `source` was made up for it


class File(Value):
    """A secret or a config: a file of its own for this container, in memory only. source: read whenever the container is started; else `content`."""

    target: str
    source: str = ""
    content: bytes = b""
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


class ContainerSpec(Value):
    """One container. image: name or ID, as asked for. env: "NAME=value", or "NAME" to take a variable of the image away.

    network_mode: "default", "none", "host", "container:ID", else `endpoints` say where it is. pid, ipc, uts, userns, cgroupns: "" or "private",
    "host", "shareable", "container:ID", as docker has them for each.
    """

    image: str
    name: str = ""
    entrypoint: "Texts | None" = None
    cmd: "Texts | None" = None
    env: "Texts" = ()
    user: "str | None" = None
    working_dir: str = ""
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    console_size: "tuple[int, int]" = (0, 0)              # rows, columns
    hostname: str = ""
    domainname: str = ""
    labels: "Pairs" = ()
    annotations: "Pairs" = ()
    mounts: "tuple[Mount, ...]" = ()
    files: "tuple[File, ...]" = ()
    volumes_from: "Texts" = ()                            # "CONTAINER[:ro]"
    volume_driver: str = ""
    network_mode: str = "default"
    endpoints: "tuple[Endpoint, ...]" = ()
    ports: "tuple[PortMapping, ...]" = ()
    publish_all: bool = False
    exposed: "Texts" = ()                                 # "80/tcp"
    extra_hosts: "Pairs" = ()
    dns: "Texts" = ()
    dns_search: "Texts" = ()
    dns_options: "Texts" = ()
    restart: Restart = Restart()
    healthcheck: "Healthcheck | None" = None
    stop_signal: str = ""
    stop_timeout: int = -1                                # seconds, -1: not said
    auto_remove: bool = False
    log: LogOptions = LogOptions()
    cap_add: "Texts" = ()
    cap_drop: "Texts" = ()
    privileged: bool = False
    security_opt: "Texts" = ()
    seccomp: "str | bytes" = "default"                    # or "unconfined", or the compiled program of a profile
    no_new_privileges: bool = False
    masked: bool = True
    read_only: bool = False
    ulimits: "tuple[Rlimit, ...]" = ()
    limits: Limits = NO_LIMITS
    nano_cpus: int = 0                                    # what `--cpus` said; the limits have it as a quota
    oom_kill_disable: bool = False
    oom_score_adj: int = 0
    devices: "tuple[Device, ...]" = ()
    device_cgroup_rules: "Texts" = ()
    sysctls: "Pairs" = ()
    shm_size: int = 0
    init: bool = False
    pid_mode: str = ""
    ipc_mode: str = ""
    uts_mode: str = ""
    userns_mode: str = ""
    cgroupns_mode: str = ""
    cgroup_parent: str = ""
    group_add: "Texts" = ()
    storage_options: "Pairs" = ()
    runtime: str = ""
    platform: str = ""
    isolation: str = ""                                   # "chroot": without namespaces, wherever it is
    config: str = ""                                      # the compose service it was made from, as JSON: says later what has changed


class Container(Value):
    """A container that exists. id: 64 hex digits; image_id: what `spec.image` led to when it was made; runtime: what that image says.
    ids: of its user namespace; None if that is the host's."""

    id: str
    name: str
    created: int
    image_id: "Digest"
    spec: ContainerSpec
    runtime: Runtime
    ids: "IdRange | None" = None

    @property
    def short_id(self) -> str:
        return self.id[:12]


class Process(Value):
    """What runs in a container, decided. path and arguments together are its argv."""

    argv: "Texts"
    entrypoint: "Texts"
    cmd: "Texts"
    env: "Texts"
    user: str
    working_dir: str
    labels: "Pairs"
    exposed: "Texts"
    stop_signal: str
    stop_timeout: int
    healthcheck: "Healthcheck | None"


def is_on_networks(spec: ContainerSpec) -> bool:
    """Whether somebody has to keep a network for it."""
    return spec.network_mode not in ("none", "host") and not spec.network_mode.startswith("container:")


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def process_of(spec: ContainerSpec, image: Runtime) -> Process:
    """What the spec and its image come to. An entrypoint of the spec's own takes the image's command away, as in docker."""
    entrypoint = image.entrypoint if spec.entrypoint is None else spec.entrypoint
    cmd = (image.cmd if spec.entrypoint is None else ()) if spec.cmd is None else spec.cmd
    return Process(
        (*entrypoint, *cmd), entrypoint, cmd, merge_env(image.env, spec.env), image.user if spec.user is None else spec.user,
        normal(spec.working_dir or image.cwd or "/"), tuple(sorted({**dict(image.labels), **dict(spec.labels)}.items())),
        tuple(sorted({*image.ports, *spec.exposed, *(f"{port.container_port}/{port.protocol}" for port in spec.ports)})),
        spec.stop_signal or image.stop_signal or "SIGTERM",
        spec.stop_timeout if spec.stop_timeout >= 0 else image.stop_timeout if image.stop_timeout >= 0 else STOP_TIMEOUT_S,
        merge_healthcheck(image, spec.healthcheck))


def normal(path: str) -> str:
    """A path from the root, with its `..` taken for what they say rather than for what is there."""
    return "/" + os.path.normpath(f"/{path}").lstrip("/")


def merge_env(below: "Texts", above: "Texts") -> "Texts":
    """`below` with what `above` sets or takes away; names keep the place where they came first. PATH is there in any case."""
    found = {"PATH": f"PATH={PATH}"}
    for word in (*below, *above):
        name, equals, _ = word.partition("=")
        if equals:
            found[name] = word
        else:
            found.pop(name, None)
    return tuple(found.values())


def merge_healthcheck(image: Runtime, own: "Healthcheck | None") -> "Healthcheck | None":
    """The check that counts; None if there is none. What the own one leaves out is the image's."""
    theirs = Healthcheck(*image.healthcheck) if image.healthcheck else Healthcheck()
    said = {name: value for name, value in own._asdict().items() if value} if own else {}
    merged = theirs._replace(**said)
    return merged if merged.test and merged.test[0] != "NONE" else None
