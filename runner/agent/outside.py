"""The machine's own network, as seen by an agent that may live beside it: sockets made in it, and the process whose routes are the machine's."""

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Outside(Protocol):
        """process: its /proc entry shows the machine's network. first_port: the lowest port that may be bound."""

        process: str
        first_port: int

        def socket(self, family: int, kind: int) -> "_socket.socket":
            """Not blocking, not bound. Raises OSError."""
            ...


class Here:
    """We are in the machine's own network."""

    process = "self"
    first_port = 0

    def socket(self, family: int, kind: int) -> "_socket.socket":
        return _socket.socket(family, kind | _socket.SOCK_NONBLOCK)
