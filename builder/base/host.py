"""This machine's files, as read for an image, with a note of every path that was asked about: the notes are what a fingerprint covers.

`root` is "/" but for tests. All paths are absolute and mean what they mean to a process chrooted to the root.
"""

import os
import stat

from builder.base.elf import Elf, read_elf
from builder.base.errors import NotReadable, NotUsable
from kernel.value import Value

_LINKS_LIMIT = 40                # as in the kernel
_INDIRECTIONS = "/etc/alternatives/"             # links that a machine's administrator turns: an image takes what they lead to


class Hop(Value):
    """A symbolic link met on the way to a file. The directories of both paths are real ones; `target` may be a link itself."""

    path: str
    target: str


class Place(Value):
    """Where a path leads: `real` has no symbolic link in it ("" if there is nothing), `hops` are the links met."""

    real: str
    hops: tuple[Hop, ...]


class Named(Value):
    """An entry of a directory. kind: "directory", "file", "link" or "" (none that an image copies)."""

    name: str
    kind: str


_NOWHERE = Place("", ())


class Host:
    """Reads files and remembers what it was asked about."""

    __slots__ = ("_directories", "_elves", "_places", "_prefix", "_statuses", "seen")

    def __init__(self, root: str = "/") -> None:
        self._prefix = root.rstrip("/")
        self.seen: set[str] = set()              # paths whose lstat decided something
        self._places: dict[str, Place] = {"/": Place("/", ())}
        self._statuses: dict[str, os.stat_result | None] = {}
        self._directories: dict[str, tuple[Named, ...]] = {}
        self._elves: dict[str, Elf | None] = {}

    def outer(self, path: str) -> str:
        """The path by which this process reaches `path`."""
        return self._prefix + path

    def watched(self) -> list[str]:
        return sorted(self.outer(path) for path in self.seen)

    # ---------------------------------------------------------------- where paths lead
    def place(self, path: str) -> Place:
        """Follow `path` to its end. Raises NotUsable for a loop of links."""
        found = self._places.get(path)
        if found is None:
            found = self._places[path] = self._walk(path)
        return found

    def _walk(self, path: str) -> Place:
        directory, name = os.path.split(path.rstrip("/"))
        above = self.place(directory or "/")
        real, hops, todo = above.real.rstrip("/"), list(above.hops), [name]
        if not above.real:
            return _NOWHERE
        budget = _LINKS_LIMIT
        unsettled: list[tuple[int, str]] = []    # links whose target is being walked: (how much is then left to do, path)
        while todo:
            part = todo.pop()
            here = os.path.dirname(real).rstrip("/") if part == ".." else real if part == "." else f"{real}/{part}"
            while unsettled and unsettled[-1][0] == len(todo):
                hops.append(Hop(unsettled.pop()[1], here or "/"))
            status = self._lstat(here)
            if status is None:
                return _NOWHERE
            if not stat.S_ISLNK(status.st_mode):
                real = here
                continue
            budget -= 1
            if not budget:
                raise NotUsable(path, "is a loop of symbolic links")
            target = os.readlink(self.outer(here))
            unsettled.append((len(todo), here))
            todo += [step for step in target.split("/") if step not in ("", ".")][::-1] or ["."]
            if target.startswith("/"):
                real = ""
        return Place(real or "/", _direct(hops))

    def _lstat(self, path: str) -> os.stat_result | None:
        if path in self._statuses:
            return self._statuses[path]
        try:
            status = os.lstat(self.outer(path or "/"))
        except (FileNotFoundError, NotADirectoryError):
            status = None
        except PermissionError:                  # a directory above is closed to this user: to them there is nothing
            self._statuses[path] = None
            return None
        if status is None or not stat.S_ISDIR(status.st_mode):
            self.seen.add(path)
        self._statuses[path] = status
        return status

    def _mode(self, path: str) -> int:
        """Type and permissions of what `path` leads to; 0 if nothing."""
        real = self.place(path).real
        status = self._lstat(real) if real else None
        return status.st_mode if status else 0

    def is_file(self, path: str) -> bool:
        return stat.S_ISREG(self._mode(path))

    def is_directory(self, path: str) -> bool:
        return stat.S_ISDIR(self._mode(path))

    def is_executable(self, path: str) -> bool:
        """Whether `path` leads to a regular file that somebody may execute."""
        mode = self._mode(path)
        return stat.S_ISREG(mode) and bool(mode & 0o111)

    # ---------------------------------------------------------------- what is there
    def entries(self, path: str) -> tuple[Named, ...]:
        """What the directory that `path` leads to holds, by name; () if there is none or it may not be read. Noted as a whole."""
        real = self.place(path).real
        if not real:
            return ()
        if real not in self._directories:
            self.seen.add(real)
            try:
                with os.scandir(self.outer(real)) as found:
                    self._directories[real] = tuple(sorted(Named(item.name, _kind(item)) for item in found))
            except (NotADirectoryError, PermissionError):
                self._directories[real] = ()
        return self._directories[real]

    def names(self, path: str) -> tuple[str, ...]:
        """Names in the directory that `path` leads to, sorted."""
        return tuple(item.name for item in self.entries(path))

    def read(self, path: str, limit: int) -> bytes:
        """The bytes of the regular file `path`; b"" if there is none, or it may not be read, or it is larger than `limit` bytes."""
        if not self.is_file(path):
            return b""
        try:
            with open(self.outer(self.place(path).real), "rb") as file:
                data = file.read(limit + 1)
        except PermissionError:
            return b""
        return data if len(data) <= limit else b""

    def start(self, real: str, size: int) -> bytes:
        """The first `size` bytes of the file `real`. Raises NotReadable."""
        fd = self._open(real)
        try:
            return os.read(fd, size)
        finally:
            os.close(fd)

    def elf(self, real: str) -> Elf | None:
        """Facts of the regular file `real` (a real path); None if it is no ELF file. Raises ElfFault, NotReadable."""
        if real not in self._elves:
            fd = self._open(real)
            try:
                self._elves[real] = read_elf(fd, real)
            finally:
                os.close(fd)
        return self._elves[real]

    def _open(self, real: str) -> int:
        try:
            return os.open(self.outer(real), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except PermissionError as error:
            raise NotReadable((real,)) from error


def _kind(item: "os.DirEntry[str]") -> str:
    if item.is_symlink():
        return "link"
    return "directory" if item.is_dir() else "file" if item.is_file() else ""


def _direct(hops: list[Hop]) -> tuple[Hop, ...]:
    """The hops past those links that an image does not have, each once."""
    turned = {hop.path: hop.target for hop in hops if hop.path.startswith(_INDIRECTIONS)}
    kept: dict[Hop, None] = {}
    for hop in hops:
        target = hop.target
        while target in turned:
            target = turned[target]
        if hop.path not in turned:
            kept[Hop(hop.path, target)] = None
    return tuple(kept)
