"""Sandboxes in a time namespace of their own."""

import time
from pathlib import Path

import pytest

from sandbox import clocks
from sandbox.client import connect
from sandbox.spec import ExecSpec, SandboxSpec
from tests.sandbox.harness import PATH, Box
from tests.sandbox.test_visit import finish, layers

pytestmark = [pytest.mark.userns, pytest.mark.skipif(not clocks.is_available(), reason="this kernel has no time namespaces")]
AHEAD = 1_000_000


def near(text: str) -> bool:
    """Whether it is /proc/uptime of a machine that was started AHEAD seconds earlier."""
    return abs(float(text.split()[0]) - AHEAD - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1000


@pytest.mark.parametrize("fields", [{}, {"init": True}, {"user": "1000"}], ids=["plain", "init", "user"])
def test_clocks_are_ahead(box: Box, fields: dict[str, object]) -> None:
    outcome = box.shell("cat /proc/uptime", clocks_ahead=AHEAD, **fields)
    assert near(outcome.out), outcome


def test_clocks_are_the_machines_unless_said(root_box: Box) -> None:
    assert float(root_box.shell("cat /proc/uptime").out.split()[0]) < time.clock_gettime(time.CLOCK_BOOTTIME) + 1000


def test_what_is_executed_later_has_the_same_clocks(root_box: Box) -> None:
    spec = SandboxSpec(layers(root_box.scratch, root_box.rootfs), ("/bin/sleep", "1000"), env=(PATH,), clocks_ahead=AHEAD)
    with connect(str(root_box.run_directory), idle_s=3) as client, client.spawn(spec) as main:
        exit, text = finish(lambda out: client.exec(main.pidfd, ExecSpec(("/bin/cat", "/proc/uptime"), env=(PATH,)), 0, out, out))
        assert exit.code == 0 and near(text)
        assert Path(f"/proc/{main.pid}/ns/time").stat().st_ino != Path("/proc/self/ns/time").stat().st_ino


def test_clocks_before_the_beginning_are_one_error(root_box: Box) -> None:
    outcome = root_box.shell("true", clocks_ahead=-(1 << 40))
    assert outcome.error == "SandboxError" and "shift the clocks" in outcome.message
