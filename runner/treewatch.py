"""Directory trees, watched: every path below that has changed, in batches, once there is quiet. By inotify, without a thread."""

import os

from kernel.watch import (
    IN_ATTRIB,
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_ISDIR,
    IN_MODIFY,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_Q_OVERFLOW,
    Watch,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.reactor import Reactor
    from runner.timers import Timer

QUIET_S = 0.3                                             # without a change, before a batch is told
_LONGEST_S = 2.0                                          # that changes without a pause are gathered
_MASK = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF
_GONE = IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF


class TreeWatch:
    """on_batch: called with path -> whether it is there now. skipped: directories that nobody wants to hear of. Close it."""

    def __init__(self, reactor: "Reactor", on_batch: "Callable[[dict[str, bool]], None]", skipped: "Callable[[str], bool]") -> None:
        self._reactor = reactor
        self._on_batch = on_batch
        self._skipped = skipped
        self._watch = Watch()
        self._tops: list[str] = []
        self._changed: set[str] = set()
        self._timer: "Timer | None" = None
        self._limit: "Timer | None" = None
        reactor.watch(self._watch.fileno(), self._read)

    def add(self, path: str) -> None:
        """A directory with all below it, or a file, or what is not there yet."""
        self._tops.append(path)
        if os.path.isdir(path):
            self._add_tree(path, told=False)
        parent = os.path.dirname(path)
        if os.path.isdir(parent):
            self._watch.add(parent, _MASK)                # a file that an editor replaces is another inode then

    def _add_tree(self, top: str, *, told: bool) -> None:
        """told: what is in it is news."""
        ahead = [top]
        while ahead:
            directory = ahead.pop()
            if directory != top and self._skipped(directory):
                continue
            try:
                self._watch.add(directory, _MASK)
                with os.scandir(directory) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            ahead.append(entry.path)
                        elif told:
                            self._changed.add(entry.path)
            except (FileNotFoundError, NotADirectoryError):
                continue                                  # gone again
            except OSError:
                if directory == top:
                    raise

    def _read(self) -> None:
        while changes := self._watch.read():
            for change in changes:
                if change.mask & IN_Q_OVERFLOW:
                    for top in self._tops:                # too much at once: everything counts as changed
                        self._add_tree(top, told=True)
                elif not change.mask & IN_IGNORED:
                    self._note(f"{change.path}/{change.name}" if change.name else change.path, change.mask)
        if self._changed:
            self._wait()

    def _note(self, path: str, mask: int) -> None:
        if not any(path == top or path.startswith(f"{top}/") for top in self._tops):
            return
        if mask & IN_ISDIR and mask & (IN_CREATE | IN_MOVED_TO):
            if not self._skipped(path):
                self._add_tree(path, told=True)
        elif not mask & IN_ISDIR or mask & _GONE:
            self._changed.add(path)

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._reactor.after(QUIET_S, self._tell)
        if self._limit is None:
            self._limit = self._reactor.after(_LONGEST_S, self._tell)

    def _tell(self) -> None:
        for timer in (self._timer, self._limit):
            if timer:
                timer.cancel()
        self._timer = self._limit = None
        changed, self._changed = self._changed, set()
        if changed:
            self._on_batch({path: os.path.lexists(path) for path in changed})

    def close(self) -> None:
        self._reactor.forget(self._watch.fileno())
        self._watch.close()
