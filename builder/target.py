"""The layer that a COPY or WORKDIR makes: a draft directory, seen on top of what lies below it, so that paths lead where they would in a
container. What exists below is never opened for writing: a directory that gets something new is made again in the draft, as it is below.
"""

import os

from builder.errors import BuildError
from builder.files import DIRECTORY, SYMLINK
from kernel import whiteout
from kernel.paths import DIRECTORY as OPEN_DIRECTORY
from kernel.paths import open_beneath
from store.dressing import give_marked
from store.view import NotInView, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.tree import Stat, Xattrs

FORMAT, WHITEOUT = 0o170000, 0o020000
SETGID = 0o2000
_LINKS_MAX = 40


class Target:
    """Paths are real and relative to the root ("" is the root), unless said otherwise. `close` dresses the directories and lets go.

    marked: files can have one owner only, and their marks tell the real one (store.dressing); `owners` those of what has no marks, by path.
    """

    def __init__(self, below: View, draft: str, *, marked: bool = False) -> None:
        self._below = below
        self.marked = marked
        self.owners: dict[str, tuple[int, int]] = {}
        self._fd = os.open(draft, OPEN_DIRECTORY)
        self._kinds: dict[str, int] = {"": DIRECTORY}    # what the draft has, and what it is
        self._links: dict[str, str] = {}
        self._fresh: set[str] = set()                    # directories of the draft that are not below
        self._names: dict[str, dict[str, int]] = {}      # directory below -> name -> kind
        self._dress: dict[str, tuple[int, int, int, int | None, Xattrs]] = {}
        self._open: tuple[str, int] = ("", os.dup(self._fd))

    # ------------------------------------------------------------ looking
    def kind(self, path: str) -> int:
        """What is at `path` (a S_IF.. value), 0 if nothing; a symlink is a symlink."""
        kind = self._kinds.get(path)
        if kind is not None:
            return kind
        directory, _, name = path.rpartition("/")
        if directory in self._fresh:
            return 0
        return self._names_below(directory).get(name, 0)

    def _names_below(self, directory: str) -> dict[str, int]:
        names = self._names.get(directory)
        if names is None:
            try:
                names = {row[0]: row[1][0] & FORMAT for row in self._below.rows(directory)}
            except NotInView:
                names = {}
            self._names[directory] = names
        return names

    def resolve(self, path: str) -> str:
        """The real path that `path` leads to, its last component too; a dangling symlink leads to what is not there yet."""
        done: list[str] = []
        todo = [p for p in path.split("/") if p and p != "."][::-1]
        budget = _LINKS_MAX
        while todo:
            part = todo.pop()
            if part == "..":
                done = done[:-1]
                continue
            real = "/".join((*done, part))
            if self.kind(real) != SYMLINK:
                done.append(part)
                continue
            budget -= 1
            if not budget:
                raise BuildError(f"`{path}` leads through too many symbolic links")
            link = self._link(real)
            if link.startswith("/"):
                done = []
            todo += [p for p in link.split("/") if p and p != "."][::-1]
        return "/".join(done)

    def _link(self, path: str) -> str:
        if path in self._links:
            return self._links[path]
        entry = self._below.lookup(path, follow=False)
        assert entry is not None, f"{path} is below, but cannot be looked up"
        return entry.link

    # ------------------------------------------------------------ making directories
    def make_directories(self, path: str, mode: int = 0o755, owner: "tuple[int, int] | None" = None) -> None:
        """`mkdir -p`: new directories get mode and owner, existing ones stay as they are. owner: None is root and the group that mkdir(2) gives.

        As mkdir(2) does it, they take over the set-group-ID bit of the directory that they are made in.
        """
        parts = path.split("/") if path else []
        for count in range(1, len(parts) + 1):
            real = "/".join(parts[:count])
            kind = self.kind(real)
            if not kind:
                group = self._handed_on("/".join(parts[:count - 1]))
                self.make_directory(real, mode if group is None else mode | SETGID, owner or (0, group or 0))
            elif kind != DIRECTORY:
                raise BuildError(f"`/{real}` is no directory, so nothing can be put below it")

    def _handed_on(self, path: str) -> "int | None":
        """The group of a directory that hands it on to what is made in it; None if it does not."""
        dress = self._dress.get(path)
        if dress is not None:
            mode, group = dress[0], dress[2]
        elif path in self._fresh:                        # put there by somebody else
            fd, name = self.place(path)
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            mode, group = status.st_mode, status.st_gid
        else:
            entry = self._below.lookup(path, follow=False) if path else None
            mode, group = (entry.stat[0], entry.stat[6]) if entry is not None else (0, 0)
        return group if mode & SETGID else None

    def make_directory(self, path: str, mode: int, owner: tuple[int, int], mtime: int | None = None, xattrs: "Xattrs" = ()) -> None:
        """One new directory; its parent exists. mtime: None is now."""
        self._bring_up(path.rpartition("/")[0])
        fd, name = self.place(path)
        os.mkdir(name, 0o700, dir_fd=fd)
        self._kinds[path] = DIRECTORY
        self._fresh.add(path)
        self._dress[path] = (mode, *owner, mtime, xattrs)

    def dress(self, path: str, mode: int, owner: tuple[int, int], mtime: int, xattrs: "Xattrs" = ()) -> None:
        """Give a directory that exists another mode, owner, time and xattrs."""
        self._bring_up(path)
        self._dress[path] = (mode, *owner, mtime, xattrs)

    def _bring_up(self, path: str) -> None:
        """Have the directory in the draft, as it is below."""
        if path in self._kinds:
            return
        above = path.rpartition("/")[0]
        self._bring_up(above)
        row = next(row for row in self._below.rows(above, hashed=True) if row[0] == path.rpartition("/")[2])
        fd, name = self.place(path)
        os.mkdir(name, 0o700, dir_fd=fd)
        self._kinds[path] = DIRECTORY
        stat = row[1]
        self._dress[path] = (stat[0] & 0o7777, stat[5], stat[6], stat[2], row[3])

    # ------------------------------------------------------------ making files
    def prepare_file(self, path: str, kind: int, link: str = "") -> tuple[int, str]:
        """(fd of the draft's directory, name) where a new file of that kind is to be made; what the draft had there is gone then."""
        existing = self.kind(path)
        if existing == DIRECTORY:
            raise BuildError(f"`/{path}` is a directory, so no file can take its place")
        self._bring_up(path.rpartition("/")[0])
        fd, name = self.place(path)
        if path in self._kinds:
            try:
                os.unlink(name, dir_fd=fd)
            except FileNotFoundError:                    # promised, and not made yet
                pass
        self._kinds[path] = kind
        self.owners.pop(path, None)
        if kind == SYMLINK:
            self._links[path] = link
        return fd, name

    def give(self, fd: int, owner: tuple[int, int]) -> None:
        """Give a file that was just made to its owner."""
        if not self.marked:
            os.fchown(fd, *owner)
        elif owner != (0, 0):
            give_marked(fd, *owner, marked=True)

    def give_special(self, path: str, owner: tuple[int, int]) -> None:
        """The same of a link, fifo or device that was made where `prepare_file` said."""
        if not self.marked:
            fd, name = self.place(path)
            os.chown(name, *owner, dir_fd=fd, follow_symlinks=False)
        elif owner != (0, 0):
            self.owners[path] = owner

    def remove(self, path: str) -> None:
        """Have something that lies below be gone."""
        fd, name = self.prepare_file(path, WHITEOUT) if self.kind(path) != DIRECTORY else self._prepare(path)
        whiteout.make(name, fd)

    def _prepare(self, path: str) -> tuple[int, str]:
        self._bring_up(path.rpartition("/")[0])
        self._kinds[path] = WHITEOUT
        return self.place(path)

    def place(self, path: str) -> tuple[int, str]:
        """(fd of the draft's directory of `path`, name in it). The fd belongs to the target and is good until the next call."""
        directory, _, name = path.rpartition("/")
        if self._open[0] != directory:
            os.close(self._open[1])
            self._open = ("", -1)
            self._open = (directory, open_beneath(self._fd, directory, OPEN_DIRECTORY) if directory else os.dup(self._fd))
        return self._open[1], name

    # ------------------------------------------------------------ the end
    @property
    def fd(self) -> int:
        """The draft's directory, for whoever writes into it otherwise; `look_again` afterwards."""
        return self._fd

    def look_again(self) -> None:
        """Take in what somebody else has put into the draft."""
        self._kinds = {"": DIRECTORY}
        self._links.clear()
        todo = [""]
        while todo:
            directory = todo.pop()
            fd = open_beneath(self._fd, directory, OPEN_DIRECTORY) if directory else os.dup(self._fd)
            try:
                for name in os.listdir(fd):
                    path = f"{directory}/{name}" if directory else name
                    kind = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode & FORMAT
                    self._kinds[path] = kind
                    if kind == SYMLINK:
                        self._links[path] = os.readlink(name, dir_fd=fd)
                    elif kind == DIRECTORY:
                        todo.append(path)
                        if directory in self._fresh or name not in self._names_below(directory):
                            self._fresh.add(path)
            finally:
                os.close(fd)

    def dress_all(self) -> None:
        """Modes, owners and times of directories, deepest first: making something in one changes its time."""
        for path in sorted(self._dress, reverse=True):
            mode, uid, gid, mtime, xattrs = self._dress[path]
            fd = open_beneath(self._fd, path, OPEN_DIRECTORY) if path else os.dup(self._fd)
            try:
                for key, value in xattrs:
                    os.setxattr(fd, key, value)
                give_marked(fd, uid, gid, self.marked)
                os.fchmod(fd, mode)
                if mtime is not None:
                    os.utime(fd, ns=(mtime, mtime))
            finally:
                os.close(fd)
        self._dress = {}

    def close(self) -> None:
        """Dress the directories and let go of the draft."""
        self.dress_all()
        if self._fd >= 0:
            if self._open[1] >= 0:
                os.close(self._open[1])
            os.close(self._fd)
            self._fd = -1


def like(stat: "Stat") -> tuple[int, tuple[int, int], int]:
    """(mode, owner, mtime) of a stat, as `make_directory` and `dress` take them."""
    return stat[0] & 0o7777, (stat[5], stat[6]), stat[2]
