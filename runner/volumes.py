"""The volumes of one root: directories that outlive containers, or whatever their options have mounted. In: names and wishes; out: directories.

A row of runner.records is what makes a volume; its directory is made when it is first needed.
"""

import os
import time

from kernel.paths import DIRECTORY, open_beneath, remove_tree
from runner.errors import Conflict, InvalidName, InvalidOption, Missing
from runner.naming import new_id
from runner.volume import Volume, device_of, is_name
from store.errors import IndexHasNoRoom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from runner.records import Records
    from store.view import View

    Pairs: TypeAlias = tuple[tuple[str, str], ...]

DRIVER = "local"
_FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "sync": 16, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21, "rw": 0, "suid": 0,
          "dev": 0, "exec": 0, "async": 0, "atime": 0, "defaults": 0}


class Volumes:
    """emit(action, name, attributes): into the event log."""

    def __init__(self, root: str, records: "Records", emit: "Callable[[str, str, dict[str, str]], None]") -> None:
        self.directory = f"{root}/volumes"
        self._records = records
        self._emit = emit

    def path(self, name: str) -> str:
        """What is mounted in a container."""
        return f"{self.directory}/{name}/_data"

    # ------------------------------------------------------------ making
    def create(self, name: str = "", *, driver: str = DRIVER, options: "Pairs" = (), labels: "Pairs" = (), anonymous: bool = False) -> Volume:
        """The volume of that name, made if there is none; without a name a new one. Raises Conflict if it is there with another driver."""
        if name and not is_name(name):
            raise InvalidName("volume", name)
        if driver not in ("", DRIVER):
            raise InvalidOption("volume driver", driver, "there is none of that name", "the driver `local` is always there")
        volume = Volume(name or new_id(), time.time_ns(), DRIVER, tuple(sorted(options)), tuple(sorted(labels)), anonymous or not name)
        device_of(volume)
        with self._records:
            found = self._records.volume(volume.name)
            if found is not None:
                return found
            self._records.add_volume(volume)
        self._emit("create", volume.name, {"driver": DRIVER})
        return volume

    def require(self, name: str) -> Volume:
        volume = self._records.volume(name)
        if volume is None:
            raise Missing("volume", name)
        return volume

    # ------------------------------------------------------------ using
    def prepare(self, name: str, *, view: "Callable[[], View] | None" = None, target: str = "", subpath: str = "") -> str:
        """Its directory. view: of the image whose files at `target` go into an empty volume; None if none are to.

        Raises InvalidOption: its options cannot be had, or there is no such `subpath`.
        """
        volume = self.require(name)
        path = self.path(name)
        device = device_of(volume)
        if not os.path.exists(path) and _is_lent(path):
            raise Conflict("volume", name, "is in a container that runs without namespaces, and has it for itself")
        try:
            os.makedirs(path, 0o700)
            os.chmod(path, 0o755)
        except FileExistsError:
            pass
        if device and device.kind == "bind":
            path = device.source
            if not os.path.isdir(path):
                raise InvalidOption("volume option", f"device={path}", "is no directory")
        elif device and not os.path.ismount(path):
            self._mount(name, device.kind, device.source, device.options)
        if view is not None and not _has_entries(path):
            from runner.copyup import copy_up

            with view() as layers:
                if copy_up(layers, target, path):
                    self._emit("copy", name, {"destination": target})
        if subpath.strip("/"):
            _require_beneath(path, subpath)
        return path

    def _mount(self, name: str, kind: str, source: str, options: "tuple[str, ...]") -> None:
        from kernel.syscalls import mount
        flags = 0
        data = []
        for word in options:
            if word in _FLAGS:
                flags |= _FLAGS[word]
            else:
                data.append(_resolved(word))
        try:
            mount(os.fsencode(source), os.fsencode(self.path(name)), os.fsencode(kind), flags, os.fsencode(",".join(data)) or None)
        except OSError as error:
            raise InvalidOption("volume", name, f"cannot be mounted ({kind} of `{source}`): {(error.strerror or '').lower()}") from error

    # ------------------------------------------------------------ removing
    def remove(self, name: str, *, force: bool = False) -> bool:
        """False if there was none and `force` says that this is fine. Raises Missing, Conflict (a container has it)."""
        try:
            there = self._unrecord(name)
        except IndexHasNoRoom:
            self._check_unused(name)
            self.destroy(name)                            # its files make room; without them it is like one that nobody has used yet
            there = self._unrecord(name)
        if there:
            self.destroy(name)
        elif not force:
            raise Missing("volume", name)
        return there

    def _unrecord(self, name: str) -> bool:
        with self._records:
            if self._records.volume(name) is None:
                return False
            self._check_unused(name)
            self._records.remove_volume(name)
        return True

    def _check_unused(self, name: str) -> None:
        if users := self._records.users(name):
            raise Conflict("volume", name, f"is in use by {', '.join(f'`{user[:12]}`' for user in users)}", "remove the container first")

    def destroy(self, name: str) -> None:
        """Remove what a volume without a record has left on the disk."""
        from kernel.syscalls import MNT_DETACH, umount2
        path = self.path(name)
        if os.path.ismount(path):
            umount2(os.fsencode(path), MNT_DETACH)
        try:
            fd = os.open(self.directory, DIRECTORY)
        except FileNotFoundError:
            fd = -1
        if fd >= 0:
            try:
                remove_tree(fd, name)
            finally:
                os.close(fd)
        self._emit("destroy", name, {"driver": DRIVER})

    def unused(self, *, everything: bool) -> "tuple[Volume, ...]":
        """Volumes that no container has; only anonymous ones unless `everything`."""
        return tuple(one for one in self._records.volumes() if (everything or one.anonymous) and not self._records.users(one.name))


def _is_lent(path: str) -> bool:
    from sandbox.standin import lock_of

    return os.path.exists(lock_of(path))


def _has_entries(path: str) -> bool:
    with os.scandir(path) as entries:
        return next(entries, None) is not None


def _resolved(option: str) -> str:
    """The kernel's NFS wants an address where people write a host's name."""
    key, equals, host = option.partition("=")
    if key != "addr" or not equals or host.replace(".", "").isdigit() or ":" in host:
        return option
    import socket
    try:
        return f"addr={socket.gethostbyname(host)}"
    except OSError as error:
        raise InvalidOption("volume option", option, (error.strerror or "is no known host").lower()) from error


def _require_beneath(path: str, subpath: str) -> None:
    """Whether there is such a thing, behind no symlink: said early. Whoever mounts it has to walk again, as it can be replaced meanwhile."""
    top = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(open_beneath(top, subpath))
    except OSError as error:
        raise InvalidOption("volume subpath", subpath, (error.strerror or "").lower()) from error
    finally:
        os.close(top)
