"""A terminal, or pipes, attached to a container: its output to ours, our input to its, signals passed on, until it ends or the user lets go.

For commands in the foreground. Everything is restored when it returns: signal handlers, the terminal's mode.
"""

import _signal  # type: ignore[import-not-found]
import os
import select

from kernel.value import Value
from runner.errors import ShimLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    from runner.logreader import Record
    from runner.stream import Exit

    class Streams(Protocol):
        """What is attached to: runner.stream.Stream of a container, runner.executing.ExecStream of a command in one."""

        console: int
        tty: bool

        def fileno(self) -> int: ...
        def hear(self) -> "Exit | None": ...
        def records(self) -> "Iterator[Record]": ...
        def signal(self, number: int) -> None: ...
        def resize(self, rows: int, columns: int) -> None: ...
        def close_console(self) -> None: ...

_BLOCK = 1 << 16
_WINCH = 28
# what a terminal or an init system sends to a command in the foreground, and what people send to it
PROXIED = (1, 2, 3, 10, 12, 15, 18)                       # HUP INT QUIT USR1 USR2 TERM CONT


class Outcome(Value):
    """exit: how the container ended; None if the user has let go of it (`detached`)."""

    exit: "Exit | None"
    detached: bool = False


class Attachment:
    """stdin -1: none is passed on. detach_keys: bytes that, typed on a terminal, let go of the container; b"": none do."""

    def __init__(self, stream: "Streams", *, stdin: int = -1, stdout: int = 1, stderr: int = 2, detach_keys: bytes = b"\x10\x11",
                 proxy: bool = True) -> None:
        self._stream = stream
        self._stdin = stdin if stream.console >= 0 else -1
        self._outputs = {1: stdout, 2: stdout if stream.tty else stderr}
        self._keys = detach_keys
        self._typed = b""                                 # the beginning of the detach keys, held back
        self._pending = b""                               # for the container, which does not take more just now
        self._proxy = proxy
        self._poll = select.poll()
        self._wakeup = -1

    def run(self) -> Outcome:
        """Raises ShimLost only if the shim was killed."""
        mode = self._enter_terminal()
        handlers = self._take_signals()
        try:
            return self._pump()
        finally:
            self._restore_signals(handlers)
            if mode is not None:
                import termios

                termios.tcsetattr(self._stdin, termios.TCSADRAIN, mode)

    def _pump(self) -> Outcome:
        poll, stream = self._poll, self._stream
        poll.register(stream.fileno(), select.POLLIN)
        if self._stdin >= 0:
            poll.register(self._stdin, select.POLLIN)
        if self._wakeup >= 0:
            poll.register(self._wakeup, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == stream.fileno():
                    exit = stream.hear()
                    self._show()
                    if exit is not None:
                        return Outcome(exit)
                elif fd == self._wakeup:
                    self._pass_signals()
                elif fd == self._stdin:
                    if self._read_input():
                        return Outcome(None, detached=True)
                else:
                    self._feed()

    def _show(self) -> None:
        for record in self._stream.records():
            self._write(record.stream, record.data)

    def _write(self, stream: int, data: bytes) -> None:
        fd = self._outputs[stream]
        view = memoryview(data)
        while view and fd >= 0:
            try:
                view = view[os.write(fd, view):]
            except BlockingIOError:
                _takes_more(fd, None)
            except BrokenPipeError:                       # nobody reads it any more; the container need not know
                fd = self._outputs[stream] = -1

    # ---------------------------------------------------------------- input
    def _read_input(self) -> bool:
        """Whether the user wants to let go."""
        try:
            data = os.read(self._stdin, _BLOCK)
        except OSError:                                   # EIO: the terminal is gone
            data = b""
        if not data:
            self._watch(self._stdin, 0)
            self._stdin = -1
            if not self._pending:
                self._stream.close_console()
            return False
        detached = False
        if self._stream.tty and self._keys:
            data, detached = self._without_keys(data)
        self._pending += data
        self._feed()
        return detached

    def _without_keys(self, data: bytes) -> "tuple[bytes, bool]":
        """(what is for the container, whether the detach keys have been typed in a row)."""
        passed = b""
        for number in data:
            self._typed += bytes((number,))
            while self._typed and not self._keys.startswith(self._typed):
                passed += self._typed[:1]
                self._typed = self._typed[1:]
            if self._typed == self._keys:
                return passed, True
        return passed, False

    def _feed(self) -> None:
        """Write what is pending as far as it is taken; while it is not, nothing more is read."""
        console = self._stream.console
        try:
            while self._pending and _takes_more(console, 0):
                self._pending = self._pending[os.write(console, self._pending[:select.PIPE_BUF]):]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:                                   # it does not read its stdin any more
            self._pending = b""
        self._watch(console, select.POLLOUT if self._pending else 0)
        self._watch(self._stdin, 0 if self._pending else select.POLLIN)
        if not self._pending and self._stdin < 0:
            self._stream.close_console()

    def _watch(self, fd: int, events: int) -> None:
        if fd >= 0 and events:
            self._poll.register(fd, events)
        elif fd >= 0:
            try:
                self._poll.unregister(fd)
            except KeyError:
                pass                                      # it was not watched

    # ---------------------------------------------------------------- terminal and signals
    def _enter_terminal(self) -> "Any":
        """Raw mode on our terminal, if the container has one and input is passed on; what it was before, or None."""
        if not self._stream.tty or self._stdin < 0 or not os.isatty(self._stdin):
            return None
        import termios
        import tty

        mode = termios.tcgetattr(self._stdin)
        tty.setraw(self._stdin, termios.TCSANOW)
        return mode

    def _take_signals(self) -> "dict[int, Any]":
        wanted = [*(PROXIED if self._proxy else ()), *((_WINCH,) if self._stream.tty and self._window() else ())]
        if not wanted:
            return {}
        self._wakeup, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        old = _signal.set_wakeup_fd(write)
        handlers = {number: _signal.signal(number, lambda *_: None) for number in wanted}
        handlers[-1] = (old, write)
        return handlers

    def _restore_signals(self, handlers: "dict[int, Any]") -> None:
        if not handlers:
            return
        old, write = handlers.pop(-1)
        for number, handler in handlers.items():
            _signal.signal(number, handler)
        _signal.set_wakeup_fd(old)
        os.close(write)
        os.close(self._wakeup)

    def _pass_signals(self) -> None:
        for number in os.read(self._wakeup, 64):
            try:
                if number == _WINCH:
                    self._stream.resize(*(self._window() or (24, 80)))
                elif number in PROXIED:
                    self._stream.signal(number)
            except ShimLost:
                pass                                      # its end is on the way

    def _window(self) -> "tuple[int, int] | None":
        return window_of(self._outputs[1])


def _takes_more(fd: int, timeout_ms: "int | None") -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(timeout_ms))


def window_of(fd: int) -> "tuple[int, int] | None":
    """(rows, columns) of the terminal behind `fd`; None if it is none."""
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return None
    return (size.lines, size.columns) if size.lines and size.columns else None


def parse_keys(text: str) -> bytes:
    """"ctrl-p,ctrl-q", "a,ctrl-]" as bytes; "" for none. Raises InvalidOption."""
    from runner.errors import InvalidOption

    found = b""
    for word in text.split(",") if text else ():
        if len(word) == 1 and word.isascii():
            found += word.encode()
        elif word.startswith("ctrl-") and len(word) == 6 and (word[5].isalpha() or word[5] in "@[\\]^_") and word.isascii():
            found += bytes((ord(word[5].upper()) & 0x1F,))
        else:
            raise InvalidOption("detach key", word, "is neither a letter nor `ctrl-` with one", "for example `ctrl-p,ctrl-q`")
    return found
