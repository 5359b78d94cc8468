"""The index: transactions, forks, several processes at once, and what a restart of the machine leaves."""

import os
import sqlite3
from pathlib import Path

import pytest

from store.cache import Cache, CacheRecord
from store.digest import digest_of
from store.errors import IndexDamaged
from store.index import Index


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(str(tmp_path / "index.db"))


def record(name: str, **fields: object) -> CacheRecord:
    return CacheRecord(digest_of(name.encode()), digest_of(b"op"), digest_of(b"result"), **fields)  # type: ignore[arg-type]


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_transaction_that_fails_changes_nothing(index: Index) -> None:
    with pytest.raises(ZeroDivisionError), index:
        index.run("INSERT INTO hold VALUES ('a', 'b')")
        raise ZeroDivisionError
    assert index.query("SELECT * FROM hold") == []


def test_transactions_nest_and_the_outermost_counts(index: Index) -> None:
    with pytest.raises(ZeroDivisionError), index:
        with index:
            index.run("INSERT INTO hold VALUES ('a', 'b')")
        raise ZeroDivisionError
    assert index.query("SELECT * FROM hold") == []


def test_connection_is_not_shared_with_a_fork(index: Index) -> None:
    index.run("INSERT INTO hold VALUES ('parent', 'x')")
    pid = os.fork()
    if not pid:
        try:
            index.run("INSERT INTO hold VALUES ('child', 'x')")
            index.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert wait(pid) == 0
    index.run("INSERT INTO hold VALUES ('parent', 'y')")
    assert len(index.query("SELECT * FROM hold")) == 3


def test_index_is_made_once_by_many_processes(tmp_path: Path) -> None:
    pids = []
    for number in range(8):
        pid = os.fork()
        if not pid:
            try:
                Index(str(tmp_path / "index.db")).run("INSERT INTO hold VALUES (?, 'x')", str(number))
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    assert [wait(pid) for pid in pids] == [0] * 8
    assert len(Index(str(tmp_path / "index.db")).query("SELECT * FROM hold")) == 8


def test_index_is_private(index: Index) -> None:
    index.query("SELECT 1")
    assert os.stat(index.path).st_mode & 0o777 == 0o600


def test_index_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"certainly not SQLite" * 100)
    with pytest.raises(IndexDamaged) as caught:
        Index(str(tmp_path / "index.db")).query("SELECT 1")
    assert "fsck" in caught.value.help


def test_index_of_a_newer_version_is_an_error(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "index.db") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(IndexDamaged, match="version 99"):
        Index(str(tmp_path / "index.db")).query("SELECT 1")


def _new_boot(index: Index) -> Index:
    """The same file, as it is found after the machine was restarted."""
    index.close()
    with sqlite3.connect(index.path) as db:
        for table in ("record", "layer", "image"):
            db.execute(f"UPDATE {table} SET boot = 'earlier'")
        db.execute("UPDATE meta SET value = 'earlier' WHERE key = 'boot'")
    return Index(index.path)


def test_unsynced_record_of_another_boot_is_dropped(index: Index, tmp_path: Path) -> None:
    Cache(index, str(tmp_path)).put(record("k", snapshot="s", parts=b"p"))
    after = Cache(_new_boot(index), str(tmp_path))
    assert (after.get(digest_of(b"k")), after.parts(digest_of(b"k"))) == (None, b"")


def test_synced_record_of_another_boot_stays(index: Index, tmp_path: Path) -> None:
    cache = Cache(index, str(tmp_path))
    cache.put(record("k", snapshot="s"))
    cache.sync()
    assert Cache(_new_boot(index), str(tmp_path)).get(digest_of(b"k")) is not None


def test_unsynced_record_of_this_boot_stays(index: Index, tmp_path: Path) -> None:
    Cache(index, str(tmp_path)).put(record("k", snapshot="s"))
    index.close()
    assert Cache(Index(index.path), str(tmp_path)).get(digest_of(b"k")) is not None


def test_use_times_are_written_at_close(index: Index, tmp_path: Path) -> None:
    cache = Cache(index, str(tmp_path))
    cache.put(record("k"))
    index.run("UPDATE record SET used = 5")
    cache.get(digest_of(b"k"))
    assert index.one("SELECT used FROM record") == (5,)
    index.close()
    assert index.one("SELECT used FROM record") > (5,)


def test_use_time_that_is_fresh_costs_no_write(index: Index, tmp_path: Path) -> None:
    cache = Cache(index, str(tmp_path))
    cache.put(record("k"))
    index.close()
    before = index.one("PRAGMA data_version")
    other = Index(index.path)
    Cache(other, str(tmp_path)).get(digest_of(b"k"))
    other.close()
    assert index.one("PRAGMA data_version") == before


def test_index_of_an_earlier_version_is_brought_up(tmp_path: Path) -> None:
    path = str(tmp_path / "index.db")
    Index(path).query("SELECT 1")
    db = sqlite3.connect(path)
    db.executescript("INSERT INTO hold VALUES ('a', 'b'); DROP TABLE origin; PRAGMA user_version = 1")
    db.close()
    index = Index(path)
    assert index.query("SELECT * FROM origin") == [] and index.query("SELECT * FROM hold") == [("a", "b")]
    assert index.one("PRAGMA user_version") == (2,)
