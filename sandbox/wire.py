"""Messages between command, zygote and unit: marshal on SEQPACKET sockets, file descriptors beside them; a spec as such a message.

`_socket` instead of `socket`: the latter costs as much to import as the interpreter to start. A message too long for a datagram travels in a
memfd. Both ends are the same user and the same version (the socket's name says so).
"""

import _socket
import marshal
import os
import struct

from kernel.value import plain
from sandbox.spec import MOUNTS, Bind, Device, Directory, ExecSpec, Joined, Limits, Overlay, Rlimit, SandboxSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

PROTOCOL = 1
FDS_MAX = 250                      # the kernel's SCM_MAX_FD is 253
_DATAGRAM_MAX = 1 << 16
_IN_MEMORY = b"@"                  # no marshalled tuple begins like this
_ANCILLARY = _socket.CMSG_SPACE(4 * (FDS_MAX + 1))


def pair() -> "tuple[_socket.socket, _socket.socket]":
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)      # CLOEXEC, as everything that Python opens


def lock_of(path: str) -> str:
    """Who holds it may bind the socket `path` of a zygote, or remove it."""
    return f"{path.rpartition('/')[0]}/zygote.lock"


def socket_of(fd: int) -> "_socket.socket":
    """The socket that `fd` is; closing it closes the fd."""
    return _socket.socket(fileno=fd)


def send(sock: "_socket.socket", message: "tuple[Any, ...]", fds: "Sequence[int]" = ()) -> None:
    """Raises OSError (BrokenPipeError, ConnectionResetError) if the other end is gone."""
    send_bytes(sock, marshal.dumps(message), fds)


def send_bytes(sock: "_socket.socket", data: bytes, fds: "Sequence[int]" = ()) -> None:
    if len(data) <= _DATAGRAM_MAX:
        _sendmsg(sock, data, fds)
        return
    memory = os.memfd_create("message")
    try:
        with open(memory, "wb", closefd=False) as file:
            file.write(data)
        _sendmsg(sock, _IN_MEMORY, (*fds, memory))
    finally:
        os.close(memory)


def _sendmsg(sock: "_socket.socket", data: bytes, fds: "Sequence[int]") -> None:
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
    sock.sendmsg([data], rights, _socket.MSG_NOSIGNAL)


def receive_bytes(sock: "_socket.socket") -> tuple[bytes, list[int]]:
    """(b"", []) when the other end is gone. The fds are the caller's to close."""
    try:
        data, ancillary, _, _ = sock.recvmsg(_DATAGRAM_MAX, _ANCILLARY, _socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:                          # it has gone without reading all that we sent; what it said before is still there
        data, ancillary, _, _ = sock.recvmsg(_DATAGRAM_MAX, _ANCILLARY, _socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, rights in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds += struct.unpack(f"{len(rights) // 4}i", rights)
    if data == _IN_MEMORY:
        with open(fds.pop(), "rb") as file:
            file.seek(0)
            data = file.read()
    return data, fds


def receive(sock: "_socket.socket") -> "tuple[tuple[Any, ...] | None, list[int]]":
    """The next message; None when the other end is gone."""
    data, fds = receive_bytes(sock)
    return (marshal.loads(data) if data else None), fds


# ---------------------------------------------------------------- a spec as a message
_FIELDS = SandboxSpec._fields
_ROOTFS, _MOUNTS, _RLIMITS, _LIMITS, _DEVICES = (_FIELDS.index(name) for name in ("rootfs", "mounts", "rlimits", "limits", "devices"))
_EXEC_RLIMITS = ExecSpec._fields.index("rlimits")
_FDS = tuple(_FIELDS.index(name) for name in ("network", "pid", "ipc", "uts", "cgroup_namespace", "owners", "user_namespace"))


def pack(spec: SandboxSpec, first: int) -> "tuple[tuple[Any, ...], list[int], list[int]]":
    """(plain fields, fds to send along, those of them to close afterwards). In the fields an fd is its place among all that are sent,
    `first` being the place of the first one here. Host paths of binds are opened here, as the caller sees them."""
    fds: list[int] = []
    opened: list[int] = []

    def place(fd: int) -> int:
        fds.append(fd)
        return first + len(fds) - 1

    fields: list[Any] = list(spec)
    mounts = []
    try:
        for operation in spec.mounts:
            if isinstance(operation, Bind):
                source = operation.source
                if isinstance(source, str):
                    source = os.open(source, os.O_PATH)
                    opened.append(source)
                if operation.below:
                    from kernel.paths import open_beneath

                    source = open_beneath(source, operation.below)
                    opened.append(source)
                operation = operation._replace(source=place(source))
            elif isinstance(operation, Joined):
                operation = operation._replace(namespace=place(operation.namespace))
            mounts.append(plain(operation))
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    for index in _FDS:
        if isinstance(fd := fields[index], int):
            fields[index] = place(fd)
    fields[_MOUNTS] = tuple(mounts)
    for index in (_ROOTFS, _RLIMITS, _LIMITS, _DEVICES):
        fields[index] = plain(fields[index])
    return tuple(fields), fds, opened


def unpack_exec(packed: "tuple[Any, ...]") -> ExecSpec:
    """An ExecSpec that went as `plain` makes it."""
    fields = list(packed[1:])
    fields[_EXEC_RLIMITS] = tuple(Rlimit(*values[1:]) for values in fields[_EXEC_RLIMITS])
    return ExecSpec(*fields)


def unpack(packed: "tuple[Any, ...]", fds: "Sequence[int]") -> SandboxSpec:
    """The spec again, with the fds as they are here. Trusts its input: it comes from the same user through a 0700 directory."""
    fields = list(packed)
    mounts = []
    for kind, *values in packed[_MOUNTS]:
        if kind in ("Bind", "Joined"):
            values[0] = fds[values[0]]
        mounts.append(MOUNTS[kind](*values))
    fields[_MOUNTS] = tuple(mounts)
    kind, *values = packed[_ROOTFS]
    fields[_ROOTFS] = Overlay(*values) if kind == "Overlay" else Directory(*values)
    fields[_RLIMITS] = tuple(Rlimit(*values[1:]) for values in packed[_RLIMITS])
    fields[_LIMITS] = Limits(*packed[_LIMITS][1:])
    fields[_DEVICES] = tuple(Device(*values[1:]) for values in packed[_DEVICES])
    for index in _FDS:
        if isinstance(fields[index], int):
            fields[index] = fds[fields[index]]
    return SandboxSpec(*fields)
