"""The ssh agent that a RUN sees: a socket of the step's own, with the mode and owner its mount asks for, passed on to the user's agent.

An agent answers its own user only, and the user of a RUN may be another. Private keys get an agent for as long as the step lives.
What enters: a source, which is the path of an agent's socket, or `keys:` and paths of private keys with commas between.
"""

import os
import select
import socket
from _thread import allocate_lock, start_new_thread
from contextlib import suppress

from builder.errors import BuildError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = "keys:"
_CHUNK = 16 << 10
_CONNECTIONS = 64                        # at a time: who makes more of them has to wait
_KEY_LIMIT = 100 << 10
_LIVE = 'ssh-agent -D -a "$1" & exec >&-; read end; kill $! 2>/dev/null; wait'


def source_of(text: str) -> str:
    """The source that `SOCKET` or `KEY[,KEY..]` of an option means. Raises BuildError."""
    if _is_socket(text):
        return os.path.abspath(text)
    paths = [os.path.abspath(path) for path in text.split(",")]
    for path in paths:
        if b"PRIVATE KEY-----" not in _read(path).partition(b"\n")[0]:
            raise BuildError(f"`{path}` is neither an agent's socket nor a private key")
    return KEYS + ",".join(paths)


def keys_of(source: str) -> list[str]:
    return source.removeprefix(KEYS).split(",") if source.startswith(KEYS) else []


def _is_socket(path: str) -> bool:
    try:
        return os.stat(path).st_mode & 0o170000 == 0o140000
    except OSError:
        return False


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_KEY_LIMIT)
    except OSError as error:
        raise BuildError(f"`{path}` is no agent's socket and no key: {(error.strerror or '').lower()}") from error


class Agent:
    """Listens at `path` until it is closed."""

    __slots__ = ("_counting", "_keys", "_listening", "_open", "_source", "path")

    def __init__(self, source: str, directory: str, mode: int, uid: int, gid: int) -> None:
        """directory: an empty one, which somebody else removes. Raises BuildError."""
        self.path, self._open, self._counting = f"{directory}/socket", 0, allocate_lock()
        self._keys = _Keys(keys_of(source), f"{directory}/keys") if source.startswith(KEYS) else None
        self._source = self._keys.path if self._keys else source
        self._listening = _at(self.path, socket.socket.bind)
        self._listening.listen(8)
        try:
            os.chown(self.path, uid, gid)
        except OSError:                                  # one id is all there is: a step's other users are that one too
            mode |= (mode & 0o700) >> 3 | (mode & 0o700) >> 6
        os.chmod(self.path, mode)
        start_new_thread(self._serve, ())

    def close(self) -> None:
        with suppress(OSError):                          # the thread has ended
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        if self._keys:
            self._keys.close()

    def _serve(self) -> None:
        while True:
            try:
                came, _ = self._listening.accept()
            except OSError:                              # closed
                return
            if self._open >= _CONNECTIONS:
                came.close()
            else:
                self._count(1)
                start_new_thread(self._pass_on, (came,))

    def _pass_on(self, came: socket.socket) -> None:
        with came, suppress(OSError):                    # the agent has ended, or one has hung up: the client sees its connection end
            with _at(self._source, socket.socket.connect) as agent:
                _relay(came, agent)
        self._count(-1)

    def _count(self, more: int) -> None:
        with self._counting:                             # each connection has a thread
            self._open += more


def _at(path: str, act: "Callable[[socket.socket, str], None]") -> socket.socket:
    """A socket bound or connected to a path of any length. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        act(made, f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    except OSError:
        made.close()
        raise
    finally:
        os.close(directory)
    return made


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on what each says to the other until both have ended. Raises OSError."""
    ends = {one.fileno(): (one, other), other.fileno(): (other, one)}
    poll = select.poll()
    for fd in ends:
        poll.register(fd, select.POLLIN)
    while ends:
        for fd, _ in poll.poll():
            source, sink = ends[fd]
            data = source.recv(_CHUNK)
            if data:
                sink.sendall(data)
            else:
                poll.unregister(fd)
                del ends[fd]
                sink.shutdown(socket.SHUT_WR)


class _Keys:
    """An agent with these keys, below a shell that ends it when it hears no more of this process, whatever that died of."""

    __slots__ = ("_shell", "path")

    def __init__(self, keys: list[str], path: str) -> None:
        import subprocess

        self.path = path
        told = {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}
        self._shell = subprocess.Popen(["sh", "-c", _LIVE, "sh", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       env=told, start_new_session=True)
        assert self._shell.stdout is not None
        if not self._shell.stdout.readline():            # it says where it listens as soon as it does
            raise BuildError(f"keys are given to a RUN by `ssh-agent`, which does not start: {_last(self._shell.communicate()[1])}",
                             help="the socket of an agent can be given too")
        for key in keys:
            done = subprocess.run(["ssh-add", "-q", "-"], input=_read(key), capture_output=True, env={**told, "SSH_AUTH_SOCK": path},
                                  start_new_session=True, check=False)
            if done.returncode:
                self.close()
                raise BuildError(f"the key `{key}` cannot be used: {_last(done.stderr)}",
                                 help="a key with a passphrase comes by an agent: `ssh-add KEY`, and its socket")

    def close(self) -> None:
        self._shell.communicate()


def _last(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it does not say why"
