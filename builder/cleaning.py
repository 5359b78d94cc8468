"""What builds leave behind, within a budget: cache records and their layers, cache mounts, indexes of contexts, logs, mirrors of repositories.

In: a store and what may stay; out: what went. Records and cache mounts share one budget, and the least recently used of both goes first.
"""

import os
import time

from builder.cachemount import CacheDirectories
from kernel.value import Value
from store.budget import budget_bytes, is_due, note_collected, note_mounted
from store.config import Config
from store.gc import Budget, Collected, cached, collect, usage
from store.store import Store


class Cleaned(Value):
    """mounts: ids of cache mounts that went; indexes, logs, mirrors: how many; bytes: space that is free again, all together."""

    collected: Collected
    mounts: "tuple[str, ...]" = ()
    indexes: int = 0
    logs: int = 0
    mirrors: int = 0
    bytes: int = 0


def after_build(store: Store, config: Config) -> "Cleaned | None":
    """Keep to the configured budget; None where there is nothing to do yet, which is found out by one query."""
    if not is_due(store, config):
        return None
    return clean(store, Budget(max_bytes=budget_bytes(store, config)), config.unused_s)


def clean(store: Store, budget: Budget, unused_s: "int | None" = None) -> Cleaned:
    """budget: for layers, and its max_bytes for cache mounts too. unused_s: age at which mounts, indexes, logs and mirrors go; None: they stay.

    What a running build uses stays whatever the budget says.
    """
    directories = CacheDirectories(f"{store.root.path}/cachemounts")
    freed, gone = 0, []
    if unused_s is not None or budget.max_bytes is not None:
        mounts = {d.name: (d.id, d.used, usage(os.path.dirname(d.path))) for d in directories.list()}
        leaving, left = choose([(used, size, name) for name, (_, used, size) in mounts.items()], cached(store), budget.max_bytes,
                               None if unused_s is None else time.time() - unused_s)
        for name in leaving:
            if directories.remove(name):
                gone.append(mounts[name][0])
                freed += mounts[name][2]
            else:
                left += mounts[name][2]                # in use, and so it stays
        note_mounted(store, left)
        if budget.max_bytes is not None:
            budget = budget._replace(max_bytes=max(budget.max_bytes - left, 0))
    collected = collect(store, budget)
    note_collected(store)
    if unused_s is None:
        return Cleaned(collected, tuple(gone), bytes=freed + collected.bytes)
    from builder.remote.mirror import prune

    (indexes, index_bytes), (logs, log_bytes) = (_old_files(f"{store.root.path}/{name}", start, time.time() - unused_s)
                                                 for name, start in (("contexts", ""), ("logs", "step-")))
    mirrors = prune(f"{store.root.path}/git", unused_s)
    return Cleaned(collected, tuple(gone), indexes, logs, mirrors, freed + collected.bytes + index_bytes + log_bytes)


def choose(mounts: "list[tuple[float, int, str]]", layers: "list[tuple[int, int]]", limit: "int | None",
           before: "float | None") -> "tuple[list[str], int]":
    """(mounts that have to go, bytes of those that stay). Pure.

    mounts: (last used, bytes, name); layers: (last used, bytes); limit: bytes for all of them, the most recently used are kept; before: mounts that
    were last used before this time go anyway.
    """
    going, total, kept = [], 0, 0
    for used, size, name in sorted([*mounts, *((used, size, "") for used, size in layers)], reverse=True):
        fits = limit is None or total + size <= limit
        if name and (not fits or (before is not None and used <= before)):
            going.append(name)
        elif fits:
            total += size
            kept += size if name else 0
    return going, kept


def _old_files(directory: str, start: str, before: float) -> "tuple[int, int]":
    """Remove files that were neither read nor written since; (how many, their bytes)."""
    count = size = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if entry.name.startswith(start) and entry.is_file(follow_symlinks=False) and max(status.st_mtime, status.st_atime) <= before:
                os.unlink(entry.path)
                count, size = count + 1, size + status.st_blocks * 512
    return count, size
