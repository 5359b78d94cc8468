"""Forked workers: each runs one function beside the others and talks back over a pipe.

The process that plans stays single-threaded, so that it may fork at any time and no lock of a thread is ever copied. A worker dies with
its parent (PDEATHSIG), and what it holds (locks, leases, the connection that keeps a sandbox alive) goes with it.

`start` forks for one piece of work, which may use all that the parent knows by then. `order` may give work to a process that was forked for an
earlier order: what the parent has learnt since must be in the order. That saves a fork, and the faults of its copied pages, per step.
"""

import os
import select
import signal
from errno import ENOSPC
from functools import partial
from marshal import dumps, loads

from builder.errors import BuildError, LayersLost, StepFailed
from kernel.descent import kill_tree
from kernel.errors import PROCESS_LIMIT
from kernel.syscalls import PR_SET_PDEATHSIG, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeAlias

    Send: TypeAlias = Callable[[str, Any], None]        # (kind, what marshal takes)
    Work: TypeAlias = Callable[[Send], Any]
    Perform: TypeAlias = Callable[[Any, Send], Any]     # (order as marshal takes it, send)

    class Workers(Protocol):
        """Runs work and tells how it went. `Inline` below is the second implementation."""

        def start(self, token: Any, work: Work) -> None: ...
        def order(self, token: Any, perform: Perform, order: Any) -> None: ...
        def wait(self) -> "list[Message]": ...
        def running(self) -> int: ...
        def cancel(self, token: Any) -> None: ...
        def stop(self) -> None: ...


Message: "TypeAlias" = "tuple[Any, str, Any]"           # (token, kind, payload); kinds "done" and "failed" are a worker's last

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HEADER = 4
_CHUNK = 1 << 16


class Forked:
    """Workers as child processes. `wait` blocks until at least one of them says something.

    Called in workers: prepare when an order is carried out, and the next may come; leave at the end.
    """

    def __init__(self, prepare: "Callable[[], None]" = lambda: None, leave: "Callable[[], None]" = lambda: None) -> None:
        self._poll = select.poll()
        self._workers: dict[int, _Child] = {}
        self._idle: list[_Child] = []                  # those that wait for a further order
        self._prepare, self._leave = prepare, leave

    def running(self) -> int:
        return len(self._workers) - len(self._idle)

    def start(self, token: "Any", work: "Work") -> None:
        self._fork(token, -1, lambda send: _run(work, send))

    def order(self, token: "Any", perform: "Perform", order: "Any") -> None:
        """Have `perform(order, send)` done. A worker that was forked earlier calls the `perform` that was given then: it must mean the same."""
        if not self._idle:
            read, write = os.pipe2(os.O_CLOEXEC)
            self._fork(token, write, lambda send: _serve(read, perform, self._prepare, send))
            os.close(read)
            self._idle.append(self._last)
        child = self._idle.pop(0)                      # the one that has had the most time to clear up
        child.begin(token)
        _write(child.orders, order)

    def _fork(self, token: "Any", orders: int, life: "Callable[[Send], None]") -> None:
        read, write = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)      # else `stop` might not know of it
        try:
            pid = os.fork()
            if not pid:
                for other in (*self._workers.values(), _Child(None, 0, read, orders)):
                    other.close()                      # else nobody would see that there is nobody any more who orders
                _child(parent, write, life, self._leave, before)
            os.close(write)
            self._workers[read] = self._last = _Child(token, pid, read, orders)
            self._poll.register(read, select.POLLIN)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def wait(self) -> "list[Message]":
        messages: list[Message] = []
        while not messages and self.running():
            for fd, _ in self._poll.poll():
                messages += self._take(self._workers[fd])
        return messages

    def _take(self, child: "_Child") -> "list[Message]":
        data = os.read(child.fd, _CHUNK)
        if data:
            messages = [(child.token, kind, payload) for kind, payload in child.feed(data)]
            if child.ended and child.orders >= 0:
                self._idle.append(child)
            return messages
        self._forget(child)
        _, status = os.waitpid(child.pid, 0)
        if child.ended:
            return []
        code = os.waitstatus_to_exitcode(status)
        how = f"killed by signal {-code}" if code < 0 else f"gone with status {code}"
        return [(child.token, "failed", _facts(StepFailed(f"the worker process was {how}")))]

    def _forget(self, child: "_Child") -> None:
        self._poll.unregister(child.fd)
        del self._workers[child.fd]
        if child in self._idle:
            self._idle.remove(child)
        child.close()

    def cancel(self, token: "Any") -> None:
        """Kill the worker that does this, if one does, and forget what it said."""
        for child in [child for child in self._workers.values() if child.token == token and child not in self._idle]:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            self._forget(child)

    def stop(self) -> None:
        """Kill every worker that is at work, and wait until all are gone; what one was running in a sandbox dies with its connection."""
        for child in self._workers.values():
            if child not in self._idle:
                kill_tree(child.pid)
        self.close()

    def close(self) -> None:
        """Let those that wait for orders end, and wait for all."""
        for child in self._idle:
            os.close(child.orders)
            child.orders = -1
        self._reap()

    def _reap(self) -> None:
        for child in list(self._workers.values()):
            os.waitpid(child.pid, 0)
            self._forget(child)


class _Child:
    """orders: the pipe that leads to it, -1 if it was forked for one piece of work."""

    __slots__ = ("_buffer", "ended", "fd", "orders", "pid", "token")

    def __init__(self, token: "Any", pid: int, fd: int, orders: int) -> None:
        self.pid, self.fd, self.orders = pid, fd, orders
        self._buffer = b""
        self.begin(token)

    def begin(self, token: "Any") -> None:
        self.token, self.ended = token, False

    def feed(self, data: bytes) -> "list[tuple[str, Any]]":
        found, self._buffer = _split(self._buffer + data)
        self.ended = self.ended or any(kind in ("done", "failed") for kind, _ in found)
        return found

    def close(self) -> None:
        os.close(self.fd)
        if self.orders >= 0:
            os.close(self.orders)


def _split(buffer: bytes) -> "tuple[list[Any], bytes]":
    """(whole messages, what is left)."""
    found, at = [], 0
    while len(buffer) - at >= _HEADER:
        end = at + _HEADER + int.from_bytes(buffer[at:at + _HEADER], "little")
        if len(buffer) < end:
            break
        found.append(loads(buffer[at + _HEADER:end]))
        at = end
    return found, buffer[at:]


def _write(fd: int, message: "Any") -> None:
    body = dumps(message, 4)
    view = memoryview(len(body).to_bytes(_HEADER, "little") + body)
    while view:
        view = view[os.write(fd, view):]


def _child(parent: int, fd: int, life: "Callable[[Send], None]", leave: "Callable[[], None]", mask: "set[Any]") -> None:
    """The whole life of a worker; never returns. mask: of the signals that are blocked in it."""
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:                     # it died between fork and prctl
            os._exit(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)   # ^C reaches the whole group; the parent decides
        for number in _ENDING[1:]:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        life(lambda kind, payload: _write(fd, (kind, payload)))
        leave()
    finally:
        os._exit(0)


def _serve(fd: int, perform: "Perform", prepare: "Callable[[], None]", send: "Send") -> None:
    """Carry out orders until nobody can give any more."""
    buffer = b""
    while data := os.read(fd, _CHUNK):
        orders, buffer = _split(buffer + data)
        for order in orders:
            _run(partial(perform, order), send)
            prepare()


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
    if isinstance(error, BlockingIOError):                # of fork
        return {**facts, "message": f"cannot start another process: {(error.strerror or '').lower()}", "help": PROCESS_LIMIT}
    if isinstance(error, OSError) and type(error).__str__ is OSError.__str__:
        about = f"`{os.fsdecode(error.filename)}`: " if error.filename else ""
        full = error.errno == ENOSPC
        return {**facts, "message": about + (error.strerror or str(error)).lower(), "help": "`pybuild prune` frees room in the store" if full else ""}
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
    """Workers without processes: each runs to its end when it is started, and is heard word by word. For tests."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def running(self) -> int:
        return len(self._messages)

    def start(self, token: "Any", work: "Work") -> None:
        _run(work, lambda kind, payload: self._messages.append((token, kind, payload)))

    def order(self, token: "Any", perform: "Perform", order: "Any") -> None:
        self.start(token, partial(perform, loads(dumps(order, 4))))

    def wait(self) -> "list[Message]":
        return [self._messages.pop(0)]

    def cancel(self, token: "Any") -> None:
        self._messages = [message for message in self._messages if message[0] != token]

    def stop(self) -> None:
        self._messages = []
