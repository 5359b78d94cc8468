"""A build's events as text on stderr. plain: a line for each piece of news, in the order it happens; json: one event a line; quiet: nothing."""

import sys
import time

from builder.progress import CheckWarnings, Note, StepCached, StepDone, StepExplained, StepLog, StepNote, StepQueued, StepStarted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from codecs import IncrementalDecoder
    from typing import TextIO

    from builder.progress import Event, OnEvent


def printer(kind: str, out: "TextIO | None" = None) -> "OnEvent":
    """The function to give to a build. kind: "plain", "json", "quiet" or "none"; "auto" and "tty" are plain where no terminal is."""
    out = out or sys.stderr
    if kind in ("quiet", "none"):
        return _Quiet(out)
    if kind == "json":
        return _Json(out)
    if kind == "rawjson":
        from pybuild.output.rawjson import RawJson

        return RawJson(out)
    return _Plain(out)


class _Quiet:
    """Warnings only."""

    def __init__(self, out: "TextIO") -> None:
        self._out = out

    def __call__(self, event: "Event") -> None:
        if isinstance(event, Note) and event.level == "warning":
            print(f"warning: {event.text}", file=self._out, flush=True)


class _Json:
    """{"event": "StepDone", "number": 3, ...}: the fields of builder.progress, logs as text."""

    def __init__(self, out: "TextIO") -> None:
        from codecs import getincrementaldecoder

        self._out = out
        self._decoder = getincrementaldecoder("utf-8")
        self._decoders: "dict[tuple[int, int], IncrementalDecoder]" = {}      # a piece of output may end within a character

    def __call__(self, event: "Event") -> None:
        import json

        if isinstance(event, CheckWarnings):
            for found in event.found:
                fields = found._asdict() | {"file": found.file or event.main}
                print(json.dumps({"event": "CheckWarning", "time": time.time(), **fields}), file=self._out, flush=True)
            return
        fields = event._asdict()
        if isinstance(event, StepLog):
            decoder = self._decoders.setdefault((event.number, event.stream), self._decoder("replace"))
            fields["data"] = decoder.decode(event.data)
        print(json.dumps({"event": type(event).__name__, "time": time.time(), **fields}), file=self._out, flush=True)


class _Plain:
    """BuildKit's look: `#3 [builder 2/5] RUN make`, `#3 0.412 output`, `#3 DONE 1.2s`."""

    def __init__(self, out: "TextIO") -> None:
        self._out = out
        self._began: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self._last = 0

    def __call__(self, event: "Event") -> None:
        match event:
            case StepStarted(number, label):
                self._began[number] = time.monotonic()
                self._say(number, label)
            case StepCached(number, label, why):
                if number not in self._began:
                    self._say(number, label)
                self._say(number, f"CACHED ({why})" if why else "CACHED")
            case StepExplained(number, label, verdict, causes):
                if verdict == "miss":
                    self._say(number, label)
                    self._say(number, f"MISS: {'; '.join(causes)}")
            case StepLog(number, _, data):
                self._log(number, data)
            case StepNote(number, text):
                self._say(number, text)
            case StepDone(number, _, seconds, error):
                self._flush(number)
                self._say(number, f"ERROR: {error}" if error else f"DONE {seconds:.1f}s")
            case Note(level, text):
                self._write(f"{level}: {text}" if level == "warning" else text)
            case CheckWarnings():
                self._write(warnings_text(event))
            case StepQueued():
                pass

    def _log(self, number: int, data: bytes) -> None:
        lines = (self._partial.pop(number, b"") + data).split(b"\n")
        if lines[-1]:
            self._partial[number] = lines[-1]
        seconds = time.monotonic() - self._began.get(number, time.monotonic())
        for line in lines[:-1]:
            self._say(number, f"{seconds:.3f} {_clean(line)}")

    def _flush(self, number: int) -> None:
        rest = self._partial.pop(number, b"")
        if rest:
            self._log(number, rest + b"\n")

    def _say(self, number: int, text: str) -> None:
        if self._last not in (0, number):
            self._write("")
        self._last = number
        self._write(f"#{number} {text}")

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def warnings_text(warnings: CheckWarnings) -> str:
    """The build checks' findings in a line each, below how many there are."""
    count = len(warnings.found)
    lines = ["", f"{count} warning{'s' if count > 1 else ''} found (`pybuild --check` shows where):"]
    for one in warnings.found:
        place = f"{one.file}:{one.line}" if one.file else f"line {one.line}"
        lines.append(f" - {one.rule}: {_harmless(one.message)} ({_harmless(place)})")
    return "\n".join(lines)


def _clean(line: bytes) -> str:
    """What a process wrote, made harmless for a terminal: of a line drawn over and over the last state counts; no control sequences."""
    return _harmless(line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace"))


def _harmless(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "" if c == "\x1b" else "\ufffd" for c in text)
