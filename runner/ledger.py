"""A SQLite file of ours that is made when it is first opened. In: what is to be in a new one; out: an Index.

Who follows it says `_statements`, and what rows there are from the beginning.
"""

from runner.errors import RecordsTooNew
from store.index import Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1


class Ledger(Index):
    _version = VERSION
    _statements: "tuple[str, ...]" = ()

    def _open(self) -> "Any":
        db = self._connect()
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if not version:
            self._create(db)
        elif version > VERSION:
            raise RecordsTooNew(self.path, version, VERSION)
        return db

    def _begin(self, db: "Any") -> None:
        for statement in self._statements:
            db.execute(statement)
