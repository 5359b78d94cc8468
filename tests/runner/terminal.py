"""A command of pyup on a terminal, as somebody who types sees it."""

import fcntl
import os
import pty
import select
import sys
import time
from typing import Protocol

from tests.tool import Tool
from tests.users import User

_PATIENCE_S = 60.0
_TIOCGPTN = 0x80045430


class Stage(Protocol):
    """Who runs commands, and as whom."""

    @property
    def tool(self) -> Tool: ...

    @property
    def user(self) -> User | None: ...


class Terminal:
    """`with Terminal(scene, "container", "run", "-it", ...) as terminal`: type, and wait for what appears."""

    def __init__(self, scene: Stage, *words: str, rows: int = 30, columns: int = 100) -> None:
        self.seen = ""
        argv = scene.tool.argv("pyup", *words)
        self.pid, self.fd = pty.fork()
        if not self.pid:
            try:
                if scene.user:
                    scene.user.become()
                else:
                    os.environ.update(scene.tool.env)
                os.execv(argv[0], argv)
            finally:
                os._exit(99)
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        from sandbox.terminal import resize

        resize(self.fd, rows, columns)

    def open_inner(self) -> int:
        """Another fd of the end that the command has: as long as it is open the terminal does not hang up."""
        number = int.from_bytes(fcntl.ioctl(self.fd, _TIOCGPTN, bytes(4)), sys.byteorder)
        return os.open(f"/dev/pts/{number}", os.O_RDWR | os.O_NOCTTY)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def expect(self, text: str) -> str:
        """Everything seen so far, once `text` is in what has not been expected yet."""
        deadline = time.monotonic() + _PATIENCE_S
        while text not in self.seen:
            assert select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0], f"only seen: {self.seen!r}"
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            assert data, f"it has ended, and only this was seen: {self.seen!r}"
            self.seen += data.decode(errors="replace")
        found, _, self.seen = self.seen.partition(text)
        return found + text

    def end(self) -> int:
        """Exit status of the command; waits for it."""
        while True:
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode(errors="replace")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *what: object) -> None:
        os.close(self.fd)
