"""User and group ids of a process as it believes to have them, where the kernel has only one: what the set*id calls make of them.

Pure: each function takes Credentials and gives new ones, or raises PermissionError as the kernel would refuse.
"""

from errno import EPERM

from kernel.value import Value

KEEP = 0xFFFFFFFF                     # -1, as an id: leave it


class Credentials(Value):
    """uids, gids: real, effective, saved. keeps: PR_SET_KEEPCAPS is set."""

    uids: tuple[int, int, int] = (0, 0, 0)
    gids: tuple[int, int, int] = (0, 0, 0)
    groups: tuple[int, ...] = ()
    keeps: bool = False

    @property
    def powerful(self) -> bool:
        """Whether it may be anybody."""
        return not self.uids[1] or self.keeps


ROOT = Credentials()


def of_user(uid: int, gid: int, groups: tuple[int, ...]) -> Credentials:
    return Credentials((uid,) * 3, (gid,) * 3, groups)


def set_three(old: Credentials, field: str, wanted: tuple[int, ...]) -> Credentials:
    """setresuid, setresgid. field: "uids" or "gids"."""
    before: tuple[int, int, int] = getattr(old, field)
    real, effective, saved = (was if new == KEEP else new for new, was in zip(wanted, before))
    return _changed(old, field, (real, effective, saved), before)


def set_two(old: Credentials, field: str, real: int, effective: int) -> Credentials:
    """setreuid, setregid."""
    before: tuple[int, int, int] = getattr(old, field)
    new = before[1] if effective == KEEP else effective
    saved = new if real != KEEP or effective not in (KEEP, before[0]) else before[2]
    return _changed(old, field, (before[0] if real == KEEP else real, new, saved), before)


def set_one(old: Credentials, field: str, wanted: int) -> Credentials:
    """setuid, setgid."""
    before: tuple[int, int, int] = getattr(old, field)
    if old.powerful:
        return _changed(old, field, (wanted,) * 3, before)
    if wanted not in (before[0], before[2]):
        raise PermissionError(EPERM, "")
    return _changed(old, field, (before[0], wanted, before[2]), before)


def _changed(old: Credentials, field: str, new: tuple[int, int, int], before: tuple[int, int, int]) -> Credentials:
    if not old.powerful and not set(new) <= set(before):
        raise PermissionError(EPERM, "")
    return old._replace(uids=new) if field == "uids" else old._replace(gids=new)


def set_groups(old: Credentials, groups: tuple[int, ...]) -> Credentials:
    if not old.powerful:
        raise PermissionError(EPERM, "")
    return old._replace(groups=groups)


def executed(old: Credentials, uid: int, gid: int) -> Credentials:
    """After execve of a program that is set-user-ID of `uid`, set-group-ID of `gid` (KEEP: it is not)."""
    euid = old.uids[1] if uid == KEEP else uid
    egid = old.gids[1] if gid == KEEP else gid
    return Credentials((old.uids[0], euid, euid), (old.gids[0], egid, egid), old.groups)


def may_change_owner(who: Credentials, owner: tuple[int, int], uid: int, gid: int) -> bool:
    """Whether chown(2) of a file of `owner` would be permitted. uid, gid: KEEP for none."""
    if not who.uids[1]:
        return True
    return who.uids[1] == owner[0] and uid in (KEEP, owner[0]) and (gid in (KEEP, owner[1], who.gids[1]) or gid in who.groups)
