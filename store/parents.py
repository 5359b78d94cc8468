"""Directories of a draft that entries of an archive go into. In: names out of hostile archives; out: open directories that lie in the draft.

Links are followed here, one component at a time, and never by the kernel: what a link leads to is always looked up from the draft's root, in the
draft first and then in the layers below it. A directory that only lies below is made anew in the draft, looking the same.
"""

import os

from kernel import whiteout
from kernel.paths import remove_tree
from store.dressing import Look, look_of
from store.errors import InvalidLayer
from store.tree import DIRECTORY, FORMAT, OPEN_DIRECTORY, SYMLINK, open_below
from store.view import LINKS, Entry, NotInView, View

_OPEN_AT_ONCE = 128
_ALIASES = 100_000
_IS_DIRECTORY = ""                                           # no link's target is empty


class Parents:
    """`enter` a directory by its parts; `looks` says how directories are to look at the end. Close it when done.

    opaque: name of the xattr that hides what is below. dependent: whether anything came out as it did because of the layers below.
    """

    def __init__(self, root_fd: int, below: "View | None", opaque: str) -> None:
        self._root = os.open(".", OPEN_DIRECTORY, dir_fd=root_fd)
        self._below = below
        self._opaque = opaque
        self._fds: "dict[str, int]" = {}                     # way without links -> fd; the least recently used first
        self._aliases: "dict[str, str]" = {}                 # way as the archive says it -> way without links
        self._merging: "dict[str, bool]" = {"": below is not None}
        self.looks: "dict[str, Look]" = {}                   # of directories; given to them when everything in them is done
        self.dependent = False

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        os.close(self._root)

    # ------------------------------------------------------------ walking
    def enter(self, parts: "list[str]", create: bool = True, base: int = 0) -> "tuple[int, str] | None":
        """(fd, way without links) of a directory. The fd stays ours, and is good until the next call.

        create: make what is missing; else None if something is.
        base: so many of `parts` lead to what links of the others take for their root, as a program does that has changed its root to there.
        Raises InvalidLayer where a file is in the way, or links lead in a circle.
        """
        said = "/".join(parts)
        way = self._aliases.get(said)
        if way is None:
            top = self._resolve([], parts[:base], create)
            done = None if top is None else self._resolve(top, parts[base:], create)
            if done is None:
                return None
            way = "/".join(done)
            if len(self._aliases) > _ALIASES:
                self._aliases.clear()
            self._aliases[said] = way
        return self.fd(way), way

    def fd(self, way: str) -> int:
        """fd of a directory that is known to be in the draft."""
        if not way:
            return self._root
        fd = self._fds.pop(way, -1)
        if fd < 0:
            fd = open_below(self._root, way)
        self._keep(way, fd)
        return fd

    def _keep(self, way: str, fd: int) -> None:
        while len(self._fds) >= _OPEN_AT_ONCE:
            os.close(self._fds.pop(next(iter(self._fds))))
        self._fds[way] = fd

    def _resolve(self, top: "list[str]", parts: "list[str]", create: bool) -> "list[str] | None":
        """The way without links of `parts` in `top`, which is their root."""
        done = top[:]
        todo = parts[::-1]
        budget = LINKS
        while todo:
            part = todo.pop()
            if part == "..":
                del done[max(len(done) - 1, len(top)):]
                continue
            found = self._step("/".join(done), part, create)
            if found is None:
                return None
            if not found:
                done.append(part)
                continue
            budget -= 1
            if not budget:
                raise InvalidLayer("leads through too many symbolic links", "/".join(parts))
            if found.startswith("/"):
                done = top[:]
            todo += [p for p in found.split("/") if p and p != "."][::-1]
        return done

    def _step(self, here: str, part: str, create: bool) -> "str | None":
        """"": `part` is a directory of the draft now; else the target of the link that it is; None if it is missing and stays so."""
        way = f"{here}/{part}" if here else part
        if way in self._fds:
            return _IS_DIRECTORY
        fd = self.fd(here)
        try:
            self._found(here, way, os.open(part, OPEN_DIRECTORY, dir_fd=fd))
            return _IS_DIRECTORY
        except FileNotFoundError:
            return self._from_below(here, part, create)
        except NotADirectoryError:                           # a link too: neither is followed
            status = os.stat(part, dir_fd=fd, follow_symlinks=False)
        kind = status.st_mode & FORMAT
        if kind == SYMLINK:
            return os.readlink(part, dir_fd=fd)
        if whiteout.is_whiteout(status.st_mode, status.st_rdev):     # deleted by this layer, and begun anew
            if not create:
                return None
            os.unlink(part, dir_fd=fd)
            self.make(fd, here, part, hiding=True)
            return _IS_DIRECTORY
        if not create:
            return None
        raise InvalidLayer(f"lies in `{way}`, which is no directory", way)

    def _found(self, here: str, way: str, fd: int) -> None:
        """Note a directory that is in the draft already."""
        if way not in self._merging:
            self._merging[way] = self._merging.get(here, False) and not _is_opaque(fd, self._opaque)
        self._keep(way, fd)

    def _from_below(self, here: str, part: str, create: bool) -> "str | None":
        entry = self.below(here, part)
        if entry is not None and entry.kind == SYMLINK:
            return entry.link
        if not create and (entry is None or entry.kind != DIRECTORY):
            return None
        self.make(self.fd(here), here, part, like=entry if entry is not None and entry.kind == DIRECTORY else None)
        return _IS_DIRECTORY

    def below(self, here: str, name: str) -> "Entry | None":
        """What the layers below have as `name` in the draft's directory `here`, where it shows through."""
        if self._below is None or not self._merging.get(here, False):
            return None
        try:
            entry = self._below.lookup(f"{here}/{name}", follow=False)
        except NotInView:
            return None
        if entry is not None:
            self.dependent = True
        return entry

    # ------------------------------------------------------------ changing
    def make(self, fd: int, here: str, name: str, *, hiding: bool = False, like: "Entry | None" = None) -> str:
        """New directory `name` in `here`; returns its way. hiding: nothing of the layers below may show through it."""
        way = f"{here}/{name}" if here else name
        os.mkdir(name, 0o700, dir_fd=fd)
        child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
        if hiding:
            os.setxattr(child, self._opaque, b"y")
        self._merging[way] = self._merging.get(here, False) and not hiding
        if like is not None and self._below is not None:
            self.looks[way] = look_of(like.stat, self._below.xattrs(like))
        else:
            os.fchmod(child, 0o755)                          # whatever the umask, and a set-group-ID of the directory above
        self._keep(way, child)
        return way

    def hide_below(self, way: str) -> None:
        """Let nothing of the layers below show through this directory of the draft."""
        os.setxattr(self.fd(way), self._opaque, b"y")
        self._merging[way] = False

    def remove(self, fd: int, here: str, name: str, is_directory: bool) -> None:
        """Take `name` out of the draft."""
        if not is_directory:
            os.unlink(name, dir_fd=fd)
            if self._aliases:
                self._aliases.clear()                        # it may have been a link on somebody's way
            return
        way = f"{here}/{name}" if here else name
        self._aliases.clear()
        for known in [k for k in self._fds if k == way or k.startswith(way + "/")]:
            os.close(self._fds.pop(known))
        for known in [k for k in self._merging if k == way or k.startswith(way + "/")]:
            del self._merging[known]
            self.looks.pop(known, None)
        remove_tree(fd, name)


def _is_opaque(fd: int, name: str) -> bool:
    try:
        return os.getxattr(fd, name) == b"y"
    except OSError:
        return False
