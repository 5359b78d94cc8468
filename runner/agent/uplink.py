"""The program that leads out of an ordinary user's shared namespace: pasta, else slirp4netns, else none: then the forwarder carries TCP and UDP.

A helper is started from the machine's own network and outlives the agent.
"""

import os

from runner.agent.errors import NetworkFailed
from runner.agent.outside import Outpost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Uplink(Protocol):
        """name: for reports; "" for none."""

        name: str

        def start(self, outpost: Outpost, path: str, fd: int, run_directory: str) -> int:
            """Lead out of the namespace at `path`, which `fd` is too; the helper's process ID. Raises NetworkError."""
            ...

_DIRECTORIES = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin")
TUN = "/dev/net/tun"
_MTU = 65520
# how machines get packages, one of which has pasta
_INSTALL = (("apt-get", "apt-get install passt"), ("dnf", "dnf install passt"), ("zypper", "zypper install passt"), ("pacman", "pacman -S passt"),
            ("apk", "apk add passt"))


class Pasta:
    """The interface in the namespace is a copy of the machine's: same addresses, same routes."""

    name = "pasta"

    def __init__(self, program: str) -> None:
        self._program = program

    def start(self, outpost: Outpost, path: str, fd: int, run_directory: str) -> int:
        pid_file = f"{run_directory}/pasta.pid"
        none = [word for option in "tuTU" for word in (f"-{option}", "none")]
        argv = (self._program, "--config-net", "--no-map-gw", *none, "--quiet", "--pid", pid_file, "--netns", path)
        _run(outpost, argv, fd, self.name)                # it goes into the background when it is ready
        try:
            with open(pid_file) as file:
                return int(file.read())
        except (OSError, ValueError) as error:
            raise NetworkFailed("start pasta", "it has not said which process it is") from error


class Slirp:
    """The namespace is 10.0.2.100 in a network of slirp4netns' own."""

    name = "slirp4netns"

    def __init__(self, program: str) -> None:
        self._program = program

    def start(self, outpost: Outpost, path: str, fd: int, run_directory: str) -> int:
        ready, told = os.pipe()
        said, errors = os.pipe()
        try:
            argv = (self._program, "--configure", f"--mtu={_MTU}", "--disable-host-loopback", "--enable-ipv6", "--ready-fd=4", "--netns-type=path",
                    path, "tap0")
            pid = outpost.spawn(argv, (errors, told, fd))
        finally:
            os.close(told)
            os.close(errors)
        with open(ready, "rb") as file, open(said, "rb") as words:
            if not file.read(1):
                raise NetworkFailed("start slirp4netns", _last_line(words.read(4096)))
        return pid


class NoUplink:
    """Nothing leads out but what the forwarder carries."""

    name = ""

    def start(self, outpost: Outpost, path: str, fd: int, run_directory: str) -> int:
        return 0


def choose(say: "Callable[[str], None]") -> "Uplink":
    """The best that this machine has; where that is none, the reason, and the one command that would allow more."""
    pasta, slirp = _find("pasta"), _find("slirp4netns")
    if (pasta or slirp) and os.access(TUN, os.R_OK | os.W_OK):
        return Pasta(pasta) if pasta else Slirp(slirp)
    reason = f"`{TUN}` cannot be opened by this user" if pasta or slirp else "neither pasta (package `passt`) nor slirp4netns is installed"
    say(f"{reason}, so containers reach the outside through a relay: TCP and UDP, not ping (`{remedy()}` would allow "
        f"{'slirp4netns' if slirp and not pasta else 'pasta'})")
    return NoUplink()


def remedy() -> str:
    """The one command that would allow a helper."""
    words = []
    if not installed():
        words.append(next((line for program, line in _INSTALL if _find(program)), _INSTALL[0][1]))
    if not os.access(TUN, os.R_OK | os.W_OK):
        words.append(f"chmod 666 {TUN}")
    return f"sudo {words[0]}" if len(words) == 1 else f"sudo sh -c '{'; '.join(words)}'"


def installed() -> tuple[str, ...]:
    """Names of the helpers that there are."""
    return tuple(name for name in (Pasta.name, Slirp.name) if _find(name))


def _find(name: str) -> str:
    return next((path for directory in _DIRECTORIES if os.access(path := f"{directory}/{name}", os.X_OK)), "")


def _run(outpost: Outpost, argv: tuple[str, ...], fd: int, name: str) -> None:
    said, errors = os.pipe()
    try:
        pid = outpost.spawn(argv, (errors, fd))
    finally:
        os.close(errors)
    with open(said, "rb") as file:
        status = outpost.wait(pid)
        if status:
            raise NetworkFailed(f"start {name}", _last_line(file.read(4096)))


def _last_line(said: bytes) -> str:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip() and "syslog" not in line]
    return lines[-1].strip() if lines else "it ended without a word"
