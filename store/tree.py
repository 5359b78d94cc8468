"""Trees: what a layer's directory holds, as rows. In: a directory in overlay's form; out: a `Tree`, and the digest that names its content.

Read in this order: `Row`, `scan` (directory -> Tree), `digest` (Tree -> Digest), `stack` (one part of a layer over an earlier one).
A Tree is plain data, so that `marshal` keeps it: {directory: rows}; a directory is "" or "a/b/", rows are sorted by the bytes of the name.
"""

import os
from struct import Struct

from kernel.whiteout import STAND_IN
from store.digest import Digest, from_raw, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    Stat: TypeAlias = tuple[int, int, int, int, int, int, int, int, int]      # mode size mtime_ns ctime_ns ino uid gid nlink rdev
    Xattrs: TypeAlias = tuple[tuple[str, bytes], ...]
    Row: TypeAlias = tuple[str, Stat, str, Xattrs, bytes]                     # name stat link xattrs sha256
    Tree: TypeAlias = dict[str, list[Row]]

FORMAT, REGULAR, SYMLINK, DIRECTORY, CHARACTER, BLOCK, FIFO, SOCKET = 0o170000, 0o100000, 0o120000, 0o040000, 0o020000, 0o060000, 0o010000, 0o140000
MODE, SIZE, MTIME, CTIME, INODE, UID, GID, LINKS, DEVICE = range(9)           # fields of a row's stat

OPAQUE: "tuple[str, bytes]" = ("overlay.opaque", b"y")                        # stands for the mark of either flavour; no real name is like it
OWNER = "user.pybuild.owner"                                                  # "uid:gid" or "uid:gid:c:major:minor" where files have one owner only
_CAPABILITY = "security.capability"

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_AT_ONCE = 128
_BUFFER = 1 << 20
_PATH = 1000                                                                  # characters of a path given to the kernel at once: below 4096 bytes


# ---------------------------------------------------------------- directory -> rows
def scan(directory: "str | int", *, owners: str = "real", hashed: bool = True, known: "Mapping[int, bytes] | None" = None) -> "Tree":
    """Rows of everything in `directory` (path or fd): a layer in overlay's form, of either flavour. Nothing is followed, nothing special opened.

    owners: as in store.root: "xattr" where the owner of a file is told by an attribute.
    hashed: False leaves the sha256 of files empty. known: inode -> sha256 of files that need not be read.
    """
    marked, known = owners == "xattr", known or {}
    buffer = bytearray(_BUFFER)
    tree: "Tree" = {}
    top = os.open(".", OPEN_DIRECTORY, dir_fd=directory) if isinstance(directory, int) else os.open(directory, OPEN_DIRECTORY)
    # one frame a level: [directory, fd, names of subdirectories still to visit]; of a very deep tree the upper fds are closed meanwhile
    stack: "list[tuple[str, int, list[str]]]" = []
    try:
        tree[""], below = _scan_directory(top, buffer, marked, hashed, known)
        stack.append(("", top, below[::-1]))
        while stack:
            rel, fd, todo = stack[-1]
            if not todo:
                stack.pop()
                if stack and stack[-1][1] < 0:
                    parent, _, rest = stack[-1]
                    stack[-1] = parent, os.open("..", OPEN_DIRECTORY, dir_fd=fd), rest
                os.close(fd)
                continue
            name = todo.pop()
            if len(stack) > _OPEN_AT_ONCE:
                above, old, rest = stack[-_OPEN_AT_ONCE]
                if old >= 0:
                    os.close(old)
                    stack[-_OPEN_AT_ONCE] = above, -1, rest
            child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
            sub = f"{rel}{name}/"
            stack.append((sub, child, []))
            tree[sub], below = _scan_directory(child, buffer, marked, hashed, known)
            stack[-1] = sub, child, below[::-1]
    finally:
        for _, fd, _ in stack:
            if fd >= 0:
                os.close(fd)
    return tree


def _scan_directory(fd: int, buffer: bytearray, marked: bool, hashed: bool, known: "Mapping[int, bytes]") -> "tuple[list[Row], list[str]]":
    """(rows, names of subdirectories) of one open directory."""
    rows: "list[Row]" = []
    below: "list[str]" = []
    for name in sorted_names(os.listdir(fd)):
        stat = stat_row(os.stat(name, dir_fd=fd, follow_symlinks=False))
        kind = stat[MODE] & FORMAT
        if kind == REGULAR:
            rows.append(_file_row(fd, name, stat, buffer, marked, hashed, known))
        elif kind == DIRECTORY:
            below.append(name)
            child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
            try:
                xattrs, owner = read_xattrs(child)
            finally:
                os.close(child)
            rows.append((name, marked_owner(stat, owner) if marked and owner else stat, "", xattrs, b""))
        elif kind == SYMLINK:
            rows.append((name, stat, os.readlink(name, dir_fd=fd), (), b""))
        elif kind != SOCKET:                           # a socket without its process is nothing: no layer carries one
            rows.append((name, stat, "", (), b""))
    return rows, below


def _file_row(dir_fd: int, name: str, stat: "Stat", buffer: bytearray, marked: bool, hashed: bool, known: "Mapping[int, bytes]") -> "Row":
    fd = os.open(name, OPEN_FILE, dir_fd=dir_fd)
    try:
        xattrs, owner = read_xattrs(fd)
        content = (known.get(stat[INODE]) or hash_file(fd, buffer)) if hashed else b""
    finally:
        os.close(fd)
    return name, marked_owner(stat, owner) if marked and owner else stat, "", xattrs, content


def hash_file(fd: int, buffer: bytearray) -> bytes:
    """sha256 of what is left to read in `fd`."""
    read = os.readv(fd, [buffer])
    if read < len(buffer):
        return sha256(memoryview(buffer)[:read]).digest()
    total, view = sha256(buffer), memoryview(buffer)
    while read:
        read = os.readv(fd, [buffer])
        total.update(view[:read])
    return total.digest()


def open_below(root_fd: int, path: str) -> int:
    """An fd of the directory "" or "a/b" or "a/b/" below an open one, however long; symlinks on the way are errors (OSError)."""
    from kernel.paths import open_beneath

    path, fd = path.rstrip("/"), root_fd
    try:
        while len(path) > _PATH:
            cut = path.rindex("/", 0, _PATH)
            following = open_beneath(fd, path[:cut], OPEN_DIRECTORY)
            if fd != root_fd:
                os.close(fd)
            fd, path = following, path[cut + 1:]
        return open_beneath(fd, path, OPEN_DIRECTORY) if path else os.open(".", OPEN_DIRECTORY, dir_fd=fd)
    finally:
        if fd != root_fd:
            os.close(fd)


def stat_row(s: os.stat_result) -> "Stat":
    device = s.st_rdev if s.st_rdev != STAND_IN else 0
    return s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_uid, s.st_gid, s.st_nlink, device


def sorted_names(names: "list[str]") -> "list[str]":
    """Sorted by their bytes; differs from the order of str only where a name is not UTF-8."""
    names.sort(key=None if "".join(names).isascii() else os.fsencode)
    return names


def read_xattrs(fd: "int | str") -> "tuple[Xattrs, bytes]":
    """(attributes that a layer carries, sorted; value of the owner's mark) of an open file, or of a path, not followed."""
    try:
        names = os.listxattr(fd) if isinstance(fd, int) else os.listxattr(fd, follow_symlinks=False)
    except OSError:
        return (), b""                                 # a file system without any
    if not names:
        return (), b""
    found: "list[tuple[str, bytes]]" = []
    owner = b""
    for name in sorted(names):
        if is_carried(name):
            value = os.getxattr(fd, name)
            found.append((name, _without_root_id(value) if name == _CAPABILITY else value))
        elif name in ("trusted.overlay.opaque", "user.overlay.opaque"):
            if os.getxattr(fd, name) == b"y" and OPAQUE not in found:
                found.append(OPAQUE)
        elif name == OWNER:
            owner = os.getxattr(fd, name)
    return tuple(found), owner


def is_carried(name: str) -> bool:
    """Whether an extended attribute belongs to a layer: file capabilities and the user's own, nothing of the machine or of overlay."""
    return name == _CAPABILITY or (name.startswith("user.") and not name.startswith(("user.overlay.", "user.pybuild.")))


def _without_root_id(value: bytes) -> bytes:
    """A file capability of version 3 (bound to a user namespace) as version 2: the namespace is this machine's affair."""
    if len(value) == 24 and value[3] == 3:
        return value[:3] + b"\x02" + value[4:20]
    return value


def marked_owner(stat: "Stat", mark: bytes) -> "Stat":
    """`stat` as the owner's mark says; an unreadable mark changes nothing."""
    try:
        uid, gid, *device = mark.decode("ascii").split(":")
        mode, size, mtime, ctime, inode, _, _, links, rdev = stat
        if device:
            kind, major, minor = device
            mode = mode & ~FORMAT | (CHARACTER if kind == "c" else BLOCK)
            rdev = os.makedev(int(major), int(minor))
            size = 0
        return mode, size, mtime, ctime, inode, int(uid), int(gid), links, rdev
    except ValueError:
        return stat


def own(tree: "Tree", owners: "Mapping[str, tuple[int, int]]") -> "Tree":
    """The same rows with these owners (path -> uid, gid): of links, fifos and sockets, where a file system with one owner cannot tell them."""
    if not owners:
        return tree
    return {rel: [_owned(row, owners[rel + row[0]]) if rel + row[0] in owners else row for row in rows] for rel, rows in tree.items()}


def _owned(row: "Row", owner: "tuple[int, int]") -> "Row":
    name, (mode, size, mtime, ctime, inode, _, _, links, device), link, xattrs, content = row
    return name, (mode, size, mtime, ctime, inode, *owner, links, device), link, xattrs, content


def is_whiteout(stat: "Stat") -> bool:
    """Whether the entry is overlay's mark for a name that is gone."""
    return stat[MODE] & FORMAT == CHARACTER and stat[DEVICE] == 0


def is_opaque(row: "Row") -> bool:
    """Whether the directory hides what lies below it."""
    return OPAQUE in row[3]


# ---------------------------------------------------------------- rows -> digest
_FIXED = Struct("<cIIIQII").pack                       # type, mode, uid, gid, size, major, minor
_LENGTH = Struct("<I").pack
_TYPE = {REGULAR: b"f", SYMLINK: b"l", DIRECTORY: b"d", CHARACTER: b"c", BLOCK: b"b", FIFO: b"p"}
_WHITEOUT = _FIXED(b"w", 0, 0, 0, 0, 0, 0)
_NO_XATTRS = _LENGTH(0)
_VERSION = b"pybuild tree 1\n"


def digest(tree: "Tree") -> Digest:
    """Name of the content: path, type, mode, uid, gid, size, link, device, xattrs, bytes, and which names share an inode; never times.

    The encoding is fixed for ever: shared caches know content by it. Strings are preceded by their length (4 bytes, little-endian):
    sha256 over "pybuild tree 1\\n" and, for each entry, directories and names in the order of their bytes:
    path; type (f l d c b p, w for a whiteout), mode & 0o7777, uid, gid (4 each), size (8; of files, else 0), major, minor (4 each; of c and b);
    target of a symlink; path of the first name with the same inode, if that is another; number of xattrs, each name and value;
    32 bytes sha256 of a file, else none. A whiteout has all numbers 0 and ends there; an opaque directory has the attribute `overlay.opaque` = y.
    """
    total = sha256(_VERSION)
    first: "dict[int, bytes]" = {}                     # inode -> the first path that has it
    for rel in sorted_names(list(tree)):
        prefix = os.fsencode(rel)
        parts: "list[bytes]" = []
        for name, stat, link, xattrs, content in tree[rel]:
            path = prefix + os.fsencode(name)
            mode, size, _, _, inode, uid, gid, links, rdev = stat
            kind = mode & FORMAT
            if kind == CHARACTER and not rdev:
                parts += (_LENGTH(len(path)), path, _WHITEOUT)
                continue
            target, same = os.fsencode(link), b""
            if links > 1 and kind != DIRECTORY:
                same = first.setdefault(inode, path)
                if same is path:
                    same = b""
            device = (os.major(rdev), os.minor(rdev)) if kind in (CHARACTER, BLOCK) else (0, 0)
            parts += (_LENGTH(len(path)), path, _FIXED(_TYPE[kind], mode & 0o7777, uid, gid, size if kind == REGULAR else 0, *device),
                      _LENGTH(len(target)), target, _LENGTH(len(same)), same, _encoded(xattrs) if xattrs else _NO_XATTRS, content)
        total.update(b"".join(parts))
    return from_raw(total.digest())


def _encoded(xattrs: "Xattrs") -> bytes:
    parts = [_LENGTH(len(xattrs))]
    for name, value in xattrs:
        raw = os.fsencode(name)
        parts += (_LENGTH(len(raw)), raw, _LENGTH(len(value)), value)
    return b"".join(parts)


def size_of(tree: "Tree") -> int:
    """Bytes of the files in it, each inode counted once."""
    total, seen = 0, set()
    for rows in tree.values():
        for row in rows:
            stat = row[1]
            if stat[MODE] & FORMAT == REGULAR:
                if stat[LINKS] > 1:
                    if stat[INODE] in seen:
                        continue
                    seen.add(stat[INODE])
                total += stat[SIZE]
    return total


def clamp(tree: "Tree", epoch: int) -> "Tree":
    """The same rows with no modification time after `epoch` (seconds): what a reproducible layer is written from, and kept with the snapshot."""
    limit = epoch * 1_000_000_000
    return {rel: [(name, stat if stat[MTIME] <= limit else _at(stat, limit), link, xattrs, content) for name, stat, link, xattrs, content in rows]
            for rel, rows in tree.items()}


def _at(stat: "Stat", mtime: int) -> "Stat":
    mode, size, _, ctime, inode, uid, gid, links, device = stat
    return mode, size, mtime, ctime, inode, uid, gid, links, device


# ---------------------------------------------------------------- one part of a layer over another
def stack(upper: "Tree", lower: "Tree") -> "Tree":
    """Rows of a layer whose directory is `upper` mounted over `lower`: what the later part deletes of the earlier one is just not there."""
    if not lower:
        return upper
    merged: "Tree" = {}
    todo = [("", True)]                                # (directory, whether the lower part shows through)
    while todo:
        rel, through = todo.pop()
        rows = {row[0]: row for row in lower.get(rel, ())} if through else {}
        below = dict(rows)
        for row in upper.get(rel, ()):
            earlier = below.get(row[0])
            if earlier and is_whiteout(row[1]):
                del rows[row[0]]
            elif earlier and is_opaque(earlier) and row[1][MODE] & FORMAT == DIRECTORY and not is_opaque(row):
                rows[row[0]] = (*row[:3], (*row[3], OPAQUE), row[4])
            else:
                rows[row[0]] = row
        merged[rel] = [rows[name] for name in sorted_names(list(rows))]
        hiding = {row[0] for row in upper.get(rel, ()) if is_opaque(row)}
        for row in merged[rel]:
            if row[1][MODE] & FORMAT == DIRECTORY:
                earlier = below.get(row[0])
                todo.append((f"{rel}{row[0]}/", earlier is not None and earlier[1][MODE] & FORMAT == DIRECTORY and row[0] not in hiding))
    return merged


def whiteouts(tree: "Mapping[str, Iterable[Row]]") -> "list[str]":
    """Paths that the layer deletes of what lies below it."""
    return [f"{rel}{row[0]}" for rel, rows in tree.items() for row in rows if is_whiteout(row[1])]
