"""Long chains made short: overlay takes at most 500 directories, and gets slower long before. In: parts of a chain; out: fewer directories to mount.

What lies lowest is copied once into a snapshot that shows the same as those parts mounted; it is found again by its parts, and kept while they are.
"""

import os

from kernel.value import Value
from store.digest import digest_of
from store.dressing import Look, dress, look_of
from store.errors import StoreError
from store.store import Store
from store.tree import CHARACTER, DEVICE, DIRECTORY, FIFO, FORMAT, GID, INODE, LINKS, MODE, MTIME, REGULAR, SYMLINK, UID, open_below
from store.view import Entry, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.snapshots import SnapshotId
    from store.tree import Row, Stat

_KEPT = 60                               # of a chain that is too long, so many stay as they are
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def shortened(store: Store, parts: "tuple[SnapshotId, ...]") -> "tuple[SnapshotId, ...]":
    """A chain (topmost first) that shows the same and is short. Raises SnapshotMissing, StoreError (the disk is full)."""
    return (*parts[:_KEPT], merged(store, parts[_KEPT:]))


def merged(store: Store, parts: "tuple[SnapshotId, ...]") -> "SnapshotId":
    """One snapshot that shows what `parts` show (topmost first), made if it is not there; it is held as long as this process lives."""
    key = f"merged {digest_of(' '.join(parts).encode())}"
    row = store.index.one("SELECT snapshot FROM layer WHERE key = ?", key)
    if row and store.snapshots.hold(row[0]):
        found: "SnapshotId" = row[0]
        return found
    draft = store.snapshots.begin(store.snapshots.path(parts[0]))
    try:
        with View([store.snapshots.path(part) for part in parts], owners=store.root.owners) as view:
            _Copy(view, draft.directory, store.root.owners == "xattr").run()
    except BaseException as error:
        store.snapshots.discard(draft)
        if isinstance(error, OSError):
            raise StoreError(f"cannot copy layers in the store: {(error.strerror or '').lower()}") from error
        raise
    snapshot = store.snapshots.commit(draft)
    with store.index as index:
        index.query("SELECT 1")          # opens it, so that `boot` is known
        index.run("INSERT OR REPLACE INTO layer VALUES (?, ?, '', ?, 0, ?, 0)", key, " ".join(parts), snapshot, index.boot)
    return snapshot


class _Todo(Value):
    path: str
    look: Look


class _Copy:
    """Everything a view shows, into an empty directory."""

    def __init__(self, view: View, directory: str, marked: bool) -> None:
        self._view = view
        self._top = directory
        self._marked = marked
        self._first: "dict[tuple[str, int], str]" = {}       # (layer, inode) -> path of its first name
        self._dressed: "list[_Todo]" = []

    def run(self) -> None:
        tree = self._view.walk(hashed=False)
        root = os.open(self._top, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for rel in sorted(tree, key=lambda r: r.count("/")):
                fd = open_below(root, rel)
                try:
                    for row in tree[rel]:
                        self._entry(root, fd, rel, row)
                finally:
                    os.close(fd)
            for todo in reversed(self._dressed):             # directories, the deepest first: making what is in them changes their times
                fd = open_below(root, todo.path)
                try:
                    dress(fd, todo.look, self._marked)
                finally:
                    os.close(fd)
        finally:
            os.close(root)

    def _entry(self, root: int, fd: int, rel: str, row: "Row") -> None:
        name, stat, link, xattrs, _ = row
        kind = stat[MODE] & FORMAT
        if kind == DIRECTORY:
            os.mkdir(name, 0o700, dir_fd=fd)
            self._dressed.append(_Todo(rel + name, look_of(stat, xattrs)))
            return
        if stat[LINKS] > 1 and self._linked(root, fd, rel, name, stat):
            return
        if kind == REGULAR:
            self._file(fd, rel, name, stat)
        elif kind == SYMLINK:
            os.symlink(link, name, dir_fd=fd)
        else:
            self._special(fd, name, stat, kind)
        if kind != REGULAR:
            if not self._marked:
                os.chown(name, stat[UID], stat[GID], dir_fd=fd, follow_symlinks=False)
            if kind != SYMLINK:
                os.chmod(name, stat[MODE] & 0o7777, dir_fd=fd)
            os.utime(name, ns=(stat[MTIME], stat[MTIME]), dir_fd=fd, follow_symlinks=False)

    def _linked(self, root: int, fd: int, rel: str, name: str, stat: "Stat") -> bool:
        """Whether it is another name of a file that is there already; then it is linked to that."""
        first = self._first.setdefault((self._lookup(rel + name).where, stat[INODE]), rel + name)
        if first == rel + name:
            return False
        head, _, last = first.rpartition("/")
        source = open_below(root, head)
        try:
            os.link(last, name, src_dir_fd=source, dst_dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(source)
        return True

    def _lookup(self, path: str) -> Entry:
        entry = self._view.lookup(path, follow=False)
        assert entry is not None
        return entry

    def _file(self, fd: int, rel: str, name: str, stat: "Stat") -> None:
        entry = self._lookup(rel + name)
        source = self._view.open_entry(entry)
        try:
            made = os.open(name, _MAKE, 0o600, dir_fd=fd)
            try:
                _copy_bytes(source, made)
                dress(made, look_of(stat, self._view.xattrs(entry)), self._marked)
            finally:
                os.close(made)
        finally:
            os.close(source)

    def _special(self, fd: int, name: str, stat: "Stat", kind: int) -> None:
        if not self._marked or kind == FIFO:
            os.mknod(name, kind | 0o600, stat[DEVICE], dir_fd=fd)
            return
        made = os.open(name, _MAKE, 0o600, dir_fd=fd)        # a device that is none: an empty file says what it stands for
        try:
            letter, device = "c" if kind == CHARACTER else "b", stat[DEVICE]
            dress(made, look_of(stat, ()), True, f":{letter}:{os.major(device)}:{os.minor(device)}")
        finally:
            os.close(made)


def _copy_bytes(source: int, target: int) -> None:
    """Share the blocks where the file system can, copy them inside the kernel else."""
    while os.copy_file_range(source, target, 1 << 30):
        pass
