"""Where a server listens: text -> `Address` -> a listening socket. TCP by host and port, or a unix socket by path."""

import os
import socket
import stat

from engine.errors import CannotListen, InvalidAddress
from kernel.value import Value

_BACKLOG = 512


class Address(Value):
    """path: of a unix socket; else host ("" means all of the machine's) and port (0: any free one)."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return bool(self.path) or self.host in ("localhost", "::1") or self.host.startswith("127.")


def parse_address(text: str) -> Address:
    """`unix:///path`, `/path`, `host:port`, `:port`, `[v6]:port`, each with `tcp://` before it if wanted. Raises InvalidAddress."""
    if text.startswith(("unix://", "/")):
        path = text.removeprefix("unix://")
        if not path.startswith("/") or "\0" in path:
            raise InvalidAddress(text, "a socket's path begins with `/`")
        return Address(path=path)
    scheme, found, rest = text.partition("://")
    if found and scheme != "tcp":
        raise InvalidAddress(text, f"`{scheme[:20]}` is neither `tcp` nor `unix`")
    host, colon, port = (rest if found else text).rpartition(":")
    if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise InvalidAddress(text, "it has no port")
    if not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise InvalidAddress(text, f"`{port[:20]}` is no port")
    return Address(host.strip("[]"), int(port))


def listen(address: Address) -> socket.socket:
    """A listening socket, not inherited. A unix socket is 0600; one that nobody answers on any more is replaced. Raises CannotListen."""
    try:
        return _listen_unix(address) if address.path else _listen_tcp(address)
    except socket.gaierror as error:
        raise CannotListen(str(address), "the name of the host is not known") from error
    except OSError as error:
        raise CannotListen(str(address), (error.strerror or str(error)).lower(), _help(error, address)) from error


def _help(error: OSError, address: Address) -> str:
    if error.errno == 98:
        return "another server is there already: stop it, or name another port"
    return "ports below 1024 are root's: name a higher one" if error.errno == 13 and address.port else ""


def _listen_tcp(address: Address) -> socket.socket:
    everywhere = not address.host
    family, _, _, _, where = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    if everywhere and socket.has_dualstack_ipv6():
        family, where = socket.AF_INET6, ("::", address.port)
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if everywhere else 1)
        listening.bind(where)
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _listen_unix(address: Address) -> socket.socket:
    directory, name = os.path.split(address.path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fd = -1
    try:
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        short = f"/proc/self/fd/{fd}/{name}"           # a path of any length: sun_path has room for 108 bytes
        if _is_stale(short):
            os.unlink(short)
        old = os.umask(0o177)
        try:
            listening.bind(short)
        finally:
            os.umask(old)
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    finally:
        if fd >= 0:
            os.close(fd)
    return listening


def _is_stale(path: str) -> bool:
    """Whether a socket is there that nobody listens on."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False                               # connecting to a plain file is refused too
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        try:
            trial.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def where(listening: socket.socket, asked: Address) -> Address:
    """The address with the port that it got."""
    return asked if asked.path else asked._replace(port=listening.getsockname()[1])
