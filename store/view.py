"""What a container would see of a chain of layers, without mounting it. In: overlay directories, topmost first; out: entries, rows, bytes.

Everything is asked by directory fds, one component at a time, never through a symlink of the file system: links are followed here, inside the
chain, as in a chroot. What is below is never written to, so what was found once (which layers share in a directory) stays true and is kept.
"""

import os

from kernel import whiteout
from kernel.value import Value
from store.errors import StoreError
from store.tree import (
    DIRECTORY,
    FORMAT,
    MODE,
    OPAQUE,
    OPEN_DIRECTORY,
    OPEN_FILE,
    REGULAR,
    SOCKET,
    SYMLINK,
    hash_file,
    is_whiteout,
    marked_owner,
    open_below,
    read_xattrs,
    sorted_names,
    stat_row,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.tree import Row, Stat, Tree

LINKS = 40                                              # symlinks on one way before it counts as a loop, as in the kernel


class NotInView(StoreError):
    """A path that cannot be looked at: `reason` says why (a loop of links, a file where a directory is needed, too large)."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"`{self.path}` {self.reason}"


class Entry(Value):
    """One thing in a view. `path` is its way in the root without links: "" for the root, else "a/b"."""

    path: str
    stat: "Stat"
    link: str               # target, if it is a symlink
    where: str              # the layer's directory that has it (for a directory: the topmost of those that share in it)

    @property
    def kind(self) -> int:
        """REGULAR, DIRECTORY, SYMLINK ... of store.tree."""
        return self.stat[MODE] & FORMAT

    @property
    def host(self) -> str:
        """Its path on the host: for messages and for mounting; whoever opens it should use `View.open`."""
        return f"{self.where}/{self.path}" if self.path else self.where


class View:
    """Read-only look at merged layers. Close it, or use it in a `with`.

    trees: for each directory a function that gives its rows, or None: then contents need not be hashed again.
    """

    def __init__(self, directories: "Sequence[str]", *, owners: str = "real", trees: "Sequence[Callable[[], Tree] | None]" = ()) -> None:
        self.directories = tuple(directories)
        self._marked = owners == "xattr"
        self._trees = trees
        self._roots: "list[int]" = []
        self._sharing: "dict[str, tuple[int, ...]]" = {}     # merged directory -> indices of the layers that share in it, topmost first
        self._rows: "dict[tuple[int, str], dict[str, Row]]" = {}
        try:
            for directory in self.directories:
                self._roots.append(os.open(directory, OPEN_DIRECTORY))
        except BaseException:
            self.close()
            raise
        self._sharing[""] = tuple(range(len(self._roots)))

    def close(self) -> None:
        while self._roots:
            os.close(self._roots.pop())

    def __enter__(self) -> "View":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()

    # ------------------------------------------------------------ questions
    def lookup(self, path: str, follow: bool = True) -> "Entry | None":
        """What `path` leads to, links followed inside the root (the last one too, with `follow`); None if there is nothing.

        Raises NotInView for a loop of links, and where a file is used as a directory.
        """
        found, missing = self._walk(path, follow)
        return None if missing else found

    def resolve(self, path: str) -> "tuple[str, tuple[str, ...]]":
        """(the existing part of the way, links resolved; what is left of it and does not exist). Dangling links are resolved too."""
        found, missing = self._walk(path, True)
        return found.path, missing

    def listdir(self, path: str) -> "list[str]":
        """Names in the directory, sorted by their bytes. Raises NotInView if it is none."""
        return [row[0] for row in self.rows(path)]

    def read(self, path: str, limit: int) -> bytes:
        """Bytes of a regular file; raises NotInView if there is none, or it has more than `limit`."""
        with os.fdopen(self.open(path), "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise NotInView(path, f"has more than {limit} bytes")
        return data

    def open(self, path: str) -> int:
        """A descriptor of the regular file `path`, links followed, to read from."""
        entry = self.lookup(path)
        if entry is None:
            raise NotInView(path, "does not exist in the image")
        if entry.kind != REGULAR:
            raise NotInView(path, "is no regular file")
        return self.open_entry(entry)

    def open_entry(self, entry: Entry) -> int:
        """A descriptor of a file or directory that `lookup` returned."""
        head, _, name = entry.path.rpartition("/")
        fd = self._open_directory(self.directories.index(entry.where), head)
        try:
            return os.open(name or ".", OPEN_DIRECTORY if entry.kind == DIRECTORY else OPEN_FILE, dir_fd=fd)
        finally:
            os.close(fd)

    def open_shared(self, path: str) -> "list[int]":
        """Descriptors of the directories that are merged at `path`, topmost first: the first that has a name is the one that shows."""
        entry = self.lookup(path)
        if entry is None or entry.kind != DIRECTORY:
            raise NotInView(path, "is no directory" if entry else "does not exist in the image")
        self._merged(entry.path, False)
        return [self._open_directory(index, entry.path) for index in self._sharing[entry.path]]

    def xattrs(self, entry: Entry) -> "tuple[tuple[str, bytes], ...]":
        """Attributes that a layer carries, of an entry that `lookup` returned; no mark of overlay's."""
        if entry.kind not in (REGULAR, DIRECTORY):
            return ()
        fd = self.open_entry(entry)
        try:
            return tuple(x for x in read_xattrs(fd)[0] if x != OPAQUE)
        finally:
            os.close(fd)

    def rows(self, path: str, hashed: bool = False) -> "list[Row]":
        """Rows of one merged directory, whiteouts gone. hashed: with the sha256 of files and all attributes."""
        entry = self.lookup(path)
        if entry is None:
            raise NotInView(path, "does not exist in the image")
        if entry.kind != DIRECTORY:
            raise NotInView(path, "is no directory")
        return self._merged(entry.path, hashed)

    def walk(self, path: str = "", hashed: bool = True) -> "Tree":
        """Rows of everything below the directory, keys relative to it: as `tree.scan` would give of the mounted chain."""
        entry = self.lookup(path)
        if entry is None or entry.kind != DIRECTORY:
            raise NotInView(path, "is no directory" if entry else "does not exist in the image")
        top = f"{entry.path}/" if entry.path else ""
        tree: "Tree" = {}
        todo = [""]
        while todo:
            rel = todo.pop()
            tree[rel] = rows = self._merged((top + rel)[:-1] if top + rel else "", hashed)
            todo += [f"{rel}{row[0]}/" for row in rows if row[1][MODE] & FORMAT == DIRECTORY]
        return tree

    # ------------------------------------------------------------ walking
    def _walk(self, path: str, follow: bool) -> "tuple[Entry, tuple[str, ...]]":
        here = self._root_entry()
        above: "list[Entry]" = []
        todo = [p for p in path.split("/") if p and p != "."][::-1]
        budget = LINKS
        while todo:
            part = todo.pop()
            if here.kind != DIRECTORY:
                raise NotInView(path, f"leads through `/{here.path}`, which is no directory")
            if part == "..":
                here = above.pop() if above else here
                continue
            entry = self._child(here.path, part)
            if entry is None:
                return here, tuple(p for p in _squeezed([part, *todo[::-1]]))
            if entry.kind == SYMLINK and (todo or follow):
                budget -= 1
                if not budget:
                    raise NotInView(path, "leads through too many symbolic links")
                if entry.link.startswith("/"):
                    here, above = self._root_entry(), []
                todo += [p for p in entry.link.split("/") if p and p != "."][::-1]
                continue
            above.append(here)
            here = entry
        return here, ()

    def _root_entry(self) -> Entry:
        if not self._roots:
            return Entry("", (DIRECTORY | 0o755, 0, 0, 0, 0, 0, 0, 2, 0), "", "")
        return Entry("", self._stat_of(self._roots[0], os.fstat(self._roots[0])), "", self.directories[0])

    def _stat_of(self, fd: int, status: os.stat_result) -> "Stat":
        stat = stat_row(status)
        if self._marked:
            owner = read_xattrs(fd)[1]
            return marked_owner(stat, owner) if owner else stat
        return stat

    def _child(self, parent: str, name: str) -> "Entry | None":
        """Entry `name` of the merged directory `parent`; notes which layers share in it if it is a directory."""
        found: "Entry | None" = None
        sharing: "list[int]" = []
        path = f"{parent}/{name}" if parent else name
        for index in self._sharing[parent]:
            fd = self._open_directory(index, parent)
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                kind = status.st_mode & FORMAT
                if found is not None and kind != DIRECTORY:
                    break                              # hidden by a directory above, and so is what is below it
                if whiteout.is_whiteout(status.st_mode, status.st_rdev):
                    break
                opaque = self._share(fd, name) if kind == DIRECTORY else True
                sharing.append(index)
                if found is None:
                    link = os.readlink(name, dir_fd=fd) if kind == SYMLINK else ""
                    found = Entry(path, self._marked_stat(fd, name, status), link, self.directories[index])
                if opaque:
                    break
            except (FileNotFoundError, NotADirectoryError):
                continue
            finally:
                os.close(fd)
        if found is not None and found.kind == DIRECTORY:
            self._sharing[path] = tuple(sharing)
        return found

    def _share(self, dir_fd: int, name: str) -> bool:
        """Whether the directory hides what lies below it."""
        fd = os.open(name, OPEN_DIRECTORY, dir_fd=dir_fd)
        try:
            return _is_opaque(fd)
        finally:
            os.close(fd)

    def _marked_stat(self, dir_fd: int, name: str, status: os.stat_result) -> "Stat":
        if not self._marked or status.st_mode & FORMAT not in (REGULAR, DIRECTORY):
            return stat_row(status)
        fd = os.open(name, OPEN_FILE, dir_fd=dir_fd)
        try:
            return self._stat_of(fd, status)
        finally:
            os.close(fd)

    def _open_directory(self, index: int, path: str) -> int:
        return open_below(self._roots[index], path)

    # ------------------------------------------------------------ rows
    def _merged(self, path: str, hashed: bool) -> "list[Row]":
        """Rows of the merged directory `path`, which was looked up before."""
        rows: "dict[str, Row]" = {}
        gone: "set[str]" = set()
        sharing: "dict[str, list[int]]" = {}
        closed: "set[str]" = set()                     # directories below which nothing shows through any more
        buffer = bytearray(1 << 20 if hashed else 0)
        for index in self._sharing[path]:
            fd = self._open_directory(index, path)
            try:
                for name in os.listdir(fd):
                    if name in gone or name in closed:
                        continue
                    row = self._row(index, path, fd, name, buffer, hashed)
                    if row is None:
                        continue
                    kind = row[1][MODE] & FORMAT
                    if name not in rows:
                        if is_whiteout(row[1]):
                            gone.add(name)
                            continue
                        rows[name] = (*row[:3], tuple(x for x in row[3] if x != OPAQUE), row[4])
                    elif kind != DIRECTORY:
                        closed.add(name)
                        continue
                    if kind == DIRECTORY:
                        sharing.setdefault(name, []).append(index)
                    if kind != DIRECTORY or OPAQUE in row[3]:
                        closed.add(name)
            finally:
                os.close(fd)
        for name, layers in sharing.items():
            self._sharing[f"{path}/{name}" if path else name] = tuple(layers)
        return [rows[name] for name in sorted_names(list(rows))]

    def _row(self, index: int, path: str, dir_fd: int, name: str, buffer: bytearray, hashed: bool) -> "Row | None":
        known = self._known(index, path)
        if known is not None:
            return known.get(name)
        status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        stat, kind = stat_row(status), status.st_mode & FORMAT
        if kind == SYMLINK:
            return name, stat, os.readlink(name, dir_fd=dir_fd), (), b""
        if kind == SOCKET:
            return None
        if kind != DIRECTORY and (kind != REGULAR or not (hashed or self._marked)):
            return name, stat, "", (), b""
        fd = os.open(name, OPEN_DIRECTORY if kind == DIRECTORY else OPEN_FILE, dir_fd=dir_fd)
        try:
            xattrs, owner = read_xattrs(fd)
            content = hash_file(fd, buffer) if hashed and kind == REGULAR else b""
        finally:
            os.close(fd)
        return name, marked_owner(stat, owner) if self._marked and owner else stat, "", xattrs, content

    def _known(self, index: int, path: str) -> "dict[str, Row] | None":
        load = self._trees[index] if index < len(self._trees) else None
        if load is None:
            return None
        known = self._rows.get((index, path))
        if known is None:
            tree = load()
            for rel, rows in tree.items():
                self._rows[index, rel[:-1]] = {row[0]: row for row in rows}
            known = self._rows.setdefault((index, path), {})
        return known


def _is_opaque(fd: int) -> bool:
    for name in ("trusted.overlay.opaque", "user.overlay.opaque"):
        try:
            if os.getxattr(fd, name) == b"y":
                return True
        except OSError:
            continue
    return False


def _squeezed(parts: "list[str]") -> "list[str]":
    """`parts`, none of which exists, without `..`."""
    done: "list[str]" = []
    for part in parts:
        if part == "..":
            if done:
                done.pop()
        else:
            done.append(part)
    return done
