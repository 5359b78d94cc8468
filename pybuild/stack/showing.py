"""How a project's changes are shown, on stderr: a line for each, a table that is redrawn, JSON, or nothing."""

import os
import sys
import time

from runner.progress import DONE, ERROR, Output, Progress, Warned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TextIO

    from pybuild.scanner import Options
    from runner.progress import News

_GREEN, _RED, _YELLOW, _BLUE, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[0m"
_MARKS = {True: "✔", False: "⠿"}


def kind_of(said: "Options", environment: "Mapping[str, str]", out: "TextIO") -> str:
    """tty, plain, json or quiet: what was asked for, or what the terminal can do."""
    kind = said.progress or environment.get("COMPOSE_PROGRESS", "") or "auto"
    if kind == "auto":
        ansi = ansi_of(said, environment)
        return "tty" if ansi != "never" and out.isatty() and os.environ.get("TERM", "dumb") != "dumb" else "plain"
    return kind if kind in ("tty", "json", "quiet") else "plain"


def ansi_of(said: "Options", environment: "Mapping[str, str]") -> str:
    """never, always or auto."""
    word = "never" if said.no_ansi else said.ansi or environment.get("COMPOSE_ANSI", "")
    if word in ("never", "always"):
        return word
    return "never" if environment.get("NO_COLOR") else "auto"


def printable(text: str) -> str:
    """What a file or a program says, made harmless for a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


class Printer:
    """Called with each piece of news. `pause` lets others write lines below a table; `close` leaves it as it is."""

    def __init__(self, kind: str, out: "TextIO | None" = None, clock: "Callable[[], float]" = time.monotonic) -> None:
        self._kind = kind
        self._out = out or sys.stderr
        self._table = _Table(self._out, clock) if kind == "tty" else None

    def __call__(self, news: "News") -> None:
        if isinstance(news, Warned):
            self.warn(news.text)
        elif isinstance(news, Output):
            self._output(news)
        elif self._kind == "json":
            self._json({"id": f"{news.kind} {news.name}", "status": news.word, **({"details": news.detail} if news.detail else {})})
        elif self._table:
            self._table.add(news)
        elif self._kind == "plain":
            self._line(f" {news.kind} {news.name} {news.word}{f' {news.detail}' if news.detail else ''}")

    def warn(self, text: str) -> None:
        self._remark("warning", text)

    def note(self, text: str) -> None:
        self._remark("note", text)

    def _remark(self, level: str, text: str) -> None:
        self.pause()
        if self._kind == "json":
            self._json({"level": level, "message": text})
        else:
            self._line(f"{level}: {printable(text)}")

    def say(self, text: str) -> None:
        """A line for people, unless they want to be left alone."""
        self.pause()
        if self._kind == "json":
            self._json({"message": text})
        elif self._kind != "quiet":
            self._line(printable(text))

    def _output(self, news: Output) -> None:
        if self._kind != "quiet":
            self.pause()
            for line in news.data.splitlines():
                self._line(f"{news.name} -> | {printable(line.decode(errors='replace'))}")

    def _json(self, fields: "dict[str, str]") -> None:
        import json

        self._line(json.dumps(fields))

    def _line(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()

    def pause(self) -> None:
        """Whoever writes next begins on a line of its own, below what is drawn."""
        if self._table:
            self._table.end()

    close = pause


class _Table:
    """A line for each thing, drawn over and over; as many as the terminal has room for."""

    def __init__(self, out: "TextIO", clock: "Callable[[], float]") -> None:
        self._out = out
        self._clock = clock
        self._begun: dict[tuple[str, str], float] = {}
        self._lines: dict[tuple[str, str], tuple[Progress, float]] = {}
        self._drawn = 0

    def add(self, news: Progress) -> None:
        key, now = (news.kind, news.name), self._clock()
        if key not in self._lines or (self._lines[key][0].word in DONE and news.word not in DONE):
            self._begun[key] = now                        # one thing after another happens to it: each has its own time
        self._lines[key] = (news, now - self._begun[key])
        self._draw()

    def _draw(self) -> None:
        columns, rows = self._size()
        lines = [self._text(*line) for line in self._lines.values()]
        done = sum(1 for news, _ in self._lines.values() if news.word in DONE)
        shown = [(f"[+] {done}/{len(lines)}", ""), *lines[-max(1, rows - 2):]]
        text = "".join(f"\x1b[2K{color}{line[:columns - 1]}{_PLAIN if color else ''}\n" for line, color in shown)
        self._out.write((f"\x1b[{self._drawn}A" if self._drawn else "") + text)
        self._out.flush()
        self._drawn = len(shown)

    @staticmethod
    def _text(news: Progress, seconds: float) -> "tuple[str, str]":
        finished = news.word in DONE
        color = _RED if news.word == ERROR else _GREEN if finished else _BLUE
        detail = f" {news.detail}" if news.detail else ""
        return f" {'✘' if news.word == ERROR else _MARKS[finished]} {news.kind} {news.name}  {news.word}{detail}  {seconds:.1f}s", color

    def _size(self) -> "tuple[int, int]":
        try:
            size = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):
            return 80, 24
        return size.columns or 80, size.lines or 24

    def end(self) -> None:
        """What is drawn stays; what comes is drawn below."""
        self._lines = {key: line for key, line in self._lines.items() if line[0].word not in DONE}
        self._drawn = 0
