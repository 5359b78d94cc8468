"""Room on the disk, asked for before something large is written. In: how much is coming; out: room made by forgetting cache, or one clear error.

What is coming is noted in this process's lease, so that several pulls at once do not count on the same free space.
"""

import os

from store.errors import StoreError
from store.store import Store

_SPARE = 64 << 20                        # bytes that are left alone: the index, logs, other programs


class NoRoom(StoreError):
    """needed, free: bytes."""

    help = "`pybuild prune -a` frees what nothing uses; `pybuild du` shows what takes the room"

    def __init__(self, path: str, needed: int, free: int) -> None:
        super().__init__(path, needed, free)
        self.path, self.needed, self.free = path, needed, free

    def __str__(self) -> str:
        return f"{self.needed / 1e6:.0f} MB are needed in `{self.path}`, and {self.free / 1e6:.0f} MB are free"


def reserve(store: Store, needed: int, likely: int = 0) -> None:
    """needed: bytes that will be written for certain; likely: as far as can be told (at least `needed`).

    Where `likely` does not fit, cache is forgotten, the least recently used first. Raises NoRoom where `needed` does not fit even then.
    """
    free = _free(store)
    if free - _reserved(store) < max(needed, likely) + _SPARE:
        from store.gc import Budget, cached_bytes, collect

        missing = max(needed, likely) + _SPARE - free
        collect(store, Budget(max_bytes=max(cached_bytes(store) - missing, 0)))
        free = _free(store)
    if free < needed:
        raise NoRoom(store.root.path, needed, free)
    lease = store.leases.current()
    lease.hold("reserve", f"{needed} {lease.fresh()}")


def _free(store: Store) -> int:
    status = os.statvfs(store.root.path)
    return status.f_bavail * status.f_frsize


def _reserved(store: Store) -> int:
    """Bytes that living processes have asked for; this one's own too."""
    return sum(int(what.split()[0]) for kind, what in store.leases.held() if kind == "reserve" and what.split()[0].isdecimal())
