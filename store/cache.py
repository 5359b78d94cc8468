"""The build cache: key of a step -> what it made. In: digests that the builder computed; out: records, and finished builds as bytes.

A record is written the moment its step is done, with the boot it was made in and `synced` 0; `sync` makes them durable, all at once. What a
power cut outran is dropped when the index is opened (store.index), so a record never promises what the disk does not have.
"""

import time

from kernel.locks import Lock
from kernel.value import Value
from store.digest import Digest, hex_of
from store.index import Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.snapshots import SnapshotId

_COLUMNS = "key, op, result, tree, snapshot, diff_id, size, created, slot, boot, synced"


class CacheRecord(Value):
    """What one step made. `diff_id` is "" until it is known; `snapshot` is "" for a step that changes no file."""

    key: Digest
    op: Digest                   # of the step's canonical form: the same step with other inputs has the same
    result: Digest
    tree: "Digest | str" = ""    # digest of the layer's tree
    snapshot: "SnapshotId | str" = ""
    diff_id: "Digest | str" = ""
    size: int = 0                # bytes of the files in the layer
    created: str = ""            # RFC 3339
    slot: str = ""               # which place in which Dockerfile: what `--explain` compares with
    parts: bytes = b""           # of the key (marshal); only `Cache.parts` gives it back
    boot: str = ""
    synced: int = 0


class Cache:
    def __init__(self, index: Index, root: str) -> None:
        self._index = index
        self._root = root

    # ------------------------------------------------------------ records
    def get(self, key: Digest) -> "CacheRecord | None":
        row = self._index.one(f"SELECT {_COLUMNS}, used FROM record WHERE key = ?", key)
        if row is None:
            return None
        self._index.touch("record", key, row[-1])
        return _record(row)

    def put(self, record: CacheRecord) -> None:
        """Keep the record; of the same key, the later one stays."""
        with self._index as index:
            index.query("SELECT 1")                    # opens it, so that `boot` is known
            index.run(
                f"INSERT OR REPLACE INTO record ({_COLUMNS}, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                record.key, record.op, record.result, record.tree, record.snapshot, record.diff_id, record.size, record.created, record.slot,
                index.boot, 0 if record.snapshot else 1, int(time.time()))
            if record.parts:
                index.run("INSERT OR REPLACE INTO parts VALUES (?, ?)", record.key, record.parts)

    def set_diff_id(self, key: Digest, diff_id: Digest) -> None:
        """Add the diff ID, which is computed behind the build's back."""
        self._index.run("UPDATE record SET diff_id = ? WHERE key = ?", diff_id, key)

    def find(self, op: Digest, tree: Digest) -> "CacheRecord | None":
        """The earliest record of the same step with the same tree: its layer is kept, so that image IDs stay put."""
        row = self._index.one(f"SELECT {_COLUMNS}, used FROM record WHERE op = ? AND tree = ? AND snapshot != '' ORDER BY rowid LIMIT 1", op, tree)
        return _record(row) if row else None

    def has_op(self, op: Digest) -> bool:
        """Whether there is a record of this step at all, with whatever inputs."""
        return self._index.one("SELECT 1 FROM record WHERE op = ? LIMIT 1", op) is not None

    def has_result(self, result: Digest) -> bool:
        """Whether some step is known to have yielded this. Reads all records."""
        return self._index.one("SELECT 1 FROM record WHERE result = ? LIMIT 1", result) is not None

    def parts(self, key: Digest) -> bytes:
        """Parts of the key as they were put; b"" if there are none."""
        row = self._index.one("SELECT parts FROM parts WHERE key = ?", key)
        return bytes(row[0]) if row else b""

    def latest(self, slot: str) -> "CacheRecord | None":
        """The newest record of this place in this Dockerfile, with its parts: what a miss is explained against."""
        row = self._index.one(f"SELECT {_COLUMNS} FROM record WHERE slot = ? ORDER BY rowid DESC LIMIT 1", slot)
        return _record(row)._replace(parts=self.parts(row[0])) if row else None

    # ------------------------------------------------------------ what parts refer to
    def keep(self, objects: "dict[Digest, bytes]") -> None:
        """Keep bytes by their digest, as long as they are used now and then."""
        now = int(time.time())
        with self._index as index:
            for digest, data in objects.items():
                index.run("INSERT OR IGNORE INTO build VALUES (?, ?, ?)", digest, data, now)

    def kept(self, digest: Digest) -> "bytes | None":
        return self.get_build(digest)

    def delete(self, key: Digest) -> None:
        with self._index as index:
            index.run("DELETE FROM record WHERE key = ?", key)
            index.run("DELETE FROM parts WHERE key = ?", key)

    def lock(self, key: Digest) -> Lock:
        """Held while the step of this key runs: another process that needs the same waits, and then finds the record."""
        return Lock(f"{self._root}/leases/step-{hex_of(key)[:32]}")

    def sync(self) -> None:
        """Make every record, layer and image of the index durable, if some is not."""
        self._index.sync()

    # ------------------------------------------------------------ finished builds
    def get_build(self, key: Digest) -> "bytes | None":
        row = self._index.one("SELECT value, used FROM build WHERE key = ?", key)
        if row is None:
            return None
        self._index.touch("build", key, row[1])
        return bytes(row[0])

    def put_build(self, key: Digest, value: bytes) -> None:
        self._index.run("INSERT OR REPLACE INTO build VALUES (?, ?, ?)", key, value, int(time.time()))

    def delete_build(self, key: Digest) -> None:
        self._index.run("DELETE FROM build WHERE key = ?", key)


def _record(row: "tuple[object, ...]") -> CacheRecord:
    key, op, result, tree, snapshot, diff_id, size, created, slot, boot, synced = row[:11]
    return CacheRecord(key, op, result, tree, snapshot, diff_id, size, created, slot, b"", boot, synced)    # type: ignore[arg-type]  # as declared
