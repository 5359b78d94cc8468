"""System calls answered by another process (seccomp_unotify(2)), and what that one needs: memory of who waits, limits, birth times of files.

As kernel.syscalls: names of the man pages, no policy, nothing that allocates a thread or imports; to be used in a process of one thread.
"""

import ctypes
import fcntl
import os
from ctypes import byref, c_char_p, c_int, c_long, c_size_t, c_uint, c_ulong, c_void_p
from struct import Struct

from kernel.errors import failed
from kernel.syscalls import AT_EMPTY_PATH
from kernel.value import Value

SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5
SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1
PAGE = 4096

_RECV, _SEND, _ID_VALID, _ADDFD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_ADDFD_FLAG_SEND = 2
_NOTIFICATION_SIZE = 80
_NR_STATX = {"x86_64": 332, "aarch64": 291}[os.uname().machine]
_STATX_ALL = 0xFFF

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = c_long
_libc.process_vm_readv.restype = _libc.process_vm_writev.restype = ctypes.c_ssize_t
_libc.fchownat.argtypes = (c_int, c_char_p, c_uint, c_uint, c_int)


class Notification(Value):
    """A call that waits for an answer. pid: of the thread, as the receiver's /proc calls it; number: of the call."""

    id: int
    pid: int
    number: int
    arguments: "tuple[int, ...]"


class Listener:
    """The end of a filter at which its notifications arrive."""

    __slots__ = ("_buffer", "fd")
    _UNPACK = Struct("=QIIiIQ6Q").unpack_from
    _ANSWER = Struct("=QqiI").pack
    _EMPTY = bytes(_NOTIFICATION_SIZE)

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = bytearray(_NOTIFICATION_SIZE)

    def receive(self) -> "Notification | None":
        """The next one; None if whoever sent it is gone, or everybody is. Waits for it."""
        self._buffer[:] = self._EMPTY
        try:
            fcntl.ioctl(self.fd, _RECV, self._buffer)
        except FileNotFoundError:
            return None
        ident, pid, _, number, _, _, *arguments = self._UNPACK(self._buffer)
        return Notification(ident, pid, number, tuple(arguments))

    def answer(self, ident: int, value: int = 0, error: int = 0) -> None:
        """Let the call return `value`, or fail with errno `error`. Fine if the caller is gone."""
        self._send(self._ANSWER(ident, value, -error, 0))

    def go_on(self, ident: int) -> None:
        """Let the kernel perform the call."""
        self._send(self._ANSWER(ident, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE))

    def _send(self, data: bytes) -> None:
        try:
            fcntl.ioctl(self.fd, _SEND, data)
        except FileNotFoundError:
            pass

    def answer_with_fd(self, ident: int, fd: int, flags: int) -> None:
        """Let the call return a copy of our `fd`. flags: O_CLOEXEC or 0. Fine if the caller is gone."""
        try:
            fcntl.ioctl(self.fd, _ADDFD, Struct("=QIIII").pack(ident, _ADDFD_FLAG_SEND, fd, 0, flags))
        except FileNotFoundError:
            pass

    def is_valid(self, ident: int) -> bool:
        """Whether the caller still waits: else its pid may be somebody else's by now."""
        try:
            fcntl.ioctl(self.fd, _ID_VALID, Struct("=Q").pack(ident))
        except FileNotFoundError:
            return False
        return True


# ---------------------------------------------------------------- memory of another process
class _Vector(ctypes.Structure):
    _fields_ = [("base", c_void_p), ("length", c_size_t)]


_page = ctypes.create_string_buffer(2 * PAGE)
_here, _there = _Vector(ctypes.addressof(_page), 0), _Vector(0, 0)
_here_at, _there_at = byref(_here), byref(_there)


def _transfer(call: "ctypes._NamedFuncPointer", name: str, pid: int, address: int, size: int) -> int:
    _here.length = _there.length = size
    _there.base = address
    done: int = call(c_int(pid), _here_at, c_ulong(1), _there_at, c_ulong(1), c_ulong(0))
    if done < 0:
        raise failed(ctypes.get_errno(), name, str(pid))
    return done


def process_vm_readv(pid: int, address: int, size: int) -> bytes:
    """At most `size` (up to two pages) bytes from `address` on."""
    count = _transfer(_libc.process_vm_readv, "process_vm_readv", pid, address, size)
    return _page.raw[:count]


def process_vm_writev(pid: int, address: int, data: bytes) -> None:
    ctypes.memmove(_page, data, len(data))
    _transfer(_libc.process_vm_writev, "process_vm_writev", pid, address, len(data))


def read_string(pid: int, address: int) -> bytes:
    """The C string there, of at most a page, as a path is."""
    count = _transfer(_libc.process_vm_readv, "process_vm_readv", pid, address, PAGE - address % PAGE)
    text = _page.value
    if len(text) < count:
        return text
    text = _page.raw[:count]                              # it goes on in the next page
    _transfer(_libc.process_vm_readv, "process_vm_readv", pid, address + count, PAGE)
    return text + _page.value


# ---------------------------------------------------------------- files
def statx(dir_fd: int, path: bytes, flags: int, mask: int = _STATX_ALL) -> bytes:
    """struct statx, 256 bytes."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.syscall(c_long(_NR_STATX), c_int(dir_fd), c_char_p(path), c_int(flags), c_uint(mask), buffer) < 0:
        raise failed(ctypes.get_errno(), "statx", os.fsdecode(path))
    return buffer.raw


def identity(fd: int) -> tuple[int, bytes]:
    """(inode, time of birth) of an open file: an inode's number alone is soon another file's."""
    found = statx(fd, b"", AT_EMPTY_PATH)
    return int.from_bytes(found[32:40], "little"), found[80:92]


def fchownat(fd: int, uid: int, gid: int) -> None:
    """Of what an O_PATH descriptor leads to."""
    if _libc.fchownat(fd, b"", uid, gid, AT_EMPTY_PATH) < 0:
        raise failed(ctypes.get_errno(), "fchownat", f"fd {fd}")
