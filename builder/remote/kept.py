"""Fetched trees as the store keeps them: a draft with files from elsewhere becomes a snapshot, found again by what it was made of.

A snapshot, not a blob: the files are wanted as files, and a cache record keeps them from collection as long as builds use them. Beside it,
what was seen of an address (marshal, in the table of builds) says what to look for.
"""

import os
import time
from marshal import dumps, loads

from builder.cachekey import chain_result
from kernel.value import Value
from store.cache import CacheRecord
from store.digest import Digest, digest_of
from store.snapshots import SnapshotId
from store.tree import digest, scan, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kernel.locks import Lock
    from store.snapshots import Draft
    from store.store import Store
    from store.tree import Tree

_LAST_MOMENT = 253402300799      # of the year 9999: what a date can say
_FORMAT = 1                      # part of every name: what is kept under a name never changes its meaning


class Fetched(Value):
    """What came of a fetch. why: "" if it was really fetched, else why not, in a few words."""

    record: CacheRecord
    why: str = ""


def name(*parts: "str | int") -> Digest:
    """Name of what is kept for these strings and numbers."""
    return digest_of(dumps(("remote", _FORMAT, *parts), 2))


def find(store: "Store", key: Digest) -> CacheRecord | None:
    """The tree of that name, held from now on; None if it is not here (any more)."""
    record = store.cache.get(key)
    return record if record is not None and store.snapshots.hold(SnapshotId(record.snapshot)) else None


def keep(store: "Store", key: Digest, draft: "Draft", moment: int, *, tree: "Tree | None" = None,
         known: "Mapping[int, bytes] | None" = None) -> CacheRecord:
    """Make the draft a snapshot of that name, held from now on.

    moment: how old its files are, seconds since the epoch; 0 or less: not known. tree: its rows, if they are known; known: inode -> sha256 of
    files.
    """
    tree = tree if tree is not None else scan(draft.directory, owners=store.root.owners, known=known)
    snapshot = store.snapshots.commit(draft, tree=tree)
    store.snapshots.hold(snapshot)
    content = digest(tree)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(moment, _LAST_MOMENT) if moment > 0 else time.time()))
    record = CacheRecord(key, key, chain_result(None, content), content, snapshot, "", size_of(tree), created)
    store.cache.put(record)
    return record


def moment_of(record: CacheRecord) -> int:
    """How old its files are, seconds since the epoch: as `keep` was told, or when it was fetched."""
    from datetime import datetime

    return int(datetime.fromisoformat(record.created).timestamp())


class Drafting:
    """A draft for as long as a `with` lasts: thrown away at its end, unless it was kept by then."""

    def __init__(self, store: "Store") -> None:
        self._snapshots = store.snapshots
        self._draft = self._snapshots.begin()

    def __enter__(self) -> "Draft":
        return self._draft

    def __exit__(self, *what: object) -> None:
        if os.path.exists(self._draft.path):
            self._snapshots.discard(self._draft)


# ---------------------------------------------------------------- what was seen
def seen(store: "Store", key: Digest) -> "Any":
    """What was noted under that name, None if nothing."""
    data = store.cache.get_build(key)
    return loads(data) if data is not None else None


def note(store: "Store", key: Digest, value: "Any") -> None:
    store.cache.put_build(key, dumps(value, 2))


class Alone:
    """Held while one address is fetched: another build that wants the same waits, and then finds it. `waiting` is called if it has to."""

    def __init__(self, store: "Store", key: Digest, waiting: "Callable[[], None]") -> None:
        self._lock: Lock = store.cache.lock(key)
        self._waiting = waiting

    def __enter__(self) -> None:
        if not self._lock.take(wait=False):
            self._waiting()
            self._lock.take()

    def __exit__(self, *what: object) -> None:
        self._lock.release(remove=True)
