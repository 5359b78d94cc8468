"""Network namespaces: made, entered for a moment, told apart, found again in the processes that hold them.

The agent has one thread, which is in its home namespace except inside `with within(fd):`.
"""

import _socket
import os
import struct

from kernel.syscalls import CLONE_NEWNET, setns, unshare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_SO_NETNS_COOKIE = 71                                     # Linux 5.14
_OWN = "/proc/thread-self/ns/net"


def own() -> int:
    """An fd of the namespace that we are in."""
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


class within:
    """The calling thread is in the namespace behind `fd` until the block is left."""

    __slots__ = ("_back", "_fd")

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> None:
        self._back = own()
        try:
            setns(self._fd, CLONE_NEWNET)
        except OSError:
            os.close(self._back)
            raise

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        _return_to(self._back)


class fresh:
    """`with fresh() as fd:` makes a namespace and is in it until the block is left; the fd is the caller's to close."""

    __slots__ = ("_back",)

    def __enter__(self) -> int:
        self._back = own()
        try:
            unshare(CLONE_NEWNET)
        except OSError:
            os.close(self._back)
            raise
        return own()

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        _return_to(self._back)


def _return_to(fd: int) -> None:
    try:
        setns(fd, CLONE_NEWNET)
    except OSError:
        os._exit(70)                                      # in the wrong namespace everything else would do harm; the next command starts another
    os.close(fd)


def cookie() -> int:
    """A number that no other namespace has had since the machine started; 0 where the kernel has none."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        value: int = struct.unpack("=Q", sock.getsockopt(_socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8))[0]
        return value
    except OSError:
        return 0
    finally:
        sock.close()


def write_sysctl(path: str, *values: str) -> bool:
    """Write the first of the values that the kernel takes to /proc/sys/`path`, of the namespace that we are in. Whether one was taken."""
    for value in values:
        try:
            fd = os.open(f"/proc/sys/{path}", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(fd, value.encode())
            return True
        except OSError:
            continue
        finally:
            os.close(fd)
    return False


def read_sysctl(path: str) -> str:
    """Without the newline; "" if there is no such thing."""
    try:
        with open(f"/proc/sys/{path}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def find(inodes: "Iterable[int]", *, deep: bool = True) -> dict[int, int]:
    """An fd for each of the namespaces with these inodes that some process is in, or (deep) holds open. Only what we may look at is found."""
    wanted = {f"net:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    own_pid = str(os.getpid())
    pids = [name for name in os.listdir("/proc") if name.isdigit() and name != own_pid]
    for pid in pids:
        if not wanted:
            return found
        _collect(f"/proc/{pid}/ns/net", wanted, found)
    for pid in pids if deep else ():
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            if not wanted:
                return found
            _collect(f"/proc/{pid}/fd/{name}", wanted, found)
    return found


def _collect(path: str, wanted: dict[str, int], found: dict[int, int]) -> None:
    try:
        inode = wanted.get(os.readlink(path))
        if inode is not None:
            found[inode] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            del wanted[f"net:[{inode}]"]
    except OSError:
        pass                                              # ended meanwhile, or another user's
