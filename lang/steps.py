"""What a stage comes down to: one value a step, every word expanded. The builder turns them into a graph and knows no Dockerfile.

Every step has: `created_by`, its line of the image's history; `layer`, whether it makes one; `label`, the line to show; `span` in
the Dockerfile.
"""

from kernel.value import Value
from lang.chmod import Chmod
from lang.source import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from lang.gitref import GitRef
    from lang.mount import Mount
    from lang.refs import Ref

    CopySource: TypeAlias = "PathSource | InlineSource | UrlSource | GitSource"
    Step: TypeAlias = "RunStep | CopyStep | WorkdirStep | ConfigStep"

DEVICES = "/dev/pipes"                                    # where a RUN finds the files of its heredocs


class InlineFile(Value):
    """A file that stands in the Dockerfile."""

    name: str
    content: str
    mode: int


class RunStep(Value):
    """Run `argv`. env: ENV and the ARGs in scope, which are part of the cache key; proxies come on top and are not.

    files: to be put into DEVICES, read-only. timeout, retry_delay: nanoseconds, 0 for none. shell: argv is a shell's.
    """

    argv: "tuple[str, ...]"
    shell: bool
    env: "tuple[tuple[str, str], ...]"
    proxies: "tuple[tuple[str, str], ...]"
    cwd: str
    user: str
    mounts: "tuple[Mount, ...]"
    files: "tuple[InlineFile, ...]"
    network: str
    security: str
    devices: "tuple[str, ...]"
    timeout: int
    retries: int
    retry_delay: int
    created_by: str
    label: str
    span: Span
    layer: bool = True


class PathSource(Value):
    """Files of the origin: `path` is absolute in it and may be a pattern. keep: with --parents, the part of the path (a pattern, `**`
    allowed) that is kept below the destination, and `path` is where it begins; else ""."""

    path: str
    keep: str = ""


class InlineSource(Value):
    """A heredoc: a file of mode 0644 with this name, if the destination is a directory."""

    name: str
    content: str


class UrlSource(Value):
    """A download. name: of the file, if the destination is a directory."""

    url: str
    name: str


class GitSource(Value):
    ref: "GitRef"


class Owner(Value):
    """--chown: names or numbers; group None: the user's own."""

    user: str
    group: "str | None"


class CopyStep(Value):
    """COPY or ADD. destination: absolute, with a `/` at its end if it was said to be a directory. origin None: the build context.

    unpack: whether archives are: None for ADD's usual, local archives only. checksum: "" or `sha256:...` or a commit.
    """

    sources: "tuple[CopySource, ...]"
    destination: str
    origin: "Ref | None"
    owner: "Owner | None"
    chmod: "Chmod | None"
    excludes: "tuple[str, ...]"
    link: bool
    parents: bool
    add: bool
    unpack: "bool | None"
    checksum: str
    keep_git_dir: bool
    created_by: str
    label: str
    span: Span
    layer: bool = True


class WorkdirStep(Value):
    """Make the directory, 0755 and the user's, if it is missing."""

    path: str
    user: str
    created_by: str
    label: str
    span: Span
    layer: bool = True


class ConfigStep(Value):
    """An instruction that changes the config only. What it changes is in the Settings that come with the steps."""

    created_by: str
    label: str
    span: Span
    layer: bool = False
