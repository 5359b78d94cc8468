"""What a process has changed in a plain tree, found by looking before and after, and written down as a layer in overlay's form.

`look` before, `look` after, `capture` the difference. The key of a file has its ctime, which no process can set: contents need not be read.
"""

import os
import stat
import time

from kernel import whiteout
from kernel.paths import DIRECTORY, remove_tree
from sandbox.errors import SandboxError
from sandbox.plaincopy import DEPTH_MAX, Copier, dress_directory, make_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Key: TypeAlias = tuple[int, int, int, int, int]      # inode, ctime_ns, mode, size, mtime_ns
    Seen: TypeAlias = dict[str, dict[str, Key]]          # directory ("" or "a/b/") -> name -> key

_INODE, _CTIME, _MODE = 0, 1, 2
_GRAIN_NS = 12_000_000                                   # of ctime: what happens sooner after a look may have the same one


def key_of(status: os.stat_result) -> "Key":
    return status.st_ino, status.st_ctime_ns, status.st_mode, status.st_size, status.st_mtime_ns


def look(root_fd: int, top: str = "") -> "Seen":
    """Everything below `top` ("" or "a/b/"), which is a directory."""
    found: "Seen" = {}
    todo = [top]
    while todo:
        where = todo.pop()
        if where.count("/") > DEPTH_MAX:
            raise SandboxError("look at the files", path=where[-80:], reason=f"directories lie more than {DEPTH_MAX} deep in each other")
        fd = os.open(where or ".", DIRECTORY, dir_fd=root_fd)
        try:
            found[where] = rows = {name: key_of(os.stat(name, dir_fd=fd, follow_symlinks=False)) for name in os.listdir(fd)}
        finally:
            os.close(fd)
        todo += [f"{where}{name}/" for name, key in rows.items() if stat.S_ISDIR(key[_MODE])]
    return found


def settle(seen: "Seen") -> None:
    """Wait until what happens from now on has a later ctime than anything that was seen. Mostly it is late enough already."""
    latest = max((key[_CTIME] for rows in seen.values() for key in rows.values()), default=0)
    left = latest + _GRAIN_NS - time.time_ns()
    if 0 < left <= _GRAIN_NS:
        time.sleep(left / 1e9)


def forget(seen: "Seen", path: str) -> None:
    """As if `path` ("a/b") had not been seen, nor what is below it."""
    parent, _, name = path.rpartition("/")
    seen.get(f"{parent}/" if parent else "", {}).pop(name, None)
    for where in [where for where in seen if where.startswith(f"{path}/")]:
        del seen[where]


def capture(root_fd: int, before: "Seen", upper_fd: int, mark: str) -> None:
    """Write into the directory behind `upper_fd` what is different now. mark: name of the attribute of opaque directories.

    What an earlier capture has left in it counts: it is below, and replaced.
    """
    after = look(root_fd)
    work = _Capture(before, after, Copier(upper_fd, swap_devices=True), mark)
    top = _Place(None, "", "", root_fd, upper_fd)
    work.compare(top, fresh=False)
    dress_directory(root_fd, upper_fd)


class _Place:
    """A directory of the tree and its counterpart in the layer, both opened (and the latter made) when they are needed."""

    __slots__ = ("_name", "_parent", "_source", "_target", "where")

    def __init__(self, parent: "_Place | None", name: str, where: str, source: int = -1, target: int = -1) -> None:
        self._parent, self._name, self.where = parent, name, where
        self._source, self._target = source, target

    @property
    def source(self) -> int:
        if self._source < 0:
            assert self._parent
            self._source = os.open(self._name, DIRECTORY, dir_fd=self._parent.source)
        return self._source

    @property
    def target(self) -> int:
        return self._target if self._target >= 0 else self.make()

    def make(self, *, replaced: bool = False, mark: str = "") -> int:
        """The counterpart. replaced: the tree's directory is another one than before, so nothing below it shows."""
        assert self._parent
        above = self._parent.target
        hidden = _is_whiteout(above, self._name)
        make_directory(above, self._name)
        self._target = os.open(self._name, DIRECTORY, dir_fd=above)
        if mark and (replaced or hidden):
            os.setxattr(self._target, mark, b"y")
        return self._target

    def close(self) -> None:
        """When all is written: the counterpart gets the looks."""
        if self._target >= 0:
            dress_directory(self.source, self._target)
        for fd in (self._source, self._target):
            if fd >= 0:
                os.close(fd)


class _Capture:
    __slots__ = ("_after", "_before", "_copier", "_mark")

    def __init__(self, before: "Seen", after: "Seen", copier: Copier, mark: str) -> None:
        self._before, self._after, self._copier, self._mark = before, after, copier, mark

    def compare(self, place: _Place, *, fresh: bool) -> None:
        """fresh: nothing of this directory was there before."""
        now = self._after[place.where]
        was = {} if fresh else self._before.get(place.where, {})
        for name, key in now.items():
            old = was.get(name)
            if stat.S_ISDIR(key[_MODE]):
                self._compare_directory(place, name, key, old)
            elif key != old:
                remove_tree(place.target, name)
                self._copier.copy(place.source, name, place.target, f"{place.where}{name}")
        for name in was:
            if name not in now:
                remove_tree(place.target, name)
                whiteout.make(name, place.target)

    def _compare_directory(self, place: _Place, name: str, key: "Key", old: "Key | None") -> None:
        below = _Place(place, name, f"{place.where}{name}/")
        was_directory = old is not None and stat.S_ISDIR(old[_MODE])
        same = was_directory and old is not None and old[_INODE] == key[_INODE]
        try:
            if not same:
                below.make(replaced=was_directory, mark=self._mark)
            elif old != key:
                below.make()
            self.compare(below, fresh=not same)
        finally:
            below.close()


def _is_whiteout(dir_fd: int, name: str) -> bool:
    try:
        status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return whiteout.is_whiteout(status.st_mode, status.st_rdev)
