"""The build context: a directory of this machine, seen through its ignore file, with an index of what its files hold.

What enters: the directory and its patterns. What leaves: rows of the directories that somebody asks for (nothing else is ever looked at),
sha256 of the files that somebody needs, and `signatures`, by which a later build sees in a few milliseconds that nothing changed.
The index maps (dev, ino, size, mtime_ns, ctime_ns, mode) to sha256; entries younger than the clock's granularity are read again.
"""

import os
import time
from marshal import dumps, loads

from xxhash import xxh3_128_digest

from builder.files import DIRECTORY, SYMLINK, Node
from builder.signature import list_directory, sign, stat_of
from kernel.errors import SyscallFailed
from kernel.paths import open_beneath
from store.digest import digest_of, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.signature import Signatures
    from store.tree import Row, Stat, Xattrs

FORMAT = 0o170000
RACY_NS = 2_000_000_000
_BUFFER = 1 << 20
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LINKS_MAX = 40


class Context:
    """A context directory as builder.files.Files. `close` keeps the index and lets go of the directory."""

    lasts = False
    owner = (0, 0)               # whoever checked the sources out does not matter to an image

    def __init__(self, root: str, index: str, keep: "Callable[[str, bool], bool] | None" = None, where: str = "the build context",
                 patterns: bytes = b"", hollow: "Callable[[str], bool] | None" = None) -> None:
        """index: directory of the index files. keep(path, is_directory): what the ignore file, whose bytes are `patterns`, leaves of it;
        hollow(path): whether a directory is there only if something in it is."""
        self.where = where
        self.root = root
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._keep = keep
        self._hollow = hollow
        self._held: dict[str, bool] = {}                 # hollow directories: whether they hold something
        name = digest_of(b"context\0" + os.fsencode(os.path.realpath(root)) + b"\0" + patterns).removeprefix("sha256:")[:40]
        self._index = f"{index}/{name}"
        self._known: tuple[Signatures, dict[str, list[Row]]] | None = None
        self._rows: dict[str, list[Row]] = {}
        self._by_name: dict[str, dict[str, int]] = {}
        self.signatures: Signatures = {}
        self._racy_before = time.time_ns() - RACY_NS
        self._open: tuple[str, int] = ("", -1)
        self._changed = False

    # ------------------------------------------------------------ Files
    def lookup(self, path: str, follow: bool = True) -> Node | None:
        done = ""
        todo = [p for p in path.split("/") if p and p != "."][::-1]
        budget = _LINKS_MAX
        node = _ROOT
        while todo:
            part = todo.pop()
            if part == "..":
                done = done.rpartition("/")[0]
                node = (self._entry(done) or _ROOT) if done else _ROOT
                continue
            if not node.is_directory:
                return None
            found = self._entry(f"{done}/{part}" if done else part)
            if found is None:
                return None
            if found.kind == SYMLINK and (follow or todo):
                budget -= 1
                if not budget:                           # as a link that leads nowhere
                    return None
                if found.link.startswith("/"):
                    done, node = "", _ROOT
                todo += [p for p in found.link.split("/") if p and p != "."][::-1]
            else:
                done, node = found.path, found
        return node if done else self._root()

    def rows(self, directory: str) -> "list[Row]":
        rows = self._all(directory)
        return rows if self._hollow is None else [row for row in rows if self._shows(directory, row)]

    def _all(self, directory: str) -> "list[Row]":
        """With directories that nothing is in."""
        rows = self._rows.get(directory)
        return self._scan(directory) if rows is None else rows

    def _shows(self, directory: str, row: "Row") -> bool:
        """Whether an entry is there: the index has hollow directories too, for what they hold changes without them."""
        path = f"{directory}/{row[0]}" if directory else row[0]
        if not self._is_hollow(path, row):
            return True
        todo = [path]                                    # no recursion: directories are nested as deep as somebody likes
        while path not in self._held:
            top = todo[-1]
            rows = self._all(top)
            hollow = [f"{top}/{row[0]}" for row in rows if self._is_hollow(f"{top}/{row[0]}", row)]
            if len(hollow) < len(rows) or any(self._held.get(below) for below in hollow):
                self._held[todo.pop()] = True
            elif unknown := [below for below in hollow if below not in self._held]:
                todo += unknown
            else:
                self._held[todo.pop()] = False
        return self._held[path]

    def _is_hollow(self, path: str, row: "Row") -> bool:
        return self._hollow is not None and row[1][0] & FORMAT == DIRECTORY and self._hollow(path)

    def known(self, node: Node) -> Node:
        directory, _, name = node.path.rpartition("/")
        index = self._names(directory)[name]
        row = self._rows[directory][index]
        if not row[4]:
            fd, name = self._place(node.path)
            xattrs, content = _read(fd, name, row[1])
            row = (name, row[1], "", xattrs, content)
            self._rows[directory][index] = row
            self._changed = True
        return Node(node.path, *row[1:])

    def open(self, node: Node) -> int:
        directory, name = self._place(node.path)
        return os.open(name or ".", _READ, dir_fd=directory)

    def _place(self, path: str) -> tuple[int, str]:
        """(fd of the directory that has it, its name there); the fd is kept for the next one of the same directory."""
        directory, _, name = path.rpartition("/")
        if self._open[1] < 0 or self._open[0] != directory:
            fd = open_beneath(self._fd, directory, _OPEN) if directory else os.dup(self._fd)
            if self._open[1] >= 0:
                os.close(self._open[1])
            self._open = (directory, fd)
        return self._open[1], name

    # ------------------------------------------------------------ scanning
    def _root(self) -> Node:
        return Node("", stat_of(os.fstat(self._fd)))

    def _entry(self, path: str) -> Node | None:
        directory, _, name = path.rpartition("/")
        index = self._names(directory).get(name)
        return None if index is None else Node(path, *self._rows[directory][index][1:])

    def _names(self, directory: str) -> dict[str, int]:
        names = self._by_name.get(directory)
        if names is None:
            names = self._by_name[directory] = {row[0]: i for i, row in enumerate(self._all(directory)) if self._shows(directory, row)}
        return names

    def _scan(self, directory: str) -> "list[Row]":
        """List one directory; what its signature vouches for is taken from the index, the rest is filtered, and not yet read."""
        fd = open_beneath(self._fd, directory, _OPEN) if directory else os.dup(self._fd)
        try:
            raw = list_directory(fd)
            signature = sign(raw)
            if self._known is None:
                self._known = _load(self._index)
            known, rows = self._known
            before = rows.get(directory, [])
            if known.get(directory) == signature:
                kept = list(before)
            else:
                self._changed = True
                kept = self._filter(fd, directory, raw, {row[0]: row for row in before})
        finally:
            os.close(fd)
        # a file that changed within the clock's granularity may change again unseen: such a directory is never vouched for
        racy = any(stat[3] > self._racy_before for _, stat in raw)
        self.signatures[directory] = b"" if racy else signature
        self._rows[directory] = kept
        return kept

    def _filter(self, fd: int, directory: str, raw: "list[tuple[str, Stat]]", before: "dict[str, Row]") -> "list[Row]":
        prefix = f"{directory}/" if directory else ""
        keep, kept = self._keep, []
        for name, stat in raw:
            kind = stat[0] & FORMAT
            if keep is not None and not keep(prefix + name, kind == DIRECTORY):
                continue
            row = before.get(name)
            if row is not None and row[1] == stat and stat[3] <= self._racy_before:
                kept.append(row)
            elif kind == SYMLINK:
                kept.append((name, stat, os.readlink(name, dir_fd=fd), (), b""))
            elif kind == DIRECTORY:
                kept.append((name, stat, "", _directory_xattrs(fd, name), b""))
            else:
                kept.append((name, stat, "", (), b""))
        return kept

    def close(self) -> None:
        """Keep what was found out for the next build."""
        if self._changed:
            known, rows = self._known or ({}, {})
            _save(self._index, {**known, **self.signatures}, {**rows, **self._rows})
            self._changed = False
        if self._open[1] >= 0:
            os.close(self._open[1])
            self._open = ("", -1)


_ROOT = Node("", (DIRECTORY | 0o755, 0, 0, 0, 0, 0, 0, 0, 0))


def _directory_xattrs(fd: int, name: str) -> "Xattrs":
    try:
        below = os.open(name, _OPEN, dir_fd=fd)
    except OSError:                                     # not ours to read: whoever needs what is in it will say so
        return ()
    try:
        return _xattrs(below)
    finally:
        os.close(below)


def _xattrs(fd: int) -> "Xattrs":
    """What a context file passes on: capabilities and labels of this machine's security modules stay here, as in BuildKit."""
    names = sorted(n for n in os.listxattr(fd) if n.startswith("user.") and not n.startswith(("user.overlay.", "user.pybuild.")))
    return tuple((name, os.getxattr(fd, name)) for name in names)


def _read(fd: int, name: str, stat: "Stat") -> "tuple[Xattrs, bytes]":
    """(xattrs, sha256) of a regular file; raises OSError if it is no longer what `stat` says."""
    file = os.open(name, _READ, dir_fd=fd)
    try:
        buffer, digest = bytearray(min(_BUFFER, max(stat[1], 1) + 1)), sha256()
        view = memoryview(buffer)
        while count := os.readv(file, [buffer]):
            digest.update(view[:count])
        now = stat_of(os.fstat(file))
        if now[:3] != stat[:3] or now[4] != stat[4]:
            raise SyscallFailed(11, "read", name)
        return _xattrs(file), digest.digest()
    finally:
        os.close(file)


def _load(index: str) -> "tuple[Signatures, dict[str, list[Row]]]":
    try:
        with open(index, "rb") as file:
            checksum, body = file.read(16), file.read()
        if checksum == xxh3_128_digest(body):           # else it was torn by a power cut
            found: tuple[Signatures, dict[str, list[Row]]] = loads(body)
            return found
    except OSError:
        pass
    return {}, {}


def _save(index: str, signatures: "Signatures", rows: "dict[str, list[Row]]") -> None:
    body = dumps((signatures, rows), 2)
    new = f"{index}.{os.getpid()}"
    with open(new, "wb") as file:
        file.write(xxh3_128_digest(body) + body)
    os.rename(new, index)
