"""Landlock does what its man page says, in children that give up what they do not name."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel import landlock
from kernel.syscalls import PR_SET_NO_NEW_PRIVS, prctl

pytestmark = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


def in_child(attempt: Callable[[], bool]) -> bool:
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if attempt() else 1)
        finally:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status < 2, "the child raised"
    return status == 0


def confine(path: Path) -> None:
    fd = os.open(path, os.O_PATH)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    landlock.confine(((fd, landlock.every_access(landlock.version())),), landlock.version())


def refused(action: Callable[[], object]) -> bool:
    try:
        action()
    except PermissionError:
        return True
    return False


def test_confine_leaves_what_is_below(tmp_path: Path) -> None:
    def attempt() -> bool:
        confine(tmp_path)
        (tmp_path / "a").mkdir()
        (tmp_path / "file").write_text("x")
        (tmp_path / "file").rename(tmp_path / "a" / "file")
        return (tmp_path / "a" / "file").read_text() == "x"

    assert in_child(attempt)


def test_confine_forbids_what_is_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").write_text("secret")

    def attempt() -> bool:
        confine(tmp_path / "inside")
        return refused((tmp_path / "outside").read_text) and refused(lambda: os.mkdir(tmp_path / "new")) and refused(lambda: os.listdir("/"))

    assert in_child(attempt)


@pytest.mark.skipif(landlock.version() < landlock.SCOPES_ABI, reason="this kernel's Landlock knows nothing of signals")
def test_confine_forbids_signals_to_others(tmp_path: Path) -> None:
    parent = os.getpid()

    def attempt() -> bool:
        confine(tmp_path)
        return refused(lambda: os.kill(parent, 0))

    assert in_child(attempt)


def test_create_ruleset_of_nonsense_is_an_error() -> None:
    with pytest.raises(OSError, match="landlock_create_ruleset"):
        landlock.create_ruleset(1 << 60)
