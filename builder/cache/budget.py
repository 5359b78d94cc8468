"""The cache's size while builds run: told of what was added, it collects as soon as the budget is outgrown, not when the build has ended.

What this build uses is held and stays; everything else goes by when it was last used. A cache that is within its budget costs one query now and then.
"""

from builder.cleaning import after_build
from store.budget import note_unfinished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.config import Config
    from store.store import Store

_STEP = 64 << 20                         # bytes that are added between two looks


class Keeper:
    """For one build."""

    def __init__(self, store: "Store", config: "Config", step: int = _STEP) -> None:
        self._store, self._config, self._step = store, config, step
        self._added = 0

    def grown(self, size: int) -> None:
        """A layer of that many bytes is there now."""
        self._added += size
        if self._added >= self._step:
            self._added = 0
            self._store.index.write_uses()           # so that what this build has found is known to have been used
            cleaned = after_build(self._store, self._config)
            if cleaned is not None and cleaned.collected.records:
                note_unfinished(self._store)
