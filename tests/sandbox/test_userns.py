"""User namespaces: maps as values, a real user in a real one, and what doctor says."""

import os
from pathlib import Path

import pytest

from kernel.release import parse
from kernel.syscalls import CLONE_NEWUSER, unshare
from sandbox import probe, userns
from sandbox.client import connect
from sandbox.probe import LIMITED, NO, YES, in_container
from sandbox.userns import Entered, Range, full_map, subordinate
from tests.sandbox.conftest import USERS_OVERLAY
from tests.sandbox.harness import IDLE_S
from tests.users import User

SUBUID = "alice:100000:65536\n# bob:1:1\nbob:200000:10\n1000:300000:5\nalice:400000:7\ncarol:x:3\ndave:5:0\n\nbroken\n"


def test_subordinate_ranges_by_name_and_number() -> None:
    assert subordinate(SUBUID, "alice", 1) == ((100000, 65536), (400000, 7))
    assert subordinate(SUBUID, "bob", 1000) == ((200000, 10), (300000, 5))
    assert subordinate(SUBUID, "carol", 7) == subordinate(SUBUID, "dave", 8) == ()


def test_full_map_has_no_gaps() -> None:
    assert full_map(1000, ((100000, 65536), (400000, 7))) == (Range(0, 1000, 1), Range(1, 100000, 65536), Range(65537, 400000, 7))


def test_root_enters_nothing(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("this is about root")
    assert userns.enter(str(tmp_path)) == Entered("root", 0)


def _enter(run_directory: str) -> tuple[str, int, int, str, int, str]:
    with connect(run_directory, idle_s=IDLE_S) as client:
        before = os.readlink("/proc/self/ns/mnt")
        entered = userns.enter(run_directory, client)
        with open("/proc/self/uid_map") as file:
            ids = sum(int(line.split()[2]) for line in file)
        path = Path(os.environ["HOME"]) / "mine"
        path.write_text("x")
        changed = str(os.readlink("/proc/self/ns/mnt") != before)
        if entered.mode == "full":
            os.chown(path, 33, 44)
        mine = f"{path.stat().st_uid}:{path.stat().st_gid}"
        path.unlink()
        return entered.mode, entered.uid, os.geteuid(), mine, ids, changed


@pytest.mark.userns
def test_user_with_subordinate_ids_is_root_of_many(unprivileged: User) -> None:
    run = unprivileged.directory(unprivileged.runtime / "tests")
    assert unprivileged.call(_enter, str(run)) == ("full", unprivileged.uid, 0, "33:44", 65537, "True")


@pytest.mark.userns
def test_user_without_subordinate_ids_is_root_of_one(unprivileged_single: User) -> None:
    run = unprivileged_single.directory(unprivileged_single.runtime / "tests")
    assert unprivileged_single.call(_enter, str(run)) == ("single", unprivileged_single.uid, 0, "0:0", 1, "True")


def _probe(directory: str) -> list[tuple[str, str]]:
    return [(one.subject, one.verdict) for one in probe.probe(directory)]


@pytest.mark.userns
def test_probe_of_a_user_with_subordinate_ids(unprivileged: User) -> None:
    found = dict(unprivileged.call(_probe, str(unprivileged.home)))
    assert [found[key] for key in ("user namespaces", "subordinate ids", "namespaces and mounts", "overlay", "seccomp")] == [
        YES, YES, YES, YES if parse(os.uname().release) >= USERS_OVERLAY else NO, YES]
    assert unprivileged.call(probe.mode) == "full"


def _remedies(directory: str) -> dict[str, str]:
    return {one.subject: one.remedy for one in probe.probe(directory)}


@pytest.mark.userns
def test_probe_of_a_user_without_subordinate_ids(unprivileged_single: User) -> None:
    assert dict(unprivileged_single.call(_probe, str(unprivileged_single.home)))["subordinate ids"] == LIMITED
    assert "usermod --add-subuids" in unprivileged_single.call(_remedies, str(unprivileged_single.home))["subordinate ids"]
    assert unprivileged_single.call(probe.mode) == "single"


@pytest.mark.userns
def test_probe_of_root(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("this is about root")
    found = dict(_probe(str(tmp_path)))
    assert (found["namespaces and mounts"], found["overlay"]) == (YES, YES)
    assert "user namespaces" not in found
    assert os.listdir(tmp_path) == []


def _probe_without_namespaces(directory: str) -> tuple[list[tuple[str, str, str]], str]:
    """In a user namespace whose limit of further ones is none."""
    unshare(CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text("5 {} 1".format(os.environ["USER_ID"]))
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    return [(one.subject, one.verdict, one.remedy) for one in probe.probe(directory)], probe.mode()


@pytest.mark.userns
def test_probe_where_namespaces_are_forbidden(unprivileged_single: User) -> None:
    def as_user(directory: str) -> tuple[list[tuple[str, str, str]], str]:
        os.environ["USER_ID"] = str(unprivileged_single.uid)
        return _probe_without_namespaces(directory)
    found, mode = unprivileged_single.call(as_user, str(unprivileged_single.home))
    remedy = "docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined .." if in_container() else "sudo sysctl -w user.max_user_namespaces=15000"
    assert found[0] == ("user namespaces", NO, remedy)
    assert mode == "none"
