"""Stand-ins: what would be mounts, put into a plain tree as files and directories, and taken out of it again.

What was there is put aside meanwhile. A directory of the host is moved in and moved back (it is the host's own: what is written stays); whatever
else is written to a stand-in is gone with it. Read-only cannot be had here.
"""

import marshal
import os
import stat

from kernel.locks import Lock
from kernel.paths import DIRECTORY, open_beneath, remove_tree, resolve
from kernel.value import Value
from sandbox.capture import forget, key_of, look
from sandbox.errors import SandboxError
from sandbox.plaincopy import Copier, apply
from sandbox.spec import Bind, MountOp, Overlay, Symlink, Tmpfs, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.capture import Seen

_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("core", "/proc/kcore"))
# files of /proc that do not depend on who reads them
_PROC = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version", "sys/kernel/cap_last_cap", "sys/kernel/osrelease",
         "sys/kernel/ostype", "sys/kernel/random/boot_id", "sys/vm/overcommit_memory")
_PROC_MAX = 1 << 20
_RANDOM = 1 << 20                                        # bytes of /dev/random where it has to be a file
STREAMS = ("stdout", "stderr")


class _Spot(Value):
    """Where a stand-in is: `name` in `parent_fd`, `path` ("a/b") below the root. aside: name of what was there, "" for nothing.
    home: (fd of the directory, name, inode) where a moved one belongs."""

    parent_fd: int
    name: str
    path: str
    aside: str
    home: tuple[int, str, int] | None = None


class StandIns:
    """Those of one tree. root_fd: it; aside: an empty directory on the same file system.

    journal: a file that says, as long as they are there, where they are: if whoever put them in is killed, `resume` takes them over."""

    __slots__ = ("_aside", "_aside_fd", "_borrowed", "_journal", "_locks", "_made", "_root_fd", "_spots")

    def __init__(self, root_fd: int, aside: str, journal: str = "") -> None:
        self._root_fd, self._aside, self._journal = root_fd, aside, journal
        self._aside_fd = os.open(aside, DIRECTORY)
        self._spots: list[_Spot] = []
        self._locks: list[Lock] = []                     # of directories that are moved in: others wait until they are back
        self._borrowed: set[str] = set()                 # of these, the ones that are mounted
        self._made: list[tuple[int, str, str]] = []      # (parent_fd, name, path) of directories that a stand-in needed

    # ---------------------------------------------------------------- putting in
    def system(self) -> None:
        """/dev, /proc and /sys."""
        self._put("/dev", self._make_dev, plain=True)
        self._put("/proc", self._make_proc, plain=True)
        self._put("/sys", lambda fd, name: os.mkdir(name, 0o555, dir_fd=fd), plain=True)

    def borrow(self, mounts: "Iterable[MountOp]", *, wait: bool = True) -> None:
        """Before any is mounted: have the directories that will be moved in for ourselves. While another step has one, it is not even there.

        In an order that all steps keep, so that none waits for one that waits for it. wait: else it is an error that somebody has one."""
        sources = {mount.source for mount in mounts if isinstance(mount, Bind) and isinstance(mount.source, str)}
        for path in sorted({os.path.realpath(source) for source in sources if os.path.isdir(source) or not os.path.exists(source)}):
            lock = Lock(lock_of(path))
            if not lock.take(wait=wait):
                raise SandboxError("mount", path=path, reason="another container has it, and where nothing can be mounted only one can")
            self._locks.append(lock)
            if not os.path.exists(path):                 # whoever had it was killed
                os.mkdir(path, 0o755)

    def mount(self, operation: MountOp) -> None:
        """Raises SandboxError, OSError."""
        match operation:
            case WriteFile():
                self._put(operation.target, lambda fd, name: _write(fd, name, operation))
            case Tmpfs():
                self._put(operation.target, lambda fd, name: _make(fd, name, operation.mode, operation.uid, operation.gid))
            case Bind():
                self._bind(operation)
            case Overlay():
                self._overlay(operation)
            case Symlink():
                self._put(operation.target, lambda fd, name: os.symlink(operation.value, name, dir_fd=fd))
            case _:
                raise SandboxError("mount", path=operation.target, reason="it cannot be had where nothing can be mounted")

    def _put(self, target: str, make: "Callable[[int, str], object]", *, plain: bool = False, home: tuple[int, str, int] | None = None) -> None:
        """plain: the name itself, in the root, even if it is a symlink; else where it leads to."""
        parts = [target.strip("/")] if plain else resolve(self._root_fd, target)
        if not parts:
            raise SandboxError("mount", path=target, reason="it is the root")
        parent_fd = self._parent(parts[:-1])
        before = os.fstat(parent_fd)
        name, aside = parts[-1], f"{len(self._spots)}"
        try:
            os.rename(name, aside, src_dir_fd=parent_fd, dst_dir_fd=self._aside_fd)
        except FileNotFoundError:
            aside = ""
        self._spots.append(_Spot(parent_fd, name, "/".join(parts), aside, home))
        self._note()
        make(parent_fd, name)
        os.utime(parent_fd, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _parent(self, parts: list[str]) -> int:
        """An fd of the directory, made if missing."""
        fd = os.open(".", DIRECTORY, dir_fd=self._root_fd)
        for number, part in enumerate(parts):
            try:
                following = open_beneath(fd, part, DIRECTORY & ~os.O_NOFOLLOW)
            except FileNotFoundError:
                before = os.fstat(fd)
                os.mkdir(part, 0o755, dir_fd=fd)
                os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
                self._made.append((os.dup(fd), part, "/".join(parts[:number + 1])))
                following = open_beneath(fd, part, DIRECTORY & ~os.O_NOFOLLOW)
            os.close(fd)
            fd = following
        return fd

    def _bind(self, bind: Bind) -> None:
        source = bind.source
        if not isinstance(source, str) or bind.below:
            raise SandboxError("mount", path=bind.target, reason="only what has a name can be moved to where nothing can be mounted")
        path = os.path.realpath(source)
        if path in self._borrowed:
            raise SandboxError("mount", path=path, reason="it is mounted twice, and can only be moved to one place")
        if any(lock.path == lock_of(path) for lock in self._locks):
            self._borrowed.add(path)
        parent, _, name = path.rpartition("/")
        parent_fd = os.open(parent or "/", DIRECTORY)
        status = os.stat(source)
        if not stat.S_ISDIR(status.st_mode):
            self._put(bind.target, lambda fd, here: _link_or_copy(parent_fd, name, fd, here, bind.target))
            os.close(parent_fd)
            return
        _refuse_devices(path, bind.target)
        try:
            self._put(bind.target, lambda fd, here: os.rename(name, here, src_dir_fd=parent_fd, dst_dir_fd=fd),
                      home=(parent_fd, name, status.st_ino))
        except OSError as error:
            raise SandboxError("mount", error.errno or 0, bind.target) from error

    def _overlay(self, overlay: Overlay) -> None:
        """A copy of the part that is wanted: what is written to it is not kept."""
        scratch = f"{self._aside}/layers{len(self._spots)}"
        os.mkdir(scratch, 0o755)
        scratch_fd = os.open(scratch, DIRECTORY)
        try:
            for lower in reversed(overlay.lower):
                apply(lower, scratch_fd, swap_devices=True)
            parts = resolve(scratch_fd, overlay.source)
            if not parts:
                self._put(overlay.target, lambda fd, name: os.rename(scratch, name, dst_dir_fd=fd))
                return
            try:
                parent_fd = open_beneath(scratch_fd, "/".join(parts[:-1]), DIRECTORY & ~os.O_NOFOLLOW)
                os.stat(parts[-1], dir_fd=parent_fd, follow_symlinks=False)
            except OSError as error:
                raise SandboxError("find the source of the mount", error.errno or 0, overlay.source) from error
            self._put(overlay.target, lambda fd, name: os.rename(parts[-1], name, src_dir_fd=parent_fd, dst_dir_fd=fd))
            os.close(parent_fd)
        finally:
            os.close(scratch_fd)

    # ---------------------------------------------------------------- the system's own
    def _make_dev(self, fd: int, name: str) -> None:
        _make(fd, name, 0o755)
        dev = os.open(name, DIRECTORY, dir_fd=fd)
        try:
            for node, major, minor in _DEVICES:
                _make_node(dev, node, os.makedev(major, minor))
            for link, value in _LINKS:
                os.symlink(value, link, dir_fd=dev)
            for stream in STREAMS:
                os.mkfifo(stream, 0o600, dir_fd=dev)
                os.chmod(stream, 0o622, dir_fd=dev)
            for directory, mode in (("shm", 0o1777), ("pts", 0o755), ("mqueue", 0o1777)):
                _make(dev, directory, mode)
        finally:
            os.close(dev)

    def _make_proc(self, fd: int, name: str) -> None:
        """No procfs can be had, but programs that only want to know the machine find that."""
        _make(fd, name, 0o755)
        proc = os.open(name, DIRECTORY, dir_fd=fd)
        texts = {path: _read(f"/proc/{path}") for path in _PROC} | dict.fromkeys(("mounts", "self/mounts"), b"overlay / overlay rw 0 0\n")
        try:
            for path, text in texts.items():
                os.makedirs(f"/proc/self/fd/{proc}/{os.path.dirname(path)}", 0o755, exist_ok=True)
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444, dir_fd=proc), "wb") as file:
                    file.write(text)
        finally:
            os.close(proc)

    # ---------------------------------------------------------------- after a kill
    def _note(self) -> None:
        """Write down where they are."""
        if self._journal:
            rows = tuple((one.path, one.aside, (os.readlink(f"/proc/self/fd/{one.home[0]}"), *one.home[1:]) if one.home else ())
                         for one in self._spots)
            with open(f"{self._journal}.new", "wb") as file:
                file.write(marshal.dumps(rows))
            os.rename(f"{self._journal}.new", self._journal)

    def resume(self) -> None:
        """Know what the journal says. What a process has moved meanwhile is looked for, if it is not ours."""
        with open(self._journal, "rb") as file:
            rows: tuple[tuple[str, str, tuple[str, str, int] | tuple[()]], ...] = marshal.loads(file.read())
        for path, aside, origin in rows:
            parent, _, name = path.rpartition("/")
            try:
                parent_fd = open_beneath(self._root_fd, parent, DIRECTORY & ~os.O_NOFOLLOW)
            except OSError:                               # there is no such place any more
                parent_fd, aside = os.open(self._aside, DIRECTORY), ""
            home = (os.open(origin[0], DIRECTORY), *origin[1:]) if origin else None
            self._spots.append(_Spot(parent_fd, name, path, aside, home))
            if origin:
                lock = Lock(lock_of(f"{origin[0]}/{origin[1]}"))
                lock.take()
                self._locks.append(lock)

    # ---------------------------------------------------------------- taking out
    def take_out(self, before: "Seen") -> None:
        """Everything as it was, as far as the process has left it alone; `before` is made to say what a look would have seen without stand-ins.

        No process is left that could interfere; but what it did before may have moved or removed anything. Idempotent.
        """
        while self._spots:
            spot = self._spots.pop()
            self._with_parent(spot.parent_fd, spot.path, before, lambda spot=spot: self._restore(spot, before))   # type: ignore[misc]
            os.close(spot.parent_fd)
            if spot.home:
                os.close(spot.home[0])
        while self._made:
            parent_fd, name, path = self._made.pop()
            self._with_parent(parent_fd, path, before, lambda fd=parent_fd, name=name: _remove_if_empty(fd, name))    # type: ignore[misc]
            forget(before, path)
            os.close(parent_fd)
        while self._locks:
            self._locks.pop().release(remove=True)
        if self._journal:
            try:
                os.unlink(self._journal)
            except FileNotFoundError:
                pass

    def close(self) -> None:
        os.close(self._aside_fd)

    def _with_parent(self, parent_fd: int, path: str, before: "Seen", change: "Callable[[], None]") -> None:
        """Change something in a directory, whose times and whose key in `before` are as if that had never been."""
        above, _, name = path.rpartition("/")[0].rpartition("/")
        rows = before.get(f"{above}/" if above else "", {})
        status = os.fstat(parent_fd)
        untouched = bool(name) and rows.get(name) == key_of(status)
        change()
        try:
            os.utime(parent_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
        except OSError:
            return
        if untouched:
            rows[name] = key_of(os.fstat(parent_fd))

    def _send_home(self, spot: _Spot, home_fd: int, name: str, inode: int) -> None:
        """Where a directory belongs that was moved in, wherever below the root it is now. One that was removed will be made anew."""
        try:
            os.stat(name, dir_fd=home_fd, follow_symlinks=False)
            return                                        # it never left
        except FileNotFoundError:
            pass
        try:
            if os.stat(spot.name, dir_fd=spot.parent_fd, follow_symlinks=False).st_ino == inode:
                os.rename(spot.name, name, src_dir_fd=spot.parent_fd, dst_dir_fd=home_fd)
                return
        except FileNotFoundError:
            pass
        found = _find(self._root_fd, inode)
        if found:
            os.rename(found[1], name, src_dir_fd=found[0], dst_dir_fd=home_fd)
            os.close(found[0])

    def _restore(self, spot: _Spot, before: "Seen") -> None:
        forget(before, spot.path)
        if spot.home:
            self._send_home(spot, *spot.home)
        remove_tree(spot.parent_fd, spot.name)
        if not spot.aside:
            return
        try:
            os.rename(spot.aside, spot.name, src_dir_fd=self._aside_fd, dst_dir_fd=spot.parent_fd)
        except FileNotFoundError:
            return                                       # the process has removed the directory that it was in
        status = os.stat(spot.name, dir_fd=spot.parent_fd, follow_symlinks=False)
        parent = spot.path.rpartition("/")[0]
        rows = before.get(f"{parent}/" if parent else "")
        if rows is not None:
            rows[spot.name] = key_of(status)
        if stat.S_ISDIR(status.st_mode):
            fd = os.open(spot.name, DIRECTORY, dir_fd=spot.parent_fd)
            try:
                before.update({f"{spot.path}/{where}": seen for where, seen in look(fd).items()})
            finally:
                os.close(fd)


def _find(root_fd: int, inode: int) -> "tuple[int, str] | None":
    """(fd of the directory that has it, name) of the directory with this inode."""
    try:
        seen = look(root_fd)
    except SandboxError:
        return None                                      # so deep that it was meant not to be found
    for where, rows in seen.items():
        for name, key in rows.items():
            if key[0] == inode and stat.S_ISDIR(key[2]):
                return os.open(where or ".", DIRECTORY, dir_fd=root_fd), name
    return None


def _refuse_devices(path: str, target: str) -> None:
    """A container or step in namespaces may have left some in a volume or a cache, where they cannot be opened: here they could."""
    fd = os.open(path, DIRECTORY)
    try:
        for where, rows in look(fd).items():
            for name, key in rows.items():
                if stat.S_ISCHR(key[2]) or stat.S_ISBLK(key[2]):
                    raise SandboxError("mount", path=target, reason=f"it has the device `{where}{name}`, and without mounts there is no `nodev`")
    finally:
        os.close(fd)


def lock_of(path: str) -> str:
    """There while somebody has moved the directory `path` to where he wants it mounted; whoever holds it lives."""
    return f"{path}.borrowed"


def _make(fd: int, name: str, mode: int, uid: int = 0, gid: int = 0) -> None:
    os.mkdir(name, 0o700, dir_fd=fd)
    os.chown(name, uid, gid, dir_fd=fd)
    os.chmod(name, mode, dir_fd=fd)


def _make_node(dev: int, name: str, device: int) -> None:
    """A device, where CAP_MKNOD and the device cgroup allow it; else a file that does for most: what is written to null is removed with it."""
    try:
        os.mknod(name, stat.S_IFCHR | 0o600, device, dir_fd=dev)
        if name != "tty":
            os.close(os.open(name, os.O_RDWR, dir_fd=dev))
    except OSError:
        remove_tree(dev, name)
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=dev), "wb") as file:
            if name.endswith("random"):
                file.write(os.urandom(_RANDOM))
    os.chmod(name, 0o666, dir_fd=dev)


def _write(fd: int, name: str, file: WriteFile) -> None:
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd), "wb") as writer:
        writer.write(file.content)
        os.fchown(writer.fileno(), file.uid, file.gid)
        os.fchmod(writer.fileno(), file.mode)


def _link_or_copy(source_fd: int, source: str, fd: int, name: str, target: str) -> None:
    """A socket is linked: another file of that name would lead nowhere."""
    if stat.S_ISSOCK(os.stat(source, dir_fd=source_fd).st_mode):
        try:
            os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=fd)
        except OSError as error:
            raise SandboxError("mount", path=target, reason="a socket of another file system cannot be had where nothing can be mounted") from error
        return
    Copier(fd).copy(source_fd, source, fd, name)


def _remove_if_empty(fd: int, name: str) -> None:
    try:
        os.rmdir(name, dir_fd=fd)
    except OSError:
        pass                                             # the process has put something into it: now it is the layer's


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_PROC_MAX)
    except OSError:
        return b""
