"""Whether it is time to collect: a question that costs one query. In: the configured budget; out: yes or no, and the budget in bytes.

After a collection it is noted what was left, so that what images keep beyond the budget does not make every later build collect again.
"""

import os
import time

from store.config import Config
from store.store import Store

_LEAST = 2 << 30                         # bytes that a share of the disk is at least
_DAY_S = 24 * 3600
_SLACK = 20                              # a collection is due when a twentieth of the budget was added


def budget_bytes(store: Store, config: Config) -> "int | None":
    """What the cache may keep; None: as much as it likes."""
    if config.budget_bytes is not None or config.budget_percent is None:
        return config.budget_bytes
    status = os.statvfs(store.root.path)
    return max(int(status.f_blocks * status.f_frsize * config.budget_percent / 100), _LEAST if config.budget_percent else 0)


def is_due(store: Store, config: Config) -> bool:
    """Whether the cache has outgrown its budget, or nobody has looked for a day."""
    collected, left = _last(store)
    if time.time() - collected > _DAY_S:
        return True
    limit = budget_bytes(store, config)
    if limit is None:
        return False
    total = recorded(store) + mounted(store)
    return total > limit and total > left + limit // _SLACK


def note_collected(store: Store) -> None:
    """Remember that a collection has just been, and what it left."""
    store.index.run("INSERT OR REPLACE INTO meta VALUES ('collected', ?)", f"{int(time.time())} {recorded(store) + mounted(store)}")


def note_unfinished(store: Store) -> None:
    """Let the next question be answered with yes: what was forgotten is still on the disk, for a running build holds it."""
    store.index.run("DELETE FROM meta WHERE key = 'collected'")


def _last(store: Store) -> "tuple[int, int]":
    row = store.index.one("SELECT value FROM meta WHERE key = 'collected'")
    words = row[0].split() if row else []
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(word.isdecimal() for word in words) else (0, 0)


def recorded(store: Store) -> int:
    """Bytes of all layers that records lead to; of those that images have too, which a collection would tell apart."""
    row = store.index.one("SELECT SUM(size) FROM (SELECT MAX(size) AS size FROM record WHERE snapshot != '' GROUP BY snapshot)")
    return int(row[0] or 0)


def mounted(store: Store) -> int:
    """Bytes of all cache mounts, as far as is known: nobody walks them but a collection."""
    row = store.index.one("SELECT value FROM meta WHERE key = 'mounted'")
    return int(row[0]) if row and row[0].isdecimal() else 0


def note_mounted(store: Store, size: int) -> None:
    """Remember how large all cache mounts are."""
    store.index.run("INSERT OR REPLACE INTO meta VALUES ('mounted', ?)", str(size))
