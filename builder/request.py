"""What a build is asked for: one frozen value, made by a face from its options. Cheap to import: the cached path reads it."""

from kernel.value import Value


class Secret(Value):
    """`--secret id=..,src=..|env=..`: exactly one of path and variable is set."""

    id: str
    path: str = ""
    variable: str = ""


class Output(Value):
    """`--output type=..,dest=..`. dest "-" is stdout; options: what else was given, as (key, value) in order."""

    type: str
    dest: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str, default: str = "") -> str:
        return dict(self.options).get(name, default)

    @property
    def names(self) -> tuple[str, ...]:
        """What the image is called in this output, if that is said of it."""
        return tuple(name for name in self.option("name").split(",") if name)


class CacheAddress(Value):
    """`--cache-from` and `--cache-to`: where a cache is kept, checked (builder.cache.address). kind: registry, local, inline, s3, gha."""

    kind: str
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str, default: str = "") -> str:
        return dict(self.options).get(name, default)


class Rescue(Value):
    """What becomes of a RUN that fails. on_error: fail, shell or keep; layout: where keep also writes an OCI layout, "" for nowhere; outputs: (path
    in the step, path here) of files to copy out."""

    on_error: str = "fail"
    layout: str = ""
    outputs: tuple[tuple[str, str], ...] = ()

    @property
    def wants_files(self) -> bool:
        return self.on_error != "fail" or bool(self.outputs)


class Tree(Value):
    """A build context that is no directory, in the store: as builder.remote.context has fetched it."""

    name: str                                            # where it comes from, for people
    digest: str                                          # of its files
    snapshot: str                                        # where they are
    moment: int = 0                                      # seconds since the epoch: of its commit, of its youngest file


class Request(Value):
    """Everything that decides what a build yields, and how it runs."""

    context: str                                         # directory (absolute); "" for an empty context
    dockerfile: str                                      # its name, for messages
    text: bytes                                          # its bytes
    ignore: bytes = b""                                  # bytes of the ignore file that applies
    ignore_name: str = ""
    target: str | None = None
    build_args: tuple[tuple[str, str], ...] = ()
    named_contexts: tuple[tuple[str, str], ...] = ()
    platform: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[str, ...] = ()
    names: tuple[str, ...] = ()                          # -t
    network: str = "default"
    add_hosts: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    ssh: tuple[tuple[str, str], ...] = ()                # (id, source as in builder.agents)
    allow: tuple[str, ...] = ()
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    pull: bool = False
    outputs: tuple[Output, ...] = ()
    jobs: int = 0                                        # 0: as many as there are processors, at least 2
    shm_size: int = 0
    ulimits: tuple[str, ...] = ()
    memory: int = 0
    cpus: float = 0.0
    proxies: tuple[tuple[str, str], ...] = ()
    isolation: str = "auto"
    runtime: str = ""                                    # path of the OCI runtime that RUN is started by; "" for sandboxes of ours
    userns: str = ""                                     # user namespace of RUN, as `runner.idrange` names them; "" is the host's
    reproducible: bool = False                           # SOURCE_DATE_EPOCH where none is given
    fresh: bool = False                                  # no earlier layer stands for an equal new one: `verify` compares them
    rescue: Rescue = Rescue()
    explain: bool = False                                # say of each step whether it is a hit, and why not
    tree: Tree | None = None                             # the build context, if it is no directory; `context` is "" then
    cache_from: tuple[CacheAddress, ...] = ()
    cache_to: tuple[CacheAddress, ...] = ()

    @property
    def leaves_layers(self) -> bool:
        """Whether nobody wants the image here: layers of a base that no step reads then stay in their registry."""
        return bool(self.outputs) and all(output.type in ("registry", "cacheonly") for output in self.outputs) and not self.squashes

    @property
    def squashes(self) -> bool:
        """Whether the image has all layers of its build as one."""
        return any(output.option("squash") == "true" for output in self.outputs)

    @property
    def has_inline_cache(self) -> bool:
        """Whether the image itself carries what its steps were made from."""
        return any(address.kind == "inline" for address in self.cache_to) or dict(self.build_args).get("BUILDKIT_INLINE_CACHE", "") in ("1", "true")

    @property
    def has_elsewhere(self) -> bool:
        """Whether a cache outside of the image is to be written: then finding the image is not all there is to do."""
        return any(address.kind != "inline" for address in self.cache_to)

    def identity(self) -> tuple[object, ...]:
        """What of the request decides the image's content; the rest (names, outputs, how it runs) does not."""
        return (self.context, self.text, self.ignore, self.target, self.build_args, self.named_contexts, self.platform, self.labels, self.network,
                self.add_hosts, self.secrets, self.ssh, self.allow, self.shm_size, self.ulimits, self.reproducible,
                (self.tree.digest, self.tree.moment) if self.tree else (), self.has_inline_cache, self.squashes)


class Result(Value):
    """What a build yielded. image: its ID, "" for a build that made none (cacheonly); lines: what to print of its steps, when cached."""

    image: str
    names: tuple[str, ...] = ()
    steps: int = 0
    cached: int = 0


def read_ignore(directory: str, dockerfile: str = "") -> tuple[str, bytes]:
    """(name, bytes) of the ignore file of a context: the Dockerfile's own before the context's; ("", b"") if there is none."""
    own = [f"{dockerfile}.dockerignore", f"{dockerfile}.containerignore"] if dockerfile else []
    for path in (*own, f"{directory}/.dockerignore", f"{directory}/.containerignore"):
        try:
            with open(path, "rb") as file:
                return path, file.read(1 << 20)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return "", b""
