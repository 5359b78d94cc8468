"""The build graph: what a Dockerfile's reachable stages come down to. Frozen values without behaviour.

Read in this order: Op (what a vertex does; every field of it but `how` is in its key), Pick, Selector and Edge (what it takes from which
other vertex), Vertex, Graph.
"""

from kernel.value import Value
from store.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from lang.chmod import Chmod
    from lang.mount import Mount
    from lang.source import Source, Span
    from lang.steps import InlineFile, Owner


class SourceScratch(Value):
    """The empty file system that `FROM scratch` starts from."""

    platform: str


class SourceImage(Value):
    """An image, already resolved: `image_id` names its config; result = its chain of layers."""

    name: str                    # as the Dockerfile says it, for people
    image_id: Digest
    platform: str


class SourceLocal(Value):
    """A directory on this machine: the build context ("context") or a named one. Only what edges select is ever read."""

    name: str


class SourceTree(Value):
    """Files that are in the store already and belong to no image: a build context that was fetched. tree "": it is empty."""

    name: str                    # what it is, for people
    tree: "Digest | str" = ""


class SourceHttp(Value):
    """A download: one file of mode 0600 called `name`; with `unpack`, if it is an archive, what is in that.

    It is fetched, or found to be as it was, when the vertex runs. checksum: "" or `sha256:..`, sha384 or sha512 of the body.
    """

    url: str
    name: str
    checksum: str = ""
    unpack: bool = False


class SourceGit(Value):
    """Files of a commit. ref "": of the default branch; checksum: of the commit, or its beginning, or "".

    mtime: whether files are as old as the "commit" or as the "checkout". by_commit: ask the server for the commit, not for the ref.
    """

    remote: str
    ref: str = ""
    subdirectory: str = ""
    checksum: str = ""
    keep_git_dir: bool = False
    submodules: bool = True
    mtime: str = "commit"
    by_commit: bool = False


class MountInput(Value):
    """A mount of a RUN. input: which input of the vertex it takes from, -1 for none. The mount's own `origin` is blanked: the input says it."""

    mount: "Mount"
    input: int = -1


class RunHow(Value):
    """How a process runs, as far as that does not decide what it yields."""

    proxies: "tuple[tuple[str, str], ...]" = ()
    timeout: int = 0             # nanoseconds, 0: none
    retries: int = 0
    retry_delay: int = 0
    memory: int = 0              # bytes
    cpus: float = 0.0
    shell: bool = False


class RunOp(Value):
    """A process in a sandbox; its root file system is input 0, its mounts from other vertices are the inputs after."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    user: str
    mounts: tuple[MountInput, ...] = ()
    files: "tuple[InlineFile, ...]" = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    ulimits: tuple[str, ...] = ()
    hostname: str = ""
    platform: str = ""
    epoch: int | None = None     # SOURCE_DATE_EPOCH: no file of the layer is younger
    how: RunHow = RunHow()


class InlineSource(Value):
    """A heredoc of COPY: a file of this name, if the destination is a directory."""

    name: str
    content: str


class CopyOp(Value):
    """COPY or ADD onto input 0; the inputs after it are what the sources are taken from, in their order.

    destination: absolute, a trailing `/` says that it is a directory. unpack: inputs whose archives are unpacked.
    """

    destination: str
    owner: "Owner | None" = None
    chmod: "Chmod | None" = None
    parents: bool = False
    unpack: tuple[int, ...] = ()
    inline: tuple[InlineSource, ...] = ()
    epoch: int | None = None


class MkdirOp(Value):
    """WORKDIR: the directory exists on input 0 afterwards, made for `user` if it was missing."""

    path: str
    user: str = ""
    epoch: int | None = None


class MergeOp(Value):
    """Input 1's own layer put on top of input 0, whatever input 0 is (COPY --link)."""


Op: "TypeAlias" = "SourceScratch | SourceImage | SourceLocal | SourceTree | SourceHttp | SourceGit | RunOp | CopyOp | MkdirOp | MergeOp"


class Pick(Value):
    """A COPY source: `path` in the vertex, perhaps a pattern. keep: with --parents, what below `path` is taken, and kept as a path."""

    path: str
    keep: str = ""


class Selector(Value):
    """Which files of a vertex an edge depends on, as COPY takes them."""

    picks: tuple[Pick, ...]
    wildcards: bool = True       # whether `*?[` mean anything
    parents: bool = False        # COPY --parents
    excludes: tuple[str, ...] = ()
    whole: bool = False          # a mount: the directory itself counts too, and its times do not


class Edge(Value):
    """An input of a vertex: the whole file system of `vertex` (an index into the graph), or only what `selector` picks of it."""

    vertex: int
    selector: Selector | None = None


class Vertex(Value):
    """One unit of work. What stands after `inputs` says where it comes from and how it runs; it is not in its key.

    number: from 1 among those that are shown, 0 for one that is not. history: its entry in the image, if it makes one.
    """

    op: "Op"
    inputs: tuple[Edge, ...]
    label: str = ""              # "[builder 2/5] RUN make"
    number: int = 0
    stage: int = -1              # index of the stage in the file
    position: int = 0            # in its stage, from 2: FROM is 1
    arguments: frozenset[str] = frozenset()              # which of its variables come from ARG
    span: "Span | None" = None
    source: "Source | None" = None
    no_cache: bool = False


class Graph(Value):
    """Vertices in topological order (inputs have lower indices); `target` is the one that is wanted."""

    vertices: tuple[Vertex, ...]
    target: int
