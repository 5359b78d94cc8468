"""Run each file of MIGRATIONS that DATABASE has not seen, in the order of their names; all or nothing. python3 migrate.py DATABASE MIGRATIONS"""

import sqlite3
import sys
from pathlib import Path

database, directory = sys.argv[1], Path(sys.argv[2])
with sqlite3.connect(database, isolation_level=None) as db:
    db.execute("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY)")
    done = {name for (name,) in db.execute("SELECT name FROM migration")}
    for path in sorted(directory.glob("*.sql")):
        if path.name not in done:
            quoted = path.name.replace("'", "''")
            db.executescript(f"BEGIN; {path.read_text()}; INSERT INTO migration VALUES ('{quoted}'); COMMIT;")
            print(f"migrated: {path.name}")
    print("the database is up to date")
