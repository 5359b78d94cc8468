"""The ledger itself: versions, transactions, laws."""

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from engine.registry.ledger import Ledger, LedgerDamaged, Missing, Stored
from store.digest import Digest, digest_of


def stored(text: str) -> Stored:
    return Stored(Digest(digest_of(text.encode())), "type", len(text))


def test_file_is_private_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    first = Ledger(str(path))
    first.add_blob("a", "sha256:x", 5)
    first.close()
    assert path.stat().st_mode & 0o777 == 0o600
    second = Ledger(str(path))
    assert second.blob("a", "sha256:x") == 5
    second.close()


def test_two_servers_on_one_file(tmp_path: Path) -> None:
    one, two = Ledger(str(tmp_path / "r")), Ledger(str(tmp_path / "r"))
    one.add_blob("a", "sha256:x", 5)
    assert two.blob("a", "sha256:x") == 5
    two.add_manifest("a", stored("m"), (), "latest")
    assert one.tags("a", "", 10) == ["latest"]
    one.close()
    two.close()


def test_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    Ledger(str(tmp_path / "r")).close()
    db = sqlite3.connect(tmp_path / "r")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(LedgerDamaged, match="they have version 99, and this program knows 1"):
        Ledger(str(tmp_path / "r"))


def test_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"no database" * 100)
    with pytest.raises(LedgerDamaged, match="cannot be used: file is not a database"):
        Ledger(str(tmp_path / "r"))


def test_manifest_with_missing_parts_changes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "r"))
    ledger.add_blob("a", "sha256:x", 1)
    with pytest.raises(Missing) as caught:
        ledger.add_manifest("a", stored("m"), ("sha256:x", "sha256:y"), "latest", blobs=("sha256:x", "sha256:y"), manifests=("sha256:z",))
    assert caught.value.digests == ("sha256:y", "sha256:z")
    assert ledger.manifest("a", "latest") is None and ledger.tags("a", "", 10) == []
    ledger.close()


_TAG = strategies.text("aAbB1_", min_size=1, max_size=3)


@settings(max_examples=25)
@given(strategies.lists(strategies.tuples(_TAG, strategies.booleans()), max_size=20), strategies.integers(1, 5))
def test_tags_are_a_map_and_pages_cover_it(changes: list[tuple[str, bool]], size: int) -> None:
    """Law: after any pushes and deletes the tags are those of a dict; pages of any size give each once, in order."""
    with tempfile.TemporaryDirectory() as directory:
        ledger = Ledger(f"{directory}/r")
        model: set[str] = set()
        for tag, push in changes:
            if push:
                ledger.add_manifest("a", stored(tag), (), tag)
                model.add(tag)
            else:
                assert ledger.delete_tag("a", tag) == (tag in model)
                model.discard(tag)
        seen: list[str] = []
        while page := ledger.tags("a", seen[-1] if seen else "", size):
            assert len(page) <= size
            seen += page
        assert seen == sorted(model, key=lambda tag: (tag.lower(), tag))
        ledger.close()
