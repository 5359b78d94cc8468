"""Forked workers: each runs one function beside the others and talks back over a pipe.

The process that plans stays single-threaded, so that it may fork at any time and no lock of a thread is ever copied. A worker dies with
its parent (PDEATHSIG), and what it holds (locks, leases, the connection that keeps a sandbox alive) goes with it.
"""

import os
import select
import signal
from marshal import dumps, loads

from builder.errors import BuildError, LayersLost, StepFailed
from kernel.syscalls import PR_SET_PDEATHSIG, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeAlias

    Send: TypeAlias = Callable[[str, Any], None]        # (kind, what marshal takes)
    Work: TypeAlias = Callable[[Send], Any]

    class Workers(Protocol):
        """Runs work and tells how it went. `Inline` below is the second implementation."""

        def start(self, token: Any, work: Work) -> None: ...
        def wait(self) -> "list[Message]": ...
        def running(self) -> int: ...
        def stop(self) -> None: ...


Message: "TypeAlias" = "tuple[Any, str, Any]"           # (token, kind, payload); kinds "done" and "failed" are a worker's last

_HEADER = 4


class Forked:
    """Workers as child processes. `wait` blocks until at least one of them says something."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._workers: dict[int, _Child] = {}

    def running(self) -> int:
        return len(self._workers)

    def start(self, token: "Any", work: "Work") -> None:
        read, write = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            _child(parent, write, work)
        os.close(write)
        self._workers[read] = _Child(token, pid, read)
        self._poll.register(read, select.POLLIN)

    def wait(self) -> "list[Message]":
        messages: list[Message] = []
        while not messages and self._workers:
            for fd, _ in self._poll.poll():
                messages += self._take(self._workers[fd])
        return messages

    def _take(self, child: "_Child") -> "list[Message]":
        data = os.read(child.fd, 1 << 20)
        if data:
            return [(child.token, kind, payload) for kind, payload in child.feed(data)]
        self._forget(child)
        _, status = os.waitpid(child.pid, 0)
        if child.ended:
            return []
        code = os.waitstatus_to_exitcode(status)
        how = f"killed by signal {-code}" if code < 0 else f"gone with status {code}"
        return [(child.token, "failed", _facts(StepFailed(f"the worker process was {how}")))]

    def _forget(self, child: "_Child") -> None:
        self._poll.unregister(child.fd)
        os.close(child.fd)
        del self._workers[child.fd]

    def stop(self) -> None:
        """Kill every worker and wait until it is gone; what it was running in a sandbox dies with its connection."""
        for child in list(self._workers.values()):
            os.kill(child.pid, signal.SIGKILL)
        for child in list(self._workers.values()):
            os.waitpid(child.pid, 0)
            self._forget(child)


class _Child:
    __slots__ = ("_buffer", "ended", "fd", "pid", "token")

    def __init__(self, token: "Any", pid: int, fd: int) -> None:
        self.token, self.pid, self.fd = token, pid, fd
        self.ended = False
        self._buffer = b""

    def feed(self, data: bytes) -> "list[tuple[str, Any]]":
        buffer, found, at = self._buffer + data, [], 0
        while len(buffer) - at >= _HEADER:
            end = at + _HEADER + int.from_bytes(buffer[at:at + _HEADER], "little")
            if len(buffer) < end:
                break
            found.append(loads(buffer[at + _HEADER:end]))
            at = end
        self._buffer = buffer[at:]
        self.ended = self.ended or any(kind in ("done", "failed") for kind, _ in found)
        return found


def _child(parent: int, fd: int, work: "Work") -> None:
    """The whole life of a worker; never returns."""
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:                     # it died between fork and prctl
            os._exit(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)   # ^C reaches the whole group; the parent decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

        def send(kind: str, payload: "Any") -> None:
            body = dumps((kind, payload), 4)
            view = memoryview(len(body).to_bytes(_HEADER, "little") + body)
            while view:
                view = view[os.write(fd, view):]

        _run(work, send)
    finally:
        os._exit(0)


def _run(work: "Work", send: "Send") -> None:
    try:
        result = work(send)
    except Exception as error:
        send("failed", _facts(error))
    else:
        send("done", result)


def _facts(error: Exception) -> "dict[str, Any]":
    """An exception as marshal takes it; `failure` is the way back."""
    facts: dict[str, Any] = {"message": str(error), "help": getattr(error, "help", "") or getattr(error, "hint", ""), "status": None, "log": b"",
                             "trace": "", "kept": {}}
    if isinstance(error, LayersLost):
        return {**facts, "lost": error.keys, "message": error.reason}
    if isinstance(error, BuildError):
        return {**facts, "status": getattr(error, "exit_status", None), "log": getattr(error, "log", b""),
                "kept": getattr(error, "kept", {})}
    if isinstance(error, OSError) or hasattr(error, "help"):      # the other rooms' errors: they know what happened, not where
        return facts
    import traceback

    return {**facts, "message": f"{type(error).__name__}: {error}", "trace": "".join(traceback.format_exception(error))}


class WorkerBug(AssertionError):
    """A worker raised what only a bug of ours raises; `trace` is its traceback."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.trace = trace


def failure(facts: "dict[str, Any]") -> Exception:
    """The exception that a "failed" message tells of."""
    if facts["trace"]:
        return WorkerBug(facts["message"], facts["trace"])
    if facts.get("lost"):
        return LayersLost(facts["lost"], facts["message"])
    error = StepFailed(facts["message"], exit_status=facts["status"], log=facts["log"], help=facts["help"])
    error.kept = facts["kept"]
    return error


class Inline:
    """Workers without processes: each runs to its end when it is started. For tests and for machines that cannot fork."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def running(self) -> int:
        return len(self._messages)

    def start(self, token: "Any", work: "Work") -> None:
        _run(work, lambda kind, payload: self._messages.append((token, kind, payload)))

    def wait(self) -> "list[Message]":
        messages, self._messages = self._messages, []
        return messages

    def stop(self) -> None:
        self._messages = []
