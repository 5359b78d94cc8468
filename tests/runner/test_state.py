"""A container's directory: its state as JSON, its lock, and what a state comes to whose shim is gone."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.endpoint import Connection, PortMapping
from runner.state import KILLED, Health, Place, Probe, State, from_json, settled, to_json
from runner.upkeep import CREATED, EXITED, PAUSED, RESTARTING, RUNNING
from tests.users import needs_root

TEXTS = st.text(max_size=20)
STATES = st.builds(
    State, status=st.sampled_from((CREATED, RUNNING, EXITED)), pid=st.integers(0, 1 << 22), started_at=st.integers(0, 1 << 62), exit_code=st.integers(0, 255),
    error=TEXTS, oom_killed=st.booleans(), manual=st.booleans(),
    health=st.none() | st.builds(Health, log=st.lists(st.builds(Probe, st.integers(), st.integers(), st.integers(), TEXTS), max_size=3).map(tuple)),
    connections=st.lists(st.builds(Connection, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, aliases=st.lists(TEXTS, max_size=2).map(tuple)), max_size=2).map(tuple),
    ports=st.lists(st.builds(PortMapping, st.integers(0, 65535)), max_size=2).map(tuple), warnings=st.lists(TEXTS, max_size=2).map(tuple))


@given(STATES)
def test_state_comes_back_as_it_was_written(state: State) -> None:
    assert from_json(to_json(state)) == state


@given(STATES)
def test_state_is_json_for_others_too(state: State) -> None:
    assert json.loads(to_json(state))["status"] == state.status


def test_unknown_fields_are_ignored_and_missing_ones_have_defaults() -> None:
    assert from_json('{"status": "exited", "invented": [1, {"a": null}]}') == State(EXITED)


@pytest.mark.parametrize("text", ["", "{", "nonsense", '{"status": '])
def test_damaged_state_is_that_of_a_container_never_started(text: str) -> None:
    assert from_json(text).status == CREATED


def test_settled_leaves_what_lives_or_has_ended() -> None:
    running, ended = State(RUNNING, boot="b"), State(EXITED, boot="a")
    assert settled(running, True, 5, "b") == running
    assert settled(ended, False, 5, "b") == ended


@pytest.mark.parametrize("status", [RUNNING, PAUSED, RESTARTING])
def test_settled_says_why_a_container_is_gone(status: str) -> None:
    killed = settled(State(status, pid=7, boot="b"), False, 5, "b")
    assert (killed.status, killed.pid, killed.exit_code, killed.finished_at) == (EXITED, 0, KILLED, 5)
    assert "shim" in killed.error
    assert "restarted" in settled(State(status, boot="a"), False, 5, "b").error


def test_place_reads_what_it_wrote(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path), "a" * 64)
    os.close(place.make(str(tmp_path)))
    assert place.read() == State()
    place.write(State(RUNNING, pid=5))
    assert place.read().pid == 5


def test_root_looks_like_what_it_is_stacked_on(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    os.chmod(lower, 0o1751)
    os.utime(lower, (1000, 2000))
    place = Place(str(tmp_path), str(tmp_path), "a" * 64)
    os.close(place.make(str(lower)))
    status = os.stat(place.fs)
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o1751, 2000)


@needs_root
def test_lock_has_one_holder_and_moves_with_its_descriptor(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path), "a" * 64)
    os.close(place.make(""))
    assert not place.is_locked()
    fd = place.lock(wait=False)
    assert place.is_locked() and place.lock(wait=False) == -1
    copy = os.dup(fd)
    os.close(fd)
    assert place.is_locked()
    os.close(copy)
    assert not place.is_locked()


@needs_root
def test_what_is_being_made_is_not_abandoned(tmp_path: Path) -> None:
    place = Place(str(tmp_path), str(tmp_path), "a" * 64)
    lock = place.make("")
    assert not place.is_abandoned()
    os.close(lock)
    assert place.is_abandoned()
    young = Place(str(tmp_path), str(tmp_path), "b" * 64)
    os.mkdir(young.path)
    assert not young.is_abandoned()
    os.utime(young.path, (0, 0))
    assert young.is_abandoned()


def test_lock_of_a_removed_container_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Place(str(tmp_path), str(tmp_path), "a" * 64).lock(wait=False)


def test_socket_of_a_deep_directory_has_a_short_path(tmp_path: Path) -> None:
    run = tmp_path / ("d" * 120)
    (run / "c").mkdir(parents=True)
    with Place(str(tmp_path), str(run), "a" * 64).socket() as path:
        assert len(path) < 60
        Path(path).write_text("x")
    assert (run / "c" / ("a" * 16)).read_text() == "x"
