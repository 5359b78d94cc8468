"""What the set*id calls make of credentials, and which calls the filter of the emulation takes."""

import os

import pytest

from sandbox.emulation_rules import RLIMIT_RTTIME, SO_PEERCRED, rules
from sandbox.ids import KEEP, ROOT, Credentials, executed, may_change_owner, of_user, set_groups, set_one, set_three, set_two
from sandbox.owners import MARK, Owner, device_of, parsed
from sandbox.seccomp import ALLOW, NOTIFY, answer
from sandbox.syscall_numbers import numbers
from store.tree import OWNER

APP = of_user(1000, 1000, (10,))


def test_mark_is_the_one_that_the_store_reads() -> None:
    assert MARK == OWNER


def test_root_becomes_anybody() -> None:
    assert set_one(ROOT, "uids", 5).uids == (5, 5, 5)
    assert set_three(ROOT, "gids", (1, KEEP, 3)).gids == (1, 0, 3)
    assert set_groups(ROOT, (7, 8)).groups == (7, 8)


@pytest.mark.parametrize("change", [
    lambda: set_one(APP, "uids", 0), lambda: set_three(APP, "uids", (0, KEEP, KEEP)), lambda: set_two(APP, "gids", KEEP, 0),
    lambda: set_groups(APP, ())])
def test_others_are_refused_what_they_were_not(change: object) -> None:
    with pytest.raises(PermissionError):
        change()  # type: ignore[operator]


def test_saved_id_is_the_way_back() -> None:
    lowered = set_three(ROOT, "uids", (KEEP, 1000, 0))
    assert lowered.uids == (0, 1000, 0)
    assert set_one(lowered, "uids", 0).uids == (0, 0, 0)


def test_setreuid_moves_the_saved_id_as_the_man_page_says() -> None:
    assert set_two(ROOT, "uids", KEEP, 0).uids == (0, 0, 0)
    assert set_two(ROOT, "uids", KEEP, 5).uids == (0, 5, 5)
    assert set_two(ROOT, "uids", 5, KEEP).uids == (5, 0, 0)


def test_keepcaps_lets_ids_be_changed_after_the_user_id() -> None:
    kept = set_one(ROOT._replace(keeps=True), "uids", 1000)
    assert set_one(kept, "gids", 1000) == Credentials((1000,) * 3, (1000,) * 3, (), True)


def test_set_user_id_program_changes_the_effective_and_saved_id() -> None:
    assert executed(APP, 0, KEEP) == Credentials((1000, 0, 0), (1000, 1000, 1000), (10,))
    assert executed(set_three(ROOT, "uids", (KEEP, 5, 0)), KEEP, KEEP).uids == (0, 5, 5)


def test_owner_may_only_be_changed_by_root_the_group_by_members() -> None:
    assert may_change_owner(ROOT, (5, 5), 1, 1)
    assert may_change_owner(APP, (1000, 1000), KEEP, 10)
    assert may_change_owner(APP, (1000, 1000), 1000, 1000)
    assert not may_change_owner(APP, (1000, 1000), 0, KEEP)
    assert not may_change_owner(APP, (1000, 1000), KEEP, 11)
    assert not may_change_owner(APP, (0, 0), 1000, KEEP)


def test_mark_tells_owner_and_device() -> None:
    assert parsed(b"5:6") == Owner(5, 6)
    assert device_of(parsed(b"0:0:c:1:3")) == (0o020000, 1, 3)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filter_takes_what_is_to_be_answered_and_no_more(machine: str) -> None:
    found, number = rules(machine), numbers(machine)

    def asked(name: str, *arguments: int) -> bool:
        return answer(found, ALLOW, number[name], (*arguments, 0, 0, 0, 0, 0)[:6]) == NOTIFY

    assert asked("fchownat") and asked("statx") and asked("setresuid") and asked("execve") and asked("mkdirat")
    assert asked("openat", 0, 0, os.O_CREAT | os.O_WRONLY) and not asked("openat", 0, 0, os.O_WRONLY)
    assert asked("prlimit64", 0, RLIMIT_RTTIME) and not asked("prlimit64", 0, 7)
    assert asked("getsockopt", 3, 1, SO_PEERCRED) and not asked("getsockopt", 3, 1, 4)
    assert asked("prctl", 8) and not asked("prctl", 38)
    assert not asked("read") and not asked("unlinkat")
