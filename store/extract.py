"""Unpacking archives into a draft: layers into overlay's form, and plain archives (ADD). In: a tar stream, possibly hostile; out: files.

Whatever the archive says, nothing outside the draft's directory is touched: parents are opened by store.parents, files are made with O_EXCL and
changed through their descriptor. Numbers are capped by the policy. Read in this order: `Policy`, `apply`, `_Extraction.entry`.
"""

import errno
import os

from kernel import whiteout
from kernel.value import Value
from store.config import MOST
from store.crew import HashingThread
from store.digest import Digest, Hasher, sha256
from store.dressing import Look, dress, give, look_of
from store.errors import InvalidLayer, StoreError
from store.parents import Parents
from store.tarreader import Member, TarReader
from store.tree import BLOCK, CHARACTER, DIRECTORY, FORMAT, GID, MTIME, REGULAR, SYMLINK, UID, is_carried, own, scan
from store.view import Entry, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from store.tree import Tree

_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME_LIMIT = 4096                       # bytes: a longer path cannot be reached by a program anyway
_MAX_ID = 0xFFFFFFFE
_INLINE = 1 << 20                        # bytes that are hashed without a thread
_END = 1024                              # zero bytes at the end of a tar
_RECORD = 10240
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Policy(Value):
    """How an archive is taken. The default is a layer of an image."""

    whiteouts: bool = True               # `.wh.` names delete; False: plain archive, such names are files, and "." is left alone
    owner: "tuple[int, int] | None" = None      # uid and gid for everything, instead of what the archive says
    mode: "int | None" = None            # permission bits for everything but symlinks
    prefix: str = ""                     # where in the directory it goes; links are followed in root
    enclosed: bool = False               # whether links below `prefix` take it for their root, as for a program that has changed its root to it
    hashed: bool = False                 # whether a Tree with the contents' digests is wanted
    xattr_prefix: str = "trusted.overlay."
    owners: str = "real"                 # as in store.root
    max_entries: int = MOST[1]
    max_bytes: int = MOST[0]             # of all files together, holes included
    mtime_ns: "int | None" = None        # time for everything, instead of what the archive says
    devices: bool = True                 # False: left out


LAYER = Policy()


class Applied(Value):
    """What was unpacked. diff_id: over the whole stream; size: bytes of the files; dependent: it would come out otherwise over other layers;
    skipped: entries that this machine could not make (devices of a rootless user); tree: rows of the whole directory, if the policy asked;
    owners: of links and fifos, path -> (uid, gid), where the file system cannot carry them (for store.tree.own)."""

    diff_id: Digest
    tar_size: int
    size: int
    entries: int
    dependent: bool
    skipped: "tuple[str, ...]"
    tree: "Tree | None"
    owners: "dict[str, tuple[int, int]]"


def apply(chunks: "Iterable[bytes]", directory_fd: int, policy: Policy = LAYER, below: "View | None" = None,
          want: "Digest | None" = None) -> Applied:
    """Unpack an uncompressed tar into the open directory.

    chunks: the stream, read to its end. below: the layers that it will lie on; without it, links and directories below are not known.
    want: the diff ID that was promised; a tar whose end mark is left out has one counted in, if that makes it what it is to be.
    Raises InvalidLayer (damaged, hostile, too large), StoreError (the disk); the directory is then partly written: discard it.
    Law: apply(diff(a, b), a) leaves a tree equal to b. Source: OCI image-spec, layer.md.
    """
    hashing = _Hashing()
    reader = TarReader(hashing.through(chunks))
    extraction = _Extraction(directory_fd, policy, below)
    try:
        for member in reader:
            extraction.entry(member, reader)
        reader.drain()
        extraction.finish()
    finally:
        extraction.close()
        digest, size = hashing.finish(want)
    tree = own(scan(directory_fd, owners=policy.owners, known=extraction.digests), extraction.owners) if policy.hashed else None
    return Applied(digest, size, extraction.size, extraction.entries, extraction.parents.dependent, tuple(extraction.skipped), tree,
                   extraction.owners)


class _Hashing:
    """sha256 of a stream that passes through; in a thread of its own once it is long enough to be worth one."""

    def __init__(self) -> None:
        self._hasher = Hasher()
        self._thread: "HashingThread | None" = None

    def through(self, chunks: "Iterable[bytes]") -> "Iterator[bytes]":
        for chunk in chunks:
            if self._thread is None and self._hasher.size + len(chunk) > _INLINE:
                self._thread = HashingThread(self._hasher)
            (self._thread or self._hasher).update(chunk)
            yield chunk

    def finish(self, want: "Digest | None") -> "tuple[Digest, int]":
        """(digest, size); of the stream with the end of a tar behind it, where only then it is what was wanted.

        podman leaves that end out of blobs that it writes as zstd:chunked; a tar from GNU tar ends at a full record.
        """
        digest, size = Digest(self._thread.finish() if self._thread else self._hasher.digest()), self._hasher.size
        if want is not None and digest != want:
            for end in (_END, _END + -(size + _END) % _RECORD):
                ended = self._hasher.copy()
                ended.update(bytes(end))
                if ended.digest() == want:
                    return want, ended.size
        return digest, size


class _Extraction:
    def __init__(self, directory_fd: int, policy: Policy, below: "View | None") -> None:
        self._policy = policy
        self._marked = policy.owners == "xattr"
        self._below = below
        self._prefix = [p for p in policy.prefix.split("/") if p and p != "."]
        self._base = len(self._prefix) if policy.enclosed else 0
        self.parents = Parents(directory_fd, below, policy.xattr_prefix + "opaque")
        self.digests: "dict[int, bytes]" = {}            # inode -> sha256
        self.skipped: "list[str]" = []
        self.owners: "dict[str, tuple[int, int]]" = {}
        self.entries = self.size = self._whole = 0
        # a new file's mode and owner are changed only where they have to be: that is a third of what a small one costs
        self._unborn = 0o7000 | _umask()
        self._ids = (-1, -1) if self._marked else (os.geteuid(), os.getegid())
        self._ours: "set[str]" = set()                   # directories in which a new file has `_ids`

    def close(self) -> None:
        self.parents.close()

    def entry(self, member: Member, reader: TarReader) -> None:
        """Make one entry."""
        self.entries += 1
        self._whole += member.size
        if self.entries > self._policy.max_entries:
            raise InvalidLayer(f"has more than {self._policy.max_entries} entries")
        if self._whole > self._policy.max_bytes:
            raise InvalidLayer(f"unpacks to more than {self._policy.max_bytes} bytes")
        parts = clean_parts(member.name)
        shown = "/".join(parts)
        try:
            self._entry(member, reader, parts)
        except OSError as error:
            raise _explained(error, shown) from error

    def _entry(self, member: Member, reader: TarReader, parts: "list[str]") -> None:
        if not parts:
            self._root(member)
            return
        name = parts[-1]
        entered = self.parents.enter(self._prefix + parts[:-1], base=self._base)
        assert entered is not None
        fd, here = entered
        if self._policy.whiteouts and name.startswith(_WHITEOUT):
            self._whiteout(fd, here, name)
        elif member.kind == b"5":
            self._directory(member, fd, here, name)
        else:
            make = {b"0": self._file, b"1": self._link, b"2": self._symlink}.get(member.kind, self._special)
            try:
                make(member, reader, fd, here, name)
            except FileExistsError:
                self._clear(fd, here, name)
                make(member, reader, self.parents.fd(here), here, name)

    def _root(self, member: Member) -> None:
        """The root's own entry: a layer's can only be a directory (CVE-2021-29136), and a plain archive leaves its destination alone."""
        if not self._policy.whiteouts:
            return
        if member.kind != b"5":
            raise InvalidLayer("stands for the root, and is no directory", "/")
        self.parents.looks[""] = self._look(member)

    def _clear(self, fd: int, here: str, name: str) -> None:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        self.parents.remove(fd, here, name, status.st_mode & FORMAT == DIRECTORY)

    # ------------------------------------------------------------ kinds of entries
    def _whiteout(self, fd: int, here: str, name: str) -> None:
        if name == _OPAQUE:
            self.parents.hide_below(here)
            return
        if name.startswith(_WHITEOUT * 2):
            return                                       # AUFS' own files
        gone = name[len(_WHITEOUT):]
        if gone in ("", ".", ".."):
            raise InvalidLayer("deletes a name that is none", f"{here}/{name}")
        try:
            status = os.stat(gone, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            whiteout.make(gone, fd)
            return
        # a deletion is of what lies below; what this layer itself has there stays
        if status.st_mode & FORMAT == DIRECTORY:
            self.parents.hide_below(f"{here}/{gone}" if here else gone)

    def _directory(self, member: Member, fd: int, here: str, name: str) -> None:
        way = f"{here}/{name}" if here else name
        try:
            self.parents.make(fd, here, name)
        except FileExistsError:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if status.st_mode & FORMAT != DIRECTORY:
                self.parents.remove(fd, here, name, False)
                # something of this layer was there before and hid what lies below; the directory has to go on hiding it
                self.parents.make(fd, here, name, hiding=self._below is not None or self._policy.whiteouts)
            else:
                entered = self.parents.enter(way.split("/"))     # known from now on
                assert entered is not None
        self.parents.looks[way] = self._look(member)

    def _file(self, member: Member, reader: TarReader, fd: int, here: str, name: str) -> None:
        look = self._look(member)
        born = not (look.mode & self._unborn or look.xattrs)         # it can be made with the mode that it is to have
        made = os.open(name, _MAKE, look.mode if born else 0o600, dir_fd=fd)
        try:
            digest = self._write(made, member, reader)
            if born and (look.uid, look.gid) == self._ids and self._is_ours(made, here):
                os.utime(made, ns=(look.mtime_ns, look.mtime_ns))
            else:
                dress(made, look, self._marked)
            if self._policy.hashed:
                self._note(made, digest)
        finally:
            os.close(made)
        self.size += member.size

    def _is_ours(self, fd: int, here: str) -> bool:
        """Whether files made in `here` are this process's own, as the one just made is: a directory, and a mount, can hand its group down."""
        if here not in self._ours:
            status = os.fstat(fd)
            if (status.st_uid, status.st_gid) != self._ids:
                return False
            self._ours.add(here)
        return True

    def _note(self, fd: int, digest: bytes) -> None:
        """Keep a file's digest, or forget that of an earlier file which had the inode."""
        inode = os.fstat(fd).st_ino
        if digest:
            self.digests[inode] = digest
        else:
            self.digests.pop(inode, None)

    def _write(self, fd: int, member: Member, reader: TarReader) -> bytes:
        if member.sparse:
            self._write_sparse(fd, member, reader)
            return b""
        if not self._policy.hashed:
            for data in reader.content():
                _write_all(fd, data)
            return b""
        total = sha256()
        for data in reader.content():
            total.update(data)
            _write_all(fd, data)
        return total.digest()

    def _write_sparse(self, fd: int, member: Member, reader: TarReader) -> None:
        os.ftruncate(fd, member.size)
        content = reader.content()
        data = memoryview(b"")
        for offset, length in member.sparse:
            while length:
                if not data:
                    data = next(content)
                count = os.pwrite(fd, data[:length], offset)
                data, offset, length = data[count:], offset + count, length - count

    def _link(self, member: Member, reader: TarReader, fd: int, here: str, name: str) -> None:
        parts = clean_parts(member.link)
        if not parts:
            raise InvalidLayer("is a hard link to the root", f"{here}/{name}")
        target = self.parents.enter(self._prefix + parts[:-1], create=False, base=self._base)
        try:
            if target is None:
                raise FileNotFoundError
            if (target[1], parts[-1]) == (here, name):
                return                                   # a link to itself is there already
            self._link_to(target[0], parts[-1], here, name)
        except FileNotFoundError:
            entry = self.parents.below(target[1], parts[-1]) if target else None
            if target is None or entry is None or entry.kind not in (REGULAR, SYMLINK):
                raise InvalidLayer(f"is a hard link to `{'/'.join(parts)}`, which is not there", f"{here}/{name}") from None
            self._copy_up(entry, self.parents.fd(target[1]), parts[-1])
            self._link_to(self.parents.fd(target[1]), parts[-1], here, name)

    def _link_to(self, target_fd: int, target: str, here: str, name: str) -> None:
        status = os.stat(target, dir_fd=target_fd, follow_symlinks=False)
        kind = status.st_mode & FORMAT
        if whiteout.is_whiteout(status.st_mode, status.st_rdev):
            raise InvalidLayer(f"is a hard link to `{target}`, which the layer deletes", f"{here}/{name}")
        if kind == DIRECTORY:
            raise InvalidLayer(f"is a hard link to the directory `{target}`", f"{here}/{name}")
        os.link(target, name, src_dir_fd=target_fd, dst_dir_fd=self.parents.fd(here), follow_symlinks=False)

    def _copy_up(self, entry: Entry, fd: int, name: str) -> None:
        """Bring a file of the layers below into the draft, so that it can be linked to."""
        assert self._below is not None
        stat = entry.stat
        if entry.kind == SYMLINK:
            os.symlink(entry.link, name, dir_fd=fd)
            give(name, stat[UID], stat[GID], fd)
            os.utime(name, ns=(stat[MTIME], stat[MTIME]), dir_fd=fd, follow_symlinks=False)
            return
        source = self._below.open_entry(entry)
        try:
            made = os.open(name, _MAKE, 0o600, dir_fd=fd)
            try:
                while os.copy_file_range(source, made, 1 << 30):
                    pass
                self._note(made, b"")
                dress(made, look_of(stat, self._below.xattrs(entry)), self._marked)
            finally:
                os.close(made)
        finally:
            os.close(source)

    def _symlink(self, member: Member, reader: TarReader, fd: int, here: str, name: str) -> None:
        target = os.fsdecode(member.link)
        if not target:
            raise InvalidLayer("is a symbolic link to nothing", f"{here}/{name}")
        os.symlink(target, name, dir_fd=fd)
        look = self._look(member)
        self._give_special(fd, here, name, look)
        os.utime(name, ns=(look.mtime_ns, look.mtime_ns), dir_fd=fd, follow_symlinks=False)

    def _special(self, member: Member, reader: TarReader, fd: int, here: str, name: str) -> None:
        look = self._look(member)
        device = 0
        if member.kind == b"6":
            os.mkfifo(name, 0o600, dir_fd=fd)
        else:
            if not 0 <= member.major < 1 << 12 or not 0 <= member.minor < 1 << 20:
                raise InvalidLayer("is a device with a number that no kernel has", f"{here}/{name}")
            device = os.makedev(member.major, member.minor)
            if not self._policy.devices:
                self.skipped.append(f"{here}/{name}")
                return
            if member.kind == b"3" and not device:
                # to overlay such a device says that the name is deleted; of a plain archive it would delete what is below
                if self._policy.whiteouts:
                    self._whiteout(fd, here, _WHITEOUT + name)
                else:
                    self.skipped.append(f"{here}/{name}")
                return
            try:
                os.mknod(name, 0o600 | (CHARACTER if member.kind == b"3" else BLOCK), device, dir_fd=fd)
            except PermissionError:
                self._stand_in(member, look, fd, here, name)
                return
        self._give_special(fd, here, name, look)
        os.chmod(name, look.mode, dir_fd=fd)             # what was made a line above is no link
        os.utime(name, ns=(look.mtime_ns, look.mtime_ns), dir_fd=fd, follow_symlinks=False)

    def _give_special(self, fd: int, here: str, name: str, look: Look) -> None:
        """The owner of what can have no attribute: a link, a fifo, a device."""
        if not self._marked:
            give(name, look.uid, look.gid, fd)
        elif look.uid or look.gid:
            self.owners[f"{here}/{name}" if here else name] = look.uid, look.gid

    def _stand_in(self, member: Member, look: Look, fd: int, here: str, name: str) -> None:
        """A device where none can be made: an empty file that says in its mark what it is, or nothing."""
        if not self._marked:
            self.skipped.append(f"{here}/{name}" if here else name)
            return
        made = os.open(name, _MAKE, 0o600, dir_fd=fd)
        try:
            kind = "c" if member.kind == b"3" else "b"
            self._note(made, b"")
            dress(made, look, self._marked, f":{kind}:{member.major}:{member.minor}")
        finally:
            os.close(made)

    # ------------------------------------------------------------ owner, mode, attributes, time
    def _look(self, member: Member) -> Look:
        policy = self._policy
        uid, gid = policy.owner or (member.uid, member.gid)
        if not (0 <= uid <= _MAX_ID and 0 <= gid <= _MAX_ID):
            raise InvalidLayer(f"belongs to {uid}:{gid}, which is no user", os.fsdecode(member.name))
        xattrs = tuple((name, value) for raw, value in member.xattrs if is_carried(name := os.fsdecode(raw))) if member.xattrs else ()
        return Look(member.mode if policy.mode is None else policy.mode, uid, gid,
                    member.mtime_ns if policy.mtime_ns is None else policy.mtime_ns, xattrs)

    def finish(self) -> None:
        """Dress the directories, what lies deepest first."""
        looks = self.parents.looks
        for way in sorted(looks, key=lambda w: w.count("/") if w else -1, reverse=True):
            try:
                dress(self.parents.fd(way), looks[way], self._marked)
            except OSError as error:
                raise _explained(error, way) from error


def clean_parts(name: bytes) -> "list[str]":
    """Components of a member's name: absolute is taken as relative, `.` and `..` are worked out as text.

    Raises InvalidLayer for a name that leaves the root, or that is too long.
    """
    if len(name) > _NAME_LIMIT:
        raise InvalidLayer(f"has a name of {len(name)} bytes", os.fsdecode(name))
    parts: "list[str]" = []
    for part in os.fsdecode(name).split("/"):
        if part == "..":
            if not parts:
                raise InvalidLayer("leads outside", os.fsdecode(name))
            parts.pop()
        elif part and part != ".":
            parts.append(part)
    return parts


def _umask() -> int:
    """Mode bits that new files of this process do not get; all where that cannot be told. To ask umask(2) is to change it, for every thread."""
    try:
        with open("/proc/self/status", "rb", buffering=0) as file:
            return int(file.read(1 << 12).partition(b"\nUmask:")[2].split(maxsplit=1)[0], 8)
    except (OSError, ValueError, IndexError):
        return 0o777


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data):]


def _explained(error: OSError, name: str) -> StoreError:
    if error.errno == errno.ENAMETOOLONG:
        return InvalidLayer("has a name that is too long for the file system", name)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"no space is left in the store for `{name[:300]}`")
    return StoreError(f"cannot unpack `{name[:300]}`: {(error.strerror or '').lower()}")
