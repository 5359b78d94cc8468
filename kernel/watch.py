"""inotify: what happened in directories and to files, as it happens. In: paths; out: events, from a descriptor that can be polled."""

import os
from ctypes import c_char_p, c_int, c_uint
from struct import Struct

from kernel.syscalls import _check, _libc
from kernel.value import Value

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ISDIR = 0x40000000

_HEAD = Struct("iIII")
_BUFFER = 64 << 10


class Change(Value):
    """path: what was watched; name: of the entry in it, "" if it is the thing itself; mask: IN_ bits."""

    path: str
    name: str
    mask: int


class Watch:
    """Close it, or use it in a `with`. Not inherited by exec."""

    def __init__(self) -> None:
        self._fd = _check(_libc.inotify_init1(c_int(os.O_CLOEXEC | os.O_NONBLOCK)), "inotify_init1")
        self._paths: "dict[int, str]" = {}

    def fileno(self) -> int:
        return self._fd

    def add(self, path: str, mask: int) -> None:
        number = _check(_libc.inotify_add_watch(c_int(self._fd), c_char_p(os.fsencode(path)), c_uint(mask)), "inotify_add_watch", path)
        self._paths[number] = path

    def read(self) -> "list[Change]":
        """What has happened since the last call; does not wait (poll `fileno` for that)."""
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return []
        changes, at = [], 0
        while at < len(data):
            number, mask, _, length = _HEAD.unpack_from(data, at)
            name = data[at + _HEAD.size:at + _HEAD.size + length].rstrip(b"\0")
            changes.append(Change(self._paths.get(number, ""), os.fsdecode(name), mask))
            if mask & IN_IGNORED:
                self._paths.pop(number, None)
            at += _HEAD.size + length
        return changes

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()
