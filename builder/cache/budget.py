"""The cache's size while a build runs: told of each layer, it collects as soon as the budget is outgrown, not when the build has ended.

What this build uses is held and stays, so the cache is never larger than its budget and what the running builds need; that is said if it is more
than the budget alone. Everything else goes by when it was last used. A cache that is within its budget costs one query. Cache mounts are not walked
after each step: what has gone from the disk and is in no layer is taken to be theirs, until a collection looks.
"""

import os

from builder.cleaning import clean
from builder.progress import Note
from store.budget import budget_bytes, mounted, note_mounted, note_unfinished, recorded
from store.gc import Budget, cached_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.progress import OnEvent
    from store.config import Config
    from store.store import Store

_SLACK = 20                              # where a collection has gained nothing, the next one waits for a twentieth of the budget more


class Keeper:
    """For one build."""

    def __init__(self, store: "Store", config: "Config", on_event: "OnEvent") -> None:
        self._store, self._config, self._on_event = store, config, on_event
        self._limit = budget_bytes(store, config)
        self._most = self._limit or 0                # bytes at which it is time to collect
        self._own = 0                                # bytes that this build has made
        self._free = self._room()                    # bytes that would be free now, had it made none
        self._total = -1                             # bytes of the cache; -1: nobody has looked

    def grown(self, size: int) -> None:
        """A layer of that many bytes is there now, and so is its record, or will be in a moment."""
        if self._limit is None:
            return
        self._own += size
        if self._total < 0:
            self._total = recorded(self._store) + mounted(self._store)       # more than it is: of some of it images have a part
            if self._total + size > self._limit:
                self._total = cached_bytes(self._store) + mounted(self._store)
        self._total += size
        if self._total + self._elsewhere() > self._most:
            self._collect(self._limit)

    def done(self) -> None:
        """The build has ended well: what its steps have put into cache mounts is known from now on, about."""
        if self._limit is not None and self._own and self._elsewhere() > self._limit // _SLACK:
            note_mounted(self._store, mounted(self._store) + self._elsewhere())

    def _elsewhere(self) -> int:
        """Bytes of the disk that have gone since somebody looked, and not into layers of this build."""
        return max(self._free - self._own - self._room(), 0)

    def _room(self) -> int:
        if self._limit is None:
            return 0
        status = os.statvfs(self._store.root.path)
        return status.f_bfree * status.f_frsize

    def _collect(self, limit: int) -> None:
        store = self._store
        store.index.write_uses()                     # so that what this build has found is known to have been used
        cleaned = clean(store, Budget(max_bytes=limit), self._config.unused_s)
        if cleaned.collected.records:
            note_unfinished(store)
        self._total, self._free = cached_bytes(store) + mounted(store), self._room() + self._own
        self._most = limit if cleaned.bytes else max(self._total, limit) + limit // _SLACK
        if self._own > limit >= 0:
            self._on_event(Note("warning", f"this build alone has made layers of {self._own / 1e6:.0f} MB, more than the cache's budget of "
                                           f"{limit / 1e6:.0f} MB: what no image has of it goes at its end"))
            self._on_event = lambda event: None      # once is enough
