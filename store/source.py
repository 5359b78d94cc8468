"""Where an image archive is read from: a directory, or a tar. In: names; out: their bytes. Nothing is ever extracted by its name.

A tar is read by name wherever its member lies, so it has to be a file: what comes through a pipe, or compressed, is first spooled under tmp/.
Links in it are resolved inside the archive; a directory is walked beneath, following no link.
"""

import os

from kernel.paths import open_beneath
from kernel.value import Value
from store.blobs import chunks_of, write_all
from store.compression import decompress, detect, peek
from store.crew import ahead
from store.errors import InvalidArchive, InvalidLayer
from store.tarreader import Member, TarReader
from store.temporary import Temporary
from store.tree import OPEN_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Source(Protocol):
        """An image archive, whatever its form. `what` is how it is called in messages."""

        what: str

        def has(self, name: str) -> bool: ...
        def size(self, name: str) -> int: ...
        def read(self, name: str, limit: int) -> bytes: ...
        def chunks(self, name: str) -> Iterator[bytes]: ...
        def close(self) -> None: ...

_MEMBERS = 1_000_000
_LINKS = 20
_CHUNK = 1 << 20


class _Place(Value):
    offset: int
    size: int


def open_source(path: str, fd: int, temporary: Temporary) -> "Source":
    """path: for messages; fd: of a directory, file or pipe; it becomes the source's own.

    Raises InvalidArchive for what is no tar. What a pipe gives is kept under tmp/ until the source is closed.
    """
    mode = os.fstat(fd).st_mode & 0o170000
    if mode == 0o040000:
        return DirectorySource(path, fd)
    if mode == 0o100000 and detect(os.pread(fd, 6, 0)) == "uncompressed":
        return TarSource(path, fd)
    try:
        spool = temporary.path(temporary.name())
        copy = os.open(spool, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(spool)                                 # gone with its descriptor, whatever happens
        try:
            head, stream = peek(chunks_of(fd))
            for chunk in ahead(decompress(stream, detect(head))):
                write_all(copy, chunk)
        except BaseException:
            os.close(copy)
            raise
    except InvalidLayer as error:
        raise InvalidArchive(f"`{path}` {error.reason}") from error
    finally:
        os.close(fd)
    return TarSource(path, copy)


class DirectorySource:
    """An archive that was unpacked, or an OCI layout."""

    def __init__(self, what: str, fd: int) -> None:
        self.what = what
        self._fd = fd

    def _open(self, name: str) -> int:
        try:
            fd = open_beneath(self._fd, name, OPEN_FILE)
        except OSError as error:
            raise InvalidArchive(f"`{self.what}` has no `{name}` that can be read ({(error.strerror or '').lower()})") from error
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:
            os.close(fd)
            raise InvalidArchive(f"`{self.what}` has a `{name}` that is no file")
        return fd

    def has(self, name: str) -> bool:
        try:
            os.close(open_beneath(self._fd, name))
        except OSError:
            return False
        return True

    def size(self, name: str) -> int:
        fd = self._open(name)
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def read(self, name: str, limit: int) -> bytes:
        with os.fdopen(self._open(name), "rb") as file:
            data = file.read(limit + 1)
        return _limited(self.what, name, data, limit)

    def chunks(self, name: str) -> "Iterator[bytes]":
        fd = self._open(name)
        try:
            yield from chunks_of(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        os.close(self._fd)


class TarSource:
    """An uncompressed tar in a file: its table of contents is read at once, by seeking over the contents."""

    def __init__(self, what: str, fd: int) -> None:
        self.what = what
        self._fd = fd
        self._places: "dict[str, _Place]" = {}
        self._links: "dict[str, str]" = {}
        self._at = 0
        self._end = os.fstat(fd).st_size
        try:
            self._read_contents()
        except BaseException:
            os.close(fd)
            raise

    def _read_contents(self) -> None:
        reader = TarReader(self._headers(), self._seek)
        try:
            for count, member in enumerate(reader):
                if count > _MEMBERS:
                    raise InvalidArchive(f"`{self.what}` has more than {_MEMBERS} members")
                self._note(member, reader.offset)
        except InvalidLayer as error:
            raise InvalidArchive(f"`{self.what}` {error.reason}") from error

    def _headers(self) -> "Iterator[bytes]":
        while data := os.pread(self._fd, 4096, self._at):
            self._at += len(data)
            yield data

    def _seek(self, count: int) -> None:
        self._at += count

    def _note(self, member: Member, offset: int) -> None:
        name = _normal(os.fsdecode(member.name))
        self._places.pop(name, None)
        self._links.pop(name, None)                      # of two members of one name the later one counts
        if member.kind == b"0":
            if offset + member.stored > self._end:
                raise InvalidArchive(f"`{self.what}` ends in the middle of `{name}`")
            if not member.sparse:
                self._places[name] = _Place(offset, member.stored)
        elif member.kind == b"1":
            self._links[name] = os.fsdecode(member.link)
        elif member.kind == b"2":
            above = name.rpartition("/")[0]
            target = os.fsdecode(member.link)
            self._links[name] = target if target.startswith("/") else f"{above}/{target}"

    def _find(self, name: str) -> "_Place | None":
        name = _normal(name)
        for _ in range(_LINKS):
            if name in self._places:
                return self._places[name]
            if name not in self._links:
                return None
            name = _normal(self._links[name])
        return None

    def _place(self, name: str) -> _Place:
        place = self._find(name)
        if place is None:
            raise InvalidArchive(f"`{self.what}` has no `{name}`")
        return place

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def size(self, name: str) -> int:
        return self._place(name).size

    def read(self, name: str, limit: int) -> bytes:
        place = self._place(name)
        return _limited(self.what, name, os.pread(self._fd, min(place.size, limit + 1), place.offset), limit)

    def chunks(self, name: str) -> "Iterator[bytes]":
        place = self._place(name)
        at, end = place.offset, place.offset + place.size
        while at < end:
            data = os.pread(self._fd, min(_CHUNK, end - at), at)
            if not data:
                raise InvalidArchive(f"`{self.what}` has become shorter while it was read")
            at += len(data)
            yield data

    def close(self) -> None:
        os.close(self._fd)


def _limited(what: str, name: str, data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise InvalidArchive(f"`{what}` has a `{name}` of more than {limit} bytes")
    return data


def _normal(name: str) -> str:
    """`./a//b/../c` as `a/c`; what leads outside ends at the top."""
    parts: "list[str]" = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/".join(parts)


