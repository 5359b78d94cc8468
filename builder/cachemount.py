"""Directories behind `RUN --mount=type=cache`: one for each identity, kept between builds, never part of an image.

<root>/cachemounts/<hash>/ holds `data` (what is mounted) and `lock`; the hash is of the id and of how a fresh one looks, so that no id names
a path. shared: many at once; locked: one after the other; private: whoever finds it taken gets one of its own.
"""

import os
import time

from kernel.locks import Lock
from kernel.paths import DIRECTORY, remove_tree
from kernel.value import Value
from store.digest import digest_of
from store.dressing import give_marked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.running import Session
    from lang.mount import CacheMount

    Restore = Callable[[str, str, Callable[[str], None]], bool]


class CacheDirectory(Value):
    """One cache mount on disk. used: seconds since the epoch."""

    name: str
    id: str
    path: str
    used: float


class CacheDirectories:
    def __init__(self, root: str, namespace: str = "", build: str = "", restore: "Restore | None" = None,
                 marked: bool = False) -> None:
        """root: the store's directory for them. namespace: BUILDKIT_CACHE_MOUNT_NS. build: which build this is: one with --no-cache begins
        each cache anew, once. restore: fills a new one (name, empty directory, who is told) from another machine's cache, if that has it.
        marked: owners of files are told by marks (store.dressing)."""
        self._root = root
        self._namespace = namespace
        self._build = build
        self._restore = restore
        self._marked = marked

    def open(self, mount: "CacheMount", initial: tuple[str, ...], session: "Session", fresh: bool = False) -> str:
        """The directory to mount, locked as the mount shares it until the session ends.

        initial: lower directories, topmost first, whose `mount.source` is the first content of a new one. fresh: begin with an empty one.
        """
        name = self.name(mount, bool(initial))
        if name in session.caches:                           # mounted twice by one step, which is not to wait for itself
            return session.caches[name]
        for number in range(1000):
            directory = f"{self._root}/{name}" if not number else f"{self._root}/{name}-{number}"
            os.makedirs(directory, 0o700, exist_ok=True)
            if fresh:
                self._begin_anew(directory)
            lock = Lock(f"{directory}/lock", shared=mount.sharing == "shared")
            if lock.take(wait=mount.sharing != "private"):
                break
        session.later(lock.release)
        self._describe(directory, mount)
        if not os.path.isdir(f"{directory}/data"):
            with Lock(f"{directory}/making"):                # whoever comes second finds it made, and need not fetch it too
                if not os.path.isdir(f"{directory}/data"):
                    self._make(directory, mount, initial, None if fresh else session)
        os.utime(directory)
        session.caches[name] = f"{directory}/data"
        return session.caches[name]

    def _begin_anew(self, directory: str) -> None:
        """Empty it, if this build has not done so already; whoever uses it now keeps what it has."""
        with Lock(f"{directory}/fresh") as lock:
            if os.pread(lock.fd, 100, 0).decode() == self._build:
                return
            with Lock(f"{directory}/lock"):
                _remove(directory, "data")
            os.ftruncate(lock.fd, 0)
            os.pwrite(lock.fd, self._build.encode(), 0)

    def name(self, mount: "CacheMount", filled: bool) -> str:
        identity = f"{self._namespace}\0{mount.id}\0{mount.uid}\0{mount.gid}\0{mount.mode}\0{mount.source if filled else ''}"
        return digest_of(identity.encode()).removeprefix("sha256:")[:40]

    def _describe(self, directory: str, mount: "CacheMount") -> None:
        if not os.path.exists(f"{directory}/id"):
            new = f"{directory}/id.{os.getpid()}"
            with open(new, "w") as file:
                file.write(mount.id)
            os.rename(new, f"{directory}/id")

    def _make(self, directory: str, mount: "CacheMount", initial: tuple[str, ...], session: "Session | None") -> None:
        """A new one, complete before it has its name: two processes may do this at once."""
        new = f"data.{os.getpid()}"
        path = f"{directory}/{new}"
        _remove(directory, new)
        os.mkdir(path, 0o700)
        restored = self._restore is not None and session is not None and self._restore(os.path.basename(directory), path, session.say)
        if initial and not restored:
            _fill(path, initial, mount.source, self._marked)
        fd = os.open(path, DIRECTORY)
        try:
            give_marked(fd, mount.uid or 0, mount.gid or 0, self._marked)
        finally:
            os.close(fd)
        os.chmod(path, 0o755 if mount.mode is None else mount.mode)
        try:
            os.rename(path, f"{directory}/data")
        except OSError:                                  # somebody was faster, and has put something into it
            _remove(directory, new)

    def list(self) -> list[CacheDirectory]:
        """All there are, the least recently used first."""
        found = []
        for name in os.listdir(self._root):
            path = f"{self._root}/{name}"
            try:
                with open(f"{path}/id") as file:
                    found.append(CacheDirectory(name, file.read(), f"{path}/data", os.stat(path).st_mtime))
            except FileNotFoundError:
                continue
        return sorted(found, key=lambda c: c.used)

    def remove(self, name: str) -> bool:
        """Remove one that nobody uses; False if somebody does."""
        lock = Lock(f"{self._root}/{name}/lock")
        if not lock.take(wait=False):
            return False
        gone = f"gone-{os.getpid()}-{time.monotonic_ns()}"
        os.rename(f"{self._root}/{name}", f"{self._root}/{gone}")
        lock.release()
        _remove(self._root, gone)
        return True


def _fill(path: str, initial: tuple[str, ...], source: str, marked: bool) -> None:
    from builder.copying import Dressing, copy
    from builder.graph import Pick, Selector
    from builder.layerfiles import LayerFiles
    from builder.selection import take
    from builder.target import Target
    from store.view import View

    files, target = LayerFiles(View(initial, owners="xattr" if marked else "real"), "the image"), Target(View(()), path, marked=marked)
    try:
        if files.lookup(source.lstrip("/")):
            copy(files, take(files, Selector((Pick(source.lstrip("/")),), wildcards=False)), target, "/", Dressing())
    finally:
        target.close()
        files.close()


def _remove(directory: str, name: str) -> None:
    fd = os.open(directory, DIRECTORY)
    try:
        remove_tree(fd, name)
    finally:
        os.close(fd)
