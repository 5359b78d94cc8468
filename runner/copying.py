"""`cp` between a container and this machine: where things go, by docker's rules, and what they are called there."""

import os

from kernel.value import Value
from runner.archive import pack, pack_at, path_stat, unpack
from runner.errors import InvalidOption
from runner.files import Files
from store.extract import Policy, apply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.container import Container
    from runner.engine import Engine

_CHUNK = 1 << 18
_ROOT = (0, 0)
_LINKS = 40


class Landing(Value):
    """Where a copy comes to lie: `directory`, which exists, and there `name`; "." for what is in the source, without itself."""

    directory: str
    name: str


def landing(source: str, source_is_directory: bool, target: str, target_kind: str) -> Landing:
    """target_kind: "directory", "file" or "" if there is nothing. Raises InvalidOption. Source: docker's manual of `cp`."""
    contents = source.endswith("/.") or source == "."
    name = os.path.basename(source.rstrip("/")) or "."
    clean = target.rstrip("/") or "/"
    parent, last = os.path.dirname(clean) or ".", os.path.basename(clean)
    if target_kind == "directory":
        return Landing(clean, "." if source_is_directory and contents else name)
    if target_kind == "file":
        if source_is_directory:
            raise InvalidOption("target", target, "is a file, and the source is a directory")
        return Landing(parent, last)
    if target.endswith("/") and not source_is_directory:
        raise InvalidOption("target", target, "is not there", "a trailing slash asks for an existing directory")
    return Landing(parent, last)


def copy_out(engine: "Engine", container: "Container", source: str, target: str, *, archive: bool = False, follow: bool = False) -> None:
    """From the container. target "-": a tar archive on stdout. archive: keep owners, else everything is ours."""
    with Files(engine, container) as files:
        source = _absolute(source)
        if follow:
            source = _followed(files, source)
        whole = path_stat(files, source)
        if target == "-":
            _write_all(1, pack(files, source))
            return
        is_directory = whole.is_directory
        kind = "directory" if os.path.isdir(target) else "file" if os.path.lexists(target) else ""
        place = landing(source, is_directory, target, kind)
        if not os.path.isdir(place.directory):
            raise InvalidOption("target", place.directory, "is no directory")
        fd = os.open(place.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            apply(pack(files, source, place.name), fd, Policy(whiteouts=False, owner=None if archive else (os.getuid(), os.getgid())))
        finally:
            os.close(fd)


def copy_in(engine: "Engine", container: "Container", source: str, target: str, *, archive: bool = False, follow: bool = False) -> None:
    """Into the container. source "-": a tar archive on stdin, unpacked into the directory `target`. archive: keep owners, else root's."""
    owner = None if archive else _ROOT
    with Files(engine, container) as files:
        target = _absolute(target) + ("/" if target.endswith("/") and target != "/" else "")
        if source == "-":
            unpack(engine, files, target, _unpacked(_read_all(0)), owner=None)
            return
        path = os.path.realpath(source) if follow else source
        if not os.path.lexists(path):
            raise InvalidOption("source", source, "is not there")
        is_directory = os.path.isdir(path) and (not os.path.islink(path) or path.endswith(("/", "/.")))
        place = landing(source, is_directory, target, _kind(files, target))
        directory, name = os.path.split(path.rstrip("/").removesuffix("/.") or "/")
        fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        unpack(engine, files, place.directory, pack_at(fd, name or ".", place.name), owner=owner)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _kind(files: Files, path: str) -> str:
    """What is at a path of the container, links followed."""
    try:
        found = path_stat(files, _followed(files, path.rstrip("/") or "/"))
    except InvalidOption:
        return ""
    return "directory" if found.is_directory else "file"


def _followed(files: Files, path: str) -> str:
    """The path that a symlink at its end leads to, in the container."""
    for _ in range(_LINKS):
        found = path_stat(files, path)
        if not found.link:
            return path
        path = found.link if found.link.startswith("/") else f"{os.path.dirname(path.rstrip('/'))}/{found.link}"
    raise InvalidOption("path", path, "leads through too many symbolic links")


def _read_all(fd: int) -> "Iterator[bytes]":
    while data := os.read(fd, _CHUNK):
        yield data


def _write_all(fd: int, chunks: "Iterable[bytes]") -> None:
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(fd, view):]


def _unpacked(chunks: "Iterator[bytes]") -> "Iterable[bytes]":
    """A stream without its compression, if it has one."""
    from store.compression import decompress, detect, peek

    head, whole = peek(chunks)
    return decompress(whole, detect(head))
