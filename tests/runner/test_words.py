"""Small vocabularies: signals, moments, limits, volumes' options, detach keys, states for people, names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.attachment import Attachment, parse_keys
from runner.copying import Landing, landing
from runner.endpoint import PortMapping
from runner.errors import InvalidOption
from runner.limits import checked, cpu_quota, merge
from runner.listing import label_matches, name_matches
from runner.moment import parse_moment, time_text
from runner.naming import new_id, new_name
from runner.pruning import Filters, parse_filters
from runner.signals import parse_signal, signal_name
from runner.state import Health, State
from runner.status import ports_text, status_text
from runner.upkeep import CREATED, EXITED, PAUSED, RESTARTING, RUNNING, SECOND
from runner.volume import Device, Volume, device_of, is_name
from sandbox.spec import Limits

NOW = 1_700_000_000 * SECOND


@pytest.mark.parametrize(("text", "number"), [("TERM", 15), ("SIGKILL", 9), ("hup", 1), ("15", 15), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)])
def test_signal_by_name_and_number(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-9", "NOPE", "TERM+1", "RTMIN+99", "9x", "SIG_DFL", "_BLOCK"])
def test_signal_that_is_none(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_signal(text)


def test_signal_has_its_name_back() -> None:
    assert signal_name(9) == "SIGKILL" and signal_name(50) == "50"


@pytest.mark.parametrize(("text", "moment"), [
    ("1700000000", NOW), ("1700000000.5", NOW + SECOND // 2), ("2023-11-14T22:13:20Z", NOW), ("2023-11-14T23:13:20+01:00", NOW),
    ("2023-11-14T22:13:20.000000007Z", NOW + 7), ("10m", NOW - 600 * SECOND), ("1h30m", NOW - 5400 * SECOND)])
def test_moment(text: str, moment: int) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2023-99-99", "10 parsecs"])
def test_moment_that_is_none(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_moment(text)


@given(st.integers(1, 1 << 61))
def test_moment_is_read_as_it_is_written(moment: int) -> None:
    assert parse_moment(time_text(moment, fixed=True)) == moment


def test_time_text_as_docker_writes_it() -> None:
    assert time_text(NOW) == "2023-11-14T22:13:20Z" and time_text(NOW + 50_000_000) == "2023-11-14T22:13:20.05Z"
    assert time_text(0) == "0001-01-01T00:00:00Z"


def test_limits_are_merged_by_what_is_said() -> None:
    assert merge(Limits(memory=5, pids=7), Limits(memory=9)) == Limits(memory=9, pids=7)
    assert cpu_quota(1.5) == (150_000, 100_000) and cpu_quota(0.001) == (1000, 100_000)


@pytest.mark.parametrize("limits", [Limits(memory=1 << 20), Limits(memory_swap=5), Limits(memory=64 << 20, memory_swap=32 << 20),
                                    Limits(memory=64 << 20, memory_reservation=65 << 20)])
def test_limits_that_contradict_each_other(limits: Limits) -> None:
    with pytest.raises(InvalidOption):
        checked(limits)


@pytest.mark.parametrize(("name", "good"), [("data", True), ("a1", True), ("a.b-c_d", True), ("a", False), ("", False), (".x", False), ("a/b", False),
                                            ("ä1", False), ("a b", False), ("../x", False), ("x" * 256, False)])
def test_names(name: str, good: bool) -> None:
    assert is_name(name) is good


@pytest.mark.parametrize(("options", "device"), [
    ({}, None), ({"type": "tmpfs", "device": "tmpfs", "o": "size=64m,mode=700"}, Device("tmpfs", "tmpfs", ("size=64m", "mode=700"))),
    ({"type": "none", "o": "bind", "device": "/srv"}, Device("bind", "/srv", ("bind",))),
    ({"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1,rw"}, Device("nfs", ":/x", ("addr=10.0.0.1", "rw")))])
def test_volume_options(options: "dict[str, str]", device: "Device | None") -> None:
    assert device_of(Volume("data", 0, options=tuple(options.items()))) == device


@pytest.mark.parametrize("options", [{"type": "tmpfs"}, {"device": "/x"}, {"colour": "red"}, {"type": "none", "o": "bind", "device": "relative"}])
def test_volume_options_that_cannot_be(options: "dict[str, str]") -> None:
    with pytest.raises(InvalidOption):
        device_of(Volume("data", 0, options=tuple(options.items())))


def test_detach_keys() -> None:
    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11" and parse_keys("a,ctrl-]") == b"a\x1d" and parse_keys("") == b""
    for text in ("ctrl-", "ab", "ctrl-1", "ä"):
        with pytest.raises(InvalidOption):
            parse_keys(text)


class NoStream:
    """As much of a container's streams as an Attachment that is not run looks at."""

    console, tty = 9, True


@given(st.lists(st.binary(max_size=6).map(lambda data: bytes(b"\x10\x11a"[byte % 3] for byte in data)), max_size=8))
def test_detach_keys_are_found_however_they_come(pieces: "list[bytes]") -> None:
    attachment = Attachment(NoStream(), stdin=0)          # type: ignore[arg-type]
    passed, detached = b"", False
    for piece in pieces:
        if not detached:
            more, detached = attachment._without_keys(piece)
            passed += more
    whole = b"".join(pieces)
    at = whole.find(b"\x10\x11")
    assert detached == (at >= 0)
    assert passed == (whole[:at] if detached else whole[:len(whole) - (whole[-1:] == b"\x10")])


@pytest.mark.parametrize(("state", "text"), [
    (State(RUNNING, started_at=NOW - 5 * SECOND), "Up 5 seconds"),
    (State(RUNNING, started_at=NOW - 7200 * SECOND, health=Health("healthy")), "Up 2 hours (healthy)"),
    (State(RUNNING, started_at=NOW, health=Health()), "Up Less than a second (health: starting)"),
    (State(PAUSED, started_at=NOW - 60 * SECOND), "Up About a minute (Paused)"),
    (State(RESTARTING, started_at=1, finished_at=NOW - 3 * SECOND, exit_code=1), "Restarting (1) 3 seconds ago"),
    (State(EXITED, started_at=1, finished_at=NOW - 86400 * 3 * SECOND, exit_code=137), "Exited (137) 3 days ago"), (State(CREATED), "Created")])
def test_status_for_people(state: State, text: str) -> None:
    assert status_text(state, NOW) == text


def test_ports_for_people() -> None:
    bound = (PortMapping(80, "tcp", "0.0.0.0", 8080), PortMapping(80, "tcp", "::", 8080), PortMapping(9000, "udp", "", 9000),
             PortMapping(9001, "udp", "", 9001))
    assert ports_text(bound, ("80/tcp", "443/tcp")) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp, 0.0.0.0:9000-9001->9000-9001/udp"


def test_labels_and_names_in_filters() -> None:
    assert label_matches({"a": "1"}, "a") and label_matches({"a": "1"}, "a=1") and not label_matches({"a": "1"}, "a=2")
    assert name_matches("web-1", "eb") and name_matches("web-1", "^/web") and not name_matches("web-1", "^eb")
    with pytest.raises(InvalidOption):
        name_matches("x", "(")


def test_prune_filters() -> None:
    filters = parse_filters(["label=a=1", "label!=keep", "until=1700000000"])
    assert filters == Filters(NOW, ("a=1",), ("keep",))
    assert filters.match(NOW - 1, {"a": "1"}) and not filters.match(NOW, {"a": "1"})
    assert not filters.match(0, {"a": "1", "keep": ""}) and not filters.match(0, {})
    with pytest.raises(InvalidOption):
        parse_filters(["nonsense"])


def test_ids_and_names() -> None:
    assert len(new_id()) == 64 and not new_id()[:12].isdecimal()
    assert is_name(new_name())


@pytest.mark.parametrize(("source", "is_directory", "target", "kind", "place"), [
    ("/etc/passwd", False, "/tmp", "directory", Landing("/tmp", "passwd")), ("/etc/passwd", False, "/tmp/x", "", Landing("/tmp", "x")),
    ("/etc/passwd", False, "/tmp/x", "file", Landing("/tmp", "x")), ("/etc", True, "/tmp", "directory", Landing("/tmp", "etc")),
    ("/etc/.", True, "/tmp", "directory", Landing("/tmp", ".")), ("/etc", True, "/tmp/new", "", Landing("/tmp", "new")),
    ("/etc/", True, "/tmp/new/", "", Landing("/tmp", "new")), ("a", False, "b", "", Landing(".", "b"))])
def test_copies_land_where_docker_puts_them(source: str, is_directory: bool, target: str, kind: str, place: Landing) -> None:
    assert landing(source, is_directory, target, kind) == place


@pytest.mark.parametrize(("source", "is_directory", "target", "kind"), [("/etc", True, "/file", "file"), ("/file", False, "/new/", "")])
def test_copies_that_cannot_land(source: str, is_directory: bool, target: str, kind: str) -> None:
    with pytest.raises(InvalidOption):
        landing(source, is_directory, target, kind)
