"""The event log: whole lines whoever writes, followed as they come, across a rotation."""

import json
import os
import select
from pathlib import Path

import pytest

from store.events import Events, Follower


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(str(tmp_path))


def actions(lines: list[bytes]) -> list[str]:
    return [json.loads(line)["action"] for line in lines]


def test_event_is_one_json_line(events: Events) -> None:
    events.emit("image", "tag", "sha256:abc", {"name": 'we"ird\\\n\t\x7fü \ud800'})
    line, = events.lines()
    event = json.loads(line)
    assert (event["type"], event["action"], event["id"]) == ("image", "tag", "sha256:abc")
    assert event["attributes"] == {"name": 'we"ird\\\n\t\x7fü \ud800'}
    assert isinstance(event["time"], int)


def test_no_events(events: Events) -> None:
    assert events.lines() == []


def test_torn_line_is_left_out(events: Events) -> None:
    events.emit("image", "one", "x")
    with open(events.path, "ab") as file:
        file.write(b'{"time":1,"typ')
    assert actions(events.lines()) == ["one"]


def test_lines_of_many_processes_do_not_mix(events: Events) -> None:
    pids = []
    for number in range(5):
        pid = os.fork()
        if not pid:
            for count in range(50):
                events.emit("image", f"{number}-{count}", "x" * 200)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    assert sorted(actions(events.lines())) == sorted(f"{n}-{c}" for n in range(5) for c in range(50))


def test_full_log_is_rotated(events: Events) -> None:
    events.emit("image", "first", "x")
    with open(events.path, "r+b") as file:
        file.truncate(8 << 20)
    events.emit("image", "second", "x")
    events.emit("image", "third", "x")
    assert os.path.getsize(events.path) < 1000
    assert os.path.exists(f"{events.path}.1")
    assert actions(events.lines())[-1] == "third"


def ready(follower: Follower) -> bool:
    return bool(select.select([follower], [], [], 5)[0])


def test_follower_sees_what_comes(events: Events) -> None:
    events.emit("image", "before", "x")
    with Follower(events) as follower:
        assert follower.read() == []
        events.emit("image", "one", "x")
        events.emit("image", "two", "x")
        assert ready(follower)
        assert actions(follower.read()) == ["one", "two"]
        events.emit("image", "three", "x")
        assert ready(follower)
        assert actions(follower.read()) == ["three"]


def test_follower_of_a_log_that_is_not_there_yet(events: Events) -> None:
    with Follower(events) as follower:
        events.emit("image", "one", "x")
        assert ready(follower)
        assert actions(follower.read()) == ["one"]


def test_follower_goes_on_after_a_rotation(events: Events) -> None:
    events.emit("image", "before", "x")
    with Follower(events) as follower:
        events.emit("image", "last", "x")
        os.rename(events.path, f"{events.path}.1")
        events.emit("image", "new", "x")
        assert ready(follower)
        assert actions(follower.read()) == ["last", "new"]


def test_follower_gives_half_a_line_when_it_is_whole(events: Events) -> None:
    events.emit("image", "before", "x")
    with Follower(events) as follower, open(events.path, "ab", buffering=0) as file:
        file.write(b'{"time":1,"action":')
        assert ready(follower)
        assert follower.read() == []
        file.write(b'"x"}\n')
        assert ready(follower)
        assert actions(follower.read()) == ["x"]
