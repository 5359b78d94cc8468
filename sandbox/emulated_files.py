"""The calls about owners of files, devices and new files, answered as a kernel with many ids would. See sandbox.emulation.

The methods are called do_NAME after the calls, take (pid, arguments) and return the call's value, or None for the kernel to go on.
"""

import os
import stat
import struct
from errno import EPERM

from kernel.notify import process_vm_readv, process_vm_writev, read_string, statx
from kernel.syscalls import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW
from sandbox import ids
from sandbox.callers import CWD, Callers, Refused, int32
from sandbox.ids import KEEP
from sandbox.owners import Owner, Owners, device_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.callers import Arguments, Place

ANSWERED = -1
_CREATES = os.O_CREAT | 0o20000000                        # O_CREAT, __O_TMPFILE
_HOW = 24                                                 # size of struct open_how
# places in struct stat: mode, uid, device; its size
_STAT = {"x86_64": (24, 28, 40, 144), "aarch64": (16, 24, 32, 128)}[os.uname().machine]


class EmulatedFiles:
    """nnp: set-user-ID programs have no effect."""

    __slots__ = ("_callers", "_nnp", "owners")

    def __init__(self, callers: Callers, owners: Owners, *, nnp: bool) -> None:
        self._callers = callers
        self.owners = owners
        self._nnp = nnp

    # ---------------------------------------------------------------- chown
    def do_chown(self, pid: int, a: "Arguments") -> int:
        return self._chown(pid, self._callers.place(pid, CWD, a[0]), a[1], a[2])

    def do_lchown(self, pid: int, a: "Arguments") -> int:
        return self._chown(pid, self._callers.place(pid, CWD, a[0], False), a[1], a[2])

    def do_fchown(self, pid: int, a: "Arguments") -> int:
        return self._chown(pid, (b"%d/fd/%d" % (pid, int32(a[0])), True), a[1], a[2])

    def do_fchownat(self, pid: int, a: "Arguments") -> int:
        return self._chown(pid, self._callers.place(pid, a[0], a[1], not a[4] & AT_SYMLINK_NOFOLLOW, bool(a[4] & AT_EMPTY_PATH)), a[2], a[3])

    def _chown(self, pid: int, place: "Place", uid: int, gid: int) -> int:
        uid, gid = uid & KEEP, gid & KEEP
        try:
            fd = self._callers.hold(self._callers.open(pid, *place))
            self._callers.still_there()
            who = self._callers.who(pid)
            if who.uids[1]:
                before = self.owners.of_fd(fd)
                if not ids.may_change_owner(who, (before.uid, before.gid), uid, gid):
                    raise Refused(EPERM, "")
            self.owners.change(fd, uid, gid)
        except OSError as error:
            raise Refused(error.errno, "") from error
        return 0

    # ---------------------------------------------------------------- stat
    def do_stat(self, pid: int, a: "Arguments") -> "int | None":
        return self._stat(pid, self._callers.place(pid, CWD, a[0]), a[1])

    def do_lstat(self, pid: int, a: "Arguments") -> "int | None":
        return self._stat(pid, self._callers.place(pid, CWD, a[0], False), a[1])

    def do_fstat(self, pid: int, a: "Arguments") -> "int | None":
        return self._stat(pid, (b"%d/fd/%d" % (pid, int32(a[0])), True), a[1])

    def do_newfstatat(self, pid: int, a: "Arguments") -> "int | None":
        return self._stat(pid, self._callers.place(pid, a[0], a[1], not a[3] & AT_SYMLINK_NOFOLLOW, bool(a[3] & AT_EMPTY_PATH)), a[2])

    def do_statx(self, pid: int, a: "Arguments") -> "int | None":
        if not a[1]:                                      # of the descriptor, since Linux 6.11
            place = b"%d/fd/%d" % (pid, int32(a[0])), True
        else:
            place = self._callers.place(pid, a[0], a[1], not a[2] & AT_SYMLINK_NOFOLLOW, bool(a[2] & AT_EMPTY_PATH))
        owner = self.owners.marked(*place)
        if owner is None:
            return None
        path, follow = place
        found = bytearray(statx(CWD, path, a[2] & ~AT_EMPTY_PATH & ~AT_SYMLINK_NOFOLLOW | (0 if follow else AT_SYMLINK_NOFOLLOW), a[3] & KEEP))
        struct.pack_into("=II", found, 20, owner.uid, owner.gid)
        if owner.device:
            kind, major, minor = device_of(owner)
            struct.pack_into("=H", found, 28, stat.S_IMODE(struct.unpack_from("=H", found, 28)[0]) | kind)
            struct.pack_into("=II", found, 128, major, minor)
        process_vm_writev(pid, a[4], bytes(found))
        return 0

    def _stat(self, pid: int, place: "Place", address: int) -> "int | None":
        owner = self.owners.marked(*place)
        if owner is None:
            return None
        path, follow = place
        found = os.stat(path, follow_symlinks=follow)
        mode, rdev = found.st_mode, found.st_rdev
        if owner.device:
            kind, major, minor = device_of(owner)
            mode, rdev = stat.S_IMODE(mode) | kind, os.makedev(major, minor)
        process_vm_writev(pid, address, _packed(found, mode, owner, rdev))
        return 0

    def do_execve(self, pid: int, a: "Arguments") -> None:
        self._execute(pid, self._callers.place(pid, CWD, a[0]))

    def do_execveat(self, pid: int, a: "Arguments") -> None:
        self._execute(pid, self._callers.place(pid, a[0], a[1], not a[4] & AT_SYMLINK_NOFOLLOW, bool(a[4] & AT_EMPTY_PATH)))

    def _execute(self, pid: int, place: "Place") -> None:
        """Set-ID bits of what is about to be executed. (Should that fail after all, the caller has the ids nevertheless.)"""
        path, follow = place
        mode = os.stat(path, follow_symlinks=follow).st_mode
        uid = gid = KEEP
        if mode & (stat.S_ISUID | stat.S_ISGID) and not self._nnp and stat.S_ISREG(mode) and mode & 0o111 and not _is_script(path):
            owner = self.owners.marked(path, follow) or Owner(0, 0)
            uid = owner.uid if mode & stat.S_ISUID else KEEP
            gid = owner.gid if mode & stat.S_ISGID and mode & stat.S_IXGRP else KEEP
        who = self._callers.who(pid)
        after = ids.executed(who, uid, gid)
        if after != who:
            self._callers.become(pid, after)

    # ---------------------------------------------------------------- new files
    def do_creat(self, pid: int, a: "Arguments") -> "int | None":
        return self.do_openat(pid, (CWD, a[0], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, a[1]))

    def do_open(self, pid: int, a: "Arguments") -> "int | None":
        return self.do_openat(pid, (CWD, *a[:3]))

    def do_openat(self, pid: int, a: "Arguments") -> "int | None":
        return self._create(pid, self._callers.place(pid, a[0], a[1], False), a[2] & 0x7FFFFFFF, a[3])

    def do_openat2(self, pid: int, a: "Arguments") -> "int | None":
        how = process_vm_readv(pid, a[2], _HOW)
        if a[3] < _HOW or len(how) < _HOW:
            return None                                   # an error, which the kernel knows
        flags, mode, resolve = struct.unpack("=QQQ", how)
        if not flags & _CREATES or resolve:               # what it may not walk through is the kernel's to say
            return None
        return self._create(pid, self._callers.place(pid, a[0], a[1], False), flags & 0x7FFFFFFF, mode)

    def _create(self, pid: int, place: "Place", flags: int, mode: int) -> "int | None":
        """Of a file that is there already this makes nothing, and the kernel goes on."""
        path = place[0]
        unnamed = not flags & os.O_CREAT
        owner = self._born(pid, path if unnamed else _parent(path))
        if owner is None:
            return None
        self._callers.still_there()
        fd = os.open(path, (flags if unnamed else flags | os.O_EXCL) & ~os.O_CLOEXEC, mode & 0o7777 & ~_umask(pid))
        self._callers.hold(fd)
        self.owners.give(fd, owner)
        self._callers.listener.answer_with_fd(self._callers.current, fd, flags & os.O_CLOEXEC)
        return ANSWERED

    def do_mkdir(self, pid: int, a: "Arguments") -> "int | None":
        return self.do_mkdirat(pid, (CWD, *a[:2]))

    def do_mkdirat(self, pid: int, a: "Arguments") -> "int | None":
        return self._make(pid, self._callers.place(pid, a[0], a[1], False), lambda path: os.mkdir(path, a[2] & 0o7777 & ~_umask(pid)))

    def do_symlink(self, pid: int, a: "Arguments") -> "int | None":
        return self.do_symlinkat(pid, (a[0], CWD, a[1]))

    def do_symlinkat(self, pid: int, a: "Arguments") -> "int | None":
        return self._make(pid, self._callers.place(pid, a[1], a[2], False), lambda path: os.symlink(read_string(pid, a[0]), path))

    def do_mknod(self, pid: int, a: "Arguments") -> "int | None":
        return self.do_mknodat(pid, (CWD, *a[:3]))

    def do_mknodat(self, pid: int, a: "Arguments") -> "int | None":
        """A device is an empty file that says so in its mark."""
        kind, permissions, number = stat.S_IFMT(a[2]), a[2] & 0o7777, a[3] & KEEP
        place = self._callers.place(pid, a[0], a[1], False)
        if kind not in (stat.S_IFCHR, stat.S_IFBLK):
            return self._make(pid, place, lambda path: os.mknod(path, kind | permissions & ~_umask(pid)))
        if self._callers.who(pid).uids[1] or not number:          # 0:0 is overlay's mark for what is gone
            raise Refused(EPERM, "")
        device = f":{'c' if kind == stat.S_IFCHR else 'b'}:{os.major(number)}:{os.minor(number)}"
        return self._make(pid, place, lambda path: os.mknod(path, stat.S_IFREG | permissions & ~_umask(pid)), device)

    def _make(self, pid: int, place: "Place", make: "Callable[[bytes], None]", device: str = "") -> "int | None":
        path = place[0].rstrip(b"/")
        owner = self._born(pid, _parent(path))
        if owner is None and not device:
            return None
        owner = (owner or Owner(0, 0))._replace(device=device)
        self._callers.still_there()
        try:
            make(path)
        except OSError as error:
            if device:
                raise Refused(error.errno, "") from error
            raise                                         # the kernel gets the same, and says so
        fd = self._callers.hold(os.open(path, os.O_PATH | os.O_NOFOLLOW))
        self.owners.give(fd, owner)
        return 0

    def _born(self, pid: int, directory: bytes) -> "Owner | None":
        """Whose a new file in `directory` is; None if it needs no mark."""
        who = self._callers.who(pid)
        uid, gid = who.uids[1], who.gids[1]
        if os.stat(directory).st_mode & stat.S_ISGID:
            of_directory = self.owners.marked(directory, True)
            gid = of_directory.gid if of_directory else 0
        return Owner(uid, gid) if uid or gid else None


def _parent(path: bytes) -> bytes:
    """Directory of a path as we see it."""
    return path.rstrip(b"/").rpartition(b"/")[0] or b"/"


def _is_script(path: bytes) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)   # it may have become a FIFO
        try:
            return os.read(fd, 2) == b"#!"
        finally:
            os.close(fd)
    except OSError:
        return True


def _umask(pid: int) -> int:
    with open(f"{pid}/status") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022


def _packed(found: os.stat_result, mode: int, owner: Owner, rdev: int) -> bytes:
    """struct stat of this machine."""
    at_mode, at_uid, at_device, size = _STAT
    data = bytearray(size)
    times = [part for ns in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns) for part in divmod(ns, 1_000_000_000)]
    struct.pack_into("=QQ", data, 0, found.st_dev, found.st_ino)
    if size == 144:
        struct.pack_into("=Q", data, 16, found.st_nlink)
        struct.pack_into("=qqq6q", data, 48, found.st_size, found.st_blksize, found.st_blocks, *times)
    else:
        struct.pack_into("=I", data, 20, found.st_nlink)
        struct.pack_into("=q", data, 48, found.st_size)
        struct.pack_into("=i", data, 56, found.st_blksize)
        struct.pack_into("=q6q", data, 64, found.st_blocks, *times)
    struct.pack_into("=I", data, at_mode, mode)
    struct.pack_into("=II", data, at_uid, owner.uid, owner.gid)
    struct.pack_into("=Q", data, at_device, rdev)
    return bytes(data)
