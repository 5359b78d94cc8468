"""`--progress rawjson`: what a build says as BuildKit's SolveStatus, one JSON object a line, for programs that read that of buildctl and buildx."""

import json
import sys
import time
from base64 import b64encode
from hashlib import sha256

from builder.progress import CheckWarnings, Note, StepCached, StepDone, StepExplained, StepLog, StepNote, StepQueued, StepStarted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from builder.progress import Event


class RawJson:
    """A step is a vertex, whose digest says which one it is within this build. Words about the build as a whole are vertices that end at once."""

    def __init__(self, out: "TextIO | None" = None) -> None:
        self._out = out or sys.stderr
        self._started: dict[int, str] = {}
        self._labels: dict[int, str] = {}

    def __call__(self, event: "Event") -> None:
        now = _now()
        match event:
            case StepQueued(number, label):
                self._vertex(number, label)
            case StepStarted(number, label):
                self._started[number] = now
                self._vertex(number, label, started=now)
            case StepCached(number, label, why):
                started = self._started.setdefault(number, now)
                self._vertex(number, label, started=started, completed=now, cached=True)
                if why:
                    self._status(number, why, now)
            case StepDone(number, label, _, error):
                failed = {"error": error} if error else {}
                self._vertex(number, label, started=self._started.get(number, now), completed=now, **failed)
            case StepLog(number, stream, data):
                self._say("logs", {"vertex": self._digest(number), "stream": stream, "data": b64encode(data).decode(), "timestamp": now})
            case StepNote(number, text):
                self._status(number, text, now)
            case StepExplained(number, label, verdict, causes):
                if verdict == "miss":
                    self._labels.setdefault(number, label)
                    self._status(number, "; ".join(causes), now)
            case CheckWarnings(main, found):
                for one in found:
                    short = f"{one.rule}: {one.message} (line {one.line})"
                    self._say("warnings", {
                        "vertex": _digest(0, ""), "level": 1, "short": b64encode(short.encode(errors="replace")).decode(), "url": one.url,
                        "sourceInfo": {"filename": one.file or main}, "range": [{"start": {"line": one.line}, "end": {"line": one.end}}]})
            case Note("warning", text):
                self._say("warnings", {"vertex": _digest(0, ""), "level": 1, "short": b64encode(text.encode()).decode()})
            case Note(_, text):
                self._say("vertexes", {"digest": _digest(0, text), "name": text, "started": now, "completed": now})

    def _vertex(self, number: int, label: str, **fields: "Any") -> None:
        self._labels[number] = label
        self._say("vertexes", {"digest": self._digest(number), "name": label, **fields})

    def _status(self, number: int, text: str, now: str) -> None:
        self._say("statuses", {"id": text, "vertex": self._digest(number), "current": 0, "timestamp": now, "started": now, "completed": now})

    def _digest(self, number: int) -> str:
        return _digest(number, self._labels.get(number, ""))

    def _say(self, kind: str, what: "dict[str, Any]") -> None:
        print(json.dumps({kind: [what]}), file=self._out, flush=True)


def _digest(number: int, label: str) -> str:
    return f"sha256:{sha256(f'{number} {label}'.encode(errors='surrogateescape')).hexdigest()}"


def _now() -> str:
    ns = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09d}Z"
