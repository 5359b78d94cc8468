"""Copies of files of this machine, put into running containers, and taken out of them again."""

import os

from kernel.paths import remove_tree
from runner.archive import pack_named, unpack
from runner.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.container import Container
    from runner.engine import Engine
    from runner.watch import Copy


def sync(engine: "Engine", container: "Container", copies: "Iterable[Copy]") -> None:
    """Directories on the way are made. What is new belongs to whom the directory belongs it comes into.

    Raises InvalidOption, Conflict (read-only).
    """
    copies = tuple(copies)
    with Files(engine, container) as files:
        for one in copies:
            if not one.there:
                _remove(files, one.target)
        wanted = [one for one in copies if one.there]
        if wanted:
            pairs = [(one.source, one.target.lstrip("/")) for one in wanted]
            unpack(engine, files, "/", pack_named(pairs), owner=_owner(files, wanted[0].target))


def _remove(files: Files, target: str) -> None:
    try:
        fd, name = files.open_parent(target)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if name != ".":
            remove_tree(fd, name)
    finally:
        os.close(fd)


def _owner(files: Files, target: str) -> "tuple[int, int]":
    """Of the nearest directory that there is."""
    path = os.path.dirname(target)
    while path not in ("", "/"):
        try:
            fd, name = files.open_parent(path)
        except (FileNotFoundError, NotADirectoryError):
            path = os.path.dirname(path)
            continue
        try:
            status = os.stat(name, dir_fd=fd)
            return status.st_uid, status.st_gid
        except FileNotFoundError:
            path = os.path.dirname(path)
        finally:
            os.close(fd)
    return 0, 0
