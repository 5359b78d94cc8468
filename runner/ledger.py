"""A SQLite file of ours that is made when it is first opened. In: what is to be in a new one; out: an Index.

Who follows it says `_statements`, and what rows there are from the beginning.
"""

import os

from kernel.locks import Lock
from runner.errors import RecordsTooNew
from store.index import Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1


class Ledger(Index):
    _statements: "tuple[str, ...]" = ()

    def _begin(self, db: "Any") -> None:
        """Write the rows that are always there, in the transaction that makes the file."""

    def _open(self) -> "Any":
        db = self._connect()
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if not version:
            self._create(db)
        elif version > VERSION:
            raise RecordsTooNew(self.path, version, VERSION)
        return db

    def _create(self, db: "Any") -> None:
        with Lock(f"{os.path.dirname(self.path)}/lock"):  # a change of the journal mode does not wait for others, it fails
            os.chmod(self.path, 0o600)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("BEGIN IMMEDIATE")
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                for statement in self._statements:
                    db.execute(statement)
                self._begin(db)
                db.execute(f"PRAGMA user_version={VERSION}")
            db.execute("COMMIT")
