"""The networks that exist, and those that are gone though there was no room to write that down."""

import os
from pathlib import Path
from typing import Any

import pytest

from runner.agent.records import Networks, new_id
from runner.network import NetworkRecord, NetworkSpec
from store.errors import IndexHasNoRoom


class Cramped(Networks):
    """There is no room to write anything down."""

    def run(self, sql: str, *values: "Any") -> int:
        raise IndexHasNoRoom(self.path, "there is no room")


def record(name: str) -> NetworkRecord:
    return NetworkRecord(new_id(), 1, "br", True, NetworkSpec(name))


def names(root: Path) -> "list[str]":
    return [one.name for one in Networks(str(root)).list()]


def test_a_network_goes_without_room(tmp_path: Path) -> None:
    a, b = record("a"), record("b")
    for one in (a, b):
        Networks(str(tmp_path)).add(one)
    cramped = Cramped(str(tmp_path))
    cramped.remove(a.id)
    for found in (cramped, Networks(str(tmp_path))):
        assert found.named("a") is None and found.find(a.id[:20]) is None and found.find("b") == b
    assert "a" not in names(tmp_path) and "b" in names(tmp_path)


def test_its_name_is_free_and_what_is_made_then_stays(tmp_path: Path) -> None:
    a, again = record("a"), record("a")
    Networks(str(tmp_path)).add(a)
    Cramped(str(tmp_path)).remove(a.id)
    Networks(str(tmp_path)).add(again)
    Networks(str(tmp_path)).tidy()
    assert Networks(str(tmp_path)).named("a") == again


def test_what_is_left_of_it_goes_with_the_next_agent(tmp_path: Path) -> None:
    a = record("a")
    Networks(str(tmp_path)).add(a)
    Cramped(str(tmp_path)).remove(a.id)
    Cramped(str(tmp_path)).tidy()
    assert os.listdir(tmp_path / "networks") and "a" not in names(tmp_path)
    Networks(str(tmp_path)).tidy()
    assert os.listdir(tmp_path / "networks") == []
    assert not Networks(str(tmp_path)).query("SELECT 1 FROM network WHERE id = ?", a.id)


def test_removing_with_room_leaves_nothing(tmp_path: Path) -> None:
    a = record("a")
    Networks(str(tmp_path)).add(a)
    Networks(str(tmp_path)).remove(a.id)
    assert os.listdir(tmp_path / "networks") == [] and "a" not in names(tmp_path)


def test_a_network_of_an_older_version_needs_room(tmp_path: Path) -> None:
    a = record("a")
    Networks(str(tmp_path)).add(a)
    os.unlink(tmp_path / "networks" / f"{a.id}.here")
    with pytest.raises(IndexHasNoRoom):
        Cramped(str(tmp_path)).remove(a.id)
    assert "a" in names(tmp_path)
