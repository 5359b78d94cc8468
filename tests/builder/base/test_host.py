"""Where paths lead on a made machine, and which of them are noted."""

import os
from pathlib import Path

import pytest

from builder.base.errors import NotUsable
from builder.base.host import Hop, Host, Named, Place
from tests.builder.base.elves import link, put


@pytest.fixture
def host(tmp_path: Path) -> Host:
    put(tmp_path, "/usr/bin/ls", "ls")
    put(tmp_path, "/usr/bin/mawk", "mawk")
    link(tmp_path, "/bin", "usr/bin")
    link(tmp_path, "/etc/alternatives/awk", "/usr/bin/mawk")
    link(tmp_path, "/usr/bin/awk", "/etc/alternatives/awk")
    link(tmp_path, "/usr/lib/libx.so.1", "x86/libx.so.1.2")
    link(tmp_path, "/usr/lib/x86", "../../opt/x86")
    put(tmp_path, "/opt/x86/libx.so.1.2", "x")
    link(tmp_path, "/loop", "loop2")
    link(tmp_path, "/loop2", "loop")
    link(tmp_path, "/dangling", "usr/nothing")
    link(tmp_path, "/outside", "../../../../usr/bin/ls")
    return Host(str(tmp_path))


@pytest.mark.parametrize(("path", "place"), [
    ("/", Place("/", ())),
    ("/usr/bin/ls", Place("/usr/bin/ls", ())),
    ("/bin/ls", Place("/usr/bin/ls", (Hop("/bin", "/usr/bin"),))),
    ("/bin/../bin/ls", Place("/usr/bin/ls", ())),
    ("/usr//bin/./ls", Place("/usr/bin/ls", ())),
    ("/outside", Place("/usr/bin/ls", (Hop("/outside", "/usr/bin/ls"),))),
    ("/dangling", Place("", ())),
    ("/usr/bin/nothing", Place("", ())),
    ("/usr/bin/ls/below", Place("", ())),
    ("/usr/lib/libx.so.1", Place("/opt/x86/libx.so.1.2", (Hop("/usr/lib/x86", "/opt/x86"), Hop("/usr/lib/libx.so.1", "/opt/x86/libx.so.1.2"))))])
def test_place(host: Host, path: str, place: Place) -> None:
    found = host.place(path)
    assert found.real == place.real
    if path != "/bin/../bin/ls":                 # which of the ways back is a hop is of no interest
        assert set(found.hops) == set(place.hops)


def test_place_goes_past_alternatives(host: Host) -> None:
    assert host.place("/bin/awk") == Place("/usr/bin/mawk", (Hop("/bin", "/usr/bin"), Hop("/usr/bin/awk", "/usr/bin/mawk")))


def test_place_of_a_loop(host: Host) -> None:
    with pytest.raises(NotUsable, match="loop of symbolic links"):
        host.place("/loop")


def test_place_of_many_links_in_each_other_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "l0").mkdir()
    for level in range(1, 60):
        link(tmp_path, f"/l{level}", f"l{level - 1}/../l{level - 1}/../l{level - 1}")
    with pytest.raises(NotUsable):
        Host(str(tmp_path)).place("/l59")


def test_is_file_and_is_directory_follow_links(host: Host) -> None:
    assert host.is_file("/bin/ls") and host.is_executable("/bin/awk") and host.is_directory("/bin") and not host.is_file("/bin")


def test_what_was_asked_about_is_noted(host: Host, tmp_path: Path) -> None:
    host.is_file("/bin/awk")
    host.is_file("/usr/bin/nothing")
    host.names("/opt")
    assert host.watched() == [f"{tmp_path}{path}" for path in (
        "/bin", "/etc/alternatives/awk", "/opt", "/usr/bin/awk", "/usr/bin/mawk", "/usr/bin/nothing")]


def test_entries_are_sorted_and_of_a_kind(host: Host, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "usr/pipe")
    assert host.entries("/usr") == (Named("bin", "directory"), Named("lib", "directory"), Named("pipe", ""))
    assert host.entries("/usr/bin") == (Named("awk", "link"), Named("ls", "file"), Named("mawk", "file"))
    assert host.entries("/nothing") == () and host.entries("/usr/bin/ls") == ()


def test_read_has_a_limit(host: Host) -> None:
    assert (host.read("/bin/ls", 2), host.read("/bin/ls", 1), host.read("/nothing", 9), host.read("/bin", 9)) == (b"ls", b"", b"", b"")


def test_a_fifo_is_no_file_and_does_not_hang(host: Host, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not host.is_file("/pipe") and host.read("/pipe", 9) == b""
