"""The networks that exist, kept: one SQLite file, written by the agent, read by everybody. In: names and IDs; out: NetworkRecords.

The three that are always there are made with the file; `bridge` gets its subnet when it is first used. Each other has an empty file beside it: on a
disk so full that no row can be deleted, that file's new name says that the row means nothing.
"""

import os
import time

from runner.agent.errors import NetworkAmbiguous, NetworkMissing
from runner.agent.form import from_bytes, to_bytes
from runner.ledger import Ledger
from runner.network import BRIDGE, HOST, NONE, NetworkRecord, NetworkSpec
from store.errors import IndexHasNoRoom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PREDEFINED = (BRIDGE, HOST, NONE)
_HERE, _GONE = ".here", ".gone"                           # of one length: the directory has room for the other name
_SCHEMA = (
    "CREATE TABLE network (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID",
)


class Networks(Ledger):
    """`with networks:` makes a transaction, as of Index. A record whose name begins with a dot is the agent's own and in no list."""

    _statements = _SCHEMA

    def __init__(self, root: str) -> None:
        super().__init__(f"{root}/networks.db")
        self._marks = f"{root}/networks"

    def add(self, record: NetworkRecord) -> None:
        for id, in self.query("SELECT id FROM network WHERE name = ?", record.name):
            if self._is_gone(id):
                self.run("DELETE FROM network WHERE id = ?", id)     # its mark stays: nobody knows yet whether this will be written
        self._mark(record.id)
        self.run("INSERT INTO network VALUES (?, ?, ?, ?)", record.id, record.name, record.created, to_bytes(record))

    def replace(self, record: NetworkRecord) -> None:
        self.run("UPDATE network SET value = ? WHERE id = ?", to_bytes(record), record.id)

    def remove(self, id: str) -> None:
        try:
            self.run("DELETE FROM network WHERE id = ?", id)
        except IndexHasNoRoom as error:
            try:
                os.rename(f"{self._marks}/{id}{_HERE}", f"{self._marks}/{id}{_GONE}")
            except OSError:
                raise error from None
            return
        for end in (_HERE, _GONE):
            _unlink(f"{self._marks}/{id}{end}")

    def tidy(self) -> None:
        """For the agent, when it begins: delete what there was no room to delete."""
        try:
            names = os.listdir(self._marks)
        except FileNotFoundError:
            return
        for name in names:
            id = name[:-len(_HERE)]
            try:
                if name.endswith(_GONE) or not self.query("SELECT 1 FROM network WHERE id = ?", id):
                    self.run("DELETE FROM network WHERE id = ?", id)
                    _unlink(f"{self._marks}/{name}")
            except IndexHasNoRoom:
                return                                    # another time

    def _mark(self, id: str) -> None:
        try:
            os.makedirs(self._marks, 0o700, exist_ok=True)
            os.close(os.open(f"{self._marks}/{id}{_HERE}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except OSError:
            pass                                          # so this one will not go without room

    def _is_gone(self, id: str) -> bool:
        return os.access(f"{self._marks}/{id}{_GONE}", os.F_OK)

    def _there(self, rows: "list[Any]") -> "list[NetworkRecord]":
        """Records of rows that mean something."""
        return [record for record in (from_bytes(row[0]) for row in rows) if not self._is_gone(record.id)]

    def list(self, *, hidden: bool = False) -> tuple[NetworkRecord, ...]:
        """All, by name."""
        found = self._there(self.query("SELECT value FROM network ORDER BY name"))
        return tuple(record for record in found if hidden or not record.name.startswith("."))

    def named(self, name: str) -> NetworkRecord | None:
        """The one of exactly this name."""
        found = self._there(self.query("SELECT value FROM network WHERE name = ?", name))
        return found[0] if found else None

    def find(self, word: str) -> NetworkRecord | None:
        """By name, by ID, or by what begins only one ID. Raises NetworkAmbiguous."""
        if word.startswith("."):
            return None
        if one := self.named(word):
            return one
        if not word or not set(word) <= set("0123456789abcdef"):
            return None
        found = self._there(self.query("SELECT value FROM network WHERE id >= ? AND id < ? AND name NOT LIKE '.%'", word, word + "g"))
        if len(found) > 1:
            raise NetworkAmbiguous(word, len(found))
        return found[0] if found else None

    def require(self, word: str) -> NetworkRecord:
        """As find. Raises NetworkMissing too."""
        if found := self.find(word):
            return found
        raise NetworkMissing(word, _similar(word, [record.name for record in self.list()]))

    # ------------------------------------------------------------ the file
    def _begin(self, db: "Any") -> None:
        super()._begin(db)
        for name in PREDEFINED:
            record = NetworkRecord(new_id(), time.time_ns(), "", True, NetworkSpec(name, "null" if name == NONE else name))
            db.execute("INSERT INTO network VALUES (?, ?, ?, ?)", (record.id, name, record.created, to_bytes(record)))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass                                              # it never could be made, or has the other name


def new_id() -> str:
    return os.urandom(32).hex()


def _similar(word: str, names: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, names, 1)
    return f"did you mean `{close[0]}`?" if close else "`pyup network ls` shows those that exist"
