"""The room that is kept for a full disk. A small tmpfs stands for the disk."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.errors import IndexDamaged, IndexHasNoRoom
from store.index import Index
from store.reserve import NAME, SIZE, free_bytes, tend

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filling").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_it_is_made_where_there_is_room_and_holds_it(disk: Path) -> None:
    before = free_bytes(str(disk))
    tend(str(disk))
    assert (disk / NAME).stat().st_size == SIZE
    assert before - free_bytes(str(disk)) >= SIZE


def test_it_is_given_up_when_the_disk_is_full_and_comes_back(disk: Path) -> None:
    tend(str(disk))
    fill(disk)
    tend(str(disk))
    assert not (disk / NAME).exists() and free_bytes(str(disk)) >= SIZE
    tend(str(disk))
    assert not (disk / NAME).exists()
    (disk / "filling").unlink()
    tend(str(disk))
    assert (disk / NAME).exists()


def test_an_index_opens_and_is_written_on_a_full_disk(disk: Path) -> None:
    index = Index(str(disk / "index.db"))
    index.run("INSERT INTO meta VALUES ('a', 'b')")
    index.close()
    fill(disk)
    index.run("DELETE FROM meta WHERE key = 'a'")
    index.close()


def fill_all(disk: Path) -> None:
    """The reserve too."""
    fill(disk)
    tend(str(disk))
    fill(disk)


def test_without_a_reserve_the_index_is_read_and_things_are_removed(disk: Path) -> None:
    index, other = (Index(str(disk / "index.db")) for _ in range(2))
    for key in "abc":
        index.run("INSERT INTO meta VALUES (?, 'x')", key)
    index.close()
    fill_all(disk)
    for each, key in ((index, "a"), (other, "b")):        # both, though neither is closed
        with each:
            each.run("DELETE FROM meta WHERE key = ?", key)
    assert other.query("SELECT key FROM meta WHERE value = 'x'") == [("c",)]
    index.close()
    other.close()
    assert is_with_log(disk)


def test_without_a_reserve_who_has_the_index_open_goes_on(disk: Path) -> None:
    index, other = (Index(str(disk / "index.db")) for _ in range(2))
    index.run("INSERT INTO meta VALUES ('a', 'x')")
    fill_all(disk)
    assert other.query("SELECT key FROM meta WHERE value = 'x'") == index.query("SELECT key FROM meta WHERE value = 'x'") == [("a",)]


def test_without_a_reserve_the_error_says_that_the_disk_is_full(disk: Path) -> None:
    index = Index(str(disk / "index.db"))
    index.query("SELECT 1")
    index.close()
    fill_all(disk)
    with pytest.raises(IndexHasNoRoom, match="the disk is full") as caught:
        index.run("INSERT INTO meta VALUES ('a', ?)", "x" * (1 << 20))
    assert "fsck" not in caught.value.help
    assert isinstance(caught.value, IndexDamaged)


def test_an_index_that_a_killed_command_has_left_without_its_log_gets_it_back(disk: Path) -> None:
    index = Index(str(disk / "index.db"))
    index.query("SELECT 1")
    index.close()
    with sqlite3.connect(disk / "index.db") as db:
        db.execute("PRAGMA journal_mode=DELETE")
    db.close()
    assert not is_with_log(disk)
    index.run("INSERT INTO meta VALUES ('a', 'x')")
    index.close()
    assert is_with_log(disk)


def is_with_log(disk: Path) -> bool:
    return (disk / "index.db").read_bytes()[18:20] == b"\2\2"
