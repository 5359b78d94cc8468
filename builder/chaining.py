"""Chains of a build that are too long to be mounted: what lies lowest is copied into one directory, and that once in so many steps."""

from store.store import MOUNTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.snapshots import SnapshotId
    from store.store import Store

BLOCK = MOUNTS // 2


def mountable(store: "Store", parts: "tuple[SnapshotId, ...]") -> "tuple[SnapshotId, ...]":
    """At most MOUNTS snapshots that show the same, topmost first.

    How many are copied is a multiple of BLOCK, so that the next steps of a chain find the copy that this one has made.
    """
    if len(parts) <= MOUNTS:
        return parts
    from store.merging import merged

    kept = len(parts) % BLOCK + BLOCK
    return (*parts[:kept], merged(store, parts[kept:]))
