"""The store's directory: made, recognised, refused. In: two paths; out: a `Root`, which knows where everything lies and how overlay marks it.

`format` is the file that makes a directory a store: one line, `version flavour owners filesystem`. It is written last.
"""

import os

from kernel.locks import Lock
from kernel.value import Value
from store.errors import StoreTooNew, StoreUnusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = 1
DIRECTORIES = ("blobs", "blobs/sha256", "snapshots", "contexts", "cachemounts", "leases", "logs", "tmp")
_KNOWN = {name for name in DIRECTORIES if "/" not in name} | {
    "git", "known_hosts", "containers", "volumes", "run", "format", "format.new", "lock", "reserve",
    *(f"{name}.db{end}" for name in ("index", "runner", "networks", "registry") for end in ("", "-wal", "-shm"))}
_REFUSED = {"nfs": "NFS", "nfs4": "NFS", "cifs": "SMB", "smb3": "SMB", "9p": "9p", "vboxsf": "a shared folder", "vfat": "FAT", "exfat": "exFAT"}

# version -> what brings a store of that version to the next one, given its path
MIGRATIONS: "dict[int, Callable[[str], None]]" = {}


class Root(Value):
    """An opened store directory. `run` is its directory for sockets and the like, on a tmpfs where there is one."""

    path: str
    run: str
    flavour: str            # "trusted" or "user": the namespace of overlay's xattrs; "user" is mounted with `userxattr`
    owners: str             # "real", or "xattr" where files can have one owner only (single-uid user namespace)
    filesystem: str         # type of the file system below, "overlay" where no overlay can be stacked on it

    @property
    def xattr_prefix(self) -> str:
        """What overlay's own attributes begin with in this store."""
        return f"{self.flavour}.overlay."

    @property
    def userxattr(self) -> bool:
        """Whether overlay has to be mounted with `userxattr`."""
        return self.flavour == "user"

    @property
    def stackable(self) -> bool:
        """Whether an overlay can have its upper directory here."""
        return self.filesystem not in ("overlay", "fuse.fuse-overlayfs", "ecryptfs")


def open_root(path: str, run: str, migrations: "dict[int, Callable[[str], None]] | None" = None) -> Root:
    """Open the store at `path`, making it where there is none; `run` is made too. All directories are 0700.

    Raises StoreTooNew, StoreUnusable (somebody else's, not a store, a file system that cannot carry one).
    """
    path, run = os.path.abspath(path), os.path.abspath(run)
    try:
        line = _read(path)
        if line is None:
            line = _make(path)
        version, flavour, owners, filesystem = _parse(path, line)
        if version > FORMAT:
            raise StoreTooNew(path, version, FORMAT)
        _check_owner(path)
        if version < FORMAT:
            _migrate(path, version, MIGRATIONS if migrations is None else migrations)
        _make_private(run)
    except OSError as error:
        raise StoreUnusable(path, f"cannot be opened: {error.strerror} (`{error.filename}`)", "name another directory with --root") from error
    return Root(path, run, flavour, owners, filesystem)


def _read(path: str) -> "str | None":
    try:
        fd = os.open(f"{path}/format", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, 200).decode("ascii", "replace")
    finally:
        os.close(fd)


def _parse(path: str, line: str) -> "tuple[int, str, str, str]":
    words = line.split()
    if words and words[0].isdecimal() and (int(words[0]) > FORMAT or len(words) == 4):
        return int(words[0]), *([*words[1:4], "", "", ""][:3])    # type: ignore[return-value]  # exactly three follow
    raise StoreUnusable(path, f"has a damaged `format` file ({line[:40]!r})")


def _check_owner(path: str) -> None:
    owner = os.stat(path).st_uid
    if owner != os.geteuid():
        raise StoreUnusable(path, f"belongs to uid {owner}", "run as that user, or name another store with --root")


def _make(path: str) -> str:
    os.makedirs(path, 0o700, exist_ok=True)
    _check_owner(path)
    if strange := sorted(set(os.listdir(path)) - _KNOWN):
        raise StoreUnusable(path, f"is no store, and not empty (it has `{strange[0]}`)", "name an empty directory with --root")
    os.chmod(path, 0o700)
    _drop_default_acl(path)
    with Lock(f"{path}/lock"):
        line = _read(path)
        if line is not None:                          # somebody else made it meanwhile
            return line
        for name in DIRECTORIES:
            try:
                os.mkdir(f"{path}/{name}", 0o700)
            except FileExistsError:
                pass
        line = f"{FORMAT} {_probe(path)}\n"
        _write_format(path, line)
    return line


def _write_format(path: str, line: str) -> None:
    with open(f"{path}/format.new", "w", encoding="ascii") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{path}/format.new", f"{path}/format")


def _drop_default_acl(path: str) -> None:
    """A default ACL of the directory above would be inherited by every file of every image."""
    try:
        os.removexattr(path, "system.posix_acl_default")
    except OSError:
        pass


def _probe(path: str) -> str:
    """`flavour owners filesystem` of a new store, found out by trying."""
    filesystem = filesystem_of(path)
    if filesystem in _REFUSED:
        raise StoreUnusable(path, f"is on {_REFUSED[filesystem]}, which cannot hold image layers", "name a directory on a local disk with --root")
    trial = f"{path}/tmp/probe"
    try:
        os.mkdir(trial, 0o700)
    except FileExistsError:
        pass
    try:
        return f"{_probe_flavour(path, trial)} {_probe_owners(trial)} {filesystem or '?'}"
    finally:
        os.rmdir(trial)


def _probe_flavour(path: str, trial: str) -> str:
    for flavour in ("trusted", "user"):
        try:
            os.setxattr(trial, f"{flavour}.overlay.opaque", b"y")
        except OSError:
            continue
        return flavour
    raise StoreUnusable(path, "is on a file system without extended attributes", "name a directory on ext4, xfs, btrfs or tmpfs with --root")


def _probe_owners(trial: str) -> str:
    try:
        os.chown(trial, 1, 1)
        os.chown(trial, os.geteuid(), os.getegid())
    except OSError:
        return "xattr"
    return "real"


def filesystem_of(path: str) -> str:
    """Type of the file system that `path` is on, as in mountinfo; "" if it cannot be told."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    real, best, found = os.path.realpath(path), -1, ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            fields = left.split()
            point = fields[4].encode("latin-1", "surrogateescape").decode("unicode_escape") if "\\" in fields[4] else fields[4]
            above = real == point or real.startswith(point.rstrip("/") + "/")
            # the device decides; btrfs shows another one in stat, there the longest mount point above does
            weight = len(point) + (1 << 20 if fields[2] == number else 0)
            if above and weight >= best:
                best, found = weight, right.split(" ", 1)[0]
    return found


def _migrate(path: str, version: int, migrations: "dict[int, Callable[[str], None]]") -> None:
    with Lock(f"{path}/lock"):
        version, *rest = _parse(path, _read(path) or "")
        while version < FORMAT:
            if version not in migrations:
                raise StoreUnusable(path, f"has format {version}, which this program cannot bring up to {FORMAT}")
            migrations[version](path)
            version += 1
            _write_format(path, f"{version} {' '.join(rest)}\n")


def _make_private(run: str) -> None:
    try:
        os.mkdir(run, 0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(run, 0o700, exist_ok=True)
    status = os.stat(run, follow_symlinks=False)
    if status.st_mode & 0o170000 != 0o040000 or status.st_uid != os.geteuid():
        raise StoreUnusable(run, "is not a directory of ours, so it cannot be used for sockets", "remove it, or name another store with --root")
    if status.st_mode & 0o077:
        os.chmod(run, 0o700)
