"""`--build-context name=value`: what a value means. Nothing is looked up here: a named context counts only where a Dockerfile uses it.

docker-image://NAME, oci-layout://PATH[:TAG|@DIGEST], target:STAGE, a git repository, an http(s) URL, a directory.
"""

import os

from builder.graph import SourceGit, SourceHttp, SourceLocal
from builder.remote.address import file_name, parse_address, shown
from builder.remote.errors import BadNamedContext, RemoteError
from kernel.value import Value
from lang.gitref import GitRef, parse_git_ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from lang.refs import Ref
    from lang.stages import Resolution, Stage

IMAGE, LAYOUT, TARGET = "docker-image://", "oci-layout://", "target:"


class NamedImage(Value):
    """name: of an image, or LAYOUT with the path of one and which one in it."""

    name: str


class NamedStage(Value):
    """A stage of the Dockerfile itself."""

    name: str


Meaning: "TypeAlias" = "NamedImage | NamedStage | SourceLocal | SourceHttp | SourceGit"


def absolute(value: str, directory: str) -> str:
    """The value of a command line or a file that lies in `directory`, with its path made whole."""
    if value.startswith(LAYOUT):
        path, end = split_layout(value)
        return LAYOUT + os.path.normpath(os.path.join(directory, path)) + end
    if "://" in value or value.startswith(TARGET):
        return value
    path = os.path.normpath(os.path.join(directory, value))
    return value if not os.path.isdir(path) and is_git(value) else path


def is_git(text: str) -> bool:
    try:
        return parse_git_ref(text) is not None
    except ValueError:                                   # one that cannot be: said where it is used
        return True


def split_layout(value: str) -> tuple[str, str]:
    """(path, ":TAG" or "@DIGEST" or "") of oci-layout://..; where both are given the digest counts."""
    rest = value.removeprefix(LAYOUT)
    path, at, digest = rest.rpartition("@")
    if at and digest.startswith("sha256:"):
        above, slash, last = path.rpartition("/")
        return above + slash + last.partition(":")[0], at + digest
    above, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    return above + slash + last, colon + tag


def meaning(name: str, value: str) -> Meaning:
    """Raises BadNamedContext, BadAddress."""
    if value.startswith(IMAGE):
        return NamedImage(value.removeprefix(IMAGE))
    if value.startswith(LAYOUT):
        return NamedImage(value)
    if value.startswith(TARGET):
        return NamedStage(value.removeprefix(TARGET))
    if not value.startswith("/"):
        try:
            git = parse_git_ref(value)
            if git is not None:
                return git_source(git)
        except (ValueError, RemoteError) as error:
            raise BadNamedContext(name, shown(value), f"which cannot be: {error}") from error
        if value.startswith(("http://", "https://")):
            return http_source(value)
    scheme, separator, _ = value.partition("://")
    if separator and "/" not in scheme:
        raise BadNamedContext(name, shown(value), f"and there are no contexts by `{scheme}`",
                              "there are docker-image://, oci-layout://, target:, git repositories, http(s):// and directories")
    return SourceLocal(name)


def http_source(url: str, name: str = "") -> SourceHttp:
    """A URL whose files are wanted: those in it, if it is an archive, else the one that it is."""
    return SourceHttp(url, name or file_name(parse_address(url)), unpack=True)


def git_source(ref: GitRef, *, checksum: str = "", keep_git_dir: bool = False) -> SourceGit:
    """What an address of a git repository, and the flags beside it, ask for. Raises RemoteError for what they do not agree on."""
    if keep_git_dir and ref.keep_git_dir is False:
        raise RemoteError("`keep-git-dir` of the address is false, and --keep-git-dir is given")
    if ref.mtime not in ("", "commit", "checkout"):
        raise RemoteError(f"`mtime` of the address is `{ref.mtime}`", help="it is `commit` or `checkout`")
    # where nothing is said files are as old as their commit (not as the checkout, as in BuildKit): so an image is the same on every machine
    return SourceGit(f"https://{ref.remote}" if ref.short else ref.remote, ref.ref, ref.subdirectory,
                     max(ref.checksum, checksum, key=len).lower(), keep_git_dir or bool(ref.keep_git_dir), ref.submodules is not False,
                     ref.mtime or "commit", ref.fetch_by_commit)


# ---------------------------------------------------------------- target:STAGE
def stage_number(stages: "tuple[Stage, ...]", name: str, context: str) -> int:
    """Number of the stage that `target:name` means. Raises BadNamedContext."""
    found = next((stage.number for stage in reversed(stages) if stage.name and stage.name == name.lower()), None)
    if found is None:
        from lang.suggest import nearest

        raise BadNamedContext(context, TARGET + name, "and no stage has that name", nearest(name, [stage.name for stage in stages if stage.name]))
    return found


def with_stages(resolution: "Resolution", named: "Mapping[str, str]") -> "Resolution":
    """The same, where stages that are reached by way of named contexts are reachable too."""
    if not any(value.startswith(TARGET) for value in named.values()):
        return resolution
    stages = resolution.stages
    reached = {stage.number for stage in stages if stage.reachable}
    todo = list(reached)
    while todo:
        stage = stages[todo.pop()]
        for ref in (stage.base, *(need.ref for need in stage.needs)):
            number = _number(ref, stages, named)
            if number is not None and number not in reached:
                reached.add(number)
                todo.append(number)
    return resolution._replace(stages=tuple(stage._replace(reachable=stage.number in reached) for stage in stages))


def _number(ref: "Ref", stages: "tuple[Stage, ...]", named: "Mapping[str, str]") -> int | None:
    from lang.refs import NamedRef, StageRef

    if isinstance(ref, StageRef):
        return ref.number
    if isinstance(ref, NamedRef) and named[ref.name].startswith(TARGET):
        return stage_number(stages, named[ref.name].removeprefix(TARGET), ref.name)
    return None
