"""A terminal passed through: what is typed here goes to a process in a sandbox, what it prints comes here, until it has ended."""

import fcntl
import os
import select
import signal
import struct
import termios
import tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.client import Running

_BLOCK = 1 << 16


def is_here() -> bool:
    return os.isatty(0) and os.isatty(1)


def attend(running: "Running") -> None:
    """Returns when the process has ended, or its terminal is closed. Our own terminal is then as it was."""
    outer = running.terminal
    mode = termios.tcgetattr(0)
    wakeup, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = signal.signal(signal.SIGWINCH, lambda *_: os.write(waker, b"w"))
    tty.setraw(0, termios.TCSANOW)
    try:
        _resize(outer)
        _pump(outer, wakeup)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, mode)
        signal.signal(signal.SIGWINCH, before)
        os.close(wakeup)
        os.close(waker)


def _pump(outer: int, wakeup: int) -> None:
    poll = select.poll()
    for fd in (0, outer, wakeup):
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == wakeup:
                os.read(wakeup, _BLOCK)
                _resize(outer)
                continue
            try:
                data = os.read(fd, _BLOCK)
            except OSError:                              # EIO: nobody has the other end of the terminal open any more
                data = b""
            if not data and fd == outer:
                return
            if not data:
                poll.unregister(0)                       # end of file, as if ^D were typed
                data = b"\x04"
            target = 1 if fd == outer else outer
            view = memoryview(data)
            while view:
                view = view[os.write(target, view):]


def _resize(outer: int) -> None:
    columns, rows = os.get_terminal_size(1)
    fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
