"""A command in a running container, from the user's side: its streams are pipes of ours, or a terminal whose other end the shim hands over."""

import os
import select

from kernel.value import plain
from runner.attachment import Attachment, parse_keys
from runner.errors import ShimLost
from runner.log import CHUNK, STDERR, STDOUT
from runner.logreader import Record
from runner.naming import new_id
from runner.stream import Exit
from sandbox.errors import KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.contact import Contact
    from runner.container import Container
    from runner.engine import Engine
    from sandbox.spec import ExecSpec

_TOOL_FAILED = 125


class ExecStream:
    """The streams of one execution, as runner.attachment wants them: several descriptors behind one that can be polled."""

    __slots__ = ("_contact", "_epoll", "_exit", "_outputs", "_ready", "console", "tty")

    def __init__(self, contact: "Contact", outputs: "dict[int, int]", console: int, tty: bool) -> None:
        self._contact = contact
        self._outputs = outputs                           # fd -> STDOUT or STDERR
        self._ready: list[Record] = []
        self._exit: "Exit | None" = None
        self.console = console
        self.tty = tty
        self._epoll = select.epoll()
        self._epoll.register(contact.fileno(), select.EPOLLIN)
        for fd in outputs:
            os.set_blocking(fd, False)
            self._epoll.register(fd, select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def hear(self) -> "Exit | None":
        for fd, _ in self._epoll.poll(0):
            if fd == self._contact.fileno():
                self._hear_shim()
            else:
                self._take(fd)
        if self._exit:
            for fd in list(self._outputs):                # who still has the pipe is not the command; it is not waited for
                while fd in self._outputs and self._take(fd):
                    pass
        return self._exit

    def _hear_shim(self) -> None:
        message, _ = self._contact.hear()
        if message is None:
            self._exit = Exit(_TOOL_FAILED, "the container has ended", False, False)
        elif message[0] == "exit":
            self._exit = Exit(message[1], "", False, False)
        elif message[0] == "failed":
            raise KINDS[message[1]](*message[2:])

    def _take(self, fd: int) -> bool:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""                                    # EIO: nobody has the terminal open
        if data:
            self._ready.append(Record(0, self._outputs[fd], data))
            return True
        self._epoll.unregister(fd)
        del self._outputs[fd]
        os.close(fd)
        return False

    def records(self) -> "Iterator[Record]":
        ready, self._ready = self._ready, []
        yield from ready

    def signal(self, number: int) -> None:
        """Not passed on, as in docker."""

    def resize(self, rows: int, columns: int) -> None:
        from sandbox.terminal import resize

        if self.console >= 0:
            resize(self.console, rows, columns)

    def close_console(self) -> None:
        if self.console >= 0:
            os.close(self.console)
            self.console = -1

    def close(self) -> None:
        self.close_console()
        for fd in self._outputs:
            os.close(fd)
        self._epoll.close()


def execute(engine: "Engine", container: "Container", spec: "ExecSpec", *, stdin: int = -1, detach: bool = False, detach_keys: str = "",
            stdout: int = 1, stderr: int = 2) -> int:
    """Run it to its end with these streams; its exit status. stdin -1: it has none. detach: only start it.

    Raises SandboxError (CommandMissing has the exit status 127), Conflict if the container does not run.
    """
    keys = parse_keys(detach_keys)
    with engine.running(container) as contact:
        if detach:
            _start(contact, spec, (), wait=True)
            return 0
        stream = open_stream(contact, spec, wants_input=stdin >= 0)
        try:
            outcome = Attachment(stream, stdin=stdin, stdout=stdout, stderr=stderr, detach_keys=keys, proxy=False).run()
        finally:
            stream.close()
    return outcome.exit.code if outcome.exit else 0


def open_stream(contact: "Contact", spec: "ExecSpec", *, wants_input: bool) -> ExecStream:
    """Have it started, by the shim at the other end of `contact`; its streams, the caller's to close. Whether it could be started is heard later."""
    if spec.terminal:
        fds = _start(contact, spec, (), wait=False)
        return ExecStream(contact, {fds[0]: STDOUT}, os.dup(fds[0]) if wants_input else -1, True)
    out, err = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
    read, console = os.pipe2(os.O_CLOEXEC) if wants_input else (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1)
    try:
        _start(contact, spec, (read, out[1], err[1]), wait=False)
    finally:
        for fd in (read, out[1], err[1]):
            os.close(fd)
    return ExecStream(contact, {out[0]: STDOUT, err[0]: STDERR}, console, False)


def _start(contact: "Contact", spec: "ExecSpec", streams: "tuple[int, ...]", *, wait: bool) -> "list[int]":
    """Have it started; of one with a terminal that one's fd. Without streams they are /dev/null. wait: until it runs."""
    null = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)] if not streams else []
    try:
        contact.tell("exec", new_id(), plain(spec.check()), fds=streams or (null[0],) * 3)
    finally:
        for fd in null:
            os.close(fd)
    if not wait and not spec.terminal:
        return []
    while True:
        message, fds = contact.hear()
        if message is None:
            raise ShimLost(contact.name, "it ends just now")
        if message[0] == "failed":
            raise KINDS[message[1]](*message[2:])
        if message[0] == "terminal" and not wait:
            return fds
        if message[0] == "started":
            return []
