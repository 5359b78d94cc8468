"""A cgroup of one's own from the user's systemd: an ordinary user may make groups only in what is delegated, and a login session is not.

One D-Bus call, written out by hand: the bus is a stream socket, a call is a header with typed fields and a body, everything aligned to its size.
"""

import _socket
import os
import struct
import time

from sandbox.errors import SandboxError

TIMEOUT_S = 2.0
_POLL_S = 0.002
_CALL, _ERROR = 1, 3
_PATH, _INTERFACE, _MEMBER, _DESTINATION, _SIGNATURE = 1, 2, 3, 6, 8
_PROPERTIES = "a(sv)"


def bus_of(uid: int) -> str:
    """Path of the user's message bus; "" if there is none."""
    path = f"/run/user/{uid}/bus"
    return path if os.path.exists(path) else ""


def enter_scope(uid: int, name: str, bus_path: str) -> None:
    """Have the user's systemd, behind the bus, put the calling process into a delegated scope of its own, called `name` (it ends in ".scope").

    Raises SandboxError. uid: as outside of a user namespace.
    """
    bus = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    bus.settimeout(TIMEOUT_S)
    try:
        bus.connect(bus_path)
        bus.sendall(b"\0AUTH EXTERNAL %s\r\n" % str(uid).encode().hex().encode())
        if not bus.recv(1024).startswith(b"OK "):
            raise SandboxError("ask systemd for a cgroup", reason="its bus does not let us in")
        bus.sendall(b"BEGIN\r\n" + _call(1, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", b"")
                    + _call(2, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartTransientUnit",
                            f"ss{_PROPERTIES}a(s{_PROPERTIES})", _scope(name, os.getpid())))
        _wait_until_inside(bus, name)
    except OSError as error:
        raise SandboxError("ask systemd for a cgroup", error.errno or 0, reason="" if error.errno else "it does not answer") from error
    finally:
        bus.close()


def _wait_until_inside(bus: "_socket.socket", name: str) -> None:
    """The answer only says that it will be done."""
    deadline = time.monotonic() + TIMEOUT_S
    bus.setblocking(False)
    said = b""
    while time.monotonic() < deadline:
        with open("/proc/self/cgroup") as file:
            if f"/{name}\n" in file.read():
                return
        try:
            said += bus.recv(1 << 16)
        except BlockingIOError:
            pass
        if refusal := _refusal(said):
            raise SandboxError("ask systemd for a cgroup", reason=refusal)
        time.sleep(_POLL_S)
    raise SandboxError("ask systemd for a cgroup", reason="it does not make one")


# ---------------------------------------------------------------- marshalling
def _call(serial: int, destination: str, path: str, interface: str, member: str, signature: str, body: bytes) -> bytes:
    fields = b""
    for code, kind, value in ((_PATH, "o", path), (_INTERFACE, "s", interface), (_MEMBER, "s", member), (_DESTINATION, "s", destination),
                              (_SIGNATURE, "g", signature)):
        if value:
            fields = _aligned(fields, 8) + bytes([code]) + _signature(kind)
            fields = fields + _signature(value) if kind == "g" else _aligned(fields, 4) + _string(value)
    head = struct.pack("<cBBBIII", b"l", _CALL, 0, 1, len(body), serial, len(fields)) + fields
    return _aligned(head, 8) + body


def _scope(name: str, pid: int) -> bytes:
    body = _string(name)
    body = _aligned(body, 4) + _string("fail")
    properties = b""
    for key, kind, value in (("Description", "s", _string("containers of pybuild and pyup")), ("Delegate", "b", struct.pack("<I", 1)),
                             ("CollectMode", "s", _string("inactive-or-failed")), ("PIDs", "au", struct.pack("<II", 4, pid))):
        properties = _aligned(_aligned(properties, 8) + _string(key) + _signature(kind), 4) + value
    body = _aligned(_aligned(body, 4) + struct.pack("<I", len(properties)), 8) + properties
    return _aligned(_aligned(body, 4) + struct.pack("<I", 0), 8)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def _signature(text: str) -> bytes:
    return bytes([len(text)]) + text.encode() + b"\0"


def _aligned(data: bytes, size: int) -> bytes:
    return data + bytes(-len(data) % size)


def _refusal(said: bytes) -> str:
    """What the first error among complete messages says; "" if there is none."""
    while len(said) >= 16:
        kind, (body, _, fields) = said[1], struct.unpack_from("<III", said, 4)
        start = 16 + fields + -fields % 8
        if len(said) < start + body:
            return ""
        if kind == _ERROR:
            length = struct.unpack_from("<I", said, start)[0] if body >= 4 else 0
            return said[start + 4:start + 4 + length].decode(errors="replace").lower().rstrip(".") or "it refuses"
        said = said[start + body:]
    return ""
