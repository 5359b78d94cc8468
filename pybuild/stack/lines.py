"""Lines of several containers on stdout and stderr: each with the name of its container, in a colour of its own."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.container import Container
    from runner.logreader import Line

_COLORS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)        # cyan, yellow, green, magenta, blue; the same, brighter
_PLAIN = b"\x1b[0m"


class LineWriter:
    """project: its name is left out of theirs. ansi: never, always or auto. prefix, stamps: whether a line says whose it is, and when it came.

    before: called before each line, for whoever draws on the same terminal.
    """

    def __init__(self, project: str, *, ansi: str = "auto", prefix: bool = True, stamps: bool = False,
                 before: "Callable[[], None]" = lambda: None) -> None:
        self._project = project
        self._colored = ansi == "always" or (ansi == "auto" and sys.stdout.isatty())
        self._prefix = prefix
        self._stamps = stamps
        self._before = before
        self._width = 0
        self._colors: dict[str, int] = {}

    def announce(self, names: "Iterable[str]") -> None:
        """Names that are to come: columns are as wide as the longest."""
        for name in names:
            short = self.short(name)
            self._width = max(self._width, len(short))
            self._colors.setdefault(short, _COLORS[len(self._colors) % len(_COLORS)])

    def short(self, name: str) -> str:
        return next((name[len(head):] for head in (f"{self._project}-", f"{self._project}_") if name.startswith(head)), name)

    def __call__(self, container: "Container", line: "Line") -> None:
        name = container.name
        self.announce((name,))
        short = self.short(name)
        stamp = _stamp(line.time) if self._stamps else b""
        text = line.text if line.text.endswith(b"\n") else line.text + b"\n"
        head = self._painted(short, short.ljust(self._width + 1) + " | ") if self._prefix else b""
        self._before()
        _write(2 if line.stream == 2 else 1, head + stamp + text)

    def exited(self, container: "Container", code: int, *, restarting: bool) -> None:
        short = self.short(container.name)
        self.announce((container.name,))
        self._before()
        _write(1, self._painted(short, f"{short} exited with code {code}" + (" (restarting)" if restarting else "")) + b"\n")

    def _painted(self, short: str, text: str) -> bytes:
        data = text.encode("utf-8", "surrogateescape")
        return b"\x1b[%dm%s%s" % (self._colors[short], data, _PLAIN) if self._colored else data


def _stamp(time: int) -> bytes:
    from runner.moment import time_text

    return time_text(time, fixed=True).encode() + b" "


def _write(fd: int, data: bytes) -> None:
    """Raises BrokenPipeError."""
    if fd == 1:
        sys.stdout.flush()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view):]
        except BlockingIOError:
            import select

            select.select((), (fd,), ())
