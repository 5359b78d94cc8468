"""The caches that a build may take from: asked for records, never for more than is needed. In: addresses; out: records and, later, their layers.

Nothing is fetched before the first question that the store cannot answer; then each cache's list is. A cache that cannot be read is a warning.
A record is believed as far as its cache is: whoever may write there decides what the build finds (docs/cache.md). What is checked is that all
of it fits together: a result is its parent's with this tree, and a fetched layer has the bytes, the diff ID and the tree that were promised.
"""

import os
from _thread import RLock

from builder.cache.address import title
from builder.cache.depot import blob, open_depot
from builder.cache.document import EMPTY
from builder.cache.errors import CacheError
from builder.cache.reading import read_cache
from builder.cachekey import chain_result
from kernel.value import Value
from store.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.cache.depot import Depot, Sessions
    from builder.cache.document import Contents, MountEntry, Record
    from builder.cache.history import History
    from builder.request import CacheAddress
    from store.cache import CacheRecord
    from store.oci import Descriptor

    Warn = Callable[[str], None]


class Origin(Value):
    """Where a blob can be had. number: of the cache among those of the build."""

    number: int
    blob: "Descriptor"


class Imported:
    """The caches of one build, the first one preferred. Works on both sides of a fork: connections are made anew there."""

    def __init__(self, addresses: "tuple[CacheAddress, ...]", sessions: "Sessions", warn: "Warn") -> None:
        self._addresses, self._sessions, self._warn = addresses, sessions, warn
        self._contents: "list[Contents] | None" = None
        self._records: dict[Digest, Record] = {}
        self._distrusted: set[Digest] = set()
        self._history: "History | None" = None
        self._depots: dict[int, Depot] = {}
        self._lock = RLock()                             # layers are fetched and sent by threads
        self._pid = os.getpid()
        self._abandoned: list[dict[int, Depot]] = []

    # ------------------------------------------------------------ what is in them
    def _loaded(self) -> "list[Contents]":
        with self._lock:
            if self._contents is None:
                self._contents = [self._load(number) for number in range(len(self._addresses))]
                for contents in reversed(self._contents):
                    self._records.update({record.key: record for record in contents.config.records})
            return self._contents

    def _load(self, number: int) -> "Contents":
        try:
            found = read_cache(self.depot(number))
        except CacheError as error:
            self._warn(str(error))
            return EMPTY
        if found is None:
            self._warn(f"there is no cache at `{title(self._addresses[number])}` yet")
            return EMPTY
        return found

    def get(self, key: Digest, parent: "Digest | None") -> "CacheRecord | None":
        """The record of a step on top of `parent`, without a snapshot: its layer is fetched when somebody needs it."""
        self._loaded()
        record = self._records.get(key)
        if record is None or key in self._distrusted or record.result != chain_result(parent, record.tree):
            return None
        return record.as_cached()

    def record(self, key: Digest) -> "Record | None":
        self._loaded()
        return self._records.get(key)

    def records(self) -> "tuple[Record, ...]":
        """All of them, those of the first cache first."""
        return tuple(record for contents in self._loaded() for record in contents.config.records)

    def memo(self, name: Digest) -> "Digest | None":
        """The content digest that was found under this name (of a result and a selection of its files)."""
        for contents in self._loaded():
            found = contents.config.memos.get(name)
            if found is not None:
                return found
        return None

    def origin(self, diff_id: "Digest | str") -> "Origin | None":
        """Where a layer's blob is; None if no cache has it."""
        for number, contents in enumerate(self._loaded()):
            blob = contents.layers.get(Digest(diff_id))
            if blob is not None:
                return Origin(number, blob)
        return None

    def mounts(self) -> "tuple[tuple[int, MountEntry], ...]":
        """Cache mounts, with the number of the cache that has them; of one name the first one's."""
        found: dict[str, tuple[int, MountEntry]] = {}
        for number, contents in enumerate(self._loaded()):
            for entry in contents.config.mounts:
                found.setdefault(entry.name, (number, entry))
        return tuple(found.values())

    def contents(self, number: int) -> "Contents":
        return self._loaded()[number]

    def history(self) -> "History":
        """What the keys of the records were made of, as far as their caches tell (those in mode=max)."""
        if self._history is None:
            from builder.cache.history import PACKED_LIMIT, History, unpack

            found = [History()]
            for number, contents in enumerate(self._loaded()):
                try:
                    if contents.history is not None:
                        found.append(unpack(blob(self.depot(number), contents.history, PACKED_LIMIT), self.title(number)))
                except CacheError as error:
                    self._warn(str(error))
            self._history = History({k: v for h in found[::-1] for k, v in h.parts.items()}, {k: v for h in found for k, v in h.kept.items()})
        return self._history

    def distrust(self, keys: "tuple[Digest, ...]") -> None:
        """Find nothing under these keys from now on: their layers could not be had."""
        self._distrusted.update(keys)

    # ------------------------------------------------------------ getting at it
    def depot(self, number: int) -> "Depot":
        with self._lock:
            if self._pid != os.getpid():
                self._abandoned.append(self._depots)     # a parent's connections are neither used nor closed here
                self._depots, self._pid = {}, os.getpid()
            depot = self._depots.get(number)
            if depot is None:
                depot = self._depots[number] = open_depot(self._addresses[number], self._sessions)
            return depot

    def title(self, number: int) -> str:
        return title(self._addresses[number])

    def chunks(self, origin: Origin) -> "Iterator[bytes]":
        """The bytes of a blob, unchecked."""
        return self.depot(origin.number).chunks(origin.blob)

    def close(self) -> None:
        for depot in self._depots.values():
            depot.close()
        self._depots = {}
