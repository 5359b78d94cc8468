"""A sandbox's network, as far as the sandbox itself goes: loopback up, or a namespace that somebody else has prepared, given by fd.

Bridges, addresses and ports are the runner's. What the builder needs of it is the NetworkProvider.
"""

import _socket
import fcntl
import struct

from kernel.syscalls import CLONE_NEWNET, setns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Protocol

    class NetworkProvider(Protocol):
        """Prepared network namespaces for build steps, one each, never used twice."""

        def acquire(self) -> AbstractContextManager[int]:
            """An fd of a network namespace, released when the context is left."""
            ...


_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def bring_up_loopback() -> None:
    """Of the caller's network namespace."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    finally:
        sock.close()


def join(namespace_fd: int) -> None:
    """Enter the network namespace behind `namespace_fd`; raises if it is none."""
    setns(namespace_fd, CLONE_NEWNET)

