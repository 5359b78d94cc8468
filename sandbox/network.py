"""A sandbox's network, as far as the sandbox itself goes: loopback up, or a namespace that somebody else has prepared, given by fd.

Bridges, addresses and ports are the runner's. What the builder needs of it is the NetworkProvider.
"""

import _socket
import fcntl
import struct

from kernel.syscalls import CLONE_NEWNET, setns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol

    class StepNetwork(Protocol):
        """One namespace, released when the context is left. Once it is entered: resolv_conf, the text of the file that goes with it;
        gateway, the address of this machine as seen from there; notices, what the user should know about it."""

        resolv_conf: str
        gateway: str
        notices: tuple[str, ...]

        def __enter__(self) -> int:
            """An fd of it. Raises NetworkUnavailable."""
            ...

        def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None: ...

    class NetworkProvider(Protocol):
        """Prepared network namespaces for build steps, one each, never used twice."""

        def prepare(self) -> None:
            """Steps will ask soon, some of them in forks of this process. Waits for nothing."""
            ...

        def acquire(self, network: str = "") -> StepNetwork:
            """network: the name of one that containers are on; "": one that only steps are on, where they do not see each other."""
            ...


NO_LOOPBACK = "127.0.0.1 is not there: to bring the loopback interface up takes the capability NET_ADMIN, which this process does not have"
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def bring_up_loopback() -> bool:
    """Of the caller's network namespace; False if that takes a capability that we do not have: most commands do without."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
        return True
    except PermissionError:
        return False
    finally:
        sock.close()


def join(namespace_fd: int) -> None:
    """Enter the network namespace behind `namespace_fd`; raises if it is none."""
    setns(namespace_fd, CLONE_NEWNET)

