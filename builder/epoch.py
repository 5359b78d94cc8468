"""SOURCE_DATE_EPOCH: the time that a reproducible image is of. In: a request and its Dockerfile's arguments; out: seconds, or None.

Source: reproducible-builds.org, SOURCE_DATE_EPOCH. With it no file in a new layer is younger, and config and history are of that time.
"""

import os
import time

from builder.errors import BuildError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.request import Request
    from lang.stages import Resolution


def epoch_of(request: "Request", resolution: "Resolution") -> int | None:
    """From --build-arg or the ARG before the first FROM; with --reproducible the commit time of the context's git repository, else 0."""
    value = dict(resolution.arguments).get("SOURCE_DATE_EPOCH") or dict(request.build_args).get("SOURCE_DATE_EPOCH", "")
    if value in ("context", "") and (value or request.reproducible):
        return request.tree.moment if request.tree is not None else commit_time(request.context) or 0
    if not value:
        return None
    if not value.isdecimal() or int(value) > 1 << 40:
        raise BuildError(f"SOURCE_DATE_EPOCH is `{value}`, which is no number of seconds")
    return int(value)


def commit_time(directory: str) -> int | None:
    """Seconds of the newest commit of the repository that the directory is in; None without git or repository."""
    if not directory or not any(os.path.exists(f"{above}/.git") for above in _ups(directory)):
        return None
    import subprocess

    try:
        done = subprocess.run(["git", "-c", "core.fsmonitor=false", "-C", directory, "log", "-1", "--format=%ct"], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    text = done.stdout.strip()
    return int(text) if done.returncode == 0 and text.isdecimal() else None


def _ups(directory: str) -> list[str]:
    """The directory and those above it."""
    found = [directory]
    while directory not in ("/", ""):
        directory = os.path.dirname(directory)
        found.append(directory)
    return found


def stamp(epoch: int) -> str:
    """RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def now() -> str:
    """RFC 3339 with nanoseconds, as docker writes it."""
    ns = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09d}Z"
