"""Plain trees of chains of layers, each moved forward from step to step instead of being copied anew.

A tree is free (a directory below the pool, with the key of what it shows) or taken (it has no key); taking one is a rename, so that any
number of processes may do it. The key of a layer is its directory's inode with its ctime, which stay when the layer is given its name.
"""

import marshal
import os

from kernel.paths import DIRECTORY, remove_tree
from sandbox.plaincopy import apply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Keys: TypeAlias = tuple[tuple[int, int, int], ...]

_FREE_MAX = 3                                            # trees of other chains are kept at most


class TreePool:
    """Trees in `directory`, which is made when it is needed. A tree's own directory has `root` (it), `aside` (for stand-ins) and `keys`."""

    __slots__ = ("_directory", "_serial")

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._serial = 0

    def take(self, layers: tuple[str, ...]) -> str:
        """The directory of a tree that shows `layers` (topmost first): of a free one that shows the lowest of them, or new."""
        os.makedirs(self._directory, 0o700, exist_ok=True)
        keys = keys_of(layers)
        self._serial += 1
        path = f"{self._directory}/{os.getpid()}-{self._serial}"
        missing = self._take_free(keys, path)
        if missing == len(layers):
            for name in ("", "/root", "/aside"):
                os.mkdir(f"{path}{name}", 0o755)
        fd = os.open(f"{path}/root", DIRECTORY)
        try:
            for layer in reversed(layers[:missing]):
                apply(layer, fd, swap_devices=True)
        except BaseException:
            self.drop(path)
            raise
        finally:
            os.close(fd)
        return path

    def _take_free(self, keys: "Keys", path: str) -> int:
        """Make the best of the free trees `path`; how many of the topmost layers it lacks."""
        for missing in range(len(keys)):
            for name, shown in self._free():
                if shown == keys[missing:]:
                    try:
                        os.rename(f"{self._directory}/{name}", path)
                    except OSError:
                        continue                         # somebody was faster
                    os.unlink(f"{path}/keys")
                    return missing
        return len(keys)

    def _free(self) -> "list[tuple[str, Keys]]":
        found = []
        for name in sorted(os.listdir(self._directory)):
            try:
                with open(f"{self._directory}/{name}/keys", "rb") as file:
                    found.append((name, marshal.loads(file.read())))
            except OSError:
                continue
        return found

    def give(self, path: str, layers: tuple[str, ...]) -> None:
        """Let others have the tree, which shows `layers` now."""
        fd = os.open(path, DIRECTORY)
        try:
            remove_tree(fd, "aside")
        finally:
            os.close(fd)
        os.mkdir(f"{path}/aside", 0o755)
        with open(f"{path}/keys.new", "wb") as file:
            file.write(marshal.dumps(keys_of(layers)))
        for name, _ in self._free()[_FREE_MAX - 1:]:
            try:
                gone = f"{self._directory}/gone-{name}"
                os.rename(f"{self._directory}/{name}", gone)
            except OSError:
                continue
            self.drop(gone)
        os.rename(f"{path}/keys.new", f"{path}/keys")

    def drop(self, path: str) -> None:
        fd = os.open(self._directory, DIRECTORY)
        try:
            remove_tree(fd, os.path.basename(path))
        finally:
            os.close(fd)


def keys_of(layers: tuple[str, ...]) -> "Keys":
    found = (os.stat(path) for path in layers)
    return tuple((status.st_dev, status.st_ino, status.st_ctime_ns) for status in found)
