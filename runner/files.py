"""The files of a container, running or not, for copying in and out: one root descriptor, from which every path is looked up in root.

A running container shows them by its first process, so with its mounts; of one that does not run the writable layer is mounted for us, and a path
that lies in one of its volumes or binds is looked up there.
"""

import os

from kernel.paths import open_beneath, open_in_root, resolve
from runner.container import Mount
from runner.errors import Conflict, InvalidOption
from runner.state import Place
from runner.upkeep import RESTARTING
from sandbox.isolation import may_lack_namespaces
from sandbox.overlay import open_root
from sandbox.spec import Overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.container import Container
    from runner.engine import Engine

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class Spot:
    """A place in a container: `fd` is the root to look from, `path` what to look up there. readonly: nothing may be written."""

    __slots__ = ("fd", "path", "readonly")

    def __init__(self, fd: int, path: str, readonly: bool) -> None:
        self.fd = fd
        self.path = path
        self.readonly = readonly


class Files:
    """`with Files(engine, container) as files`. A container that does not run cannot be started meanwhile."""

    def __init__(self, engine: "Engine", container: "Container") -> None:
        self._engine = engine
        self._container = container
        self._fds: list[int] = []
        self._lock = -1
        self._stopped = False
        self.plain = False                                # no mount: nothing would keep a device from being opened
        self.user_namespace = -1                          # fd of the one in which the owners of the files are what the container says; -1: ours

    def __enter__(self) -> "Files":
        place = self._engine.place(self._container.id)
        if self._open_tree(place):
            return self
        while not self._open_running() and not self._open_stopped(place):
            pass                                          # it has just been started, or has just ended
        return self

    def __exit__(self, *what: object) -> None:
        for fd in self._fds:
            os.close(fd)
        if self._lock >= 0:
            os.close(self._lock)

    def _open_tree(self, place: Place) -> bool:
        """Of one without namespaces: its files are where they are, whether it runs or not."""
        try:
            self._fds.append(os.open(f"{place.tree}/root", _DIRECTORY | os.O_CLOEXEC))
        except FileNotFoundError:
            if not (self._container.spec.isolation or may_lack_namespaces()):
                return False
            raise Conflict("container", self._container.name, "has no files yet", "start it first") from None
        self._stopped = not self._engine.state(self._container).pid
        self.plain = True
        return True

    def _open_running(self) -> bool:
        state = self._engine.state(self._container)
        if state.status == RESTARTING:
            raise Conflict("container", self._container.name, "is restarting")
        if not state.pid:
            return False
        opened: list[int] = []
        try:
            opened.append(os.open(f"/proc/{state.pid}/root", _DIRECTORY | os.O_CLOEXEC))
            if self._container.ids:
                opened.append(os.open(f"/proc/{state.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            pass
        # if it has ended meanwhile, the number may be that of a process of the machine
        if len(opened) == 1 + bool(self._container.ids) and self._engine.state(self._container).pid == state.pid:
            self._fds = opened
            self.user_namespace = opened[1] if self._container.ids else -1
            return True
        for fd in opened:
            os.close(fd)
        return False

    def _open_stopped(self, place: Place) -> bool:
        self._lock = self._engine.idle_lock(self._container)
        if self._lock < 0:
            return False
        lower = self._engine.store.images.runtime(self._container.image_id).lowerdirs
        mount = open_root(Overlay(lower or (place.work,), place.fs, place.work, volatile=False), self._engine.store.root.userxattr)
        self._fds.append(os.open(".", _DIRECTORY | os.O_CLOEXEC, dir_fd=mount))
        os.close(mount)
        self._stopped = True
        return True

    def spot(self, path: str) -> Spot:
        """Where `path` (absolute, or relative to /) is. Raises OSError if a part of the way is no directory."""
        root, spec = self._fds[0], self._container.spec
        if self._stopped:
            found = self._in_mount(root, path)
            if found is not None:
                return found
        return Spot(root, path, spec.read_only)

    def _in_mount(self, root: int, path: str) -> "Spot | None":
        parts = resolve(root, path)
        for mount in sorted(self._container.spec.mounts, key=lambda one: -len(one.target)):
            target = [part for part in mount.target.split("/") if part]
            if mount.kind in ("volume", "bind") and parts[:len(target)] == target:
                try:
                    self._fds.append(os.open(self._source(mount), _DIRECTORY | os.O_CLOEXEC))
                    if mount.kind == "volume" and mount.subpath.strip("/"):
                        self._fds.append(open_beneath(self._fds[-1], mount.subpath, _DIRECTORY))
                except (FileNotFoundError, NotADirectoryError):
                    continue
                return Spot(self._fds[-1], "/".join(parts[len(target):]), mount.readonly)
        return None

    def _source(self, mount: Mount) -> str:
        if mount.kind == "bind":
            return mount.source
        return self._engine.volumes.prepare(mount.source, subpath=mount.subpath)

    def open_parent(self, path: str) -> "tuple[int, str]":
        """(fd of the directory that has it, its name; "." for a root). The last component is not followed. The fd is the caller's to close.

        Raises FileNotFoundError, NotADirectoryError.
        """
        spot = self.spot(path)
        parent, _, name = spot.path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            return open_in_root(spot.fd, spot.path or "/", _DIRECTORY), "."
        return open_in_root(spot.fd, parent or "/", _DIRECTORY), name

    def writable(self, path: str) -> Spot:
        """As `spot`, of a directory that something is to be put into. Raises Conflict, InvalidOption if it is none."""
        spot = self.spot(path)
        if spot.readonly:
            raise Conflict("container", self._container.name, f"has `{path}` on a read-only file system")
        try:
            os.close(open_in_root(spot.fd, spot.path or "/", _DIRECTORY))
        except FileNotFoundError:
            raise InvalidOption("path", path, "is not there") from None
        except NotADirectoryError:
            raise InvalidOption("path", path, "is no directory") from None
        return spot
