"""The event log: what happened to images and containers of one root, one JSON line each. In: facts; out: lines, followed by whoever wants.

Writers append with one write(2) (O_APPEND), so that lines of several processes never mix; at 8 MiB the file becomes `events.1`. No JSON module is
needed to write: this is on the path of commands that take 30 ms. Readers watch the file with inotify (kernel.watch).
"""

import os
import time

from kernel.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMIT = 8 << 20
_ESCAPES = {i: f"\\u{i:04x}" for i in (*range(32), 127, *range(0xD800, 0xE000))} | {34: '\\"', 92: "\\\\"}


class Events:
    def __init__(self, directory: str) -> None:
        self.path = f"{directory}/events"

    def emit(self, kind: str, action: str, id: str, attributes: "Mapping[str, str] | None" = None) -> None:
        """Append one event. kind: "image", "container", "network", "volume", "builder"; action: docker's word for it."""
        now = time.time_ns()
        inner = ",".join(f'"{_text(k)}":"{_text(v)}"' for k, v in (attributes or {}).items())
        line = f'{{"time":{now},"type":"{_text(kind)}","action":"{_text(action)}","id":"{_text(id)}","attributes":{{{inner}}}}}\n'
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, line.encode())
            full = os.fstat(fd).st_size > _LIMIT
        finally:
            os.close(fd)
        if full:
            self._rotate()

    def _rotate(self) -> None:
        with Lock(f"{self.path}.lock"):
            try:
                if os.stat(self.path).st_size > _LIMIT:
                    os.rename(self.path, f"{self.path}.1")
            except FileNotFoundError:
                pass

    def lines(self) -> "list[bytes]":
        """All lines that are kept, oldest first; a torn one (power cut) is left out."""
        found: "list[bytes]" = []
        for path in (f"{self.path}.1", self.path):
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                continue
            found += [line for line in data.split(b"\n")[:-1] if line.startswith(b'{"time":') and line.endswith(b"}}")]
        return found


def _text(value: str) -> str:
    return value.translate(_ESCAPES)


class Follower:
    """New lines of the log as they are written: wait until `fileno` is readable, then `read`. Close it at the end."""

    def __init__(self, events: Events) -> None:
        from kernel.watch import IN_CREATE, IN_MODIFY, IN_MOVED_TO, Watch

        self._path = events.path
        self._watch = Watch()
        self._watch.add(os.path.dirname(events.path), IN_MODIFY | IN_CREATE | IN_MOVED_TO)
        self._fd = -1
        self._rest = b""
        self._open()
        if self._fd >= 0:
            os.lseek(self._fd, 0, os.SEEK_END)

    def fileno(self) -> int:
        return self._watch.fileno()

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            self._fd = -1

    def read(self) -> "list[bytes]":
        """Whole lines since the last call, across a rotation; [] if there are none."""
        while self._watch.read():
            pass
        if self._fd < 0:
            self._open()
        data = self._rest + self._new()
        while self._rotated():
            os.close(self._fd)
            self._open()
            data += self._new()
        *lines, self._rest = data.split(b"\n")
        return lines

    def _new(self) -> bytes:
        parts = []
        while self._fd >= 0 and (data := os.read(self._fd, 1 << 16)):
            parts.append(data)
        return b"".join(parts)

    def _rotated(self) -> bool:
        """Whether the name leads to another file by now. Who still has the old one open may have written one more line: it was read above."""
        if self._fd < 0:
            return False
        try:
            named, held = os.stat(self._path), os.fstat(self._fd)
        except FileNotFoundError:
            return False
        return (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino)

    def close(self) -> None:
        self._watch.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()
