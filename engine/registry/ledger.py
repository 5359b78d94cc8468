"""What the repositories hold: names -> blobs, manifests, tags. One SQLite file, `registry.db`, beside the store's index and in its style.

The bytes are in the content store; a row here is what keeps them (store.gc reads this file). A manifest is acknowledged only when its row and
all that was written before it are on the disk. One connection writes, another reads meanwhile.
"""

import os
import sqlite3
import time
from threading import Lock, RLock
from typing import Any

from engine.errors import EngineError
from kernel.value import Value
from store.digest import Digest

VERSION = 1
_STALE_S = 600                                         # use times are kept to this
_SCHEMA = """
CREATE TABLE repository (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE blob (repository INTEGER NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, used INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)) WITHOUT ROWID;
CREATE INDEX blob_digest ON blob (digest);
CREATE TABLE manifest (repository INTEGER NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL, subject TEXT NOT NULL,
  artifact_type TEXT NOT NULL, annotations TEXT NOT NULL, used INTEGER NOT NULL, PRIMARY KEY (repository, digest)) WITHOUT ROWID;
CREATE INDEX manifest_digest ON manifest (digest);
CREATE INDEX manifest_subject ON manifest (repository, subject, digest) WHERE subject != '';
CREATE TABLE part (repository INTEGER NOT NULL, manifest TEXT NOT NULL, digest TEXT NOT NULL,
  PRIMARY KEY (repository, manifest, digest)) WITHOUT ROWID;
CREATE INDEX part_digest ON part (repository, digest);
CREATE TABLE tag (repository INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, moved INTEGER NOT NULL,
  PRIMARY KEY (repository, name)) WITHOUT ROWID;
CREATE INDEX tag_order ON tag (repository, name COLLATE NOCASE, name);
CREATE INDEX tag_digest ON tag (repository, digest);
"""


class LedgerDamaged(EngineError):
    """The file cannot be read or written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"the registry's records `{self.path}` cannot be used: {self.reason}"


class Stored(Value):
    """A manifest or index of a repository. subject: digest or ""; annotations: as JSON, "" if there are none."""

    digest: Digest
    media_type: str
    size: int
    subject: str = ""
    artifact_type: str = ""
    annotations: str = ""


class Missing(EngineError):
    """A manifest names what its repository does not have: `digests`."""

    def __init__(self, digests: "tuple[str, ...]") -> None:
        super().__init__(digests)
        self.digests = digests


class Ledger:
    """Safe from several threads. `with ledger:` makes a transaction of several changes."""

    def __init__(self, path: str) -> None:
        """Opens or makes the file. Raises LedgerDamaged."""
        self.path = path
        self._write_lock, self._read_lock = RLock(), Lock()
        self._depth = 0
        try:
            self._writer = self._open()
            self._create()
            self._reader = self._open()
        except sqlite3.Error as error:
            raise LedgerDamaged(path, str(error)) from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def _create(self) -> None:
        os.chmod(self.path, 0o600)
        self._writer.execute("PRAGMA journal_mode=WAL")
        with self:
            version = self._writer.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise LedgerDamaged(self.path, f"they have version {version}, and this program knows {VERSION}")
            if not version:
                for statement in _SCHEMA.split(";\n"):
                    if statement.strip():
                        self._writer.execute(statement)
                self._writer.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._writer.close()
            self._reader.close()

    # ------------------------------------------------------------ statements
    def _query(self, sql: str, *values: "str | int") -> "list[Any]":
        with self._read_lock:
            try:
                return self._reader.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise LedgerDamaged(self.path, str(error)) from error

    def _run(self, sql: str, *values: "str | int") -> int:
        with self._write_lock:
            try:
                return self._writer.execute(sql, values).rowcount
            except sqlite3.Error as error:
                raise LedgerDamaged(self.path, str(error)) from error

    def _seen(self, sql: str, *values: "str | int") -> "list[Any]":
        """As _query, within the transaction that is going on."""
        return self._writer.execute(sql, values).fetchall()

    def __enter__(self) -> "Ledger":
        self._write_lock.acquire()
        if not self._depth:
            try:
                self._run("BEGIN IMMEDIATE")
            except BaseException:
                self._write_lock.release()
                raise
        self._depth += 1
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: object) -> None:
        try:
            self._depth -= 1
            if not self._depth:
                self._run("ROLLBACK" if kind else "COMMIT")
        finally:
            self._write_lock.release()

    # ------------------------------------------------------------ repositories
    def has_repository(self, name: str) -> bool:
        return bool(self._query("SELECT 1 FROM repository WHERE name = ?", name))

    def repositories(self, after: str, limit: int) -> "list[str]":
        """Names of those with a manifest, in order, after `after`."""
        rows = self._query("SELECT name FROM repository AS r WHERE name > ? AND EXISTS (SELECT 1 FROM manifest WHERE repository = r.id) "
                           "ORDER BY name LIMIT ?", after, limit)
        return [row[0] for row in rows]

    def _known(self, name: str) -> int:
        """Number of the repository, 0 if there is none; within a transaction."""
        rows = self._seen("SELECT id FROM repository WHERE name = ?", name)
        return int(rows[0][0]) if rows else 0

    def _id(self, name: str) -> int:
        """Number of the repository, made if need be; within a transaction."""
        if not (number := self._known(name)):
            self._run("INSERT INTO repository (name) VALUES (?)", name)
            number = self._known(name)
        return number

    # ------------------------------------------------------------ blobs
    def blob(self, repository: str, digest: str) -> "int | None":
        """Size of the blob; None if the repository does not have it."""
        rows = self._query("SELECT b.size, b.used FROM blob AS b, repository AS r WHERE r.name = ? AND b.repository = r.id AND b.digest = ?",
                           repository, digest)
        if not rows:
            return None
        now = int(time.time())
        if now - rows[0][1] > _STALE_S:                # whoever asks may be about to push a manifest with it
            self._run("UPDATE blob SET used = ? WHERE digest = ? AND repository = (SELECT id FROM repository WHERE name = ?)",
                      now, digest, repository)
        return int(rows[0][0])

    def add_blob(self, repository: str, digest: str, size: int) -> None:
        """From now on its bytes are kept. Idempotent."""
        with self:
            self._run("INSERT OR REPLACE INTO blob VALUES (?, ?, ?, ?)", self._id(repository), digest, size, int(time.time()))

    def mount(self, repository: str, digest: str, source: str = "") -> bool:
        """Let the repository have the blob that `source`, or any if "", has; whether there is one."""
        sql = "SELECT b.size FROM blob AS b, repository AS r WHERE b.digest = ? AND b.repository = r.id AND (? = '' OR r.name = ?) LIMIT 1"
        if not self._query(sql, digest, source, source):
            return False
        with self:
            rows = self._seen(sql, digest, source, source)
            if rows:
                self.add_blob(repository, digest, rows[0][0])
        return bool(rows)

    def delete_blob(self, repository: str, digest: str) -> bool:
        return bool(self._run("DELETE FROM blob WHERE digest = ? AND repository = (SELECT id FROM repository WHERE name = ?)", digest, repository))

    # ------------------------------------------------------------ manifests and tags
    def manifest(self, repository: str, reference: str) -> "Stored | None":
        """By digest, or by tag."""
        fields = "m.digest, m.media_type, m.size, m.subject, m.artifact_type, m.annotations, m.used, r.id"
        if ":" in reference:
            rows = self._query(f"SELECT {fields} FROM repository AS r, manifest AS m WHERE r.name = ? AND m.repository = r.id AND m.digest = ?",
                               repository, reference)
        else:
            rows = self._query(f"SELECT {fields} FROM repository AS r, tag AS t, manifest AS m WHERE r.name = ? AND t.repository = r.id "
                               "AND t.name = ? AND m.repository = r.id AND m.digest = t.digest", repository, reference)
        if not rows:
            return None
        *values, used, number = rows[0]
        now = int(time.time())
        if now - used > _STALE_S:
            self._run("UPDATE manifest SET used = ? WHERE repository = ? AND digest = ?", now, number, values[0])
        return Stored(*values)

    def add_manifest(self, repository: str, stored: Stored, parts: "tuple[str, ...]", tag: str = "", *, blobs: "tuple[str, ...]" = (),
                     manifests: "tuple[str, ...]" = ()) -> None:
        """From now on it is there, under its digest and `tag`, also after a power cut. parts: all digests that it names, to be kept with it.

        Raises Missing if one of `blobs` or `manifests` is not in the repository; then nothing has changed.
        """
        with self._write_lock:
            self._run("PRAGMA synchronous=FULL")
            try:
                with self:
                    number, now = self._id(repository), int(time.time())
                    missing = tuple(d for d in blobs if not self._seen("SELECT 1 FROM blob WHERE repository = ? AND digest = ?", number, d)) + tuple(
                        d for d in manifests if not self._seen("SELECT 1 FROM manifest WHERE repository = ? AND digest = ?", number, d))
                    if missing:
                        raise Missing(missing)
                    self._run("INSERT OR REPLACE INTO manifest VALUES (?, ?, ?, ?, ?, ?, ?, ?)", number, stored.digest, stored.media_type,
                              stored.size, stored.subject, stored.artifact_type, stored.annotations, now)
                    for digest in parts:
                        self._run("INSERT OR IGNORE INTO part VALUES (?, ?, ?)", number, stored.digest, digest)
                    if tag:
                        self._leave(number, tag, now)
                        self._run("INSERT OR REPLACE INTO tag VALUES (?, ?, ?, ?)", number, tag, stored.digest, now)
            finally:
                self._run("PRAGMA synchronous=NORMAL")

    def _leave(self, number: int, tag: str, now: int) -> None:
        """What the tag led to loses it now: its time without a tag begins."""
        self._run("UPDATE manifest SET used = ? WHERE repository = ? AND digest = (SELECT digest FROM tag WHERE repository = ? AND name = ?)",
                  now, number, number, tag)

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """And every tag of it."""
        with self:
            number = self._known(repository)
            gone = self._run("DELETE FROM manifest WHERE repository = ? AND digest = ?", number, digest)
            self._run("DELETE FROM part WHERE repository = ? AND manifest = ?", number, digest)
            self._run("DELETE FROM tag WHERE repository = ? AND digest = ?", number, digest)
        return bool(gone)

    def delete_tag(self, repository: str, tag: str) -> bool:
        with self:
            number = self._known(repository)
            self._leave(number, tag, int(time.time()))
            return bool(self._run("DELETE FROM tag WHERE repository = ? AND name = ?", number, tag))

    def tags(self, repository: str, after: str, limit: int) -> "list[str]":
        """In lexical order, case ignored, after `after` ("" for all), which need not exist."""
        rows = self._query("SELECT t.name FROM tag AS t, repository AS r WHERE r.name = ? AND t.repository = r.id "
                           "AND (t.name COLLATE NOCASE, t.name) > (?, ?) ORDER BY t.name COLLATE NOCASE, t.name LIMIT ?",
                           repository, after, after, limit)
        return [row[0] for row in rows]

    def referrers(self, repository: str, subject: str, artifact_type: str, after: str, limit: int) -> "list[Stored]":
        """Manifests with that subject, in the order of their digests, after `after`; artifact_type: "" for all."""
        rows = self._query("SELECT m.digest, m.media_type, m.size, m.subject, m.artifact_type, m.annotations FROM manifest AS m, repository AS r "
                           "WHERE r.name = ? AND m.repository = r.id AND m.subject = ? AND m.digest > ? AND (? = '' OR m.artifact_type = ?) "
                           "ORDER BY m.digest LIMIT ?", repository, subject, after, artifact_type, artifact_type, limit)
        return [Stored(*row) for row in rows]

    # ------------------------------------------------------------ the whole
    def counts(self) -> "tuple[int, int, int, int, int]":
        """Repositories, tags, manifests, blobs (each once), bytes of the blobs."""
        row = self._query("SELECT (SELECT count(*) FROM repository), (SELECT count(*) FROM tag), (SELECT count(DISTINCT digest) FROM manifest), "
                          "count(*), coalesce(sum(size), 0) FROM (SELECT digest, max(size) AS size FROM blob GROUP BY digest)")[0]
        return int(row[0]), int(row[1]), int(row[2]), int(row[3]), int(row[4])

    def forget_idle(self, before: int) -> "tuple[int, int]":
        """Forget what nobody has asked for since `before`, tags or no tags: for a mirror, which can get it again. Returns (manifests, blobs)."""
        with self:
            manifests = self._run("DELETE FROM manifest WHERE used < ?", before)
            for table, digest in (("part", "manifest"), ("tag", "digest")):
                self._run(f"DELETE FROM {table} AS t WHERE NOT EXISTS "
                          f"(SELECT 1 FROM manifest WHERE repository = t.repository AND digest = t.{digest})")
            return manifests, self._run("DELETE FROM blob WHERE used < ?", before)

    def forget_unused(self, before: int, untagged_before: "int | None" = None) -> "tuple[int, int]":
        """Forget blobs that no manifest names and nobody has asked for since `before` (seconds since 1970), and repositories with nothing in them.

        untagged_before: also manifests older than this which no tag, kept index or kept subject leads to; None keeps them all.
        Returns how many (manifests, blobs).
        """
        with self:
            manifests = 0
            while untagged_before is not None:         # what it kept may be next
                gone = self._run(
                    "DELETE FROM manifest AS m WHERE used < ? "
                    "AND NOT EXISTS (SELECT 1 FROM tag WHERE repository = m.repository AND digest = m.digest) "
                    "AND NOT EXISTS (SELECT 1 FROM part WHERE repository = m.repository AND digest = m.digest) "
                    "AND (subject = '' OR NOT EXISTS (SELECT 1 FROM manifest WHERE repository = m.repository AND digest = m.subject))",
                    untagged_before)
                self._run("DELETE FROM part AS p WHERE NOT EXISTS (SELECT 1 FROM manifest WHERE repository = p.repository AND digest = p.manifest)")
                manifests += gone
                if not gone:
                    break
            blobs = self._run("DELETE FROM blob AS b WHERE used < ? AND NOT EXISTS (SELECT 1 FROM part WHERE repository = b.repository "
                              "AND digest = b.digest)", before)
            self._run("DELETE FROM repository AS r WHERE NOT EXISTS (SELECT 1 FROM blob WHERE repository = r.id) "
                      "AND NOT EXISTS (SELECT 1 FROM manifest WHERE repository = r.id)")
        return manifests, blobs
