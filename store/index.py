"""The index: what the store has and under which names. In: SQL of this room's modules; out: rows.

One SQLite file in WAL mode; one connection a process, opened at the first question and again after a fork. Anything here can be
rebuilt or thrown away but the references; so a record that a power cut could have outrun (`synced` 0, another boot) is dropped on opening.
"""

import os
import time
from _thread import RLock

from kernel.locks import Lock
from store.errors import IndexDamaged, IndexHasNoRoom
from store.reserve import SIZE, free_bytes, is_full, tend

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3 as _sqlite3
    from types import TracebackType
    from typing import Any
else:
    import _sqlite3  # the package around it costs 2 ms and adds nothing that is used here

VERSION = 2
_BEGIN, _ENDS = "BEGIN IMMEDIATE", ("COMMIT", "ROLLBACK")
_OTHERS = (5, 6)                         # SQLITE_BUSY, SQLITE_LOCKED
_FULL = 13                               # SQLITE_FULL
_IMPATIENCE_S = 0.3                      # for another command on a full disk
_STALE_S = 600                           # use times are kept to this; a hit within it costs no write
_ORIGIN = """
CREATE TABLE origin (digest TEXT NOT NULL, repository TEXT NOT NULL, diff_id TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
  seen INTEGER NOT NULL, PRIMARY KEY (digest, repository)) WITHOUT ROWID;
CREATE INDEX origin_diff ON origin (diff_id);
"""
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE reference (name TEXT PRIMARY KEY, image TEXT NOT NULL, target TEXT NOT NULL, moved INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX reference_image ON reference (image);
CREATE TABLE image (id TEXT PRIMARY KEY, created TEXT NOT NULL, size INTEGER NOT NULL, platform TEXT NOT NULL, layers BLOB NOT NULL,
  runtime BLOB NOT NULL, added INTEGER NOT NULL, used INTEGER NOT NULL, boot TEXT NOT NULL, synced INTEGER NOT NULL);
CREATE TABLE hold (owner TEXT NOT NULL, image TEXT NOT NULL, PRIMARY KEY (owner, image)) WITHOUT ROWID;
CREATE INDEX hold_image ON hold (image);
CREATE TABLE layer (key TEXT PRIMARY KEY, diff_id TEXT NOT NULL, tree TEXT NOT NULL, snapshot TEXT NOT NULL, size INTEGER NOT NULL,
  boot TEXT NOT NULL, synced INTEGER NOT NULL);
CREATE INDEX layer_snapshot ON layer (snapshot);
CREATE TABLE blob (digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL, compression TEXT NOT NULL, size INTEGER NOT NULL, unpacked INTEGER NOT NULL,
  pieces BLOB NOT NULL);
CREATE INDEX blob_diff ON blob (diff_id);
CREATE TABLE record (key TEXT PRIMARY KEY, op TEXT NOT NULL, result TEXT NOT NULL, tree TEXT NOT NULL, snapshot TEXT NOT NULL, diff_id TEXT NOT NULL,
  size INTEGER NOT NULL, created TEXT NOT NULL, slot TEXT NOT NULL, boot TEXT NOT NULL, synced INTEGER NOT NULL, used INTEGER NOT NULL);
CREATE INDEX record_tree ON record (op, tree);
CREATE INDEX record_slot ON record (slot);
CREATE INDEX record_snapshot ON record (snapshot);
CREATE INDEX record_unsynced ON record (synced) WHERE synced = 0;
CREATE INDEX layer_unsynced ON layer (synced) WHERE synced = 0;
CREATE INDEX image_unsynced ON image (synced) WHERE synced = 0;
CREATE TABLE parts (key TEXT PRIMARY KEY, parts BLOB NOT NULL);
CREATE TABLE build (key TEXT PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL);
""" + _ORIGIN
# version -> what brings an index of it to the next one
_MIGRATIONS = {1: _ORIGIN}
_DURABLE = ("record", "layer", "image")  # tables whose rows speak of files
_TABLES = {"image": "id", "record": "key", "build": "key"}       # those with a use time, and their key

_abandoned: "list[Any]" = []             # connections of a parent process: never closed here, that would touch the parent's locks


class Index:
    """`query`, `one` and `run` are single statements; `with index:` makes a transaction of several. Safe from several threads."""

    _version = VERSION

    def __init__(self, path: str) -> None:
        self.path = path
        self._db: "Any" = None
        self._pid = 0
        self._lock = RLock()
        self._depth = 0
        self._cramped = False
        self._opening: "Any" = None
        self._used: "dict[tuple[str, str], int]" = {}
        self.boot = ""

    # ------------------------------------------------------------ statements
    def query(self, sql: str, *values: "Any") -> "list[Any]":
        with self._lock:
            try:
                rows: "list[Any]" = self._execute(sql, values)[0]
            finally:
                self._let_others()
        return rows

    def one(self, sql: str, *values: "Any") -> "Any":
        """The first row, or None."""
        rows = self.query(sql, *values)
        return rows[0] if rows else None

    def run(self, sql: str, *values: "Any") -> int:
        """Number of rows changed."""
        with self._lock:
            try:
                count = int(self._execute(sql, values)[1])
            except BaseException:
                self._let_others()
                raise
            if sql != _BEGIN:
                self._let_others()
        return count

    def _execute(self, sql: str, values: "tuple[Any, ...]") -> "tuple[list[Any], int]":
        """(rows, number of rows changed)."""
        try:
            try:
                return self._do(sql, values)
            except _sqlite3.OperationalError:
                if self._depth or self._cramped or sql in _ENDS or self._db is None or free_bytes(os.path.dirname(self.path)) >= SIZE:
                    raise
                self._db.close()                          # the last of the room is gone since it was opened
                self._db, self._cramped = None, True
                return self._do(sql, values)
        except _sqlite3.Error as error:
            raise self._failed(error) from error

    def _do(self, sql: str, values: "tuple[Any, ...]") -> "tuple[list[Any], int]":
        cursor = self._connection().execute(sql, values)
        return cursor.fetchall(), cursor.rowcount

    def _failed(self, error: Exception) -> IndexDamaged:
        """SQLite calls a full disk an I/O error where it cannot make its own files."""
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == _FULL or free_bytes(os.path.dirname(self.path)) < SIZE
        return IndexHasNoRoom(self.path, str(error)) if full else IndexDamaged(self.path, str(error))

    def __enter__(self) -> "Index":
        """Begin a transaction (IMMEDIATE: what is read in it stays true until it ends). They nest; the outermost one counts."""
        self._lock.acquire()
        if not self._depth:
            try:
                self.run(_BEGIN)
            except BaseException:
                self._lock.release()
                raise
        self._depth += 1
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        try:
            self._depth -= 1
            if not self._depth:
                self.run("ROLLBACK" if kind else "COMMIT")
        finally:
            self._lock.release()

    # ------------------------------------------------------------ use times
    def touch(self, table: str, key: str, used: int) -> None:
        """Note that `key` of `table` was used now; `used` is what its row says. Written by write_uses() and close(), all at once."""
        now = int(time.time())
        if now - used > _STALE_S:
            self._used[table, key] = now

    def write_uses(self) -> None:
        """Write the use times that were noted so far."""
        with self._lock:
            if self._used:
                used, self._used = self._used, {}
                with self:
                    for (table, key), now in used.items():
                        self.run(f"UPDATE {table} SET used = ? WHERE {_TABLES[table]} = ?", now, key)

    def close(self) -> None:
        """Write the use times and let go of the file. The index opens again when it is asked again.

        Not while a fork of this process may have it open: its connection counts on the lock that this one holds (SQLite knows nothing of forks, and
        whoever closes last removes the log of what was written).
        """
        with self._lock:
            self.write_uses()
            if self._db is not None and self._pid == os.getpid():
                self._let_others()
            if self._db is not None and self._pid == os.getpid():
                self._db.close()
            self._db = None

    def _let_others(self) -> None:
        """A cramped connection keeps everybody out, so it ends with its statement or transaction."""
        if self._cramped and not self._depth and self._db is not None:
            db, self._db, self._cramped = self._db, None, False
            try:
                db.execute("PRAGMA journal_mode=WAL")
            except _sqlite3.OperationalError:
                pass                                      # whoever opens it with more room does it
            finally:
                db.close()

    # ------------------------------------------------------------ durability
    def sync(self) -> None:
        """Flush the store's file system if a record, layer or image is not known to be on the disk, then say that it is.

        Called before a reference moves: what has a name survives a power cut.
        """
        rows = {table: self.query(f"SELECT rowid FROM {table} WHERE synced = 0") for table in _DURABLE}
        if not any(rows.values()):
            return
        from kernel.syscalls import syncfs

        fd = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syncfs(fd)
        finally:
            os.close(fd)
        with self:
            for table, numbers in rows.items():
                for number, in numbers:
                    self.run(f"UPDATE {table} SET synced = 1 WHERE rowid = ?", number)

    # ------------------------------------------------------------ the connection
    def _connection(self) -> "Any":
        if self._pid == os.getpid() and self._db is not None:
            return self._db
        if self._db is not None:
            _abandoned.append(self._db)
            self._depth = 0
            self._used = {}
        tend(os.path.dirname(self.path))
        try:
            self._db = self._open()
        except _sqlite3.OperationalError:
            if self._opening is not None:
                self._opening.close()                     # else we would be in our own way
            if self._cramped or free_bytes(os.path.dirname(self.path)) >= SIZE:
                raise
            self._cramped = True                          # the last of the room went while it was opened
            self._db = self._open()
        self._pid = os.getpid()
        return self._db

    def _connect(self) -> "Any":
        """A new connection; to be used as `_open` does."""
        directory = os.path.dirname(self.path)
        db = _cramped(self.path) if self._cramped or is_full(directory) else None
        self._cramped, self._opening = db is not None, db
        if db is None:
            db = self._opening = _sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            if _is_without_log(self.path):                # whoever opened it on a full disk was killed
                with Lock(f"{directory}/lock"):
                    db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        return db

    def _open(self) -> "Any":
        db = self._connect()
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if not version:
            self._create(db)
        elif version > VERSION:
            raise IndexDamaged(self.path, f"it has version {version}, and this program knows {VERSION}")
        elif version < VERSION:
            self._migrate(db)
        self.boot = _boot_id()
        if db.execute("SELECT value FROM meta WHERE key = 'boot'").fetchone() != (self.boot,):
            self._drop_unsynced(db)
        return db

    def _create(self, db: "Any") -> None:
        with Lock(f"{os.path.dirname(self.path)}/lock"):             # a change of the journal mode does not wait for others, it fails
            os.chmod(self.path, 0o600)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("PRAGMA user_version").fetchone()[0]:  # else another process was first
                self._begin(db)
                db.execute(f"PRAGMA user_version={self._version}")
            db.execute("COMMIT")

    def _begin(self, db: "Any") -> None:
        """Write what is always there, in the transaction that makes the file."""
        _execute(db, _SCHEMA)

    def _migrate(self, db: "Any") -> None:
        db.execute("BEGIN IMMEDIATE")
        version = db.execute("PRAGMA user_version").fetchone()[0]        # another process may have been faster
        while version < VERSION:
            _execute(db, _MIGRATIONS[version])
            version += 1
        db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")

    def _drop_unsynced(self, db: "Any") -> None:
        """First opening since the machine started: what was recorded, but never known to be on the disk, did not survive."""
        db.execute("BEGIN IMMEDIATE")
        for table in _DURABLE:
            db.execute(f"DELETE FROM {table} WHERE synced = 0 AND boot != ?", (self.boot,))
        db.execute("DELETE FROM reference WHERE image NOT IN (SELECT id FROM image)")
        db.execute("DELETE FROM parts WHERE key NOT IN (SELECT key FROM record)")
        db.execute("INSERT OR REPLACE INTO meta VALUES ('boot', ?)", (self.boot,))
        db.execute("COMMIT")


def _cramped(path: str) -> "Any":
    """A connection without the files that SQLite makes beside an index, for which there is no room: what removes things has to be recorded all the
    same. None if there is no index yet, or somebody else has it open: then those files are there.

    Who is killed in the middle of writing a record may damage the index, so this is for nothing but a full disk.
    """
    if not os.path.exists(path) or not os.path.getsize(path):
        return None
    for mode in ("MEMORY", "WAL"):                         # the second where there is no room for what the log holds: it can be read then
        db = _sqlite3.connect(path, timeout=_IMPATIENCE_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA locking_mode=EXCLUSIVE")   # before anything is read
            db.execute(f"PRAGMA journal_mode={mode}")
            return db
        except _sqlite3.OperationalError as error:
            db.close()
            if error.sqlite_errorcode & 0xFF in _OTHERS:
                return None
    return None


def _is_without_log(path: str) -> bool:
    """Whether an index there is not in WAL mode: its header says so."""
    with open(path, "rb") as file:
        return file.read(20)[18:] == b"\x01\x01"


def _execute(db: "Any", statements: str) -> None:
    for statement in statements.split(";\n"):
        if statement.strip():
            db.execute(statement)


def _boot_id() -> str:
    try:
        fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "?"
    try:
        return os.read(fd, 64).decode().strip()
    finally:
        os.close(fd)
