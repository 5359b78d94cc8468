"""Files of a container as a tar stream, and the other way: what `cp`, `export` and the Engine API's archive routes are made of.

Everything goes by directory descriptors, one component at a time, no link followed: the container may change its files meanwhile.
"""

import os
import stat

from kernel.value import Value
from runner.errors import Conflict, InvalidOption
from store.tarheader import END, FILE, LINK, header, padding
from store.tree import read_xattrs, stat_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.container import Container
    from runner.engine import Engine
    from runner.files import Files
    from store.tree import Stat

_CHUNK = 1 << 18
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# bits of Go's os.FileMode, which clients of the Engine API read
_GO = ((stat.S_IFDIR, 1 << 31), (stat.S_IFLNK, 1 << 27), (stat.S_IFBLK, 1 << 26), (stat.S_IFIFO, 1 << 25), (stat.S_IFSOCK, 1 << 24),
       (stat.S_IFCHR, 1 << 26 | 1 << 21))
_GO_SET = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


class PathStat(Value):
    """What is at a path of a container, its last component not followed. mode: as st_mode; mtime: nanoseconds since the epoch."""

    name: str
    size: int
    mode: int
    mtime: int
    link: str

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def go_mode(self) -> int:
        """As Go's os.FileMode."""
        kind = next((bit for one, bit in _GO if stat.S_IFMT(self.mode) == one), 0)
        return self.mode & 0o777 | kind | sum(bit for one, bit in _GO_SET if self.mode & one)


def path_stat(files: "Files", path: str) -> PathStat:
    """Raises InvalidOption if there is nothing."""
    fd, name = _parent(files, path)
    try:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        link = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
    except FileNotFoundError:
        raise InvalidOption("path", path, "is not there") from None
    finally:
        os.close(fd)
    shown = path.rstrip("/").rpartition("/")[2] or "/"
    return PathStat(shown, status.st_size, status.st_mode, status.st_mtime_ns, link)


def _parent(files: "Files", path: str) -> "tuple[int, str]":
    try:
        return files.open_parent(path)
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidOption("path", path, "is not there") from None


# ---------------------------------------------------------------- out
def pack(files: "Files", path: str, name: str = "") -> "Iterator[bytes]":
    """A tar of what is at `path`, its first entry called `name` (else as it is called there; "." for `path/.`). Raises InvalidOption at once."""
    whole = path_stat(files, path)
    fd, own = _parent(files, path)
    named = name or ("." if path.endswith("/.") or own == "." else whole.name)
    if files.user_namespace >= 0:
        from runner.crossing import produced

        return produced(files.user_namespace, lambda: _pack(fd, own, named))
    return _pack(fd, own, named)


def pack_at(fd: int, own: str, named: str) -> "Iterator[bytes]":
    """A tar of what is called `own` ("." for all) in an open directory, its first entry called `named`; the fd is closed at the end."""
    return _pack(fd, own, named)


def pack_named(pairs: "Iterable[tuple[str, str]]") -> "Iterator[bytes]":
    """A tar of several things: (path, name in the archive). What has gone meanwhile is left out."""
    links: dict[tuple[int, int], bytes] = {}
    for path, named in pairs:
        directory, own = os.path.split(path)
        try:
            fd = os.open(directory or "/", _DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            yield from _entry(fd, own, os.fsencode(named), links)
        except FileNotFoundError:
            continue
        finally:
            os.close(fd)
    yield END


def pack_directory(fd: int) -> "Iterator[bytes]":
    """A tar of everything below an open directory, which is closed at the end."""
    return _pack(fd, ".", ".")


def _pack(fd: int, own: str, named: str) -> "Iterator[bytes]":
    links: dict[tuple[int, int], bytes] = {}
    try:
        if own == ".":
            yield from _directory(os.dup(fd), os.fsencode(named), links)
        else:
            yield from _entry(fd, own, os.fsencode(named), links)
        yield END
    finally:
        os.close(fd)


def _entry(fd: int, name: str, path: bytes, links: "dict[tuple[int, int], bytes]") -> "Iterator[bytes]":
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        yield from _directory(os.open(name, _DIRECTORY, dir_fd=fd), path, links)
    elif kind == stat.S_IFREG:
        yield from _file(os.open(name, _FILE, dir_fd=fd), path, links)
    elif kind == stat.S_IFLNK:
        yield header(path, stat_row(status), os.fsencode(os.readlink(name, dir_fd=fd)))
    elif kind != stat.S_IFSOCK:
        yield header(path, stat_row(status))


def _directory(fd: int, path: bytes, links: "dict[tuple[int, int], bytes]") -> "Iterator[bytes]":
    try:
        yield header(path.rstrip(b"/") + b"/", stat_row(os.fstat(fd)), xattrs=read_xattrs(fd)[0])
        for name in sorted(os.listdir(fd), key=os.fsencode):
            try:
                yield from _entry(fd, name, path.rstrip(b"/") + b"/" + os.fsencode(name), links)
            except FileNotFoundError:
                pass                                      # removed while we were reading
    finally:
        os.close(fd)


def _file(fd: int, path: bytes, links: "dict[tuple[int, int], bytes]") -> "Iterator[bytes]":
    with open(fd, "rb", buffering=0) as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return                                        # something else has taken its place
        row: Stat = stat_row(status)
        first = links.setdefault((status.st_dev, status.st_ino), path) if status.st_nlink > 1 else path
        if first is not path:
            yield header(path, row, first, LINK)
            return
        yield header(path, row, kind=FILE, xattrs=read_xattrs(fd)[0])
        left = status.st_size
        while left:
            data = file.read(min(left, _CHUNK)) or bytes(min(left, _CHUNK))      # shorter than it was: what was promised has to come
            left -= len(data)
            yield data
        yield bytes(padding(status.st_size))


def export(engine: "Engine", container: "Container") -> "Iterator[bytes]":
    """A tar of its whole root, without what is mounted in it."""
    from sandbox.overlay import open_root
    from sandbox.spec import Overlay

    place = engine.place(container.id)
    if os.path.exists(place.tree):
        if engine.state(container).pid:
            raise Conflict("container", container.name, "runs without namespaces: what would be mounted lies among its files", "stop it first")
        return pack_directory(os.open(f"{place.tree}/root", _DIRECTORY))
    lower = engine.store.images.runtime(container.image_id).lowerdirs
    fd = open_root(Overlay((place.fs, *lower)), engine.store.root.userxattr)
    top = os.open(".", _DIRECTORY, dir_fd=fd)
    os.close(fd)
    return pack_directory(top)


# ---------------------------------------------------------------- in
def unpack(engine: "Engine", files: "Files", path: str, chunks: "Iterable[bytes]", *, owner: "tuple[int, int] | None" = None) -> None:
    """Unpack an uncompressed tar into the directory `path`. owner: of everything, instead of what the archive says.

    Raises InvalidOption, Conflict (read-only), InvalidLayer (damaged, or it leads outside).
    """
    from store.extract import Policy, apply

    spot = files.writable(path)
    policy = Policy(whiteouts=False, owner=owner, prefix=spot.path, owners=engine.store.root.owners, devices=not files.plain)
    if files.user_namespace >= 0:
        from runner.crossing import consumed

        consumed(files.user_namespace, chunks, lambda given: apply(given, spot.fd, policy))
    else:
        apply(chunks, spot.fd, policy)
