"""Pulls and pushes as text. On a terminal a line for each layer, drawn again as it moves; elsewhere a line each time a layer's state changes."""

import sys
import time

from pybuild.output.units import size
from store.registry import progress as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_WORDS = {p.WAITING: "Waiting", p.EXISTS: "Already exists", p.DOWNLOADING: "Downloading", p.EXTRACTING: "Extracting", p.PULLED: "Pull complete",
          p.COMPRESSING: "Compressing", p.UPLOADING: "Pushing", p.MOUNTED: "Mounted", p.PUSHED: "Pushed"}
_BAR = 30
_REDRAW_S = 0.1


class TransferLines:
    """An OnProgress. Use it in a `with`: the last state of every layer is on the screen when it ends."""

    def __init__(self, out: "TextIO | None" = None, *, quiet: bool = False) -> None:
        self._out = out or sys.stdout
        self._quiet = quiet
        self._tty = not quiet and self._out.isatty()
        self._layers: "dict[str, p.Transfer]" = {}
        self._shown: "dict[str, str]" = {}
        self._drawn = 0                                  # lines on the screen
        self._last = 0.0

    def __call__(self, event: "p.Progress") -> None:
        if self._quiet:
            return
        if isinstance(event, p.Word):
            self._clear()
            print(event.text, file=self._out, flush=True)
            return
        before = self._layers.get(event.id)
        self._layers[event.id] = event
        changed = before is None or before.state != event.state
        if not self._tty:
            if changed:
                self._line(event)
        elif changed or time.monotonic() - self._last > _REDRAW_S:
            self._draw()

    def __enter__(self) -> "TransferLines":
        return self

    def __exit__(self, *what: object) -> None:
        if self._tty and self._layers:
            self._draw()

    def _line(self, event: p.Transfer) -> None:
        text = _text(event)
        if self._shown.get(event.id) != text:
            self._shown[event.id] = text
            print(f"{_short(event.id)}: {text}", file=self._out, flush=True)

    def _draw(self) -> None:
        self._last = time.monotonic()
        back = f"\x1b[{self._drawn}A" if self._drawn else ""
        lines = [f"\x1b[2K{_short(event.id)}: {_text(event)}{_bar(event)}\n" for event in self._layers.values()]
        self._out.write(back + "".join(lines))
        self._out.flush()
        self._drawn = len(lines)

    def _clear(self) -> None:
        """What comes next is below the layers, which are drawn anew below that."""
        self._drawn = 0


def _short(id: str) -> str:
    return id.removeprefix("sha256:")[:12]


def _text(event: p.Transfer) -> str:
    word = _WORDS[event.state]
    return f"{word} from {event.detail}" if event.detail else word


def _bar(event: p.Transfer) -> str:
    if event.state in p.FINAL or not event.done:
        return ""
    if not event.total:
        return f"  {size(event.done)}"
    full = min(event.done, event.total) * _BAR // event.total
    return f"  [{'=' * full}{'>' if full < _BAR else ''}{' ' * (_BAR - full - 1)}]  {size(event.done)}/{size(event.total)}"
