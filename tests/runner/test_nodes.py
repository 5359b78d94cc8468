"""Which single device nodes of the machine a container may open where they are mounted."""

import os
import stat
from pathlib import Path

import pytest

from runner.container import Mount
from runner.nodes import expanded, inner, openable, parse_rule
from sandbox.spec import Device


def targets(*sources: str, rules: "tuple[str, ...]" = ()) -> "set[str]":
    return set(openable([Mount("bind", f"/in{source}", source) for source in sources], rules))


def test_harmless_nodes_can_be_opened() -> None:
    assert targets("/dev/null", "/dev/zero", "/dev/urandom") == {"/in/dev/null", "/in/dev/zero", "/in/dev/urandom"}


def test_others_need_a_rule() -> None:
    if not (os.path.exists("/dev/kmsg") and stat.S_ISCHR(os.stat("/dev/kmsg").st_mode)):
        pytest.skip("this machine has no /dev/kmsg")
    assert targets("/dev/kmsg") == set()
    for rule in ("c 1:11 rwm", "c 1:* rw", "a *:* rwm", "a"):
        assert targets("/dev/kmsg", rules=(rule,)) == {"/in/dev/kmsg"}
    for rule in ("b 1:11 rwm", "c 1:11 r", "c 2:11 rwm", "c 1:12 rwm", "c *:12 rwm"):
        assert targets("/dev/kmsg", rules=(rule,)) == set()


def test_a_directory_of_nodes_and_a_file_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert targets("/dev", str(tmp_path / "file"), str(tmp_path / "missing"), rules=("a *:* rwm",)) == set()


def test_nodes_of_a_directory_of_dev_need_a_rule_each(tmp_path: Path) -> None:
    mounts = [Mount("bind", "/host", "/dev/"), Mount("bind", "/other", str(tmp_path)), Mount("volume", "/v", "name")]
    found = inner(mounts, ("c 1:3 rwm", "c 1:5 r"))
    assert list(found) == ["/host"] and "null" in found["/host"] and "kmsg" not in found["/host"]
    assert inner(mounts, ()) == {}


@pytest.mark.parametrize("text", ["", "c", "c 1:3", "c 1 r", "x 1:3 r", "c 1:3 x", "c 1:-3 r", "c 99999999999:1 r", "c 1:3 r w"])
def test_bad_rules_are_errors(text: str) -> None:
    with pytest.raises(ValueError, match="is n"):
        parse_rule(text)


def test_a_directory_of_devices_is_its_nodes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("/dev/null")
    found = expanded((Device("/dev/null", "/dev/x"), Device("/dev/net", "/dev/in/"), Device(str(tmp_path), "/dev/y")))
    assert found[0] == Device("/dev/null", "/dev/x")
    assert {(one.source, one.target) for one in found[1:]} <= {(f"/dev/net/{name}", f"/dev/in/{name}") for name in (os.listdir("/dev/net") if os.path.isdir("/dev/net") else ())}
    if os.path.exists("/dev/net/tun"):
        assert Device("/dev/net/tun", "/dev/in/tun") in found


def test_a_device_that_is_missing_is_said_when_it_is_needed() -> None:
    assert expanded((Device("/dev/missing", "/dev/m"),)) == (Device("/dev/missing", "/dev/m"),)
