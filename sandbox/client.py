"""From a SandboxSpec to a running process: the command's end of the zygote, which it starts when there is none.

Loaded by every command that runs something, so it imports almost nothing. `connect` finds or starts the zygote, `Client.spawn` has it make a
sandbox, `Running` is that sandbox: it lives no longer than its connection.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import os
import sys

from kernel.errors import PROCESS_LIMIT
from kernel.value import Value, plain
from sandbox import wire
from sandbox.errors import KINDS, InvalidSpec, SandboxError, ZygoteLost
from sandbox.spec import ExecSpec, SandboxSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any, Protocol

    class Spawner(Protocol):
        """What makes sandboxes, with namespaces or without (sandbox.chroot)."""

        def spawn(self, spec: SandboxSpec, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> "Running": ...

        def dial(self) -> None:
            """Do what can be done before the next `spawn`."""

    _Answer = tuple[_socket.socket, tuple[Any, ...] | None, list[int]]

IDLE_S = 60.0
_HANDED_ON = ("PYBUILD_KERNEL",)             # of the environment, to the zygote
_SOCKET_PATH_MAX = 107


class Exit(Value):
    """How the sandbox's process ended. signal is 0 unless one killed it; CPU seconds; peak memory in bytes; oom: the kernel ran out for it."""

    status: int
    signal: int
    user_s: float = 0.0
    system_s: float = 0.0
    peak_memory: int = 0
    oom: bool = False

    @property
    def code(self) -> int:
        """As a shell gives it: 128 + the signal, or the status."""
        return 128 + self.signal if self.signal else self.status


class Running:
    """A sandbox whose command has been executed. Closing it, or leaving `with`, kills what is still there.

    terminal: fd of the outer end of its TTY, else -1. warnings: what was asked for and cannot be had on this machine.
    """

    __slots__ = ("_exit", "_socket", "pid", "pidfd", "terminal", "warnings")

    def __init__(self, socket: "_socket.socket", pid: int, pidfd: int, terminal: int, warnings: tuple[str, ...]) -> None:
        self._socket = socket
        self._exit: Exit | None = None
        self.pid = pid
        self.pidfd = pidfd
        self.terminal = terminal
        self.warnings = warnings

    def fileno(self) -> int:
        """Readable when it has ended."""
        return self._socket.fileno()

    def wait(self) -> Exit:
        """Block until it has ended; every process of its pid namespace is then gone and its root unmounted. Raises ZygoteLost."""
        if self._exit is None:
            message, _ = wire.receive(self._socket)
            if message is None:
                self.kill()                               # what could outlive the zygote: a set-uid program drops the death signal
                raise ZygoteLost("go on", reason="the fork server of the sandboxes is gone; what it ran was stopped")
            self._exit = Exit(*message[1:])
        return self._exit

    def kill(self, signal: int = 9) -> None:
        """Signal the first process; SIGKILL takes all of them. Fine if it is gone."""
        try:
            _signal.pidfd_send_signal(self.pidfd, signal)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        """Idempotent; kills it if it still runs."""
        if self.pidfd >= 0:
            self._socket.close()
            os.close(self.pidfd)
            if self.terminal >= 0:
                os.close(self.terminal)
            self.pidfd = self.terminal = -1

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        self.close()


class Client:
    """A zygote that can be asked. Safe to keep: it is found again, or started again, when it has gone meanwhile.

    Closing a private one ends it, with what it runs."""

    __slots__ = ("_door", "_idle_s", "_path", "_run_directory", "_shim", "_spare")

    def __init__(self, run_directory: str, shim: str, idle_s: float, *, private: bool) -> None:
        self._run_directory = run_directory
        self._shim = shim
        self._idle_s = idle_s
        self._path = f"{run_directory}/z-{_fingerprint(shim)}"
        self._door: _socket.socket | None = None          # of a private server
        if private or len(os.fsencode(self._path)) > _SOCKET_PATH_MAX:
            self._door = _fork_server(run_directory, shim)
        self._spare: _socket.socket | None = self._dial()

    def spawn(self, spec: SandboxSpec, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> Running:
        """A sandbox of `spec` with these standard streams (the caller's to close); returns when its command has been executed.

        Raises SandboxError: CommandMissing or CommandFailed if only the command is at fault, UserMissing, InvalidSpec, ZygoteLost.
        """
        spec.check()
        caller = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        opened: list[int] = []
        try:
            try:
                packed, fds, opened = wire.pack(spec, first=4)
            except OSError as error:
                raise SandboxError("open the source of a mount", error.errno or 0, str(error.filename or "")) from error
            if len(fds) > wire.FDS_MAX - 8:
                raise InvalidSpec("sandbox", reason=f"has more than {wire.FDS_MAX - 8} mounts from the host")
            socket, message, received = self._ask(("spawn", packed), [stdin, stdout, stderr, caller, *fds])
        finally:
            for fd in (caller, *opened):
                os.close(fd)
        return started(socket, message, received)

    def dial(self) -> None:
        """Have a connection ready for the next request. What goes wrong is that request's affair."""
        if self._spare is None:
            try:
                self._spare = self._dial()
            except OSError:
                pass                                      # it will meet the same, and say so

    def exec(self, target: int, spec: ExecSpec, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> Running:
        """A further process in the sandbox whose first process is behind the pidfd `target`; else as `spawn`."""
        spec.check()
        return started(*self._ask(("exec", plain(spec)), [stdin, stdout, stderr, target]))

    def user_namespace(self) -> tuple[int, bool]:
        """(fd of the zygote's user namespace, whether it has a single id)."""
        socket, message, received = self._ask(("namespaces",), [])
        socket.close()
        if message is None or message[0] != "namespaces":
            raise failure(message)
        return received[0], message[2]

    def close(self) -> None:
        """Let go of it; sandboxes that it has started are not concerned. It can be used again."""
        for socket in (self._spare, self._door):
            if socket:
                socket.close()
        self._spare = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        self.close()

    def retire(self) -> None:
        """Ask the zygote to leave as soon as nothing runs."""
        socket, _, _ = self._ask(("retire",), [], answered=False)
        socket.close()

    def ask_shim(self, request: "tuple[Any, ...]", fds: "Sequence[int]") -> "_socket.socket":
        """Have the zygote fork a shim that is given `request` and `fds`; the connection to it."""
        return self._ask(("shim", *request), fds, answered=False)[0]

    def _ask(self, request: "tuple[Any, ...]", fds: "Sequence[int]", *, answered: bool = True) -> "_Answer":
        """(connection, first answer, its fds). A zygote that left before it took the connection is started again."""
        for last in (False, True):
            socket = self._spare or self._dial()
            self._spare = None
            try:
                wire.send(socket, request, fds)
                hello, _ = wire.receive(socket)
                if hello is not None:
                    if hello[:2] != ("hello", wire.PROTOCOL):
                        raise ZygoteLost("talk to the fork server", reason=f"it says {hello[:2]}")
                    return (socket, *wire.receive(socket)) if answered else (socket, None, [])
            except (BrokenPipeError, ConnectionResetError):
                pass
            socket.close()
            if last:
                break
        raise ZygoteLost("start the fork server of the sandboxes", reason=_last_words(self._run_directory))

    def _dial(self) -> "_socket.socket":
        if self._door:
            return _through(self._door)
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            socket.connect(self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            try:
                start(self._run_directory, self._path, self._shim, self._idle_s)
            except OSError:                               # no sockets on this file system, or no interpreter to start
                self._door = _fork_server(self._run_directory, self._shim)
                return _through(self._door)
            socket.connect(self._path)
        return socket


def started(socket: "_socket.socket", message: "tuple[Any, ...] | None", received: list[int]) -> Running:
    """What becomes of a request whose first answer is `message`. Raises what it says."""
    terminal, warnings = -1, []
    while message and message[0] != "started":
        if message[0] == "terminal":
            terminal = received[0]
        elif message[0] == "warning":
            warnings.append(message[1])
        else:
            socket.close()
            if terminal >= 0:
                os.close(terminal)
            raise failure(message)
        message, received = wire.receive(socket)
    if message is None:
        raise ZygoteLost("start the sandbox", reason="the fork server is gone")
    return Running(socket, message[1], received[0], terminal, tuple(warnings))


def connect(run_directory: str, *, shim: str = "", idle_s: float = IDLE_S, private: bool = False) -> Client:
    """The zygote of `run_directory` (an existing 0700 directory of the user), started if there is none.

    shim:    module whose `main` the zygote shall be able to run for `ask_shim`.
    private: not the user's common one, but a fork of this process, which may not have threads yet. It is the way out where no zygote can be.
    """
    return Client(run_directory, shim, idle_s, private=private)


def _fork_server(run_directory: str, shim: str) -> "_socket.socket":
    """Our end of a server that is a child of this process; if there is no interpreter to be executed, a mere fork of it."""
    ours, theirs = wire.pair()
    try:
        pid = os.fork()
    except OSError as error:
        raise SandboxError("start the fork server of the sandboxes", error.errno or 0, help=PROCESS_LIMIT) from error
    if not pid:
        try:
            ours.close()
            _execute_server(theirs.fileno(), run_directory, shim)
            from sandbox.zygote import serve_privately
            serve_privately(theirs, run_directory, shim)
        finally:
            os._exit(1)
    theirs.close()
    return ours


def _execute_server(door: int, run_directory: str, shim: str) -> None:
    from sandbox.interpreter import open_interpreter
    try:
        interpreter = open_interpreter()
        os.set_inheritable(door, True)
        os.execve(f"/proc/self/fd/{interpreter}", _arguments("main_privately", run_directory, str(door), shim), _environment())
    except OSError:
        os.set_inheritable(door, False)


def _through(door: "_socket.socket") -> "_socket.socket":
    ours, theirs = wire.pair()
    wire.send(door, ("connection",), (theirs.fileno(),))
    theirs.close()
    return ours


def start(run_directory: str, path: str, shim: str, idle_s: float) -> None:
    """Start a zygote that serves the socket `path`, unless one does. The socket is ours and listens before the zygote runs: nobody waits."""
    from kernel.locks import Lock, mark
    with Lock(wire.lock_of(path)):
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            try:
                listener.connect(path)
                return                                    # somebody was faster
            except (FileNotFoundError, ConnectionRefusedError):
                pass
            listener.close()
            listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            fresh = f"{path}.{os.getpid()}"
            listener.bind(fresh)
            listener.listen(128)
            own = mark(fresh)
            os.rename(fresh, path)
            _launch(listener.fileno(), run_directory, path, shim, idle_s, own)
        finally:
            listener.close()


def _launch(listener: int, run_directory: str, path: str, shim: str, idle_s: float, own: str) -> None:
    """A small interpreter of its own: nothing of this process is in it. It forks at once; the one that we started ends and is reaped here."""
    from sandbox.interpreter import open_interpreter
    interpreter = open_interpreter()
    arguments = _arguments("main", run_directory, path, "3", shim, str(idle_s), own)
    log = os.open(f"{run_directory}/zygote.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    null = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, log, 2), (os.POSIX_SPAWN_DUP2, listener, 3)]
    try:
        os.posix_spawn(f"/proc/self/fd/{interpreter}", arguments, _environment(), file_actions=actions, setsigmask=(), setsigdef=range(1, 32))
    finally:
        for fd in (interpreter, log, null):
            os.close(fd)


def _arguments(entry: str, *words: str) -> list[str]:
    """argv of a Python that runs the function `entry` of sandbox.zygote."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    program = f"import sys\nsys.path.append({home!r})\nfrom sandbox.zygote import {entry}\n{entry}()"
    return [sys.executable, "-I", "-S", "-X", "utf8", "-c", program, *words]


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath)} | {name: os.environ[name] for name in _HANDED_ON if name in os.environ}


def _fingerprint(shim: str) -> str:
    """Eight hex digits that change with the code the zygote would run: another version is another socket."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = [sys.hexversion, wire.PROTOCOL, *(int.from_bytes(one.encode(), "big") for one in (shim, *map(os.environ.get, _HANDED_ON)) if one)]
    for directory in ("kernel", "sandbox", shim.rpartition(".")[0].replace(".", "/")) if shim else ("kernel", "sandbox"):
        directory = f"{home}/{directory}"
        for name in sorted(os.listdir(directory)):
            if name.endswith(".py"):
                status = os.stat(f"{directory}/{name}")
                found += [status.st_size, status.st_mtime_ns]
    return f"{hash(tuple(found)) & 0xFFFFFFFF:08x}"       # a tuple of ints hashes alike in every process


def failure(message: "tuple[Any, ...] | None") -> SandboxError:
    if message is None:
        return ZygoteLost("start the sandbox", reason="the fork server is gone")
    _, kind, step, number, path, reason, help = message
    return KINDS[kind](step, number, path, reason, help)


def _last_words(run_directory: str) -> str:
    try:
        with open(f"{run_directory}/zygote.log", "rb") as file:
            return file.read()[-2000:].decode(errors="replace").strip().rpartition("\n")[2] or "it ended without a word"
    except OSError:
        return "it ended without a word"
