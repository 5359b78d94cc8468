"""A command's end of a shim's socket (runner.calls is the other): one connection, one conversation."""

import _socket
import os
import time

from runner.errors import ShimLost
from runner.state import Place
from sandbox import wire
from sandbox.errors import KINDS, ZygoteLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PAUSE_S, _PAUSE_MAX_S = 0.002, 0.05


class Contact:
    """Close it, or use it in a `with`. `name`: of the container, for errors. warnings: what one that we started does not have as asked."""

    __slots__ = ("name", "socket", "warnings")

    def __init__(self, socket: "_socket.socket", name: str) -> None:
        self.socket = socket
        self.name = name
        self.warnings: tuple[str, ...] = ()

    def fileno(self) -> int:
        """Readable when the shim has something to say."""
        return self.socket.fileno()

    def tell(self, *message: "Any", fds: "tuple[int, ...]" = ()) -> None:
        """Raises ShimLost."""
        try:
            wire.send(self.socket, message, fds)
        except OSError as error:
            raise ShimLost(self.name, "it ends just now") from error

    def hear(self) -> "tuple[tuple[Any, ...] | None, list[int]]":
        """The next message and its fds; None when the shim is gone."""
        message, fds = wire.receive(self.socket)
        if message is None:
            # if it closes before it has read what we said, that is reported first, as an error, and only then what it had said
            message, fds = wire.receive(self.socket)
        return message, fds

    def answer(self) -> "tuple[Any, ...]":
        """As `hear`, of a message without fds. Raises the SandboxError that it tells of, or ShimLost."""
        message, fds = self.hear()
        for fd in fds:
            os.close(fd)
        if message is None:
            raise ShimLost(self.name, "its shim is gone")
        if message[0] == "failed":
            raise KINDS[message[1]](*message[2:])
        return message

    def ask(self, *message: "Any", fds: "tuple[int, ...]" = ()) -> "tuple[Any, ...]":
        self.tell(*message, fds=fds)
        return self.answer()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Contact":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()


def reach(place: Place, name: str) -> "Contact | None":
    """A connection to the shim of the container; None if it has none. Waits while somebody holds its lock who is no shim, or not yet."""
    pause = _PAUSE_S
    while True:
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            with place.socket() as path:
                socket.connect(path)
            return Contact(socket, name)
        except (FileNotFoundError, ConnectionRefusedError):
            socket.close()
        except BaseException:
            socket.close()
            raise
        if not place.is_locked():
            return None
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE_MAX_S)


def taken_over(contact: Contact) -> None:
    """Wait for the shim that this connection has asked for. Raises what it says, if it could not start the container."""
    try:
        message = contact.answer()
    except ShimLost as error:
        contact.close()
        raise ZygoteLost("start the container", reason="its shim was killed") from error
    except BaseException:
        contact.close()
        raise
    assert message[0] == "started", message
    contact.warnings = tuple(message[2])
